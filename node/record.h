/* SPDX-License-Identifier: Apache-2.0 */
/* The status record in words: boot ledger, missing system calls, devices. */
#ifndef LV_NODE_RECORD_H
#define LV_NODE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/control.h"

/* One step of the boot ledger as it is shown. */
struct ledger_line {
	const char *step, *text;
	uint64_t ns;    /* since the command started */
	uint64_t delta; /* since the step before it that was reached */
	uint64_t exits;
};

/*
 * The steps that were reached, in the order of the record. A mark that lies before its predecessor (the guest writes some
 * of them) is left out; *unaccounted is the time of the whole that no step explains. Returns their number.
 */
int ledger_lines(const struct lv_status *status, struct ledger_line lines[LV_STEPS], uint64_t *unaccounted);
/* Nanoseconds from when the guest was let run to its end; 0: it has not ended, or nobody knows. What a shell did before it was asked for is none of it. */
uint64_t ledger_ran(const struct lv_status *status);
/* "getpid", or "#334". buffer: at least 16 bytes. */
const char *syscall_name(uint32_t number, char *buffer, size_t room);
/* A text field of a record: at most room bytes, up to a zero byte; made readable if it is not UTF-8. */
json_t *json_field(const char *field, size_t room);
const char *device_name(uint32_t type); /* enum lv_device_type in a word */
/* "full", "basic", "off"; "": not known. jail: enum lv_jail. */
const char *jail_word(uint32_t jail);
const char *claim_word(uint32_t claim); /* enum lv_claim; "": nobody was asked */
json_t *record_json(const struct lv_status *status, const struct lv_crash_report *report);

/* The balloon of a Linux guest: target, actual and reported (bytes), and what the guest told last. */
json_t *balloon_json(const struct lv_balloon *balloon);
/* Of the names in there: is it a count, not bytes? */
bool balloon_is_count(const char *name);

#endif
