/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/metrics. It asks each monitor that lives, so it runs in a process of its own, which is a copy of the daemon and has its counts; for at most
 * COLLECT_MS, and at most COLLECT_VMS VMs have lines of their own. Of the others it says how many they are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "daemon/api_events.h"
#include "daemon/http.h"
#include "daemon/metrics.h"
#include "daemon/routes.h"
#include "daemon/task.h"
#include "daemon/vm_watch.h"
#include "daemon/worker.h"
#include "node/vm_config.h"
#include "node/vm_row.h"
#include "node/vm_stats.h"

#define COLLECT_VMS 10000
#define COLLECT_MS 5000
#define PATIENCE_MS 100 /* for one monitor */
#define STATES (VM_SAVED + 1)

struct sample { /* of a VM that lives */
	char id[STATE_ID + 1], name[STATE_NAME + 1];
	bool on_linux;
	enum vm_state state;
	struct vm_stats stats;
};

struct collection {
	const struct state *state;
	uint64_t end; /* CLOCK_MONOTONIC */
	uint64_t in_state[STATES], left_out;
	struct sample *sample;
	size_t count, room;
};

/* ---- VMs ---- */

static struct sample *room_for_one(struct collection *all)
{
	if (all->count == all->room) {
		size_t room = all->room ? 2 * all->room : 64;
		struct sample *more = alloc_again(all->sample, room * sizeof(*more));
		if (!more)
			return NULL;
		all->sample = more;
		all->room = room;
	}
	return &all->sample[all->count];
}

static void read_sample(struct collection *all, struct vm_info *info, const char *name)
{
	struct error error;
	struct sample *sample = all->count < COLLECT_VMS && clock_now() < all->end ? room_for_one(all) : NULL;
	if (!sample || vm_stats_read(info, PATIENCE_MS, &sample->stats, &error)) {
		all->left_out++;
		return;
	}
	memcpy(sample->id, info->dir.id, sizeof(sample->id));
	sample->name[0] = 0;
	strncat(sample->name, name, STATE_NAME);
	sample->on_linux = info->status.guest == LV_GUEST_LINUX;
	sample->state = info->state;
	all->count++;
}

static int collect_one(void *context, const char *id)
{
	struct collection *all = context;
	struct vm_info info = { .dir = VM_DIR_NONE };
	struct vm_row row;
	struct error error;
	if (!vm_info_find_row(all->state, id, &info, &row, &error)) {
		all->in_state[info.state]++;
		if (info.alive)
			read_sample(all, &info, row.name);
	}
	vm_info_close(&info);
	return 0;
}

static void put_states(const struct collection *all, struct text *out)
{
	metric_head(out, "lightvm_vms", "gauge", "VMs of this user, by state.");
	for (int state = 0; state < STATES; state++) {
		/* Crashed ones are "exited" as a word. */
		const char *word = state == VM_CRASHED ? "crashed" : vm_state_word((enum vm_state)state);
		metric_line(out, "lightvm_vms", (const char *const[]){ "state", word, NULL }, all->in_state[state]);
	}
	metric_one(out, "lightvm_vms_left_out", "gauge", "Living VMs that have no lines of their own: too many, or their monitors did not answer in time.",
		   all->left_out);
}

static uint64_t exits_other(const struct vm_stats *stats)
{
	uint64_t known = stats->exits_mmio + stats->exits_signal;
	return stats->exits > known ? stats->exits - known : 0;
}

static uint64_t calls_patched(const struct vm_stats *stats)
{
	return stats->calls == VM_STATS_UNKNOWN ? stats->calls : stats->calls > stats->calls_trapped ? stats->calls - stats->calls_trapped : 0;
}

