/* SPDX-License-Identifier: Apache-2.0 */
/* What lightvmd counts, and the text format of Prometheus in which GET /v1/metrics has it (docs/daemon.md lists all names). Loop thread. */
#ifndef LV_DAEMON_METRICS_H
#define LV_DAEMON_METRICS_H

#include "abi/control.h"
#include "base/text.h"
#include "daemon/lightvmd.h"

#define METRICS_REQUESTS 512 /* pairs of operation and status; what is more is counted as operation "other" */

extern const struct daemon_part metrics_part;

/* A request was answered. operation: static; NULL: none was found. */
void metrics_request(struct daemon *daemon, const char *operation, unsigned status);
/* A VM was seen to start, how it came by its monitor; and how long it took, if that is known. */
void metrics_started(struct daemon *daemon, const struct lv_status *status);
void metrics_latency(struct daemon *daemon, const struct lv_status *status, uint64_t ns);
/* All of these, as they are in this process. */
void metrics_put_counts(struct daemon *daemon, struct text *out);

/* What came of a claim (enum lv_claim) as the value of a label: none, hit, empty, ... */
const char *metrics_claim(uint32_t claim);

/* ---- the text; a family's lines follow its head ---- */

/* type: "counter" (the name ends in _total), "gauge", "histogram" */
void metric_head(struct text *out, const char *name, const char *type, const char *help);
/* labels: pairs of key and value, ended by NULL; a value may have any bytes in it. */
void metric_line(struct text *out, const char *name, const char *const *labels, uint64_t value);
void metric_line_seconds(struct text *out, const char *name, const char *const *labels, uint64_t ns);
/* Head and line of a figure without labels. */
void metric_one(struct text *out, const char *name, const char *type, const char *help, uint64_t value);

#endif
