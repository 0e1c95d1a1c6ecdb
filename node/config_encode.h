/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration as the monitor gets it: records (abi/vm_records.h) and descriptors in place of names. */
#ifndef LV_NODE_CONFIG_ENCODE_H
#define LV_NODE_CONFIG_ENCODE_H

#include "abi/vm_records.h"
#include "node/link_ops.h"
#include "node/vm_config.h"
#include "node/volume_servers.h"

struct fd_list { /* borrowed: open until they are sent */
	int fd[LV_VM_FDS_MAX];
	unsigned count;
};

struct monitor_files { /* what a configuration has no names for; -1: none */
	const struct net_link *link;
	int libos;           /* library OS */
	int initrd;          /* Linux: ours */
	int vsock;           /* Linux: listening socket */
	int control, status, log, cpuid;
	int files;           /* library OS: gets what is used of the image, as config->record says */
	int prefault;        /* library OS: the list of the pages that starts touch */
	int in, out, err;    /* the console */
	uint32_t own;        /* of these: LV_VM_OWN_IN and its like */
	int messages;        /* of the monitor */
	const struct volume_links *volumes; /* NULL: none */
	enum lv_claim claim; /* how we came by the monitor */
};

/* config: validated and open (config_open). start_ns: when the command started, CLOCK_MONOTONIC. out, fds: empty. -E2BIG: more than a monitor takes. */
int config_encode(const struct vm_config *config, const struct monitor_files *files, uint64_t start_ns, struct text *out, struct fd_list *fds, struct error *error);

#endif
