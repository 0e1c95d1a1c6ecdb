/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of the process, its threads and its descriptors (proc(5)). */
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

/* ---- numbers ---- */

int proc_next_process(int from)
{
	int best = -1;
	for (const struct process *process = processes; process; process = process->next)
		if (process->pid >= from && (best < 0 || process->pid < best))
			best = process->pid;
	return best;
}

static int next_thread(int from)
{
	int best = -1;
	for (const struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == proc_subject() && thread->tid >= from && thread->state != THREAD_DEAD && (best < 0 || thread->tid < best))
			best = thread->tid;
	return best;
}

static int next_fd(int from)
{
	for (int fd = from; fd < fd_table_count(proc_subject()->files); fd++)
		if (fd_table_at(proc_subject()->files, fd))
			return fd;
	return -1;
}

/* ---- links ---- */

static int64_t dentry_target(const struct dentry *dentry, char *buffer, size_t size)
{
	if (!dentry)
		return -ENOENT;
	char *path = dentry_path(dentry, path_root(), buffer, size);
	if (!path)
		return -ENAMETOOLONG;
	size_t len = strlen(path);
	memmove(buffer, path, len + 1);
	return (int64_t)len;
}

static struct dentry *with_reference(struct dentry *dentry)
{
	if (dentry)
		dentry_get(dentry);
	return dentry;
}

static int64_t cwd_target(int key, char *buffer, size_t size)
{
	return dentry_target(where_cwd(proc_subject()->where), buffer, size);
}

static struct dentry *cwd_follow(int key, struct file **file)
{
	return with_reference(where_cwd(proc_subject()->where));
}

static int64_t root_target(int key, char *buffer, size_t size)
{
	return dentry_target(where_root(proc_subject()->where), buffer, size);
}

static struct dentry *root_follow(int key, struct file **file)
{
	return with_reference(where_root(proc_subject()->where));
}

static int64_t exe_target(int key, char *buffer, size_t size)
{
	size_t len = strlen(proc_subject()->path);
	if (proc_subject()->dead)
		return -ENOENT;
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(buffer, proc_subject()->path, len + 1);
	return (int64_t)len;
}

static struct dentry *exe_follow(int key, struct file **file)
{
	struct walk walk;
	if (proc_subject()->dead)
		return NULL;
	return path_walk(path_root(), proc_subject()->path, strlen(proc_subject()->path), WALK_FOLLOW, &walk) ? NULL : walk.dentry;
}

static int64_t fd_target(int key, char *buffer, size_t size)
{
	struct file *file = fd_table_at(proc_subject()->files, key);
	if (!file)
		return -ENOENT;
	const char *path = file_path(file, buffer, size);
	size_t len = strlen(path);
	memmove(buffer, path, len + 1);
	return (int64_t)len;
}

static struct dentry *fd_follow(int key, struct file **file)
{
	struct file *open = fd_table_at(proc_subject()->files, key);
	if (!open)
		return NULL;
	if (open->dentry && open->dentry->inode)
		return with_reference(open->dentry);
	file_get(open);
	*file = open;
	return NULL;
}

int64_t proc_task_target(int key, char *buffer, size_t size)
{
	return snprintf(buffer, size, "%d/task/%d", process_id(), current_tid());
}

int64_t proc_self_target(int key, char *buffer, size_t size)
{
	return snprintf(buffer, size, "%d", process_id());
}

int64_t proc_mounts_target(int key, char *buffer, size_t size)
{
	return snprintf(buffer, size, "self/mounts");
}

int64_t proc_net_target(int key, char *buffer, size_t size)
{
	return snprintf(buffer, size, "self/net");
}

/* ---- memory ---- */

