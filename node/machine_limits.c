/* SPDX-License-Identifier: Apache-2.0 */
#include "node/machine_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "node/vm_jail.h"

#define FILE_MAX_BYTES 65536
#define PID_LIMIT 4194304   /* the most that Linux takes for kernel.pid_max on 64 bits */
#define PID_LIMIT_WORD "4194304"
#define BRIDGE_PORTS 1024   /* of one bridge: Linux' BR_MAX_PORTS */
#define VM_FILES 16         /* open files of one monitor, with what KVM opens: counted on one that idles */
#define VM_EPOLL 12         /* descriptors that one monitor's loop watches */
#define VM_INODES 8         /* of the state directory: the VM's own and what lies in it */
#define VM_STATE 16384      /* bytes of it: record, configuration, and a console log of a few lines */
#define MEMORY_KEPT (256u << 20) /* for the host itself */

const struct limits_need limits_idle = { .memory = LIMIT_IDLE_MEMORY, .vcpus = 1 };

struct list {
	const struct limits_need *need;
	struct limit *limit;
	size_t count;
};

/* ---- reading ---- */

/* The first number of a file; false: there is none, or it says "max". */
static bool read_number(const char *path, uint64_t *out)
{
	char *data = NULL, *end;
	size_t size;
	if (file_read(AT_FDCWD, path, FILE_MAX_BYTES, &data, &size))
		return false;
	errno = 0;
	*out = strtoull(data, &end, 10);
	bool is_number = end != data && !errno;
	free(data);
	return is_number;
}

/* The number behind a word at the beginning of a line. */
static bool read_field(const char *path, const char *word, uint64_t *out)
{
	char *data = NULL, *at;
	size_t size;
	if (file_read(AT_FDCWD, path, FILE_MAX_BYTES, &data, &size))
		return false;
	at = strstr(data, word);
	if (at)
		*out = strtoull(at + strlen(word), NULL, 10);
	free(data);
	return at != NULL;
}

/* Threads of the whole machine: "0.10 0.20 0.30 2/345 6789". */
static uint64_t tasks_now(void)
{
	char *data = NULL, *slash;
	size_t size;
	uint64_t n = 0;
	if (file_read(AT_FDCWD, "/proc/loadavg", FILE_MAX_BYTES, &data, &size))
		return 0;
	slash = strchr(data, '/');
	if (slash)
		n = strtoull(slash + 1, NULL, 10);
	free(data);
	return n;
}

static bool has_worker(void)
{
	char *data = NULL;
	size_t size;
	/* KVM has a thread for each VM that looks for huge pages to restore, unless it was told never to split any. */
	if (file_read(AT_FDCWD, "/sys/module/kvm/parameters/nx_huge_pages", FILE_MAX_BYTES, &data, &size))
		return true;
	bool never = text_starts(data, "never");
	free(data);
	return !never;
}

/* The vCPUs' threads, the device loop's, KVM's, and where passt carries the network: passt, and who sees to its end. */
static uint64_t tasks_each(const struct limits_need *need)
{
	bool passt = need->net && need->net->kind == NET_PASST;
	return need->vcpus + 1 + has_worker() + (passt ? 2 : 0);
}

/* ---- entries ---- */

static void __attribute__((format(printf, 6, 7))) add(struct list *list, const char *name, uint64_t most, uint64_t used, uint64_t each, const char *fix, ...)
{
	va_list args;
	if (list->count == LIMITS_MAX)
		return;
	struct limit *limit = &list->limit[list->count++];
	*limit = (struct limit){ .most = most, .used = used, .each = each ? each : 1 };
	limit->room = most > used ? (most - used) / limit->each : 0;
	snprintf(limit->name, sizeof(limit->name), "%s", name);
	va_start(args, fix);
	vsnprintf(limit->fix, sizeof(limit->fix), fix, args);
	va_end(args);
}

