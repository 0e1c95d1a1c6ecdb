/* SPDX-License-Identifier: Apache-2.0 */
#include "node/guest_initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/guest_config.h"
#include "base/file.h"
#include "node/memory_file.h"
#include "node/node_paths.h"
#include "node/records_write.h"
#include "tinyx/cpio.h"

#define ARCHIVE_MAX (16u << 20)

/* ---- the VM's configuration ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;
	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void put_streams(const struct vm_config *config, struct text *out)
{
	struct lv_guest_streams streams = { 0 };
	struct winsize size = { 0 };
	if (config->terminal)
		streams.flags |= LV_GUEST_TERMINAL;
	/* One log for both, or one file: the order of what is written is worth more than two ways. */
	if (config->detached || same_file(STDOUT_FILENO, STDERR_FILENO))
		streams.flags |= LV_GUEST_STDERR_SAME;
	if (config->detached && !config->keeps_stdin)
		streams.flags |= LV_GUEST_NO_STDIN;
	if (config->terminal && !config->detached && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) {
		streams.rows = size.ws_row;
		streams.columns = size.ws_col;
	}
	records_add(out, LV_GUEST_STREAMS, &streams, sizeof(streams));
}

static void put_net(const struct net_spec *spec, struct text *out)
{
	struct lv_guest_net net = { .ip = spec->ip, .netmask = spec->mask, .gateway = spec->gateway, .dns = spec->dns, .mtu = spec->mtu,
				    .flags = spec->kind == NET_PASST ? LV_GUEST_NET_PASST : 0 };
	if (spec->kind != NET_NONE)
		records_add(out, LV_GUEST_NET, &net, sizeof(net));
}

void guest_config_make(const struct vm_config *config, struct text *out)
{
	char user[32], overlay[] = "/dev/vdb";
	records_begin(out, LV_GUEST_CONFIG_MAGIC, LV_GUEST_CONFIG_VERSION);
	records_add_string(out, LV_GUEST_PROGRAM, config->program);
	for (size_t i = 0; i < config->args.count; i++)
		records_add_string(out, LV_GUEST_ARG, config->args.item[i]);
	for (size_t i = 0; i < config->env.count; i++)
		records_add_string(out, LV_GUEST_ENV, config->env.item[i]);
	records_add_string(out, LV_GUEST_CWD, config->cwd);
	records_add_string(out, LV_GUEST_HOSTNAME, config->hostname);
	snprintf(user, sizeof(user), "%u:%u", config->uid, config->gid);
	if (config->uid || config->gid)
		records_add_string(out, LV_GUEST_USER, user);
	put_streams(config, out);
	put_net(&config->net, out);
	for (size_t i = 0; i < config->mounts; i++) {
		char *word = config_mount_word(&config->mount[i], (unsigned)i);
		if (word)
			records_add_string(out, LV_GUEST_MOUNT, word);
		out->failed |= !word;
		free(word);
	}
	/* Disks come after the image, which is vda. */
	for (size_t i = 0; i < config->disks; i++) {
		overlay[sizeof(overlay) - 2] = (char)('b' + i);
		if (config->disk[i].overlay)
			records_add_string(out, LV_GUEST_OVERLAY, overlay);
	}
	records_end(out);
}

/* ---- the initial RAM disk ---- */

int guest_initrd(const struct vm_config *config, struct error *error)
{
	struct text init = { 0 }, bytes = { 0 }, archive = { 0 };
	char *path = paths_init(error);
	if (!path)
		return -ENOENT;
	int fd = -EFBIG, err = file_read(AT_FDCWD, path, ARCHIVE_MAX, &init.data, &init.size);
	guest_config_make(config, &bytes);
	cpio_add(&archive, &LV_GUEST_CONFIG_PATH[1], S_IFREG | 0400, 0, bytes.data, bytes.size);
	cpio_end(&archive);
	if (err)
		fd = error_set(error, err, "%s: %s", path, strerror(-err));
	else if (text_error(&bytes) || text_error(&archive))
		fd = error_set(error, -ENOMEM, "out of memory");
	else if (bytes.size > LV_GUEST_CONFIG_MAX)
		error_set(error, fd, "arguments and environment take %zu bytes; a Linux guest can have %u", bytes.size, LV_GUEST_CONFIG_MAX);
	else
		fd = memory_file("initial RAM disk", &init, &archive, error);
	text_free(&archive);
	text_free(&bytes);
	free(init.data);
	free(path);
	return fd;
}
