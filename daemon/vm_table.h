/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs that vm_watch.c knows, found by id and by the numbers of their inotify watches. */
#ifndef LV_DAEMON_VM_TABLE_H
#define LV_DAEMON_VM_TABLE_H

#include "daemon/vm_seen.h"

#define VM_TABLE_SLOTS 8192

struct watched {
	struct vm_seen seen;
	int status;	   /* its status file; -1: not held */
	int on_status, on_directory; /* inotify watches; -1: none */
	unsigned found;	   /* the last scan that found it */
	bool was_there;	   /* found by the first scan: not told as new */
	bool dirty;	   /* something was written: it is in the list of those that are to be looked at */
	struct watched *next_dirty;
	struct start_wait *start; /* its start is waited for; NULL: no */
	struct watched *by_id, *by_status, *by_directory; /* the next in the slot */
};

struct vm_table {
	struct watched *by_id[VM_TABLE_SLOTS], *by_status[VM_TABLE_SLOTS], *by_directory[VM_TABLE_SLOTS];
	unsigned count;
};

/* A new one, with no watch; NULL: out of memory. */
struct watched *table_add(struct vm_table *table, const char *id);
/* Its watches are known now. */
void table_watches(struct vm_table *table, struct watched *vm, int on_status, int on_directory);
/* Takes it out and frees it. */
void table_remove(struct vm_table *table, struct watched *vm);
struct watched *table_find(const struct vm_table *table, const char *id);
struct watched *table_by_watch(const struct vm_table *table, int watch);
/* Calls each(context, vm) for all; vm may be removed there. */
void table_each(const struct vm_table *table, void (*each)(void *context, struct watched *vm), void *context);

#endif