#define FIELD(name) .offset = offsetof(struct vm_stats, name)
static const struct family {
	const char *name, *type, *help, *key; /* key: of the label that tells the lines of a VM apart; NULL: there is one */
	bool ns;
	struct { const char *value; size_t offset; uint64_t (*get)(const struct vm_stats *stats); } line[5];
} families[] = {
	{ "lightvm_vm_exits_total", "counter", "VM exits to the monitor, by kind.", "kind", false,
	  { { "mmio", FIELD(exits_mmio) }, { "signal", FIELD(exits_signal) }, { "other", .get = exits_other } } },
	{ "lightvm_vm_waits_total", "counter", "Times that the guest had nothing to do and slept.", NULL, false, { { "", FIELD(waits) } } },
	{ "lightvm_vm_system_calls_total", "counter", "System calls of a program on the library OS, by the way they were made.", "way", false,
	  { { "call", .get = calls_patched }, { "trap", FIELD(calls_trapped) } } },
	{ "lightvm_vm_cpu_seconds_total", "counter", "Processor time of the monitor, the guest's included.", NULL, true, { { "", FIELD(cpu_ns) } } },
	{ "lightvm_vm_memory_bytes", "gauge", "Memory: used and limit by the guest's books, shared and private of the monitor's process.", "kind", false,
	  { { "used", FIELD(memory_used) }, { "limit", FIELD(memory_limit) }, { "shared", FIELD(memory_shared) }, { "private", FIELD(memory_private) } } },
	{ "lightvm_vm_network_bytes_total", "counter", "Bytes of the network, as the VM sees it.", "direction", false,
	  { { "receive", FIELD(net_received) }, { "transmit", FIELD(net_sent) } } },
	{ "lightvm_vm_block_bytes_total", "counter", "Bytes of disks, read and written.", NULL, false, { { "", FIELD(block_bytes) } } },
};

static void put_sample(const struct family *family, const struct sample *sample, struct text *out)
{
	for (size_t i = 0; family->line[i].value; i++) {
		const char *const labels[] = { "vm", sample->id, "name", sample->name, family->key, family->line[i].value, NULL };
		uint64_t value;
		if (family->line[i].get)
			value = family->line[i].get(&sample->stats);
		else
			memcpy(&value, (const char *)&sample->stats + family->line[i].offset, sizeof(value));
		if (value == VM_STATS_UNKNOWN)
			continue;
		(family->ns ? metric_line_seconds : metric_line)(out, family->name, labels, value);
	}
}

static void put_vms(const struct collection *all, struct text *out)
{
	put_states(all, out);
	if (!all->count)
		return;
	metric_head(out, "lightvm_vm_info", "gauge", "A living VM: its name, kernel and state.");
	for (size_t i = 0; i < all->count; i++) {
		const struct sample *one = &all->sample[i];
		metric_line(out, "lightvm_vm_info", (const char *const[]){ "vm", one->id, "name", one->name, "kernel", one->on_linux ? "linux" : "libos", "state",
									vm_state_word(one->state), NULL }, 1);
	}
	for (size_t k = 0; k < sizeof(families) / sizeof(*families); k++) {
		metric_head(out, families[k].name, families[k].type, families[k].help);
		for (size_t i = 0; i < all->count; i++)
			put_sample(&families[k], &all->sample[i], out);
	}
}

/* ---- the daemon ---- */

static uint64_t open_descriptors(pid_t pid)
{
	char path[32];
	uint64_t n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	for (struct dirent *entry; directory && (entry = readdir(directory));)
		n += entry->d_name[0] != '.';
	if (directory)
		closedir(directory);
	return n;
}

