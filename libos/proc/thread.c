/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the program: made, found, ended. */
#include "libos/core/libos.h"
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
}

/* The boot flow becomes the program's first thread: it lives on the boot stack. */
void sched_init(void)
{
	main_thread.tid = next_tid = process_id();
	main_thread.stack_top = (uint64_t)boot_stack_top;
	main_thread.regs = (struct regs *)main_thread.stack_top - 1;
	main_thread.last_start = clock_monotonic();
	kstack_top = main_thread.stack_top;
	list_add(&main_thread);
}

struct thread *thread_new(const struct regs *regs, uint64_t fs_base)
{
	struct thread *thread = kzalloc(sizeof(*thread));
	uint64_t stack_top = thread ? kstack_new() : 0;
	if (!stack_top) {
		kfree(thread);
		return NULL;
	}
	thread->tid = ++next_tid;
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
	if (dead != &main_thread) {
		kstack_free(dead->stack_top);
		kfree(dead);
	}
	dead = NULL;
}

void thread_exit(void)
{
	futex_thread_exit(current);
	timer_cancel(&current->timeout);
	list_remove(current);
	if (thread_count == 0)
		process_exit(process_exit_status());
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

void process_exit(int wait_status)
{
	if (exit_hook)
		exit_hook();
	vm_exit(wait_status);
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
