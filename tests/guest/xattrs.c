/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of a directory's files: xattrs DIRECTORY prints the same on the host's file system and on a live volume of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static char value[65537];
static char *volatile nowhere = (char *)8;

static void say(const char *what, ssize_t r)
{
	if (r < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %zd\n", what, r);
}
#define SAY(call) say(#call, call)

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A file system lists them in an order of its own. */
static void names(const char *path)
{
	char list[4096], *name[64];
	ssize_t n = listxattr(path, list, sizeof(list));
	size_t count = 0;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
		if (!strncmp(list + at, "user.", 5)) /* others are the host's own matter */
			name[count++] = list + at;
	qsort(name, count, sizeof(*name), by_name);
	for (size_t i = 0; i < count; i++)
		printf("  %s\n", name[i]);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]))
		return 2;
	int fd = open("x", O_RDWR | O_CREAT | O_TRUNC, 0644);
	mkdir("d", 0755);
	(void)!symlink("x", "l");
	memset(value, 'v', sizeof(value));
	SAY(setxattr("x", "user.one", "first", 5, XATTR_CREATE));
	SAY(setxattr("x", "user.one", "second", 6, XATTR_CREATE));
	SAY(setxattr("x", "user.none", "", 0, XATTR_REPLACE));
	SAY(fsetxattr(fd, "user.empty", NULL, 0, 0));
	SAY(setxattr("l", "user.through", "link", 4, 0));
	SAY(lsetxattr("l", "user.own", "link", 4, 0));
	SAY(setxattr("d", "user.dir", "d", 1, 0));
	SAY(setxattr("x", "user.long", value, 2000, 0));
	SAY(getxattr("x", "user.one", NULL, 0));
	SAY(getxattr("x", "user.one", value, 4));
	SAY(getxattr("x", "user.one", value, sizeof(value)));
	printf("  %.5s\n", value);
	SAY(fgetxattr(fd, "user.empty", value, sizeof(value)));
	SAY(lgetxattr("l", "user.through", value, sizeof(value)));
	SAY(getxattr("l", "user.through", value, sizeof(value)));
	SAY(getxattr("x", "user.none", value, sizeof(value)));
	SAY(getxattr("x", "user.long", nowhere, 2000));
	SAY(listxattr("x", value, 3));
	names("x");
	names("d");
	SAY(removexattr("x", "user.one"));
	SAY(fremovexattr(fd, "user.one"));
	SAY(lremovexattr("l", "user.through"));
	SAY(removexattr("l", "user.through"));
	names("x");
	SAY(setxattr("x", "user.", "v", 1, 0));
	SAY(setxattr("x", "", "v", 1, 0));
	SAY(setxattr("x", "user.big", value, sizeof(value), 0));
	SAY(setxattr("x", "user.flags", "v", 1, 4));
	SAY(setxattr("x", "other.x", "v", 1, 0));
	return 0;
}