static int add_memory(struct list *list, struct error *error)
{
	uint64_t available;
	if (!read_field("/proc/meminfo", "MemAvailable:", &available))
		return error_set(error, -EIO, "/proc/meminfo cannot be read");
	available *= 1024;
	add(list, "memory", available, MEMORY_KEPT, list->need->memory, "%s", "");
	return 0;
}

static void add_tasks(struct list *list)
{
	uint64_t each = tasks_each(list->need), most;
	if (read_number("/proc/sys/kernel/pid_max", &most))
		add(list, "kernel.pid_max", most, tasks_now(), each, "%s", most < PID_LIMIT ? "sudo sysctl kernel.pid_max=" PID_LIMIT_WORD : "");
	if (read_number("/proc/sys/kernel/threads-max", &most))
		add(list, "kernel.threads-max", most, tasks_now(), each, "sudo sysctl kernel.threads-max=%" PRIu64, 4 * most);
}

static void add_files(struct list *list)
{
	uint64_t most, used;
	if (read_number("/proc/sys/fs/file-max", &most) && read_number("/proc/sys/fs/file-nr", &used))
		add(list, "fs.file-max", most, used, VM_FILES, "sudo sysctl fs.file-max=%" PRIu64, most < UINT64_MAX / 4 ? 4 * most : most);
}

/* Per user, and all VMs of one are his, whatever uid their monitors take afterwards. */
static void add_user(struct list *list)
{
	static const char *const spaces[] = { "mnt", "pid", "ipc", "uts", "user" };
	char path[64], name[64];
	uint64_t most;
	if (read_number("/proc/sys/fs/epoll/max_user_watches", &most))
		add(list, "fs.epoll.max_user_watches", most, 0, VM_EPOLL, "sudo sysctl fs.epoll.max_user_watches=%" PRIu64, 4 * most);
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces) - !geteuid(); i++) {
		snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", spaces[i]);
		snprintf(name, sizeof(name), "user.max_%s_namespaces", spaces[i]);
		if (read_number(path, &most))
			add(list, name, most, 0, 1, "sudo sysctl %s=%" PRIu64, name, 4 * most);
	}
}

/* Root's monitors become users of their own, one each; those of others stay his, who may have so many threads. */
static void add_identity(struct list *list)
{
	struct rlimit processes;
	struct jail_users users;
	if (geteuid() && !getrlimit(RLIMIT_NPROC, &processes) && processes.rlim_cur != RLIM_INFINITY)
		add(list, "ulimit -u (RLIMIT_NPROC)", processes.rlim_cur, 0, tasks_each(list->need), "ulimit -u %s",
		    processes.rlim_max > processes.rlim_cur ? "$(ulimit -Hu)" : "N, or LimitNPROC= in limits.conf(5), as root");
	if (!geteuid() && !jail_users_read(&users, NULL) && users.count)
		add(list, "users of LIGHTVM_UIDS", users.count, 0, 1, "export LIGHTVM_UIDS=FIRST-LAST, a wider range");
}

/* ---- control groups ---- */

/* The smallest of a group's limit and those of the groups above it. */
static void add_group(struct list *list, const char *mount, const char *group, const char *file, const char *now, uint64_t each)
{
	char limit[512], current[512], above[256];
	snprintf(above, sizeof(above), "%s", group);
	for (;;) {
		uint64_t most, used = 0;
		snprintf(limit, sizeof(limit), "%s%s/%s", mount, above, file);
		snprintf(current, sizeof(current), "%s%s/%s", mount, above, now);
		/* Version 1 has a number of pages of a whole address space for "no limit". */
		if (read_number(limit, &most) && most < INT64_MAX / 2 && read_number(current, &used))
			add(list, limit, most, used, each, "echo N | sudo tee %.120s", limit);
		char *slash = strrchr(above, '/');
		if (!slash || slash == above)
			return;
		*slash = 0;
	}
}

