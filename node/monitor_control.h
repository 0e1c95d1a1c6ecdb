/* SPDX-License-Identifier: Apache-2.0 */
/* The client of a monitor's control socket (abi/control.h). */
#ifndef LV_NODE_MONITOR_CONTROL_H
#define LV_NODE_MONITOR_CONTROL_H

#include "abi/control.h"
#include "base/deadline.h"
#include "base/error.h"

/* A listening socket named "control" in the VM's directory; a negative errno on failure. */
int control_listen(int vm_dir);
#define CONTROL_PATIENCE_MS 5000
/* A connection to it, on which a call waits at most so long. -ECONNREFUSED, -ENOENT: nobody is there. */
int control_connect(int vm_dir, int patience_ms);

struct control_answer {
	unsigned version;        /* LV_CONTROL_VERSION of the monitor */
	struct lv_status status; /* of STATUS and BALLOON */
	struct lv_report report; /* of CRASH, TAIL and CALLS: each fills its part */
	struct lv_threads threads; /* of THREADS */
	char why[256];             /* with a result that is not 0, of some requests; empty otherwise, if it was before */
};
/*
 * One request and its reply; fds (count of them) are passed along. answer may be NULL. The result, or a negative errno;
 * -EPROTONOSUPPORT, -EOPNOTSUPP: a monitor of another version does not know the request.
 */
int control_call(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count, struct control_answer *answer);
/*
 * The same in two halves, for who may not wait: a connection on which the request is under way, which can be polled for reading; -EAGAIN: the monitor has
 * more connections waiting than it takes. Then its reply; -ETIMEDOUT: not there yet. The caller closes.
 */
int control_begin(int vm_dir, enum lv_control_op op, int64_t arg);
int control_send(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count); /* of a connection that is there */
int control_finish(int fd, enum lv_control_op op, struct control_answer *answer);
/* Connects, asks once, closes, all before the deadline (base/deadline.h). */
int control_ask(int vm_dir, enum lv_control_op op, int64_t arg, struct control_answer *answer, uint64_t deadline);
/* What the monitor knows now, which is more than it has written to its file; *status is unchanged if it does not answer. */
int control_status(int vm_dir, int patience_ms, struct lv_status *status);
/* The same of its report. */
int control_report(int vm_dir, int patience_ms, struct lv_report *report);

#endif
