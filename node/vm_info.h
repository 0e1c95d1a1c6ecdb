/* SPDX-License-Identifier: Apache-2.0 */
/* One VM as the listing verbs see it: its configuration, its record, and what both mean together. */
#ifndef LV_NODE_VM_INFO_H
#define LV_NODE_VM_INFO_H

#include <jansson.h>

#include "node/state.h"
#include "node/vm_row.h"

enum vm_state { VM_STARTING, VM_CREATED, VM_RUNNING, VM_PAUSED, VM_EXITED, VM_CRASHED, VM_DEAD, VM_SAVED };

struct vm_info {
	struct vm_dir dir;
	json_t *config; /* never NULL but after vm_info_glance and vm_info_find_row: an empty object when the file is missing */
	struct lv_status status;
	bool alive;
	enum vm_state state;
	int exit_code; /* as a shell would see it; -1: still alive or not known */
};

/* Opens by word (vm_find) or by id. vm_info_close in both cases. */
int vm_info_find(const struct state *state, const char *word, struct vm_info *info, struct error *error);
int vm_info_open(const struct state *state, const char *id, struct vm_info *info);
/* The same without the configuration, which is NULL: what ends VMs needs no more of it than its row. */
int vm_info_find_row(const struct state *state, const char *word, struct vm_info *info, struct vm_row *row, struct error *error);
/* Its state and record only, of vms/ID below the open directory vms: no file stays open, config is NULL. */
int vm_info_glance(int vms, const char *id, struct vm_info *info);
void vm_info_close(struct vm_info *info);
/* Record, state and the rest anew, of a VM whose status file is open (dir.status); asks nobody. */
void vm_info_judge(struct vm_info *info);
/* The same where its directory, vms/ID below the open directory vms, is not open. */
void vm_info_judge_in(struct vm_info *info, int vms);
/* Before it is started again: one that has ended, but is held for a moment more, is waited for (vm_runs). */
void vm_info_settle(struct vm_info *info);
/*
 * A monitor that lives is asked for its record, which is more than it has written; for so many milliseconds at most. 0, or a
 * negative errno: the record stays what it was.
 */
int vm_info_refresh(struct vm_info *info, int patience_ms);
/* Of a wait status, as a shell would see it. */
int vm_exit_code(int wait_status);
/* "starting", "created" (its program may not be known yet), "running", "paused", "exited" (crashed or not), "dead", "saved" */
const char *vm_state_word(enum vm_state state);
/* "exited (3)", "dead: its monitor was killed"; the caller's. */
char *vm_state_text(const struct vm_info *info);
/* True for what --rm left behind because nobody waited for the end. */
bool vm_is_litter(const struct vm_info *info);
/* -ESRCH, and that the VM has ended, or was not started yet: for who wants one that lives. */
int vm_not_alive(const struct vm_info *info, struct error *error);
int vm_info_remove(const struct state *state, struct vm_info *info, struct error *error);

#endif
