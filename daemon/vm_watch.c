/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/vm_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/api_events.h"
#include "daemon/metrics.h"
#include "daemon/start_wait.h"
#include "daemon/vm_table.h"
#include "node/vm_config.h"
#include "node/vm_row.h"

#define READ_SIZE 4096 /* of notices in one turn of the loop: some hundred */
#define SCAN_SLICE 64  /* VMs in one turn of the loop */
#define SWEEP_MS 1000  /* for what no notice comes of */

struct vm_watch {
	struct daemon *daemon;
	struct state state;
	int vms;		 /* its directory; -1: not there */
	struct loop_watch watch; /* of inotify */
	int on_vms;		 /* the watch of vms; -1: none */
	struct vm_table table;
	struct starts *starts;
	struct watched *dirty;
	DIR *scan; /* NULL: none is under way */
	unsigned scans;
	bool first;  /* the first scan of the directory: what it finds was there before us */
	struct loop_timer scan_timer, sweep_timer;
	unsigned running, descriptors, most, blind;
	bool said_blind;
};

static void look(struct vm_watch *watch, struct watched *vm, const struct lv_status *told, bool patient);

/* ---- what is known of one ---- */

static void let_go(struct vm_watch *watch, struct watched *vm)
{
	if (vm->status < 0)
		return;
	close(vm->status);
	vm->status = -1;
	watch->descriptors--;
}

