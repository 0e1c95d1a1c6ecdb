/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a guest that died of a fault: what, where, stack, registers, last output. */
#ifndef LV_NODE_CRASH_REPORT_H
#define LV_NODE_CRASH_REPORT_H

#include "abi/control.h"
#include "base/text.h"

/*
 * status->crashed is set; both records are hostile. image: path of the image, for symbols; NULL or unreadable: addresses only. The
 * library OS' own addresses get names if the one that is installed now is the build that ran.
 */
void crash_report(const struct lv_status *status, const struct lv_report *report, const char *image, struct text *out);

#endif
