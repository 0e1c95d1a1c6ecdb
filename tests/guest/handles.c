/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handles DIR OPEN: with so many files of a live volume open, and all others that its server has room for open for nobody, files are made all the same, also without
 * a name, and a large directory is listed. In that directory are the files 0 to 299, and held.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *word(long r)
{
	return r < 0 ? strerrorname_np(errno) : "done";
}

static int list(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	errno = 0;
	while (readdir(dir))
		n++;
	return errno ? -1 : n;
}

/* Whoever reads and closes as many files as may stay open for nobody, and then holds one more, has all that the server opens: that one. */
static int fill(void)
{
	char byte;

	for (int i = 0; i < 300; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "%d", i);
		fd = open(name, O_RDONLY);
		if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd))
			return printf("file %d: %s\n", i, word(-1)), -1;
	}
	return open("held", O_RDONLY);
}

static int make(void)
{
	return open("made", O_CREAT | O_WRONLY, 0644);
}

static int make_nameless(void)
{
	return open(".", O_TMPFILE | O_RDWR, 0600);
}

static int list_here(void)
{
	return list(".");
}

int main(int argc, char **argv)
{
	static int (*const ways[])(void) = { make, make_nameless, list_here };
	const int most = argc == 3 ? atoi(argv[2]) : 0;
	struct rlimit limit = { (rlim_t)most + 100, (rlim_t)most + 100 };

	if (!most || chdir(argv[1]) || setrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	for (int i = 0; i < most; i++)
		if (open("held", O_RDONLY) < 0)
			return printf("held %d: %s\n", i, word(-1)), 1;
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		int one_more = fill(), r = ways[i]();

		printf("%s\n", one_more < 0 ? "not full" : word(r));
		close(one_more);
		if (i < 2)
			close(r);
	}
	return 0;
}
