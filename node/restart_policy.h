/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when a VM ends: the policy as it is asked for, and what it decides. Touches nothing; lightvmd acts on it. */
#ifndef LV_NODE_RESTART_POLICY_H
#define LV_NODE_RESTART_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_UNLESS_STOPPED };
extern const char *const restart_words[]; /* by policy, ended by NULL */

struct config_restart {
	enum restart_policy policy;
	uint32_t most; /* on-failure: restarts at most; 0: any number */
};

#define RESTART_FIRST_MS 100  /* between an end and the start after it; doubles */
#define RESTART_LAST_MS 60000 /* and goes no further */
#define RESTART_SOUND_MS 10000 /* a VM that has run for so long begins anew at the first */
#define RESTART_MOST 1000000

struct restart_record { /* what has come of it so far */
	uint32_t restarts; /* since a user started it */
	uint32_t delay_ms; /* that went before the last one; 0: none yet */
	uint64_t next_ns;  /* CLOCK_REALTIME of the next try; 0: none is due */
	char *error;       /* of the last try, owned; NULL: it went well */
};

/* "no", "on-failure", "on-failure:3", "always", "unless-stopped". -EINVAL, -ERANGE with a message. */
int restart_parse(const char *word, struct config_restart *restart, struct error *error);
/* The same as a word; buffer of at least 24 bytes. Returns buffer. */
char *restart_print(const struct config_restart *restart, char *buffer, size_t room);
/*
 * A VM has ended that nobody stopped, after lasted_ms; failed: with another status than 0, or not by itself. True: it is to be started again,
 * record->delay_ms from now. Starting it in vain is a failed end after 0 ms.
 */
bool restart_due(const struct config_restart *restart, struct restart_record *record, bool failed, uint64_t lasted_ms);
/* Who minds it comes to life, and it does not run. ended: an end has been recorded; otherwise the machine went down with it, or it never ran. */
bool restart_at_start(const struct config_restart *restart, bool stopped, bool ended, bool failed);

#endif
