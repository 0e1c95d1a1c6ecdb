/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/dev/balloon.h"
#include "vmm/dev/console.h"


void status_init(struct status *status, int fd)
{
	memset(status, 0, sizeof(*status));
	status->fd = fd;
	status->record.magic = LV_STATUS_MAGIC;
	status->record.version = LV_STATUS_VERSION;
	status->record.control_version = LV_CONTROL_VERSION;
	status->record.size = LV_STATUS_SIZE(0);
	status->record.pid = getpid();
}

void status_mark(struct status *status, enum lv_step step)
{
	struct lv_step_mark *mark = &status->record.ledger[step];

	if (mark->ns)
		return;
	mark->exits = atomic_load_explicit(&status->counts.exits, memory_order_relaxed);
	mark->ns = clock_now();
}

/* libos has booted before the clock's base is taken: that mark lies before it. */
static uint64_t tsc_to_ns(const struct status_clock *clock, uint64_t tsc)
{
	bool before = tsc < clock->tsc_base;
	uint64_t distance = before ? clock->tsc_base - tsc : tsc - clock->tsc_base;
	uint64_t ns = (uint64_t)((unsigned __int128)distance * clock->tsc_mult >> 32);
	return before ? clock->base_ns - ns : clock->base_ns + ns;
}

/* The guest's marks are claims: shown, never relied upon. */
static void collect_ledger(const struct status *status, struct lv_status *out)
{
	static const struct { enum lv_ledger_slot slot; enum lv_step step; } marks[] = {
		{ LV_LEDGER_LIBOS, LV_STEP_LIBOS }, { LV_LEDGER_BOOTED, LV_STEP_BOOTED }, { LV_LEDGER_READY, LV_STEP_READY },
		{ LV_LEDGER_PROGRAM, LV_STEP_PROGRAM }, { LV_LEDGER_LISTEN, LV_STEP_LISTEN },
	};

	for (unsigned i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		const volatile struct lv_ledger_mark *mark = &status->shared->ledger[marks[i].slot];
		uint64_t tsc = mark->tsc;

		if (tsc)
			out->ledger[marks[i].step] = (struct lv_step_mark){ tsc_to_ns(&status->clock, tsc), mark->exits };
	}
}

static void collect_shared(const struct status *status, struct lv_status *out)
{
	const volatile struct lv_shared *shared = status->shared;

	collect_ledger(status, out);
	out->memory_used = shared->memory_used;
	out->files_full = shared->files_full;
	out->crash_signal = out->crashed ? shared->crash.signal : 0;
}

void status_fail(struct status *status, const char *why)
{
	if (!status->record.error[0])
		strncpy(status->record.error, why, sizeof(status->record.error) - 1);
}

static void collect_counts(const struct status *status, struct lv_status *out)
{
	const struct status_counts *counts = &status->counts;

	out->exits = atomic_load_explicit(&counts->exits, memory_order_relaxed);
	out->exits_mmio = atomic_load_explicit(&counts->exits_mmio, memory_order_relaxed);
	out->exits_signal = atomic_load_explicit(&counts->exits_signal, memory_order_relaxed);
	out->waits = atomic_load_explicit(&counts->waits, memory_order_relaxed);
}

void status_collect(const struct status *status, struct lv_status *out)
{
	const struct device *balloon;

	*out = status->record;
	collect_counts(status, out);
	if (status->shared)
		collect_shared(status, out);
	if (!status->devices)
		return;
	out->device_count = devices_stats(status->devices, out->device);
	out->size = LV_STATUS_SIZE(out->device_count);
	balloon = devices_find(status->devices, LV_DEV_BALLOON);
	if (balloon)
		balloon_state(balloon, &out->balloon);
}

/* Text and counts come from the guest: readers may rely on their bounds. */
static void bound_maps(struct lv_text_map map[8], uint32_t *maps)
{
	if (*maps > 8)
		*maps = 0;
	for (unsigned i = 0; i < *maps; i++)
		map[i].path[sizeof(map[i].path) - 1] = 0;
}

static void bound(struct lv_crash *crash)
{
	crash->message[sizeof(crash->message) - 1] = 0;
	if (crash->frames > sizeof(crash->stack) / sizeof(*crash->stack))
		crash->frames = 0;
	bound_maps(crash->map, &crash->maps);
}

void status_crash(const struct status *status, struct lv_crash_report *out)
{
	memset(out, 0, sizeof(*out));
	if (!status->shared)
		return;
	memcpy(out->missing, (const void *)status->shared->missing, sizeof(out->missing));
	if (!status->record.crashed)
		return;
	memcpy(&out->crash, (const void *)&status->shared->crash, sizeof(out->crash));
	bound(&out->crash);
}

void status_calls(const struct status *status, struct lv_calls_report *out)
{
	memset(out, 0, sizeof(*out));
	if (!status->shared)
		return;
	memcpy(&out->calls, (const void *)&status->shared->calls, sizeof(out->calls));
	memcpy(out->map, (const void *)status->shared->crash.map, sizeof(out->map));
	out->maps = status->shared->crash.maps;
	out->frames_copied = status->shared->frames_copied;
	bound_maps(out->map, &out->maps);
}

unsigned status_tail(const struct status *status, char *tail)
{
	const struct device *console = status->devices ? devices_find(status->devices, LV_DEV_CONSOLE) : NULL;

	return console ? console_tail(console, tail, LV_TAIL_MAX) : 0;
}

void status_memory(struct status *status)
{
	uint64_t used = status->shared ? status->shared->memory_used : 0, told = status->memory_told;

	if (status->fd < 0 || (used > told ? used - told : told - used) < STATUS_MEMORY_STEP)
		return;
	status->memory_told = used;
	/* A figure that is not there is an old one, and no reason to stop. */
	(void)!pwrite(status->fd, &used, sizeof(used), offsetof(struct lv_status, memory_used));
}

static int write_bytes(int fd, const void *bytes, size_t size)
{
	ssize_t n = pwrite(fd, bytes, size, 0);

	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EIO;
}

/* The last record: with the report, in one write, so that who sees the end finds both. */
static __attribute__((noinline)) int write_last(const struct status *status)
{
	struct {
		struct lv_status record;
		uint8_t gap[LV_REPORT_OFFSET - sizeof(struct lv_status)];
		struct lv_report report;
	} file; /* on the stack, at the end only: static, it would have what is used all the time lie on one page more */
	static_assert(offsetof(typeof(file), report) == LV_REPORT_OFFSET, "where the report lies in the file");

	memset(&file, 0, sizeof(file));
	status_collect(status, &file.record);
	status_crash(status, &file.report.what);
	status_calls(status, &file.report.calls);
	file.report.tail_size = status_tail(status, file.report.tail);
	return write_bytes(status->fd, &file, sizeof(file));
}

int status_write(struct status *status, enum lv_state state)
{
	struct lv_status record;

	status->record.state = state;
	if (status->fd < 0)
		return 0;
	if (state == LV_STATE_EXITED)
		return write_last(status);
	status_collect(status, &record);
	status->memory_told = record.memory_used;
	return write_bytes(status->fd, &record, record.size);
}
