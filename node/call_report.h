/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of a library-OS VM, and those that trapped: how many, which ones, where. */
#ifndef LV_NODE_CALL_REPORT_H
#define LV_NODE_CALL_REPORT_H

#include <jansson.h>

#include "node/symbols.h"

/* "made", "trapped", "most_in_a_second" and "sites", those that trap most first. calls is hostile; image: as of symbols_open. A new reference. */
json_t *call_report_json(const struct lv_status *status, const struct lv_calls_report *calls, const char *image);
/* The same as lines of a report, if any site traps often enough to matter; as the guest has it: for a terminal through text_shown. */
void call_report_put(const struct lv_calls_report *calls, const struct symbols *symbols, struct text *out);
/*
 * One line, fit for a terminal, if the program paid for it: more than CALLS_DEAR trapped within a second on a KVM on which that
 * is dear. Otherwise out stays as it is.
 */
#define CALLS_DEAR 1000
void call_report_warn(const struct lv_status *status, const struct lv_calls_report *calls, const char *image, struct text *out);

#endif
