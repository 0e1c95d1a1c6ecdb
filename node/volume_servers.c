/* SPDX-License-Identifier: Apache-2.0 */
#include "node/volume_servers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"
#include "node/node_paths.h"

#define SOCKET_ROOM (1 << 20) /* for a few of the largest messages; the kernel limits it to wmem_max */

/* One that can be gone through is served, if it cannot be listed. */
static int open_directory(const struct config_mount *mount, struct error *error)
{
	int fd = open(mount->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		fd = open(mount->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && !faccessat(fd, ".", X_OK, AT_EACCESS))
		return fd;
	int err = error_set(error, -errno, "volume %s: %s", mount->source, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/* Its first process ends when the second one serves. */
static int spawn_server(const struct vm_config *config, const struct config_mount *mount, const char *program, int socket, int directory, int messages, struct error *error)
{
	struct strings argv = { 0 };
	struct spawned server;
	int keep[] = { socket, directory };
	strings_add(&argv, "lightvm-fs");
	strings_take(&argv, alloc_format("%d", socket));
	strings_take(&argv, alloc_format("%d", directory));
	strings_add(&argv, mount->frozen ? "ro" : "rw");
	strings_take(&argv, alloc_format("%u", config->uid));
	strings_take(&argv, alloc_format("%u", config->gid));
	struct spawn spawn = { SPAWN_INIT, .argv = argv.item, .keep = keep, .keep_count = 2, .session = true };
	spawn.out = spawn.err = messages;
	int err = strings_error(&argv) ? error_set(error, -ENOMEM, "out of memory") : spawn_start(&spawn, program, &server, error);
	int status = err ? 0 : spawned_wait(&server);
	strings_free(&argv);
	if (status)
		return error_set(error, -EIO, "volume %s: its server could not be started (status 0x%x)", mount->source, (unsigned)status);
	return err;
}

static int start_one(const struct vm_config *config, const struct config_mount *mount, const char *program, int messages, int *ours, struct error *error)
{
	const int room = SOCKET_ROOM;
	int pair[2], directory = open_directory(mount, error);
	if (directory < 0)
		return directory;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		close(directory);
		return error_set(error, -errno, "volume %s: socketpair: %s", mount->source, strerror(errno));
	}
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	int err = spawn_server(config, mount, program, pair[1], directory, messages, error);
	close(pair[1]);
	close(directory);
	if (err)
		close(pair[0]);
	else
		*ours = pair[0];
	return err;
}

int volume_servers_start(const struct vm_config *config, int messages, struct volume_links *links, struct error *error)
{
	char *program = NULL;
	int err = 0;
	for (size_t i = 0; i < config->mounts && !err; i++) {
		if (config->mount[i].kind != MOUNT_VOLUME)
			continue;
		if (!program && !(program = paths_fs(error)))
			return error->code;
		err = start_one(config, &config->mount[i], program, messages, &links->fd[links->count], error);
		links->count += !err;
	}
	free(program);
	return err;
}

void volume_links_close(struct volume_links *links)
{
	while (links->count)
		close(links->fd[--links->count]);
}
