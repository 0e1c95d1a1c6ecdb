/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What "lightvm cp" takes from a guest: a stream of any bytes writes nothing outside of the directory it was given.
 * fuzz-sources: base/tree.c base/clock.c base/deadline.c base/frame.c base/shown.c base/file.c base/text.c
 * fuzz-seeds: tree
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static char scratch[] = "/tmp/lightvm-fuzz-XXXXXX";

static void clean_up(void)
{
	tree_remove(AT_FDCWD, scratch);
}

static char *parent(void)
{
	static int made;
	if (!made)
		MUST(mkdtemp(scratch) && !atexit(clean_up));
	made = 1;
	return scratch;
}

/* Beside the target directory nothing has appeared. */
static void check_parent(const char *path)
{
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		MUST(entry->d_name[0] == '.' || !strcmp(entry->d_name, "target"));
	closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree_report report = { 0 };
	char path[64];
	int fd = memfd_create("stream", MFD_CLOEXEC);
	MUST(fd >= 0 && !fd_write(fd, data, size) && lseek(fd, 0, SEEK_SET) == 0);
	snprintf(path, sizeof(path), "%s/target", parent());
	MUST(!mkdir(path, 0700));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_receive(fd, dir, "top", 0777, &report))
		MUST(report.error[0]);
	close(dir);
	close(fd);
	check_parent(parent());
	MUST(!tree_remove(AT_FDCWD, path));
	return 0;
}