static uint64_t resident(pid_t pid)
{
	char path[32], *text;
	size_t size;
	unsigned long long pages = 0;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (file_read(AT_FDCWD, path, 256, &text, &size))
		return 0;
	if (sscanf(text, "%*u %llu", &pages) != 1)
		pages = 0;
	free(text);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec time = { 0 };
	if (!clock_getcpuclockid(pid, &clock))
		clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Of the process that we are a copy of. */
static void put_process(const struct daemon *daemon, struct text *out)
{
	pid_t pid = getppid();
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	metric_head(out, "lightvm_daemon_info", "gauge", "The daemon's version.");
	metric_line(out, "lightvm_daemon_info", (const char *const[]){ "version", LIGHTVM_VERSION, NULL }, 1);
	metric_head(out, "lightvm_daemon_start_time_seconds", "gauge", "When it started, since 1970.");
	metric_line_seconds(out, "lightvm_daemon_start_time_seconds", NULL, daemon->started_ns);
	metric_head(out, "lightvm_daemon_uptime_seconds", "gauge", "For how long it has been running.");
	metric_line_seconds(out, "lightvm_daemon_uptime_seconds", NULL, clock_wall() - daemon->started_ns);
	metric_head(out, "lightvm_daemon_cpu_seconds_total", "counter", "Its processor time, without its tasks.");
	metric_line_seconds(out, "lightvm_daemon_cpu_seconds_total", NULL, cpu_ns(pid));
	metric_one(out, "lightvm_daemon_memory_bytes", "gauge", "Its resident memory.", resident(pid));
	metric_one(out, "lightvm_daemon_descriptors", "gauge", "Its open descriptors.", open_descriptors(pid));
	metric_one(out, "lightvm_daemon_descriptors_limit", "gauge", "How many it may have.", files.rlim_max);
}

static void put_work(struct daemon *daemon, struct text *out)
{
	struct watch_counts watch;
	const struct events *events = events_of(daemon);
	watch_count(daemon, &watch);
	metric_head(out, "lightvm_daemon_connections", "gauge", "Connections, by socket.");
	metric_line(out, "lightvm_daemon_connections", (const char *const[]){ "socket", "api", NULL }, http_connections(daemon->http));
	metric_line(out, "lightvm_daemon_connections", (const char *const[]){ "socket", "local", NULL }, local_connections(daemon->local));
	metric_one(out, "lightvm_daemon_requests_under_way", "gauge", "Requests that have not been answered, without this one.", http_requests(daemon->http));
	metric_one(out, "lightvm_daemon_tasks", "gauge", "Processes that serve requests, and requests that wait for one; without this one.", tasks_count(daemon->tasks));
	metric_one(out, "lightvm_daemon_workers", "gauge", "Processes that serve other users.", workers_count(daemon->workers));
	metric_one(out, "lightvm_daemon_watched_vms", "gauge", "VMs that it looks after for events.", watch.vms);
	metric_one(out, "lightvm_daemon_watched_vms_late", "gauge", "Of these, VMs that are looked at once a second only, since fs.inotify.max_user_watches is reached.",
		   watch.blind);
	metric_head(out, "lightvm_daemon_events_total", "counter", "Events, by type.");
	for (int type = 0; events && type < EVENT_TYPES; type++)
		if (type != EVENT_LOST)
			metric_line(out, "lightvm_daemon_events_total", (const char *const[]){ "type", event_type_name((enum event_type)type), NULL },
				    events_count(events, (enum event_type)type));
	metric_one(out, "lightvm_daemon_event_readers", "gauge", "Who follows the events.", events ? events_readers(events) : 0);
	metric_one(out, "lightvm_daemon_event_readers_dropped_total", "counter", "Readers that did not read, and were let go.", events ? events_dropped(events) : 0);
}

/* What parts add: pools, services. */
static void put_parts(struct daemon *daemon, struct text *out)
{
	for (size_t i = 0; daemon_parts[i]; i++)
		if (daemon_parts[i]->metrics && daemon->part[i])
			daemon_parts[i]->metrics(daemon, daemon->part[i], out);
}

static int metrics(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct state state = STATE_NONE;
	struct collection all = { .state = &state, .end = clock_now() + COLLECT_MS * NS_PER_MS };
	int err = state_open(&state, false, error);
	if (!err && (err = state_each(&state, collect_one, &all)))
		error_set(error, err, "listing: %s", strerror(-err));
	state_close(&state);
	if (err && err != -ENOENT)
		return err;
	put_process(request->daemon, &reply->text);
	put_work(request->daemon, &reply->text);
	metrics_put_counts(request->daemon, &reply->text);
	put_parts(request->daemon, &reply->text);
	put_vms(&all, &reply->text);
	free(all.sample);
	reply->type = "text/plain; version=0.0.4; charset=utf-8";
	return text_error(&reply->text) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

const struct route routes_metrics[] = {
	{ .method = "GET", .path = "/v1/metrics", .operation = "getMetrics", .task = metrics },
	{ 0 },
};
