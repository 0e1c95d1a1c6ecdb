/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restart policy of a VM on disk: what has come of it ("restart" in its directory, lightvmd's to write), and whether a user has stopped
 * it (a mark beside the copy of its configuration that outlives the machine's run). VMs without a policy cost nothing here.
 */
#ifndef LV_NODE_VM_POLICY_H
#define LV_NODE_VM_POLICY_H

#include "node/restart_policy.h"
#include "node/vm_info.h"

/* Of the parsed configuration. */
struct config_restart policy_of(const json_t *config);
/* What was written; zeroes, if nothing was. Free the error in it. */
void policy_load(int vm_dir, struct restart_record *record);
/* 0 or a negative errno. */
int policy_save(int vm_dir, const struct restart_record *record);
void policy_clear(struct restart_record *record);

/* A user ends it, or is about to: no policy starts it again, until policy_begin. A start that is due is off. 0, or a negative errno with a message. */
int policy_stop(const char *id, struct error *error);
/* A user starts it: what was counted is forgotten. */
void policy_begin(const struct vm_dir *vm);
bool policy_stopped(const char *id);

/* It has ended, and its policy is to start it again: what clears away VMs that have ended leaves it. */
bool policy_waits(const struct vm_info *info);

/* There is a lightvmd that minds this user's VMs; otherwise -EOPNOTSUPP with a message that says what to do. */
int policy_ready(const struct config_restart *restart, struct error *error);
/* Tells it of a VM with a policy that has been started. No error: without it, it finds the VM when it starts. False: nobody was told. */
bool policy_tell(const char *id);

/* For inspect: policy, restarts so far, the next try. null: it has none. A new reference. */
json_t *policy_json(const struct vm_info *info);

#endif