void proc_show_region(struct text *text, const struct vma *vma)
{
	struct stat st = { 0 };
	char path[512], line[128];
	const char *name = vma->name ? vma->name : "";
	if (vma->file) {
		file_stat(vma->file, &st);
		name = vma->name ? vma->name : file_path(vma->file, path, sizeof(path));
	}
	int n = snprintf(line, sizeof(line), "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", vma->start, vma->end,
			 vma->prot & PROT_READ ? 'r' : '-', vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-',
			 vma->flags & MAP_SHARED ? 's' : 'p', vma->file ? vma->offset : 0, LINUX_MAJOR(st.st_dev), LINUX_MINOR(st.st_dev),
			 st.st_ino);
	text_bytes(text, line, (size_t)n);
	for (; *name && n < 73; n++)
		text_bytes(text, " ", 1);
	text_add(text, "%s\n", name);
}

static struct vma *first_region(void)
{
	return proc_subject()->space ? mm_first() : NULL;
}

static void show_maps(struct text *text, int key)
{
	for (struct vma *vma = first_region(); vma; vma = mm_next(vma))
		proc_show_region(text, vma);
}

struct sizes { /* in bytes */
	uint64_t all, data, stack, text, own, shared, locked;
};

static struct sizes memory_sizes(void)
{
	struct sizes s = { 0 };
	for (struct vma *vma = first_region(); vma; vma = mm_next(vma)) {
		uint64_t size = vma->end - vma->start, own, shared;
		mm_resident(vma, &own, &shared);
		s.own += own;
		s.shared += shared;
		s.all += size;
		s.locked += vma->flags & MAP_LOCKED ? size : 0;
		if (vma->name && !strcmp(vma->name, "[stack]"))
			s.stack += size;
		else if (vma->prot & PROT_EXEC)
			s.text += size;
		else if (vma->prot & PROT_WRITE)
			s.data += size;
	}
	return s;
}

static void show_statm(struct text *text, int key)
{
	struct sizes s = memory_sizes();
	text_add(text, "%lu %lu %lu %lu 0 %lu 0\n", s.all / 4096, (s.own + s.shared) / 4096, s.shared / 4096, s.text / 4096, (s.data + s.stack) / 4096);
}

/* ---- state ---- */

static const struct thread *thread_of(int key)
{
	static struct thread gone; /* only what it was called */
	const struct process *process = proc_subject();
	const struct thread *thread = thread_find(key);
	if (!thread || thread->process != process) /* of a process that has ended; or its first thread has */
		for (thread = threads; thread && thread->process != process;)
			thread = thread->next;
	if (thread)
		return thread;
	gone = (struct thread){ .tid = process->pid, .state = THREAD_DEAD };
	memcpy(gone.name, process->name, sizeof(gone.name));
	return &gone;
}

static char state_of(const struct thread *thread)
{
	if (thread->state == THREAD_DEAD)
		return 'Z';
	if (thread->sig_parked && thread->process->signals.stopped)
		return 'T';
	return thread == current || thread->state == THREAD_RUNNABLE ? 'R' : 'S';
}

static void show_signals(struct text *text, const struct thread *thread)
{
	uint64_t ignored = 0, caught = 0;
	for (int signo = 1; signo <= SIG_MAX; signo++) {
		uint64_t handler = proc_subject()->signals.action[signo].handler;
		ignored |= handler == 1 ? SIG_BIT(signo) : 0;
		caught |= handler > 1 ? SIG_BIT(signo) : 0;
	}
	text_add(text, "SigQ:\t%u/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
		 signal_queued(), process_limit(RLIMIT_SIGPENDING), thread->sig_pending, proc_subject()->signals.pending, thread->sig_blocked, ignored, caught);
}

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "R (running)";
	case 'T':
		return "T (stopped)";
	case 'Z':
		return "Z (zombie)";
	}
	return "S (sleeping)";
}

