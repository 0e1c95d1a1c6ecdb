/* SPDX-License-Identifier: Apache-2.0 */
/* The options of "lightvm run". */
#ifndef LV_CLI_RUN_OPTIONS_H
#define LV_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"

struct run_options {
	bool detach, remove, tty, interactive, no_companions, init, read_only, accept_shared_random;
	const char *name, *kernel, *env_file, *workdir, *user, *hostname, *net, *ip, *ip6, *gateway, *gateway6, *dns, *mac, *initrd, *append, *wait, *label_file, *cid_file, *pid_file, *entrypoint, *restart, *restore, *template_at, *rules, *prefault;
	uint64_t memory, cpus, wait_seconds;
	struct strings env, ports, volumes, copies, disks, labels, tmpfs, mounts, preload, packages;
};

extern const struct option_spec run_option_table[];

#endif