/* A line "9:memory:/a/b" of /proc/self/cgroup, or "0::/a/b" for version 2. */
static void add_groups_of(struct list *list, char *line)
{
	char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;
	uint64_t tasks = tasks_each(list->need);
	if (!group)
		return;
	*group++ = 0;
	kinds++;
	if (!*kinds) {
		add_group(list, "/sys/fs/cgroup", group, "pids.max", "pids.current", tasks);
		add_group(list, "/sys/fs/cgroup", group, "memory.max", "memory.current", list->need->memory);
	} else if (!strcmp(kinds, "pids")) {
		add_group(list, "/sys/fs/cgroup/pids", group, "pids.max", "pids.current", tasks);
	} else if (!strcmp(kinds, "memory")) {
		add_group(list, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes", list->need->memory);
	}
}

static void add_groups(struct list *list)
{
	char *data = NULL, *rest = NULL;
	size_t size;
	if (file_read(AT_FDCWD, "/proc/self/cgroup", FILE_MAX_BYTES, &data, &size))
		return;
	for (char *line = strtok_r(data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		add_groups_of(list, line);
	free(data);
}

/* ---- where VMs are recorded, and their network ---- */

static void add_state(struct list *list, const struct state *state)
{
	struct statvfs fs;
	if (!state || state->dir < 0 || fstatvfs(state->dir, &fs))
		return;
	if (fs.f_files)
		add(list, "files of the state directory", fs.f_favail, 0, VM_INODES, "sudo mount -o remount,nr_inodes=0 on the file system of %.80s", state->path);
	add(list, "bytes of the state directory", (uint64_t)fs.f_bavail * fs.f_frsize, 0, VM_STATE, "export LIGHTVM_STATE=, a directory with more room");
}

static uint64_t entries(const char *path)
{
	uint64_t n = 0;
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static void add_bridge(struct list *list, const char *bridge)
{
	char path[128], name[64];
	snprintf(path, sizeof(path), "/sys/class/net/%.32s/brif", bridge);
	snprintf(name, sizeof(name), "ports of bridge %.32s", bridge);
	add(list, name, BRIDGE_PORTS, entries(path), 1, "sudo ip link add br1 type bridge, and --net bridge:br1 for those that follow");
}

static int first_to_end(const void *a, const void *b)
{
	const struct limit *x = a, *y = b;
	return x->room < y->room ? -1 : x->room > y->room;
}

int limits_read(const struct limits_need *need, const struct state *state, struct limit limit[LIMITS_MAX], struct error *error)
{
	struct list list = { .need = need, .limit = limit };
	int err = add_memory(&list, error);
	if (err)
		return err;
	add_tasks(&list);
	add_files(&list);
	add_user(&list);
	add_identity(&list);
	add_groups(&list);
	add_state(&list, state);
	if (need->net && need->net->kind == NET_BRIDGE)
		add_bridge(&list, need->net->name);
	qsort(limit, list.count, sizeof(*limit), first_to_end);
	return (int)list.count;
}

void limits_explain(const struct limits_need *need, struct error *error)
{
	static const int refusals[] = { -EAGAIN, -ENOMEM, -ENOSPC, -EIO /* the monitor has said it */ };
	struct limit limit[LIMITS_MAX];
	bool refused = false;
	for (size_t i = 0; error && i < sizeof(refusals) / sizeof(*refusals); i++)
		refused |= error->code == refusals[i];
	if (!refused || limits_read(need, NULL, limit, NULL) <= 0 || limit->room)
		return;
	char before[sizeof(error->text) / 2];
	snprintf(before, sizeof(before), "%.500s", error->text);
	error_set(error, error->code, "%s; no VM more fits this machine: %s is used up (%" PRIu64 ", of which %" PRIu64 " in use, %" PRIu64 " for each VM)%s%s",
			 before, limit->name, limit->most, limit->used, limit->each, limit->fix[0] ? "; raise it with: " : "", limit->fix);
}
