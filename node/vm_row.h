/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a list shows of a VM, kept where one system call reads it: "row" in the VM's directory is a symbolic link that leads nowhere, whose
 * target is the text. Thousands of VMs are listed without an open file, a page of memory or a line of JSON for each. What does not fit or
 * is not there is in config.json.
 */
#ifndef LV_NODE_VM_ROW_H
#define LV_NODE_VM_ROW_H

#include "node/vm_config.h"

#define VM_ROW_MAX 1000

struct vm_row {
	uint64_t created_ns; /* CLOCK_REALTIME */
	bool remove;
	const char *name, *kernel, *program, *ports, *command; /* in text; name and ports may be empty; command: the program's base name and arguments */
	char text[VM_ROW_MAX + 1];
};

/* Makes the link; a VM that cannot have one is listed from its configuration. */
void vm_row_write(const struct vm_config *config, int dir);
/* Another one in its place, from the parsed configuration; under the VM's lock. If that fails there is none. */
void vm_row_replace(const json_t *config, int dir);
/* Of the VM vms/ID, ready to be shown on a terminal. -ENOENT: it has none; -EINVAL: it is none that this lightvm reads. */
int vm_row_read(int vms, const char *id, struct vm_row *row);
/* The same of a VM whose directory is open. */
int vm_row_read_in(int vm_dir, struct vm_row *row);
/* The same from the parsed configuration. */
void vm_row_from_json(const json_t *config, struct vm_row *row);

#endif
