/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/vms/{id}/stats: what a VM uses, once or as a server-sent stream of readings. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/file.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/vm_end.h"
#include "node/vm_stats.h"

#define INTERVAL_MS 1000

static int once(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct vm_stats stats;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = vm_stats_read(&vm.info, VM_PATIENCE_MS, &stats, error);
	if (!err)
		err = api_say_json(reply, vm_stats_json(NULL, &stats, &vm.info), error);
	api_vm_close(&vm);
	return err;
}

static int put_event(int out, json_t *json)
{
	char *line = json ? json_dumps(json, JSON_COMPACT) : NULL, *event = line ? alloc_format("data: %s\n\n", line) : NULL;
	int err = event ? fd_write(out, event, strlen(event)) : -ENOMEM;
	free(event);
	free(line);
	json_decref(json);
	return err;
}

/* Until the next reading is due. False: the monitor has ended, or nobody reads any more, whose end of out the loop has closed. */
static bool await_next(int monitor, int out)
{
	struct pollfd fds[] = { { .fd = monitor, .events = POLLIN }, { .fd = out } };
	uint64_t due = deadline_in(INTERVAL_MS);
	int n;
	while ((n = poll(fds, 2, deadline_left(due))) < 0 && errno == EINTR)
		;
	return !n;
}

/* One reading that the monitor does not answer in time is left out. */
static int read_on(struct vm_info *info, int monitor, int out)
{
	struct vm_stats now, before;
	struct error error;
	bool is_first = true;
	int err = 0;
	do {
		err = vm_stats_read(info, VM_PATIENCE_MS, &now, &error);
		if (err == -ESRCH)
			return 0;
		if (err)
			continue;
		err = put_event(out, vm_stats_json(is_first ? NULL : &before, &now, info));
		if (err)
			return err;
		before = now;
		is_first = false;
	} while (await_next(monitor, out));
	return 0;
}

static int stream(struct api_request *request, int out, struct error *error)
{
	struct api_vm vm;
	int monitor = -1, err = api_vm_open(request, &vm, error);
	if (!err && (monitor = vm_monitor_open(&vm.info)) < 0)
		err = error_set(error, -ESRCH, "VM %s does not run", vm.info.dir.id);
	if (!err)
		err = api_begin(request, out, "text/event-stream");
	if (!err)
		err = read_on(&vm.info, monitor, out);
	if (monitor >= 0)
		close(monitor);
	api_vm_close(&vm);
	return err;
}

static const char *const query[] = { "stream", NULL };
const struct route routes_stats[] = {
	{ .method = "GET", .path = "/v1/vms/{id}/stats", .operation = "getVmStats", .query = query, .task = once, .stream = stream, .streams = "stream" },
	{ 0 },
};
