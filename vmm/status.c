/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#include "abi/libos.h"

void status_init(struct status *status, int fd)
{
	memset(status, 0, sizeof(*status));
	status->fd = fd;
	status->record.magic = LV_STATUS_MAGIC;
	status->record.version = LV_ABI_VERSION;
	status->record.size = sizeof(status->record);
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

static uint64_t tsc_to_ns(const struct status_clock *clock, uint64_t tsc)
{
	return clock->base_ns + (uint64_t)((unsigned __int128)(tsc - clock->tsc_base) * clock->tsc_mult >> 32);
}

/* The guest's marks are claims: shown, never relied upon. */
static void collect_ledger(const struct status *status, struct lv_status *out)
{
	static const enum lv_step step[] = {
		[LV_LEDGER_LIBOS] = LV_STEP_LIBOS, [LV_LEDGER_READY] = LV_STEP_READY,
		[LV_LEDGER_PROGRAM] = LV_STEP_PROGRAM, [LV_LEDGER_LISTEN] = LV_STEP_LISTEN,
	};

	for (unsigned i = 0; i < sizeof(step) / sizeof(*step); i++) {
		uint64_t tsc = status->shared->ledger[i].tsc;

		if (tsc)
			out->ledger[step[i]] = (struct lv_step_mark){ tsc_to_ns(&status->clock, tsc),
								      status->shared->ledger[i].exits };
	}
}

static void collect_shared(const struct status *status, struct lv_status *out)
{
	const volatile struct lv_shared *shared = status->shared;

	collect_ledger(status, out);
	out->memory_used = shared->memory_used;
	memcpy(out->missing, (const void *)shared->missing, sizeof(out->missing));
	if (!out->crashed)
		return;
	memcpy(&out->crash, (const void *)&shared->crash, sizeof(out->crash));
	/* Text and counts come from the guest: readers may rely on their bounds. */
	out->crash.message[sizeof(out->crash.message) - 1] = 0;
	if (out->crash.frames > sizeof(out->crash.stack) / sizeof(*out->crash.stack))
		out->crash.frames = 0;
	if (out->crash.maps > sizeof(out->crash.map) / sizeof(*out->crash.map))
		out->crash.maps = 0;
	for (unsigned i = 0; i < out->crash.maps; i++)
		out->crash.map[i].path[sizeof(out->crash.map[i].path) - 1] = 0;
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
	const struct device *console, *balloon;

	*out = status->record;
	collect_counts(status, out);
	if (status->shared)
		collect_shared(status, out);
	if (!status->devices)
		return;
	out->device_count = devices_stats(status->devices, out->device);
	console = devices_find(status->devices, LV_DEV_CONSOLE);
	if (console)
		out->tail_size = console_tail(console, out->tail, sizeof(out->tail));
	balloon = devices_find(status->devices, LV_DEV_BALLOON);
	if (balloon)
		balloon_state(balloon, &out->balloon);
}

int status_write(struct status *status, enum lv_state state)
{
	struct lv_status record;
	ssize_t n;

	status->record.state = state;
	if (status->fd < 0)
		return 0;
	status_collect(status, &record);
	n = pwrite(status->fd, &record, sizeof(record), 0);
	if (n < 0)
		return -errno;
	return n == sizeof(record) ? 0 : -EIO;
}
