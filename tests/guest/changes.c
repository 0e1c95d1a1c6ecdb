/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries to change a file system in each way there is: changes OPERATION PATH [PATH2] ... Prints a line for each with what came of it: a
 * name of an error, or "ok". For tests/e2e/mounts.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static char **next;

static const char *word(void)
{
	return *next ? *next++ : "";
}

static int opened(int fd)
{
	return fd < 0 ? -1 : close(fd);
}

/* So many KiB behind what is there: until it is full. */
static int fill(const char *path, long kib)
{
	char block[1024] = "x";
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), err = 0;

	for (long i = 0; fd >= 0 && i < kib && !err; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			err = errno;
	if (fd >= 0)
		close(fd);
	errno = err ? err : errno;
	return fd < 0 || err ? -1 : 0;
}

static int bind_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address));
	int err = errno;
	close(fd);
	errno = err;
	return r;
}

static int show(const char *path)
{
	char text[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n > 0)
		fwrite(text, 1, (size_t)n, stdout);
	return n < 0 ? -1 : opened(fd);
}

/* How many KiB the file system has, and whether it can be written. */
static int tell(const char *path)
{
	struct statvfs fs;

	if (statvfs(path, &fs))
		return -1;
	printf("%llu KiB %s\n", (unsigned long long)fs.f_blocks * fs.f_frsize / 1024, fs.f_flag & ST_RDONLY ? "ro" : "rw");
	return 0;
}

static int modes(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -1;
	printf("%o\n", st.st_mode & 07777u);
	return 0;
}

static int two(const char *op, const char *path)
{
	if (!strcmp(op, "rename"))
		return rename(path, word());
	if (!strcmp(op, "link"))
		return link(path, word());
	if (!strcmp(op, "symlink"))
		return symlink(path, word());
	return fill(path, atol(word()));
}

static int do_one(const char *op, const char *path)
{
	struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	static const char *const with_two[] = { "rename", "link", "symlink", "fill" };

	for (size_t i = 0; i < sizeof(with_two) / sizeof(*with_two); i++)
		if (!strcmp(op, with_two[i]))
			return two(op, path);
	if (!strcmp(op, "create"))
		return opened(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	if (!strcmp(op, "write"))
		return opened(open(path, O_WRONLY));
	if (!strcmp(op, "append"))
		return opened(open(path, O_RDWR | O_APPEND | O_CREAT, 0600));
	if (!strcmp(op, "trunc"))
		return opened(open(path, O_RDONLY | O_TRUNC));
	if (!strcmp(op, "tmpfile"))
		return opened(open(path, O_TMPFILE | O_RDWR, 0600));
	if (!strcmp(op, "read"))
		return show(path);
	if (!strcmp(op, "truncate"))
		return truncate(path, 1);
	if (!strcmp(op, "mkdir"))
		return mkdir(path, 0700);
	if (!strcmp(op, "rmdir"))
		return rmdir(path);
	if (!strcmp(op, "unlink"))
		return unlink(path);
	if (!strcmp(op, "mkfifo"))
		return mkfifo(path, 0600);
	if (!strcmp(op, "bind"))
		return bind_at(path);
	if (!strcmp(op, "chmod"))
		return chmod(path, 0600);
	if (!strcmp(op, "chown"))
		return chown(path, 1, 1);
	if (!strcmp(op, "times"))
		return utimensat(AT_FDCWD, path, now, 0);
	if (!strcmp(op, "access"))
		return access(path, W_OK);
	if (!strcmp(op, "xattr"))
		return setxattr(path, "user.a", "b", 1, 0);
	if (!strcmp(op, "tell"))
		return tell(path);
	if (!strcmp(op, "mode"))
		return modes(path);
	fprintf(stderr, "changes: there is no operation \"%s\"\n", op);
	exit(2);
}

int main(int argc, char **argv)
{
	(void)argc;
	next = argv + 1;
	while (*next) {
		const char *op = word(), *path = word();
		int r = do_one(op, path);

		printf("%s %s: %s\n", op, path, r ? strerrorname_np(errno) : "ok");
	}
	return 0;
}
