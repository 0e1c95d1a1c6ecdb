/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/shown.h"
#include "node/record.h"

#define US 1000ull

static const uint64_t bounds[] = { 250 * US, 500 * US, 1000 * US, 1500 * US, 2000 * US, 3000 * US, 5000 * US, 10000 * US, 20000 * US, 50000 * US, 100000 * US,
	200000 * US, 500000 * US, 1000000 * US, 2000000 * US, 5000000 * US, 10000000 * US };
#define BOUNDS (sizeof(bounds) / sizeof(*bounds))

struct histogram {
	uint64_t bucket[BOUNDS], count, sum_ns; /* bucket: those up to its bound that were above the one before */
};

struct metrics {
	struct { const char *operation; unsigned status; uint64_t count; } request[METRICS_REQUESTS];
	size_t requests;
	uint64_t other_requests;
	uint64_t claims[LV_CLAIMS];
	struct histogram start[2][2]; /* kernel: Linux; shell: claimed */
};

static struct metrics *metrics_of(struct daemon *daemon)
{
	return daemon_part_find(daemon, metrics_part.name);
}

void metrics_request(struct daemon *daemon, const char *operation, unsigned status)
{
	struct metrics *metrics = metrics_of(daemon);
	size_t i = 0;
	if (!metrics)
		return;
	operation = operation ? operation : "none";
	while (i < metrics->requests && (metrics->request[i].status != status || strcmp(metrics->request[i].operation, operation)))
		i++;
	if (i == METRICS_REQUESTS) {
		metrics->other_requests++;
		return;
	}
	metrics->request[i].operation = operation;
	metrics->request[i].status = status;
	metrics->request[i].count++;
	if (i == metrics->requests)
		metrics->requests++;
}

void metrics_started(struct daemon *daemon, const struct lv_status *status)
{
	struct metrics *metrics = metrics_of(daemon);
	if (metrics && status->claim < LV_CLAIMS)
		metrics->claims[status->claim]++;
}

void metrics_latency(struct daemon *daemon, const struct lv_status *status, uint64_t ns)
{
	struct metrics *metrics = metrics_of(daemon);
	if (!metrics)
		return;
	struct histogram *histogram = &metrics->start[status->guest == LV_GUEST_LINUX][status->claim == LV_CLAIM_HIT];
	histogram->count++;
	histogram->sum_ns += ns;
	for (size_t i = 0; i < BOUNDS; i++)
		if (ns <= bounds[i]) {
			histogram->bucket[i]++;
			return;
		}
}

/* ---- the text ---- */

void metric_head(struct text *out, const char *name, const char *type, const char *help)
{
	text_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Quotes and backslashes are escaped; line ends, other controls and what is no UTF-8 become question marks, as on a terminal. */
static void put_value(struct text *out, const char *value)
{
	size_t n = strlen(value);
	char *copy = alloc_copy(value);
	n = copy ? text_shown(copy, value, n, 0, NULL) : 0;
	for (size_t i = 0; i < n; i++) {
		if (copy[i] == '"' || copy[i] == '\\')
			text_put(out, "\\");
		text_add(out, &copy[i], 1);
	}
	free(copy);
}

static void put_labels(struct text *out, const char *name, const char *const *labels)
{
	text_put(out, name);
	for (size_t i = 0; labels && labels[i]; i += 2) {
		text_format(out, "%s%s=\"", i ? "," : "{", labels[i]);
		put_value(out, labels[i + 1]);
		text_put(out, "\"");
	}
	text_put(out, labels && labels[0] ? "} " : " ");
}

void metric_line(struct text *out, const char *name, const char *const *labels, uint64_t value)
{
	put_labels(out, name, labels);
	text_format(out, "%llu\n", (unsigned long long)value);
}

static void put_seconds(struct text *out, uint64_t ns)
{
	text_format(out, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S), (unsigned long long)(ns % NS_PER_S));
}

