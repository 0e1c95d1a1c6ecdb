/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's own messages: one line each on standard error, without stdio (its buffers would be private memory of every VM). */
#ifndef LV_VMM_LOG_H
#define LV_VMM_LOG_H

/* "lightvm-vmm: text\n". Returns -1, so that a caller can report and fail in one line. */
int log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a call that failed: "lightvm-vmm: what: the error's text". Returns -errno. */
int log_errno(const char *what);

#endif
