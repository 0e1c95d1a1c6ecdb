/* SPDX-License-Identifier: Apache-2.0 */
/* The status record of a VM, of this version and of those before it (abi/control.h). What is read is bounded: texts end, counts fit. */
#ifndef LV_NODE_STATUS_FILE_H
#define LV_NODE_STATUS_FILE_H

#include "abi/control_v1.h"
#include "abi/control_v2.h"

/*
 * 0; all zero if nothing was written yet. -EPROTONOSUPPORT: the record is of a newer version: state, pid, wait status and crashed are
 * right, the error says it, the rest is zero. -EIO: it is no record; all zero.
 */
int status_read(int fd, struct lv_status *status);

/* What lies in the file of a VM that has ended; all zero if there is nothing. 0 or -EIO. */
int report_read(int fd, struct lv_report *report);

/* from: of size bytes, which end behind a device. */
void status_from_v2(const struct lv_status_v2 *from, size_t size, struct lv_status *to);
void status_from_v1(const struct lv_status_v1 *from, struct lv_status *to);
void report_from_v1(const struct lv_status_v1 *from, struct lv_report *to);

/* Bounds what came from a monitor. */
void status_tidy(struct lv_status *status);

#endif
