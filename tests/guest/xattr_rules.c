/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes that programs give to their files. As a process it needs a file system that has them, as the VM's has. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "check.h"

static bool gives(const char *path, const char *name, const char *value)
{
	char got[64];
	ssize_t n = getxattr(path, name, got, sizeof(got));

	return n == (ssize_t)strlen(value) && !memcmp(got, value, (size_t)n);
}

static void check_values(void)
{
	const char *volatile nowhere = (const char *)16;
	char list[64], large[65537], name[300] = "user.";

	memset(large, 'v', sizeof(large));
	memset(name + 5, 'n', 251);
	IS(setxattr("file", "user.one", "1", 1, 0), 0);
	CHECK(gives("file", "user.one", "1"));
	IS(setxattr("file", "user.one", "another", 7, XATTR_REPLACE), 0);
	CHECK(gives("file", "user.one", "another"));
	FAILS(setxattr("file", "user.one", "", 0, XATTR_CREATE), EEXIST);
	FAILS(setxattr("file", "user.two", "", 0, XATTR_REPLACE), ENODATA);
	IS(setxattr("file", "user.two", "", 0, XATTR_CREATE), 0);
	IS(getxattr("file", "user.two", list, sizeof(list)), 0);
	IS(getxattr("file", "user.one", NULL, 0), 7);
	FAILS(getxattr("file", "user.one", list, 6), ERANGE);
	FAILS(getxattr("file", "user.three", list, 6), ENODATA);
	FAILS(setxattr("file", "user.one", large, sizeof(large), 0), E2BIG);
	FAILS(setxattr("file", name, "v", 1, 0), ERANGE);
	name[255] = 0;
	CHECK(!setxattr("file", name, "v", 1, 0) && gives("file", name, "v") && !removexattr("file", name));
	FAILS(setxattr("file", "", "v", 1, 0), ERANGE);
	FAILS(setxattr("file", nowhere, "v", 1, 0), EFAULT);
	FAILS(setxattr("file", "user.x", nowhere, 1, 0), EFAULT);
	FAILS(setxattr("file", "user.x", "v", 1, 8), EINVAL);
	FAILS(setxattr("file", "nothing.x", "v", 1, 0), EOPNOTSUPP);
	IS(listxattr("file", NULL, 0), 18);
	FAILS(listxattr("file", list, 17), ERANGE);
	CHECK(listxattr("file", list, sizeof(list)) == 18 && (!memcmp(list, "user.one\0user.two", 18) || !memcmp(list, "user.two\0user.one", 18)));
	IS(removexattr("file", "user.two"), 0);
	FAILS(removexattr("file", "user.two"), ENODATA);
	IS(listxattr("file", list, sizeof(list)), 9);
}

static void check_kinds(void)
{
	int fd = open("file", O_RDONLY), pipes[2];
	char value[8];
	struct stat before, after;

	CHECK(!symlink("file", "link") && !mkfifo("fifo", 0600) && !mkdir("directory", 0700) && !pipe(pipes));
	CHECK(gives("link", "user.one", "another"));
	FAILS(lgetxattr("link", "user.one", value, sizeof(value)), ENODATA);
	FAILS(lsetxattr("link", "user.one", "v", 1, 0), EPERM);
	FAILS(setxattr("fifo", "user.one", "v", 1, 0), EPERM);
	IS(setxattr("directory", "user.d", "v", 1, 0), 0);
	CHECK(gives("directory", "user.d", "v"));
	IS(fgetxattr(fd, "user.one", value, sizeof(value)), 7);
	IS(fsetxattr(fd, "user.f", "f", 1, 0), 0); /* the right to write is the file's, not the descriptor's */
	IS(fremovexattr(fd, "user.f"), 0);
	FAILS(fgetxattr(99, "user.one", value, sizeof(value)), EBADF);
	CHECK(!link("file", "same") && gives("same", "user.one", "another"));
	CHECK(!rename("file", "moved") && gives("moved", "user.one", "another") && !rename("moved", "file"));
	CHECK(!fstat(fd, &before) && !setxattr("file", "user.t", "t", 1, 0) && !fstat(fd, &after) && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	close(fd);
}

static void check_users(void)
{
	char value[8];
	int status;
	pid_t pid;

	IS(setxattr("file", "trusted.t", "t", 1, 0), 0);
	CHECK(gives("file", "trusted.t", "t") && listxattr("file", NULL, 0) == 9 + 7 + 10);
	pid = fork();
	if (!pid) {
		if (setgid(1000) || setuid(1000))
			_exit(1);
		FAILS(setxattr("file", "user.one", "v", 1, 0), EACCES);
		CHECK(gives("file", "user.one", "another"));
		FAILS(getxattr("secret", "user.s", value, sizeof(value)), EACCES);
		FAILS(setxattr("file", "trusted.t", "v", 1, 0), EPERM);
		FAILS(getxattr("file", "trusted.t", value, sizeof(value)), ENODATA);
		IS(listxattr("file", NULL, 0), 9 + 7);
		_exit(check_end());
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
}

int main(void)
{
	check_scratch();
	close(open("file", O_RDWR | O_CREAT, 0644));
	close(open("secret", O_RDWR | O_CREAT, 0600));
	if (setxattr("secret", "user.s", "s", 1, 0) && !in_vm()) {
		printf("no extended attributes here: %s\n", strerror(errno));
		return 77;
	}
	CHECK(!chmod(".", 0755));
	check_values();
	check_kinds();
	if (!getuid())
		check_users();
	return check_end();
}