static void show_status(struct text *text, int key)
{
	const struct thread *thread = thread_of(key);
	const struct process *process = proc_subject();
	const struct credentials *ids = &process->credentials;
	struct sizes s = memory_sizes();
	text_add(text, "Name:\t%s\nUmask:\t0%03o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", thread->name,
		 where_umask(process->where), state_name(state_of(thread)), process->pid, thread->tid, process->parent ? process->parent->pid : 0);
	text_add(text, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%d\nGroups:\t", ids->uid, ids->euid, ids->suid, ids->fsuid,
		 ids->gid, ids->egid, ids->sgid, ids->fsgid, (int)ALIGN_UP(MAX(fd_table_count(process->files), 64), 64));
	for (uint32_t i = 0; i < ids->group_count; i++)
		text_add(text, "%u ", ids->groups[i]);
	text_add(text, "\n");
	text_add(text, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n", s.all / 1024, s.all / 1024,
		 s.locked / 1024, (s.own + s.shared) / 1024, (s.own + s.shared) / 1024);
	text_add(text, "VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmSwap:\t       0 kB\nThreads:\t%d\n", s.data / 1024, s.stack / 1024,
		 s.text / 1024, process->thread_count);
	show_signals(text, thread);
	text_add(text, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n", ids->inheritable, ids->permitted, ids->effective,
		 ids->bounding, ids->ambient);
	text_add(text, "NoNewPrivs:\t%d\nSeccomp:\t0\nCpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
		 "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n", process->no_new_privs);
}

/* One line of 52 numbers; what means nothing here is 0. */
static void show_stat_of(struct text *text, const struct thread *thread, uint64_t cpu_ns)
{
	const struct process *process = proc_subject();
	static const struct exec_layout hidden = { .code_start = 1, .code_end = 1 };
	bool open = process_lets_read(process); /* else nobody is told where its memory lies */
	const struct exec_layout *layout = open ? &process->layout : &hidden;
	struct sizes s = memory_sizes();
	text_add(text, "%d (%s) %c %d %d %d 0 -1 4194304 0 0 0 0 %lu 0 %lu 0 %d %d %d 0 0 %lu %lu 18446744073709551615 ", thread->tid, thread->name,
		 state_of(thread), process->parent ? process->parent->pid : 0, process->group, process->session, cpu_ns / 10000000, process->children_ns / 10000000,
		 20 + thread->scheduling.nice, thread->scheduling.nice, process->thread_count, s.all, (s.own + s.shared) / 4096);
	text_add(text, "%lu %lu %lu 0 0 0 0 0 0 0 0 0 17 0 %d %d 0 0 0 %lu %lu %lu %lu %lu %lu %lu 0\n", layout->code_start, layout->code_end, layout->stack,
		 thread->scheduling.priority, thread->scheduling.policy,
		 layout->data_start, layout->data_end, open && process->space ? mm_brk_start() : 0, layout->args_start, layout->args_end, layout->env_start, layout->env_end);
}

static void show_stat(struct text *text, int key)
{
	show_stat_of(text, thread_of(key), process_cpu_ns(proc_subject()));
}

static void show_task_stat(struct text *text, int key)
{
	show_stat_of(text, thread_of(key), thread_cpu_ns(thread_of(key)));
}

static void show_comm(struct text *text, int key)
{
	text_add(text, "%s\n", thread_of(key)->name);
}

static int64_t write_comm(int key, const char *bytes, size_t n)
{
	struct thread *thread = thread_find(key);
	size_t len = MIN(n, sizeof(thread->name) - 1);
	if (!thread)
		return -ESRCH;
	while (len && bytes[len - 1] == '\n')
		len--;
	memset(thread->name, 0, sizeof(thread->name));
	memcpy(thread->name, bytes, len);
	return (int64_t)n;
}

/* ---- arguments ---- */

/* What the program has there now. */
static void text_user(struct text *text, uint64_t start, uint64_t end)
{
	char part[512];

	for (size_t n; start < end; start += n) {
		n = MIN(end - start, sizeof(part));
		if (!proc_subject()->space || space_read(proc_subject()->space, start, part, n) < n)
			return;
		text_bytes(text, part, n);
	}
}

/* Where the string at start ends, with its null byte; limit if it has none before. */
static uint64_t string_end(uint64_t start, uint64_t limit)
{
	for (char byte; start < limit; start++)
		if (space_read(proc_subject()->space, start, &byte, 1) != 1 || byte == 0)
			return start + 1;
	return limit;
}