static int open_status(const struct vm_watch *watch, const struct watched *vm)
{
	char path[STATE_ID + sizeof("/status")];
	snprintf(path, sizeof(path), "%s/status", vm->seen.id);
	return openat(watch->vms, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static void forget(struct vm_watch *watch, struct watched *vm)
{
	let_go(watch, vm);
	watch->running -= vm_seen_lives(&vm->seen);
	watch->blind -= vm->on_status < 0;
	if (vm->start)
		start_wait_cancel(vm->start);
	if (vm->on_status >= 0)
		inotify_rm_watch(watch->watch.fd, vm->on_status);
	if (vm->on_directory >= 0)
		inotify_rm_watch(watch->watch.fd, vm->on_directory);
	for (struct watched **at = &watch->dirty; vm->dirty && *at; at = &(*at)->next_dirty)
		if (*at == vm) {
			*at = vm->next_dirty;
			break;
		}
	table_remove(&watch->table, vm);
}

static void gone(struct vm_watch *watch, struct watched *vm)
{
	if (vm->status >= 0)
		look(watch, vm, NULL, false);
	vm_seen_gone(&vm->seen, events_of(watch->daemon));
	forget(watch, vm);
}

static void read_name(const struct vm_watch *watch, const char *id, char name[STATE_NAME + 1])
{
	struct vm_row row;
	name[0] = 0;
	if (!vm_row_read(watch->vms, id, &row))
		strncat(name, row.name, STATE_NAME);
}

/* Labels are in the configuration only; what is no list of words is none. */
static void read_config(const struct vm_watch *watch, struct vm_seen *seen)
{
	int dir = openat(watch->vms, seen->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_t *config = dir >= 0 ? config_read(dir) : NULL;
	if (dir >= 0)
		close(dir);
	strncat(seen->name, config_string(config, "name"), STATE_NAME);
	if (json_array_size(json_object_get(config, "labels")))
		seen->labels = json_incref(json_object_get(config, "labels"));
	json_decref(config);
}

static int watch_path(const struct vm_watch *watch, const char *id, const char *file, uint32_t mask)
{
	char *path = alloc_format("%s/vms/%s%s", watch->state.path, id, file);
	int wd = path ? inotify_add_watch(watch->watch.fd, path, mask | IN_DONT_FOLLOW) : -1;
	free(path);
	return wd;
}

static void set_watches(struct vm_watch *watch, struct watched *vm)
{
	int on_status = watch_path(watch, vm->seen.id, "/status", IN_MODIFY | IN_CLOSE_WRITE);
	int err = on_status < 0 ? errno : 0;
	int on_directory = on_status < 0 ? -1 : watch_path(watch, vm->seen.id, "", IN_MOVED_TO | IN_ONLYDIR);
	table_watches(&watch->table, vm, on_status, on_directory);
	watch->blind += on_status < 0;
	if (err == ENOSPC && !watch->said_blind) {
		log_warn("fs.inotify.max_user_watches is reached: VMs from here on are looked at once a second, and what happens in between is not told");
		watch->said_blind = true;
	}
}

/* quiet: it was there before us. */
static void found(struct vm_watch *watch, const char *id, bool quiet)
{
	struct watched *vm = table_find(&watch->table, id);
	if (vm) {
		vm->found = watch->scans;
		return;
	}
	vm = strlen(id) == STATE_ID && strspn(id, "0123456789abcdef") == STATE_ID ? table_add(&watch->table, id) : NULL;
	if (!vm)
		return;
	vm->found = watch->scans;
	vm->seen.state = VM_CREATED; /* until it was looked at */
	vm->seen.quiet = vm->was_there = quiet;
	set_watches(watch, vm);
	read_config(watch, &vm->seen);
	if (!vm->seen.quiet)
		events_add(events_of(watch->daemon), EVENT_CREATE, id, vm->seen.name, vm->seen.labels, NULL);
	look(watch, vm, NULL, true);
	vm->seen.quiet = false;
}

/* ---- looking ---- */

static void start_answered(void *context, const char *id, const struct lv_status *status)
{
	struct vm_watch *watch = context;
	struct watched *vm = table_find(&watch->table, id);
	if (!vm)
		return;
	vm->start = NULL;
	look(watch, vm, status, false);
}

/* The file, or of a living monitor what it says, which is more. */
static void see(struct vm_watch *watch, struct watched *vm, struct vm_info *info, const struct lv_status *told, bool patient)
{
	uint64_t latency;
	const struct vm_seen before = vm->seen;
	bool lived = vm_seen_lives(&before);
	vm_info_judge_in(info, watch->vms);
	if (told && info->alive && told->pid == info->status.pid && (info->state == VM_RUNNING || info->state == VM_PAUSED))
		info->status = *told;
	bool lives = info->state <= VM_PAUSED && info->state != VM_CREATED;
	watch->running += (unsigned)lives - (unsigned)lived;
	bool waits = vm_seen_take(&vm->seen, events_of(watch->daemon), info, watch->running, patient, &latency);
	if (vm->seen.started && !vm->seen.quiet && (!before.started || before.pid != vm->seen.pid || before.began_ns != vm->seen.began_ns))
		metrics_started(watch->daemon, &info->status);
	if (latency)
		metrics_latency(watch->daemon, &info->status, latency);
	if (waits && !vm->start)
		vm->start = start_wait_add(watch->starts, vm->seen.id);
	else if (!waits && vm->start) {
		start_wait_cancel(vm->start);
		vm->start = NULL;
	}
}

static void look(struct vm_watch *watch, struct watched *vm, const struct lv_status *told, bool patient)
{
	struct vm_info info = { .dir = VM_DIR_NONE };
	int fd = vm->status >= 0 ? vm->status : open_status(watch, vm);
	if (fd < 0)
		return; /* it goes: the notice of that is on its way */
	strcpy(info.dir.id, vm->seen.id);
	info.dir.status = fd;
	see(watch, vm, &info, told, patient);
	bool keep = info.alive && (vm->status >= 0 || watch->descriptors < watch->most);
	if (vm->status >= 0 && !keep) {
		let_go(watch, vm);
	} else if (vm->status < 0 && keep) {
		vm->status = fd;
		watch->descriptors++;
	} else if (vm->status < 0) {
		close(fd);
	}
}

static void mark(struct vm_watch *watch, struct watched *vm)
{
	if (vm->dirty)
		return;
	vm->dirty = true;
	vm->next_dirty = watch->dirty;
	watch->dirty = vm;
}

static void look_at_dirty(struct vm_watch *watch)
{
	while (watch->dirty) {
		struct watched *vm = watch->dirty;
		watch->dirty = vm->next_dirty;
		vm->dirty = false;
		look(watch, vm, NULL, true);
	}
}

/* ---- going through the directory ---- */

static void unless_found(void *context, struct watched *vm)
{
	struct vm_watch *watch = context;
	if (vm->found != watch->scans)
		gone(watch, vm);
	else
		mark(watch, vm);
}

static void end_scan(struct vm_watch *watch)
{
	closedir(watch->scan);
	watch->scan = NULL;
	if (!watch->first)
		table_each(&watch->table, unless_found, watch);
	watch->first = false;
	look_at_dirty(watch);
}

static void go_on_scanning(void *context)
{
	struct vm_watch *watch = context;
	struct dirent *entry = NULL;
	for (int i = 0; i < SCAN_SLICE && (entry = readdir(watch->scan)); i++)
		if (entry->d_name[0] != '.')
			found(watch, entry->d_name, watch->first);
	if (entry)
		loop_timer_set(&watch->daemon->loop, &watch->scan_timer, clock_now());
	else
		end_scan(watch);
}

static void begin_scan(struct vm_watch *watch)
{
	int fd = watch->scan ? -1 : openat(watch->vms, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	watch->scan = fd >= 0 ? fdopendir(fd) : watch->scan;
	if (!watch->scan)
		return;
	rewinddir(watch->scan);
	watch->scans++;
	loop_timer_set(&watch->daemon->loop, &watch->scan_timer, clock_now());
}

static void close_directory(struct vm_watch *watch)
{
	if (watch->scan)
		closedir(watch->scan);
	watch->scan = NULL;
	loop_timer_set(&watch->daemon->loop, &watch->scan_timer, 0);
	if (watch->vms >= 0)
		close(watch->vms);
	watch->vms = watch->on_vms = -1;
	state_close(&watch->state);
}

/* It may not be there, or not be ours to read, and come later. */
static int open_directory(struct vm_watch *watch)
{
	struct error error = { 0 };
	int err = state_open(&watch->state, true, &error);
	if (!err)
		watch->vms = openat(watch->state.dir, "vms", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (!err && watch->vms < 0 && errno == ENOENT && !(err = state_make_below(&watch->state, &error)))
		watch->vms = openat(watch->state.dir, "vms", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (!err && watch->vms >= 0)
		watch->on_vms = watch_path(watch, "", "", IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
	if (watch->on_vms < 0) {
		log_debug("the directory of VMs: %s", error.text[0] ? error.text : strerror(errno));
		close_directory(watch);
		return -ENOENT;
	}
	begin_scan(watch);
	return 0;
}

static void now_gone(void *context, struct watched *vm)
{
	gone(context, vm);
}

static void directory_gone(struct vm_watch *watch)
{
	table_each(&watch->table, now_gone, watch);
	inotify_rm_watch(watch->watch.fd, watch->on_vms);
	close_directory(watch);
}

/* Once a second: what no notice comes of, and a directory that was not there. */
static void if_blind(void *context, struct watched *vm)
{
	if (vm->on_status < 0)
		mark(context, vm);
}

static void sweep(void *context)
{
	struct vm_watch *watch = context;
	struct stat st;
	/* We have it open: as long as we do, its end is not noticed. */
	if (watch->vms >= 0 && !fstat(watch->vms, &st) && !st.st_nlink)
		directory_gone(watch);
	if (watch->vms < 0)
		open_directory(watch);
	if (watch->blind) {
		table_each(&watch->table, if_blind, watch);
		look_at_dirty(watch);
	}
	loop_timer_set(&watch->daemon->loop, &watch->sweep_timer, clock_now() + SWEEP_MS * NS_PER_MS);
}

/* ---- notices ---- */

static void notice_of_directory(struct vm_watch *watch, const struct inotify_event *event)
{
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
		directory_gone(watch);
		return;
	}
	if (!event->len || event->name[0] == '.')
		return;
	struct watched *vm = table_find(&watch->table, event->name);
	if (event->mask & IN_MOVED_TO) {
		if (vm && vm->was_there) /* it came between the first notice and the first scan, which took it for an older one */
			forget(watch, vm);
		found(watch, event->name, false);
	} else if (vm) {
		gone(watch, vm);
	}
}

static void notice_of_vm(struct vm_watch *watch, struct watched *vm, const struct inotify_event *event)
{
	char name[STATE_NAME + 1];
	if (event->wd == vm->on_status && event->mask & (IN_MODIFY | IN_CLOSE_WRITE))
		mark(watch, vm);
	if (event->wd != vm->on_directory || !event->len || strcmp(event->name, "row"))
		return;
	read_name(watch, vm->seen.id, name);
	if (strcmp(name, vm->seen.name))
		vm_seen_rename(&vm->seen, events_of(watch->daemon), name);
}

static void notice(struct vm_watch *watch, const struct inotify_event *event)
{
	struct watched *vm;
	if (event->mask & IN_Q_OVERFLOW) {
		events_emit(watch->daemon, EVENT_DAEMON, NULL, NULL, json_pack("{s:s}", "action", "overflow"));
		begin_scan(watch);
	} else if (event->wd == watch->on_vms) {
		notice_of_directory(watch, event);
	} else if ((vm = table_by_watch(&watch->table, event->wd))) {
		notice_of_vm(watch, vm, event);
	}
}

static void on_notices(void *context, uint32_t events)
{
	struct vm_watch *watch = context;
	union {
		struct inotify_event align;
		char bytes[READ_SIZE];
	} buffer;
	ssize_t n = read(watch->watch.fd, &buffer, sizeof(buffer));
	for (char *at = buffer.bytes; n > 0 && at < buffer.bytes + n;) {
		const struct inotify_event *event = (const void *)at;
		at += sizeof(*event) + event->len;
		notice(watch, event);
	}
	look_at_dirty(watch);
}

/* ---- the part ---- */

static void stop(struct daemon *daemon, void *part)
{
	struct vm_watch *watch = part;
	loop_timer_set(&daemon->loop, &watch->sweep_timer, 0);
	close_directory(watch);
	for (size_t i = 0; i < VM_TABLE_SLOTS; i++)
		while (watch->table.by_id[i])
			forget(watch, watch->table.by_id[i]);
	starts_free(watch->starts);
	if (watch->watch.fd >= 0) {
		loop_update(&daemon->loop, &watch->watch, 0);
		close(watch->watch.fd);
	}
	free(watch);
}

static int start(struct daemon *daemon, void **part, struct error *error)
{
	struct vm_watch *watch = alloc_zero(sizeof(*watch));
	struct rlimit files;
	if (!watch)
		return error_set(error, -ENOMEM, "out of memory");
	*watch = (struct vm_watch){ .daemon = daemon, .state = STATE_NONE, .vms = -1, .on_vms = -1, .first = true,
		.scan_timer = { .fire = go_on_scanning, .context = watch }, .sweep_timer = { .fire = sweep, .context = watch } };
	watch->watch = (struct loop_watch){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .ready = on_notices, .context = watch };
	watch->starts = starts_new(&daemon->loop, &watch->vms, start_answered, watch);
	getrlimit(RLIMIT_NOFILE, &files);
	watch->most = files.rlim_cur / 2 < WATCH_DESCRIPTORS ? (unsigned)files.rlim_cur / 2 : WATCH_DESCRIPTORS;
	int err = watch->watch.fd < 0 ? -errno : watch->starts ? loop_update(&daemon->loop, &watch->watch, EPOLLIN) : -ENOMEM;
	if (err) {
		stop(daemon, watch);
		return error_set(error, err, "inotify: %s%s", strerror(-err), err == -EMFILE ? " (fs.inotify.max_user_instances)" : "");
	}
	*part = watch;
	sweep(watch);
	return 0;
}

const struct daemon_part watch_part = { .name = "watch", .start = start, .stop = stop };

void watch_count(struct daemon *daemon, struct watch_counts *counts)
{
	const struct vm_watch *watch = daemon_part_find(daemon, watch_part.name);
	*counts = (struct watch_counts){ 0 };
	if (watch)
		*counts = (struct watch_counts){ watch->table.count, watch->running, watch->descriptors, watch->blind };
}
