/* SPDX-License-Identifier: Apache-2.0 */
#include "node/status_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIXED offsetof(struct lv_status, own_error) /* what is the same in every version */

void status_tidy(struct lv_status *status)
{
	status->error[sizeof(status->error) - 1] = 0;
	if (status->device_count > LV_MAX_DEVICES)
		status->device_count = LV_MAX_DEVICES;
}

static void report_tidy(struct lv_report *report)
{
	if (report->tail_size > sizeof(report->tail))
		report->tail_size = sizeof(report->tail);
	if (report->calls.maps > sizeof(report->calls.map) / sizeof(*report->calls.map))
		report->calls.maps = 0;
}

void status_from_v1(const struct lv_status_v1 *from, struct lv_status *to)
{
	*to = (struct lv_status){ .magic = from->magic, .version = from->version, .size = from->size, .state = from->state, .pid = from->pid,
		.wait_status = from->wait_status, .crashed = from->crashed, .own_error = from->own_error, .guest = from->guest,
		.crash_signal = from->crash.signal, .control_version = 1, .device_count = from->device_count,
		.start_realtime_ns = from->start_realtime_ns, .ram_size = from->ram_size, .ram_limit = from->ram_limit,
		.memory_used = from->memory_used, .exits = from->exits, .exits_mmio = from->exits_mmio, .exits_signal = from->exits_signal,
		.waits = from->waits, .balloon = from->balloon };
	memcpy(to->ledger, from->ledger, sizeof(from->ledger));
	memcpy(to->device, from->device, sizeof(to->device));
	memcpy(to->error, from->error, sizeof(to->error));
	status_tidy(to);
}

void status_from_v2(const struct lv_status_v2 *from, size_t size, struct lv_status *to)
{
	*to = (struct lv_status){ 0 };
	memcpy(to, from, offsetof(struct lv_status_v2, ledger));
	memcpy(to->ledger, from->ledger, sizeof(from->ledger));
	to->balloon = from->balloon;
	memcpy(to->libos_build, from->libos_build, sizeof(to->libos_build));
	to->files_full = from->files_full;
	memcpy(to->error, from->error, sizeof(to->error));
	memcpy(to->device, from->device, size - offsetof(struct lv_status_v2, device));
	status_tidy(to);
}

void report_from_v1(const struct lv_status_v1 *from, struct lv_report *to)
{
	*to = (struct lv_report){ .what.crash = from->crash, .tail_size = from->tail_size };
	memcpy(to->what.missing, from->missing, sizeof(to->what.missing));
	memcpy(to->tail, from->tail, sizeof(to->tail));
	report_tidy(to);
}

static int read_v1(int fd, struct lv_status_v1 *old)
{
	return pread(fd, old, sizeof(*old), 0) == sizeof(*old) && old->magic == LV_STATUS_MAGIC ? 0 : -EIO;
}

static int read_v2(int fd, struct lv_status *status)
{
	struct lv_status_v2 old = { 0 };
	ssize_t n = pread(fd, &old, sizeof(old), 0);
	if (n < 0 || old.version != 2 || old.size < offsetof(struct lv_status_v2, device) || old.size > (size_t)n)
		return -EIO;
	return status_from_v2(&old, old.size, status), 0;
}

static int read_newer(struct lv_status *status)
{
	memset((char *)status + FIXED, 0, sizeof(*status) - FIXED);
	snprintf(status->error, sizeof(status->error), "its record is of version %u; this lightvm knows versions up to %u", status->version,
		 (unsigned)LV_STATUS_VERSION);
	return -EPROTONOSUPPORT;
}

int status_read(int fd, struct lv_status *status)
{
	struct lv_status_v1 old;
	ssize_t n = pread(fd, status, sizeof(*status), 0);
	memset((char *)status + (n > 0 ? n : 0), 0, sizeof(*status) - (size_t)(n > 0 ? n : 0));
	if (n == 0)
		return 0;
	if (n >= (ssize_t)FIXED && status->magic == LV_STATUS_MAGIC) {
		if (status->version == 1 && !read_v1(fd, &old))
			return status_from_v1(&old, status), 0;
		if (status->version == 2 && !read_v2(fd, status))
			return 0;
		if (status->version > LV_STATUS_VERSION)
			return read_newer(status);
		if (status->version == LV_STATUS_VERSION && status->size >= LV_STATUS_SIZE(0) && status->size <= (size_t)n)
			return status_tidy(status), 0;
	}
	*status = (struct lv_status){ 0 };
	return -EIO;
}

int report_read(int fd, struct lv_report *report)
{
	struct lv_status_v1 old;
	*report = (struct lv_report){ 0 };
	if (!read_v1(fd, &old) && old.version == 1)
		return report_from_v1(&old, report), 0;
	ssize_t n = pread(fd, report, sizeof(*report), LV_REPORT_OFFSET);
	/* Shorter before monitors told of calls. */
	if (n != 0 && n != offsetof(struct lv_report, calls) && n != sizeof(*report))
		return *report = (struct lv_report){ 0 }, -EIO;
	return report_tidy(report), 0;
}
