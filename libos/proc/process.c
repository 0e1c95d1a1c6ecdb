/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: made, found. */
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/ipc/ipc.h"
#include "libos/mm/mm.h"
#include "libos/fs/linux_fs.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

#include <linux/sched.h>

/*
 * The program is process 1 without a parent, exactly as in a container: programs know that. (A parent with the id 1
 * would tell those that watch for their parent's death that it has died.)
 */
#define FIRST_PID 1

static struct process first; /* large: not in the file */
struct process *processes;

void process_start_first(void)
{
	first.refs = 1;
	first.pid = first.group = first.session = FIRST_PID;
	first.space = space_current();
	first.files = fd_table_first();
	first.where = where_first();
	first.timer_slack = DEFAULT_TIMER_SLACK;
	timers_start(&first);
	limits_start(&first);
	processes = &first;
	current->process = &first;
}

struct process *process_find(int pid)
{
	struct process *process = processes;

	while (process && process->pid != pid)
		process = process->next;
	return process;
}

struct process *process_first(void)
{
	return &first;
}

bool process_runs(const struct inode *inode)
{
	const struct process *process = processes;

	while (process && process->program != inode)
		process = process->next;
	return process;
}

bool process_group_exists(int group)
{
	const struct process *process = processes;

	while (process && process->group != group)
		process = process->next;
	return process;
}

void process_get(struct process *process)
{
	process->refs++;
}

static void unlist(struct process *process)
{
	struct process **at = &processes;

	while (*at && *at != process)
		at = &(*at)->next;
	if (*at)
		*at = process->next;
}

/* Its file may be written again. */
static void leave_program(struct process *process)
{
	if (process->program)
		inode_put(process->program);
	process->program = NULL;
}

void process_put(struct process *process)
{
	if (--process->refs)
		return;
	leave_program(process);
	kfree(process->credentials.groups);
	kfree(process);
}

/* Nobody finds it any more. */
static void forget(struct process *process)
{
	unlist(process);
	cpu_time_process_ends(process);
	process_put(process);
}

static bool copy_groups(struct credentials *c)
{
	const uint32_t *from = c->groups;

	if (!from)
		return true;
	c->groups = kmalloc(c->group_count * sizeof(*from));
	if (c->groups)
		memcpy(c->groups, from, c->group_count * sizeof(*from));
	return c->groups;
}

/* What is a child's own, and empty. */
static void begin(struct process *child, struct process *parent)
{
	child->refs = 1;
	if (child->program)
		inode_get(child->program);
	child->parent = parent;
	child->thread_count = 0;
	child->ended_threads_ns = child->children_ns = 0;
	child->exit_status = child->stop_report = child->continue_report = 0;
	child->ending = child->dead = child->adopted = child->executed = child->holds_parent = false;
	child->alone = NULL;
	child->children_changed = child->changed = child->signals.stop_queue = (struct waitq){ 0 };
	child->signals.pending = 0;
	child->signals.queue = NULL;
	child->signals.stopped = false;
	child->cpu_watch = (struct timer){ 0 };
	child->death_signal = 0;
	child->subreaper = false;
	timers_start(child);
	child->space = NULL;
	child->files = NULL;
	child->where = NULL;
}

/* What comes after it may wait, and others look meanwhile at what the processes have open: nothing that is gone. */
static void give_back_files(struct process *process)
{
	struct whereabouts *where = process->where;

	if (process->files)
		fd_table_put(process->files);
	process->files = NULL;
	process->where = NULL;
	if (where)
		where_put(where);
}

void process_abandon(struct process *process)
{
	give_back_files(process);
	space_put(process->space);
	unlist(process);
	process_put(process);
}

struct process *process_copy(uint64_t flags)
{
	uint64_t tls;

	__asm__ volatile("rdfsbase %0" : "=r"(tls));
	struct process *parent = current->process, *child = kmalloc(sizeof(*child));

	if (!child)
		return NULL;
	*child = *parent;
	begin(child, parent);
	child->pid = tid_new();
	if (!child->pid || !copy_groups(&child->credentials)) {
		leave_program(child);
		kfree(child);
		return NULL;
	}
	child->next = processes;
	processes = child;
	child->where = flags & CLONE_FS ? where_get(parent->where) : where_copy(parent->where);
	child->files = flags & CLONE_FILES ? fd_table_get(parent->files) : fd_table_copy(parent->files);
	child->space = flags & CLONE_VM ? space_get(parent->space) : space_fork(current->regs->rsp, tls);
	if (child->where && child->files && child->space)
		return child;
	process_abandon(child);
	return NULL;
}

