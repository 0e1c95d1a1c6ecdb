/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the program: made, found, ended. */
#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

static struct thread main_thread;
struct thread *current = &main_thread;
struct thread *threads;
int thread_count;
static int next_tid;
static struct thread *dead; /* its stack is freed by whoever runs next */

static void list_add(struct thread *thread)
{
	thread->prev = NULL;
	thread->next = threads;
	if (threads)
		threads->prev = thread;
	threads = thread;
	thread_count++;
	thread->process->thread_count++;
}

static void list_remove(struct thread *thread)
{
	if (thread->prev)
		thread->prev->next = thread->next;
	else
		threads = thread->next;
	if (thread->next)
		thread->next->prev = thread->prev;
	thread_count--;
	thread->process->thread_count--;
}

/* The boot flow becomes the program's first thread: it lives on the boot stack. */
void sched_init(void)
{
	process_start_first();
	main_thread.tid = next_tid = process_id();
	main_thread.stack_top = (uint64_t)boot_stack_top;
	main_thread.regs = (struct regs *)main_thread.stack_top - 1;
	main_thread.last_start = clock_show(LV_CLOCK_RUN);
	kstack_top = main_thread.stack_top;
	list_add(&main_thread);
}

#define TID_MAX 32767 /* below kernel.pid_max */

static bool tid_is_used(int tid)
{
	for (const struct process *process = processes; process; process = process->next)
		if (process->pid == tid || process->group == tid || process->session == tid)
			return true;
	return thread_find(tid);
}

int tid_new(void)
{
	for (int tries = 0; tries < TID_MAX; tries++) {
		next_tid = next_tid < TID_MAX ? next_tid + 1 : 2;
		if (!tid_is_used(next_tid))
			return next_tid;
	}
	return 0;
}

struct thread *thread_new(struct process *process, const struct regs *regs, uint64_t fs_base)
{
	struct thread *thread = kzalloc(sizeof(*thread));
	int tid = process->thread_count ? tid_new() : process->pid;
	uint64_t stack_top = thread && tid ? kstack_new() : 0;
	if (!stack_top) {
		kfree(thread);
		return NULL;
	}
	thread->process = process;
	thread->space = process->space;
	thread->tid = tid;
	thread->stack_top = stack_top;
	thread->regs = (struct regs *)thread->stack_top - 1;
	*thread->regs = *regs;
	thread->fs_base = fs_base;
	/* What switch_stacks pops: six registers and the address of thread_start, which finds RSP 8 below the registers. */
	uint64_t *sp = (uint64_t *)thread->regs - 1;
	*--sp = (uint64_t)thread_start;
	thread->sp = (uint64_t)(sp - 6);
	memset((void *)thread->sp, 0, 6 * sizeof(uint64_t));
	list_add(thread);
	sched_add(thread);
	return thread;
}

void thread_reap(void)
{
	if (!dead || dead == current)
		return;
	struct process *process = dead->process;
	bool last = dead->last;

	if (dead != &main_thread) {
		kstack_free(dead->stack_top);
		kfree(dead);
	}
	dead = NULL;
	if (last && process->adopted)
		process_put(process);
}

void thread_exit(void)
{
	struct process *process = current->process;

	futex_thread_exit(current);
	timer_cancel(&current->timeout);
	current->last = process->thread_count == 1;
	if (current->last)
		process_finish();
	list_remove(current);
	if (process->alone)
		wake_all(&process->changed, 0);
	if (current->xsave)
		page_free(current->xsave, 0);
	current->xsave = NULL;
	current->state = THREAD_DEAD;
	dead = current;
	sched_leave();
}

struct thread *thread_find(int tid)
{
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->tid == tid)
			return thread;
	return NULL;
}

int current_tid(void)
{
	return current->tid;
}

static void (*exit_hook)(void);

void process_exit_first(void (*hook)(void))
{
	exit_hook = hook;
}

void process_end(struct process *process, int wait_status)
{
	if (process == process_first()) {
		if (exit_hook)
			exit_hook();
		remote_end();
		vm_exit(wait_status);
	}
	if (process->ending)
		return;
	process->ending = true;
	process->exit_status = wait_status;
	process->signals.stopped = false;
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process)
			thread_wake(thread);
}

void process_exit(int wait_status)
{
	process_end(current->process, wait_status);
	thread_exit();
}

void threads_tell(void)
{
	struct lv_thread *list = page_alloc(0);
	uint64_t count = 0, total = 0;

	shared_page->ask_threads = 0;
	for (struct thread *thread = threads; thread; thread = thread->next, total++) {
		if (!list || count == LV_THREADS_MAX)
			continue;
		list[count] = (struct lv_thread){ .tid = thread->tid, .cpu_ns = thread_cpu_ns(thread),
			.state = thread->state == THREAD_RUNNABLE ? 'R' : 'S' };
		memcpy(list[count++].name, thread->name, sizeof(list->name));
	}
	shared_page->arg[1] = count;
	shared_page->arg[2] = total;
	hypercall(LV_HC_THREADS, (uint64_t)list);
	if (list)
		page_free(list, 0);
}
