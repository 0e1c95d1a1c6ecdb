/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a guest to the server of its volume, several in one input: two bytes of length before each. The directory is a new one; that they
 * do nothing beside it is tests/e2e/volumes_attack.sh's matter.
 * fuzz-sources: volume/fuse_attr.c volume/fuse_io.c volume/fuse_lock.c volume/fuse_message.c volume/fuse_tree.c volume/node_table.c
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volume/volume.h"

static char reply[VOLUME_MESSAGE_MAX] __attribute__((aligned(8)));

static char top[] = "/tmp/fuzz-volume.XXXXXX";

static void clean_up(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf -- %s", top);
	if (system(command))
		fprintf(stderr, "%s stays\n", top);
}

/* One for all inputs, with a bound for what they write. */
static void make_directory(void)
{
	const struct rlimit small = { 1 << 20, 1 << 20 };
	setrlimit(RLIMIT_FSIZE, &small);
	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(top))
		abort();
	atexit(clean_up);
	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC), file = openat(dir, "f", O_CREAT | O_RDWR, 0644);
	if (dir < 0 || file < 0 || mkdirat(dir, "d", 0755) || symlinkat("f", dir, "l") || mkfifoat(dir, "p", 0644))
		abort();
	close(file);
	close(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool made;
	if (!made)
		make_directory();
	made = true;
	struct volume volume = { .root = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC), .proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), .descriptors = 256, .any_owner = true };
	if (volume_init(&volume))
		abort();
	while (size >= 2) {
		size_t n = data[0] | data[1] << 8;
		n = n < size - 2 ? n : size - 2;
		char *message = malloc(n ? n : 1); /* of its exact size, so that what reads beyond it is seen */
		memcpy(message, data + 2, n);
		if (volume_answer(&volume, message, n, reply) > sizeof(reply))
			abort();
		free(message);
		volume_retry(&volume, reply);
		data += 2 + n;
		size -= 2 + n;
	}
	volume_fini(&volume);
	return 0;
}
