/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs on disk: one directory each, vms/ID/ with config.json, row (node/vm_row.h), status (struct lv_status; its flock is held by the
 * monitor for as long as it lives), control (socket), console.log, monitor.log; names/NAME is a link to the directory. A
 * directory appears whole, by rename. Nothing here locks or reads another VM, except listing and the lookup of an id prefix.
 */
#ifndef LV_NODE_STATE_H
#define LV_NODE_STATE_H

#include <stdbool.h>

#include "abi/control.h"
#include "base/error.h"
#include "base/text.h"
#include "node/status_file.h"

#define STATE_ID 12
#define STATE_LITTER "remove" /* a file in the directory of a VM that goes when it ends */
#define STATE_SAVED "saved" /* a link in the directory of a VM that ended by being saved: to where (node/save_dir.h) */
#define STATE_NAME 63 /* characters of a name, at most */

#define STATE_OLD 2
struct state {
	/*
	 * $LIGHTVM_STATE; else $XDG_RUNTIME_DIR/lightvm, unless that is logind's, which does not outlive a log-out; else /run/lightvm for root;
	 * else ${XDG_STATE_HOME:-~/.local/state}/lightvm, without HOME /tmp/lightvm-UID
	 */
	char *path;
	int dir;            /* of it */
	int old[STATE_OLD]; /* where versions before put theirs, if there is any: found, listed and removed, never added to; -1: none */
};

#define STATE_NONE ((struct state){ .dir = -1, .old = { -1, -1 } })

/* Opens, with create also makes the directories. -ENOENT without message: there were no VMs yet. */
int state_open(struct state *state, bool create, struct error *error);
void state_close(struct state *state);
/* Makes what is below it, vms and names, where that is missing. */
int state_make_below(const struct state *state, struct error *error);
/* Takes away names that lead to no VM; dry: only counts them. How many. */
unsigned state_prune_names(const struct state *state, bool dry);

struct vm_dir { /* an open VM directory; dir -1: none */
	char id[STATE_ID + 1];
	int dir;
	int status; /* the status file */
};
#define VM_DIR_NONE ((struct vm_dir){ .dir = -1, .status = -1 })

/* A random id; id has STATE_ID + 1 bytes. */
int vm_new_id(char *id, struct error *error);
/* A new VM under construction: hidden, its status file locked by the open file in vm->status. */
int vm_create(const struct state *state, const char *id, struct vm_dir *vm, struct error *error);
/* Claims name (NULL: none), and makes the VM visible. -EEXIST: the name is taken. */
int vm_publish(const struct state *state, const struct vm_dir *vm, const char *name, struct error *error);
/* To be removed once it has ended, by whoever sees that first. */
int vm_mark_litter(const struct vm_dir *vm, struct error *error);
/* It has not been started: its record says CREATED, and names no process. */
int vm_mark_created(const struct vm_dir *vm, struct error *error);
/*
 * Makes the directory of a VM that has ended ready for another start: vm->status becomes a descriptor that holds its lock, the record is
 * empty, sockets and messages of the old monitor are gone. -EBUSY: it runs.
 */
int vm_renew(struct vm_dir *vm, struct error *error);
/*
 * For who removes it: a descriptor that holds the lock of a VM that has ended, so that it cannot start meanwhile; the caller's.
 * -EBUSY: it lives, or is looked at for longer than any look takes.
 */
int vm_hold_ended(const struct vm_dir *vm);
/* That start failed: the record and the report that were there before vm_renew. */
void vm_put_back(struct vm_dir *vm, const struct lv_status *record, const struct lv_report *report);
/* Takes away what vm_create made and vm_publish has not shown. */
void vm_abandon(const struct state *state, const struct vm_dir *vm);
/* Finds by name, id or prefix of an id (of at least one digit). -ENOENT, -EEXIST (ambiguous). */
int vm_find(const struct state *state, const char *word, struct vm_dir *vm, struct error *error);
/* Opens vms/ID. */
int vm_open(const struct state *state, const char *id, struct vm_dir *vm);
/* Removes the directory and the name. The monitor must be dead. */
int vm_remove(const struct state *state, struct vm_dir *vm, const char *name, struct error *error);
void vm_close(struct vm_dir *vm);

/* The id that a name leads to; id has STATE_ID + 1 bytes. */
bool vm_name_find(const struct state *state, const char *word, char *id);
/* Has the name lead to the VM, besides others. -EINVAL: it is none; -EEXIST: it is another VM's. */
int vm_claim_name(const struct state *state, const struct vm_dir *vm, const char *name, struct error *error);
/* Takes the name away if it leads to this VM. */
void vm_drop_name(const struct state *state, const struct vm_dir *vm, const char *name);
/*
 * Held, by closing the descriptor that it answers, while the VM's configuration is read, changed and written again. -EBUSY: another command
 * holds it for longer than that takes. Nobody needs it to read.
 */
int vm_lock(const struct vm_dir *vm, struct error *error);

/* Whether the monitor lives: somebody holds the lock of the status file. */
bool vm_alive(const struct vm_dir *vm);
/*
 * The same, for who is about to start it again: one whose record says that it has ended is held for a moment more, by its monitor or by the command in whose foreground
 * it ran; that is waited for, VM_RELEASE_MS at most.
 */
bool vm_runs(const struct vm_dir *vm);
#define VM_RELEASE_MS 5000
/* The status record, as status_read() has it; zeroes where the monitor has not written. */
int vm_status(const struct vm_dir *vm, struct lv_status *status);
/* Its last output, and its crash; zeroes before its end. */
int vm_report(const struct vm_dir *vm, struct lv_report *report);
/* Calls each(context, id) for every VM; hidden leftovers of killed commands are removed on the way. */
int state_each(const struct state *state, int (*each)(void *context, const char *id), void *context);

/* 1 to 63 letters, digits, ".", "-", "_", beginning with a letter or digit. */
bool vm_name_valid(const char *name);

#endif