void metric_line_seconds(struct text *out, const char *name, const char *const *labels, uint64_t ns)
{
	put_labels(out, name, labels);
	put_seconds(out, ns);
	text_put(out, "\n");
}

void metric_one(struct text *out, const char *name, const char *type, const char *help, uint64_t value)
{
	metric_head(out, name, type, help);
	metric_line(out, name, NULL, value);
}

/* ---- ours ---- */

static void put_requests(const struct metrics *metrics, struct text *out)
{
	static const char *const name = "lightvm_daemon_requests_total";
	char status[12];
	metric_head(out, name, "counter", "Answered requests of the API, by operation (docs/openapi.json) and HTTP status.");
	for (size_t i = 0; i < metrics->requests; i++) {
		snprintf(status, sizeof(status), "%u", metrics->request[i].status);
		metric_line(out, name, (const char *const[]){ "operation", metrics->request[i].operation, "status", status, NULL }, metrics->request[i].count);
	}
	if (metrics->other_requests)
		metric_line(out, name, (const char *const[]){ "operation", "other", "status", "other", NULL }, metrics->other_requests);
}

const char *metrics_claim(uint32_t claim)
{
	const char *word = claim_word(claim), *reason = strrchr(word, ' '); /* of "miss: empty" */
	return reason ? reason + 1 : word[0] ? word : "none";
}

static void put_claims(const struct metrics *metrics, struct text *out)
{
	static const char *const name = "lightvm_vm_claims_total";
	metric_head(out, name, "counter", "Starts of VMs: hit, a shell was ready; otherwise why not; none: nobody was asked.");
	for (uint32_t claim = 0; claim < LV_CLAIMS; claim++)
		metric_line(out, name, (const char *const[]){ "result", metrics_claim(claim), NULL }, metrics->claims[claim]);
}

static void put_histogram(const struct histogram *histogram, const char *kernel, const char *shell, struct text *out)
{
	static const char *const name = "lightvm_vm_start_seconds";
	const char *const labels[] = { "kernel", kernel, "shell", shell, NULL };
	char part[64], bound[16];
	uint64_t up_to = 0;
	snprintf(part, sizeof(part), "%s_bucket", name);
	for (size_t i = 0; i < BOUNDS; i++) {
		up_to += histogram->bucket[i];
		snprintf(bound, sizeof(bound), "%g", (double)bounds[i] / NS_PER_S);
		metric_line(out, part, (const char *const[]){ "kernel", kernel, "shell", shell, "le", bound, NULL }, up_to);
	}
	metric_line(out, part, (const char *const[]){ "kernel", kernel, "shell", shell, "le", "+Inf", NULL }, histogram->count);
	snprintf(part, sizeof(part), "%s_sum", name);
	metric_line_seconds(out, part, labels, histogram->sum_ns);
	snprintf(part, sizeof(part), "%s_count", name);
	metric_line(out, part, labels, histogram->count);
}

void metrics_put_counts(struct daemon *daemon, struct text *out)
{
	const struct metrics *metrics = metrics_of(daemon);
	if (!metrics)
		return;
	put_requests(metrics, out);
	put_claims(metrics, out);
	metric_head(out, "lightvm_vm_start_seconds", "histogram",
		    "From the command to the program's first instruction, of starts that were seen; shell: ready, or none.");
	for (int linux_guest = 0; linux_guest < 2; linux_guest++)
		for (int hit = 0; hit < 2; hit++)
			put_histogram(&metrics->start[linux_guest][hit], linux_guest ? "linux" : "libos", hit ? "ready" : "none", out);
}

/* ---- the part ---- */

static int start(struct daemon *daemon, void **part, struct error *error)
{
	*part = alloc_zero(sizeof(struct metrics));
	return *part ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static void stop(struct daemon *daemon, void *part)
{
	free(part);
}

const struct daemon_part metrics_part = { .name = "metrics", .start = start, .stop = stop };
