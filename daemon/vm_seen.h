/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been told of one VM, and what is to be told when its record is looked at again. Only what is in the record at that moment is seen: of what came and went
 * between two looks, as a pause of a few microseconds, nothing is told; of a whole life, its start and its end always are.
 */
#ifndef LV_DAEMON_VM_SEEN_H
#define LV_DAEMON_VM_SEEN_H

#include "daemon/events.h"
#include "daemon/oom_mark.h"
#include "node/vm_info.h"

struct vm_seen {
	char id[STATE_ID + 1], name[STATE_NAME + 1];
	json_t *labels; /* NULL: none */
	/* of the life that it leads, or has led last; pid 0: none yet */
	uint32_t pid;
	uint64_t began_ns;
	enum vm_state state;
	struct oom_mark oom; /* of its monitor */
	bool started, listens, paused, ended, measured, quiet; /* quiet: what it was when it was found is not told */
};

/* The program's first instruction, after the command, in ns; 0: not known. On library-OS guests it is the guest's word, bounded by what can be. */
uint64_t vm_seen_latency(const struct lv_status *status);
/*
 * Takes what a look found, and tells what is new of it. info->dir.status is open, or -1. running: VMs that live, with this one. patient: a start whose latency is
 * not in the record yet is not told; true: such a one there is, and who calls asks the monitor, and then calls again without patience. *latency_ns: of a start
 * or a program that is seen for the first time, otherwise 0.
 */
bool vm_seen_take(struct vm_seen *vm, struct events *events, const struct vm_info *info, unsigned running, bool patient, uint64_t *latency_ns);
/* Its directory is gone. */
void vm_seen_gone(struct vm_seen *vm, struct events *events);
void vm_seen_rename(struct vm_seen *vm, struct events *events, const char *name);
/* Its life, or its end, is as far as it can come without a new start. */
static inline bool vm_seen_lives(const struct vm_seen *vm)
{
	return vm->state <= VM_PAUSED && vm->state != VM_CREATED;
}

#endif