/* A title that a program wrote over its arguments may go on into its environment: the last null byte of argv is gone then. */
static void show_cmdline(struct text *text, int key)
{
	const struct exec_layout *layout = (&proc_subject()->layout);
	uint64_t end = layout->args_end;
	char last = 0;

	if (layout->args_start < end && proc_subject()->space && space_read(proc_subject()->space, end - 1, &last, 1) == 1 && last)
		end = string_end(layout->args_start, layout->env_end);
	text_user(text, layout->args_start, end);
}

static void show_environ(struct text *text, int key)
{
	text_user(text, (&proc_subject()->layout)->env_start, (&proc_subject()->layout)->env_end);
}

/* ---- the rest ---- */

static void limit_value(struct text *text, uint64_t value)
{
	if (value == RLIM64_INFINITY)
		text_add(text, "unlimited            ");
	else
		text_add(text, "%-20lu ", value);
}

static void show_limits(struct text *text, int key)
{
	static const struct { int resource; const char *name, *unit; } limits[] = {
		{ RLIMIT_CPU, "Max cpu time", "seconds" }, { RLIMIT_FSIZE, "Max file size", "bytes" }, { RLIMIT_DATA, "Max data size", "bytes" },
		{ RLIMIT_STACK, "Max stack size", "bytes" }, { RLIMIT_CORE, "Max core file size", "bytes" },
		{ RLIMIT_RSS, "Max resident set", "bytes" }, { RLIMIT_NPROC, "Max processes", "processes" },
		{ RLIMIT_NOFILE, "Max open files", "files" }, { RLIMIT_MEMLOCK, "Max locked memory", "bytes" },
		{ RLIMIT_AS, "Max address space", "bytes" }, { RLIMIT_LOCKS, "Max file locks", "locks" },
		{ RLIMIT_SIGPENDING, "Max pending signals", "signals" }, { RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes" },
		{ RLIMIT_NICE, "Max nice priority", "" }, { RLIMIT_RTPRIO, "Max realtime priority", "" },
		{ RLIMIT_RTTIME, "Max realtime timeout", "us" },
	};
	text_add(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		text_add(text, "%-25s ", limits[i].name);
		limit_value(text, proc_subject()->limits[limits[i].resource].rlim_cur);
		limit_value(text, proc_subject()->limits[limits[i].resource].rlim_max);
		text_add(text, "%-10s\n", limits[i].unit);
	}
}

static void show_mount(void *context, const struct mounted *mounted)
{
	struct text *text = context;
	text_add(text, "%s %s %s %s,relatime", mounted->type, mounted->path, mounted->type, mounted->read_only ? "ro" : "rw");
	if (mounted->size)
		text_add(text, ",size=%luk", mounted->size / 1024);
	text_add(text, " 0 0\n");
}

static void show_mounts(struct text *text, int key)
{
	mounts_each(show_mount, text);
	text_add(text, "devtmpfs /dev devtmpfs rw,nosuid,relatime 0 0\n"
		 "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\nsysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0\n");
}

struct mountinfo {
	struct text *text;
	int number;
};

static void show_mountinfo_of(void *context, const struct mounted *mounted)
{
	struct mountinfo *info = context;
	const char *way = mounted->read_only ? "ro" : "rw";
	bool root = !mounted->path[1];
	text_add(info->text, "%d %d 0:%d / %s %s,relatime - %s %s %s\n", root ? 21 : info->number, root ? 0 : 21, root ? 21 : info->number, mounted->path, way,
		 mounted->type, mounted->type, way);
	info->number += !root;
}

static void show_mountinfo(struct text *text, int key)
{
	struct mountinfo info = { text, 30 };
	mounts_each(show_mountinfo_of, &info);
	text_add(text, "22 21 0:5 / /dev rw,nosuid,relatime - devtmpfs devtmpfs rw\n"
		 "23 21 0:20 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
		 "24 21 0:19 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro\n");
}

static void show_cgroup(struct text *text, int key)
{
	text_add(text, "0::/\n");
}

static void show_oom_score_adj(struct text *text, int key)
{
	text_add(text, "%d\n", proc_subject()->oom_score_adj);
}

/* A whole number with blanks around it, as kstrtoint takes it: true if it is one. */
static bool parse_int(const char *bytes, size_t n, int *value)
{
	bool minus = false;
	int64_t sum = 0;
	size_t i = 0, first;
	while (n && (bytes[n - 1] == '\n' || bytes[n - 1] == ' ' || !bytes[n - 1]))
		n--;
	while (i < n && bytes[i] == ' ')
		i++;
	if (i < n && (bytes[i] == '-' || bytes[i] == '+'))
		minus = bytes[i++] == '-';
	for (first = i; i < n && bytes[i] >= '0' && bytes[i] <= '9' && sum < INT32_MAX; i++)
		sum = sum * 10 + bytes[i] - '0';
	*value = (int)(minus ? -sum : sum);
	return i == n && i > first && sum <= INT32_MAX;
}

static int64_t write_oom_score_adj(int key, const char *bytes, size_t n)
{
	int value;
	if (!parse_int(bytes, n, &value) || value < -1000 || value > 1000)
		return -EINVAL;
	if (value < proc_subject()->oom_score_adj && !capable(CAP_SYS_RESOURCE))
		return -EACCES;
	proc_subject()->oom_score_adj = value;
	return (int64_t)n;
}

static void show_fdinfo(struct text *text, int key)
{
	const struct file *file = fd_table_at(proc_subject()->files, key);
	if (file)
		text_add(text, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t21\n", file->position, file->flags | (fd_table_is_cloexec(proc_subject()->files, key) ? O_CLOEXEC : 0));
}

#define DIR_(name_, children_) { .name = name_, .mode = S_IFDIR | 0555, .children = children_ }
#define FILE_(name_, show_) { .name = name_, .mode = S_IFREG | 0444, .show = show_ }
#define LINK_(name_, target_, follow_) { .name = name_, .mode = S_IFLNK | 0777, .refusal = EACCES, .target = target_, PROC_MORE_(.follow = follow_) }

static const struct node fd_link = { .name = "fd", .mode = S_IFLNK | 0700, .refusal = EACCES, .target = fd_target, PROC_MORE_(.follow = fd_follow) };
static const struct node fd_info = { .name = "fdinfo", .mode = S_IFREG | 0444, .refusal = EACCES, .show = show_fdinfo };

#define COMMON                                                                                                              \
	FILE_("cmdline", show_cmdline), PROC_PRIVATE("environ", 0400, show_environ), PROC_PRIVATE("maps", 0444, show_maps), FILE_("status", show_status), \
	FILE_("statm", show_statm), FILE_("limits", show_limits), FILE_("mounts", show_mounts), FILE_("mountinfo", show_mountinfo), \
	FILE_("cgroup", show_cgroup), LINK_("exe", exe_target, exe_follow), LINK_("cwd", cwd_target, cwd_follow), \
	LINK_("root", root_target, root_follow), DIR_("net", proc_net_files), PROC_MORE, \
	{ .name = "comm", .mode = S_IFREG | 0644, .show = show_comm, PROC_MORE_(.write = write_comm) }, \
	{ .name = "oom_score_adj", .mode = S_IFREG | 0644, .show = show_oom_score_adj, PROC_MORE_(.write = write_oom_score_adj) }, \
	{ .name = "fd", .mode = S_IFDIR | 0500, PROC_MORE_(.numbered = &fd_link, .next = next_fd) }, \
	{ .name = "fdinfo", .mode = S_IFDIR | 0555, .refusal = EACCES, PROC_MORE_(.numbered = &fd_info, .next = next_fd) }

static const struct node task_files[] = { COMMON, FILE_("stat", show_task_stat), { 0 } };
static const struct node task_dir = { .name = "task", .mode = S_IFDIR | 0555, .children = task_files };
static const struct node process_files[] = {
	COMMON, FILE_("stat", show_stat), PROC_FIXED("oom_score", "0"),
	{ .name = "task", .mode = S_IFDIR | 0555, PROC_MORE_(.numbered = &task_dir, .next = next_thread) },
	{ 0 },
};
const struct node proc_process = { .name = "process", .mode = S_IFDIR | 0555, .children = process_files };
