/* SPDX-License-Identifier: Apache-2.0 */
/* Live volumes: each directory has a server of its own (volume/), which is started before the VM, and ends when its monitor does. */
#ifndef LV_NODE_VOLUME_SERVERS_H
#define LV_NODE_VOLUME_SERVERS_H

#include "node/vm_config.h"

struct volume_links { /* all zero: none */
	unsigned count;
	int fd[CONFIG_MOUNTS]; /* the monitor's end of each volume's socket, in the order of the configuration's mounts */
};

/* Starts the servers of all volumes, which serve when this returns. messages: where they say what fails; -1: standard error. Close links in every case. */
int volume_servers_start(const struct vm_config *config, int messages, struct volume_links *links, struct error *error);
void volume_links_close(struct volume_links *links);

#endif