int process_start(void (*run)(void *with), void *with)
{
	struct process *process = kmalloc(sizeof(*process));
	const struct regs regs = { .orig_rax = (uint64_t)-1, .cs = LV_CS3, .rflags = 0x202, .ss = LV_SS3 };
	void *vectors = page_alloc_zeroed(0);

	if (process && vectors) {
		*process = first;
		begin(process, &first);
		memset(process->signals.action, 0, sizeof(process->signals.action));
		process->pid = process->group = process->session = tid_new();
		process->adopted = true;
		credentials_root(process);
		limits_start(process);
		process->next = processes;
		processes = process;
		process->where = where_copy(first.where);
		process->files = fd_table_new();
		process->space = space_get(first.space);
		if (!current->xsave) /* of the first thread, as when a second one is made */
			current->xsave = page_alloc_zeroed(0);
		struct thread *thread = process->where && process->files && current->xsave ? thread_new(process, &regs, 0) : NULL;

		if (thread) {
			thread->xsave = vectors;
			thread->begin = run;
			thread->begin_with = with;
			return process->pid;
		}
		process_abandon(process);
	} else {
		kfree(process);
	}
	if (vectors)
		page_free(vectors, 0);
	return 0;
}

/* ---- the end ---- */

void process_release_parent(struct process *process)
{
	process->holds_parent = false;
	wake_all(&process->changed, EPOLLIN);
}

bool process_make_room(void)
{
	struct process *victim = NULL;
	char text[96];

	if (current->process != &first)
		return false;
	for (struct process *process = processes; process; process = process->next)
		if (process != &first && process->space && !process->ending && process->space != first.space &&
		    (!victim || space_size(process->space) > space_size(victim->space)))
			victim = process;
	if (!victim)
		return false;
	space_give_up(victim->space);
	snprintf(text, sizeof(text), "lightvm: out of memory: process %d was ended\n", victim->pid);
	console_note(text);
	for (struct process *process = processes; process; process = process->next) /* and all that share its memory */
		if (process->space == victim->space)
			process_end(process, SIGKILL);
	return true;
}

static bool has_stopped(int group)
{
	for (const struct process *process = processes; process; process = process->next)
		if (process->group == group && process->signals.stopped)
			return true;
	return false;
}

/* This child has ended, or its parent does: nobody could wake those of its group any more, who are stopped. They are told, and go on. */
static void tell_orphaned_group(const struct process *parent, const struct process *child)
{
	if (child->group == parent->group || child->session != parent->session || !has_stopped(child->group) || !process_group_is_orphaned(child->group))
		return;
	(void)signal_send_group(child->group, SIGHUP, NULL);
	(void)signal_send_group(child->group, SIGCONT, NULL);
}

/* Who takes over the children of one that ends: the nearest of its ancestors that asked for it, else the first. */
static struct process *reaper_of(const struct process *process)
{
	struct process *reaper = process->parent;

	while (reaper && !(reaper->subreaper && !reaper->ending))
		reaper = reaper->parent;
	return reaper ? reaper : process_first();
}

static void give_away_children(struct process *parent)
{
	struct process *reaper = reaper_of(parent);

	for (struct process *child = processes, *next; child; child = next) {
		next = child->next;
		if (child->parent != parent)
			continue;
		child->parent = reaper;
		child->exit_signal = SIGCHLD;
		child->adopted = !reaper->subreaper;
		tell_orphaned_group(parent, child);
		if (child->death_signal && !child->dead)
			signal_send_process(child, child->death_signal, NULL);
		if (!child->dead)
			continue;
		process_tell_parent(child, 0, 0);
		if (child->adopted) /* or the new parent does not ask */
			forget(child);
	}
}

void process_finish(void)
{
	struct process *process = current->process;

	if (process == &first)
		process_end(process, process->exit_status);
	process->ending = true;
	memcpy(process->name, current->name, sizeof(process->name));
	sem_process_ends(process->pid);
	aio_process_ends(process);
	timer_cancel(&process->cpu_watch);
	timers_end(process, true);
	give_back_files(process);
	net_process_ends();
	leave_program(process);
	struct space *space = process->space;

	process->space = NULL; /* first, since the last mapping of a file may wait for its locks to be given back */
	space_enter(first.space); /* whatever it is: it has the window */
	space_put(space);
	space_enter(first.space);
	sem_process_ends(process->pid);
	give_away_children(process);
	if (process->session == process->pid)
		terminal_session_ended(process->session);
	process->dead = true;
	if (process->parent)
		tell_orphaned_group(process->parent, process);
	signal_process_ends(process);
	process_release_parent(process);
	process_tell_parent(process, 0, 0);
	if (!process->adopted)
		return;
	unlist(process); /* the rest goes with the thread (thread_reap) */
	cpu_time_process_ends(process);
}

void process_reap(struct process *child)
{
	child->parent->children_ns += child->ended_threads_ns + child->children_ns;
	forget(child);
}

bool thread_must_end(const struct thread *thread)
{
	return thread->process->ending || (thread->process->alone && thread->process->alone != thread);
}

int process_id(void)
{
	return current->process->pid;
}
