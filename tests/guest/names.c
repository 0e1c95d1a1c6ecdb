/* SPDX-License-Identifier: Apache-2.0 */
/* Names of files that end in a slash, and are links; times before 1970. */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"

static int make(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);

	return fd < 0 ? fd : close(fd);
}

static bool is_link(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

static void check_slashes(void)
{
	struct stat st;

	CHECK(!make("file") && !symlink("file", "to-file") && !mkdir("dir", 0700) && !symlink("dir", "to-dir") && !symlink("none", "dangling"));
	FAILS(stat("to-file/", &st), ENOTDIR);
	FAILS(lstat("to-file/", &st), ENOTDIR);
	FAILS(open("to-file/", O_RDONLY), ENOTDIR);
	CHECK(!lstat("to-dir/", &st) && S_ISDIR(st.st_mode));
	CHECK(!lstat("to-dir//", &st) && S_ISDIR(st.st_mode));
	/* The link itself is meant, which is no directory. */
	FAILS(unlink("to-dir/"), ENOTDIR);
	FAILS(rmdir("to-dir/"), ENOTDIR);
	FAILS(rmdir("to-dir"), ENOTDIR);
	FAILS(rename("to-dir/", "moved"), ENOTDIR);
	FAILS(mkdir("to-dir/", 0700), EEXIST);
	FAILS(mkdir("dangling/", 0700), EEXIST);
	FAILS(mkdir("file/", 0700), EEXIST);
	FAILS(unlink("file/"), ENOTDIR);
	FAILS(rename("file/", "moved"), ENOTDIR);
	FAILS(rename("file", "moved/"), ENOTDIR);
	FAILS(rename("dir", "to-dir/"), ENOTDIR);
	CHECK(!stat("dir", &st) && is_link("to-dir"));
	CHECK(!rmdir("dir/"));
	FAILS(stat("to-dir/", &st), ENOENT);
	CHECK(!unlink("to-dir") && !unlink("to-file") && !unlink("dangling") && !unlink("file"));
}

static void check_early_times(void)
{
	struct timespec times[2] = { { -5, 250000000 }, { -1, 999999999 } };
	struct stat st;

	CHECK(!make("old") && !utimensat(AT_FDCWD, "old", times, 0) && !stat("old", &st));
	IS(st.st_atim.tv_sec, -5);
	IS(st.st_atim.tv_nsec, 250000000);
	IS(st.st_mtim.tv_sec, -1);
	IS(st.st_mtim.tv_nsec, 999999999);
	CHECK(!unlink("old"));
}

int main(void)
{
	check_scratch();
	check_slashes();
	check_early_times();
	return check_end();
}
