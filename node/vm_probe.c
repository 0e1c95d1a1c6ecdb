/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_probe.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "node/launch.h"
#include "node/machine_limits.h"
#include "node/vm_end.h"
#include "node/vm_stats.h"

#define PROBES 8
#define IDLE_PRIVATE (360u << 10) /* of an idle VM's memory what its monitor's process has; the rest is the kernel's */
#define LOOK_MS 50      /* between two looks at a program that starts */
#define QUIET_MS 200    /* without an exit that is no wait: it has started */
#define PATIENCE_MS 500 /* for one monitor's answer */

static uint64_t with_kernel(uint64_t private)
{
	return private + LIMIT_IDLE_MEMORY - IDLE_PRIVATE;
}

/* ---- those that run ---- */

struct search {
	const struct state *state;
	const char *image;
	uint64_t sum;
	unsigned count;
	bool refused;
};

static int look(void *context, const char *id)
{
	struct search *search = context;
	struct vm_info info;
	struct vm_stats stats;
	if (!vm_info_open(search->state, id, &info) && info.alive && !strcmp(config_string(info.config, "image"), search->image) &&
	    !vm_stats_read(&info, PATIENCE_MS, &stats, NULL)) {
		search->refused |= stats.memory_private == VM_STATS_UNKNOWN;
		search->sum += search->refused ? 0 : with_kernel(stats.memory_private);
		search->count++;
	}
	vm_info_close(&info);
	return 0;
}

int vm_probe_running(const struct state *state, const char *image, uint64_t *memory, unsigned *count, struct error *error)
{
	struct search search = { .state = state, .image = image };
	int err = state_each(state, look, &search);
	if (err)
		return error_set(error, err, "%s: %s", state->path, strerror(-err));
	if (!search.count)
		return -ENOENT;
	if (search.refused)
		return error_set(error, -EACCES, "the memory of VMs that run: the kernel tells it to root only");
	*memory = search.sum / search.count;
	*count = search.count;
	return 0;
}

/* ---- those that are started for it ---- */

static int start_one(const struct state *state, struct vm_config *config, struct vm_dir *vm, struct error *error)
{
	struct launch launch;
	int err = vm_new_id(config->id, error);
	if (!err)
		err = launch_create(state, config, vm, error);
	if (err)
		return err;
	err = launch_start(&launch, config, vm, clock_now(), error);
	if (!err)
		err = launch_settle(&launch, error);
	launch_end(&launch);
	return err;
}

/* Until its program waits and does nothing else, or its time is over. -ESRCH: it has ended. */
static int await_quiet(const struct state *state, const char *id, uint64_t end, uint64_t *private, struct error *error)
{
	uint64_t before = 0, quiet_since = 0;
	for (;;) {
		struct vm_info info;
		struct vm_stats stats;
		int err = vm_info_open(state, id, &info);
		if (!err)
			err = vm_stats_read(&info, PATIENCE_MS, &stats, NULL);
		vm_info_close(&info);
		if (err)
			return error_set(error, -ESRCH, "the program ended before it could be measured; give what a VM takes with --each");
		uint64_t busy = stats.exits - stats.waits, now = clock_now();
		quiet_since = busy == before && quiet_since ? quiet_since : now;
		before = busy;
		*private = stats.memory_private;
		if (!deadline_left(end) || (stats.waits && now - quiet_since >= QUIET_MS * NS_PER_MS))
			return *private == VM_STATS_UNKNOWN ? error_set(error, -EACCES, "the kernel tells root only what a VM takes; give it with --each") : 0;
		poll(NULL, 0, LOOK_MS);
	}
}

static void remove_one(const struct state *state, const char *id)
{
	struct vm_info info;
	if (!vm_info_open(state, id, &info) && !vm_end(&info, 0, NULL))
		vm_info_remove(state, &info, NULL);
	vm_info_close(&info);
}

int vm_probe_start(const struct state *state, struct vm_config *config, unsigned count, int patience_ms, uint64_t *memory, struct error *error)
{
	char id[PROBES][STATE_ID + 1];
	unsigned started = 0;
	int err = 0;
	free(config->name);
	config->name = NULL;
	config->net.ports = 0;
	config->detached = true;
	for (; started < count && started < PROBES && !err; started++) {
		struct vm_dir vm = VM_DIR_NONE;
		err = start_one(state, config, &vm, error);
		strcpy(id[started], config->id);
		vm_close(&vm);
	}
	uint64_t end = deadline_in(patience_ms), sum = 0, private = 0;
	for (unsigned i = 0; i < started && !err; i++, sum += with_kernel(private))
		err = await_quiet(state, id[i], end, &private, error);
	for (unsigned i = 0; i < started; i++)
		remove_one(state, id[i]);
	if (!err)
		*memory = sum / started;
	return err;
}
