/* SPDX-License-Identifier: Apache-2.0 */
/* execve(2): the process goes on with another program. What can fail does so before anything of the old one is gone. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/personality.h>

#define ARGS_MOST (STACK_SIZE / 4 - LV_PAGE) /* kmalloc can have so much in one piece */
#define ARG_MOST (32 * LV_PAGE) /* bytes of one string, as on Linux */

static int make_room(struct exec_request *request, size_t more)
{
	size_t room = MAX(request->room * 2, ALIGN_UP(request->args_size + more, LV_PAGE));
	char *bigger;

	if (request->args_size + more <= request->room)
		return 0;
	if (request->args_size + more > ARGS_MOST)
		return -E2BIG;
	bigger = krealloc(request->args, MIN(room, ARGS_MOST));
	if (!bigger)
		return -ENOMEM;
	request->args = bigger;
	request->room = MIN(room, ARGS_MOST);
	return 0;
}

/* One string of the program: 0 or -errno. */
static int add_string(struct exec_request *request, uaddr_t from)
{
	for (size_t size = 256;; size *= 4) {
		int err = make_room(request, MIN(size, ARG_MOST));
		int64_t n;

		if (err == -E2BIG && request->args_size < ARGS_MOST) { /* it may be shorter than was tried */
			size = ARGS_MOST - request->args_size;
			err = make_room(request, size);
		}
		if (err)
			return err;
		n = user_string(request->args + request->args_size, from, MIN(size, ARG_MOST));
		if (n >= 0)
			request->args_size += n + 1;
		if (n != -ENAMETOOLONG)
			return n < 0 ? (int)n : 0;
		if (size >= ARG_MOST || request->args_size + size >= ARGS_MOST)
			return -E2BIG;
	}
}

static int add_strings(struct exec_request *request, uaddr_t vector, uint32_t *count)
{
	for (uaddr_t string; vector; vector += sizeof(string)) {
		if (user_get(&string, vector))
			return -EFAULT;
		if (!string)
			break;
		int err = add_string(request, string);

		if (err)
			return err;
		++*count;
	}
	return 0;
}

/* All other threads of the process end. False: another one was first, or the process ends. */
static bool be_alone(void)
{
	struct process *process = current->process;

	if (thread_must_end(current))
		return false;
	process->alone = current;
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process && thread != current)
			thread_wake(thread);
	while (process->thread_count > 1 && !process->ending)
		wait_on(&process->changed, 0);
	process->alone = NULL;
	return !process->ending;
}

/* From here on there is no way back. */
static int commit(struct space *new)
{
	struct process *process = current->process;
	struct space *old = process->space;
	int err = fd_table_own(&process->files);

	if (err)
		return err;

	current->sig_parked = true; /* a signal waits for the new program */
	bool alone = be_alone();

	current->sig_parked = false;
	if (!alone)
		return -EINTR;
	futex_program_exit(current);
	current->rseq = 0;
	process->space = current->space = new;
	space_enter(new);
	space_put(old);
	current->tid = process->pid;
	process->executed = true;
	process_release_parent(process);
	return 0;
}

/* What the next program does not get. */
static void drop_old(void)
{
	struct process *process = current->process;

	fd_table_close_on_exec(process->files);
	signals_execute();
	timers_end(process, false);
	aio_process_ends(process);
	vectors_reset();
	__asm__ volatile("wrfsbase %0; wrgsbase %0" : : "r"(0ull));
	process->personality &= ~(uint32_t)READ_IMPLIES_EXEC;
}

static void give_up(struct exec_request *request)
{
	if (request->file)
		file_put(request->file);
	kfree(request->args);
	kfree(request);
}

int process_execute(struct exec_request *request)
{
	uint64_t entry, stack;
	int err = exec_replace(request, &entry, &stack, commit);

	give_up(request);
	if (err)
		return err;
	drop_old();
	*current->regs = (struct regs){ .orig_rax = (uint64_t)-1, .rip = entry, .cs = LV_CS3, .rflags = 0x202, .rsp = stack, .ss = LV_SS3 };
	current->restore_all = true;
	return 0;
}

static long execute(int dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp, int flags)
{
	struct exec_request *request = kzalloc(sizeof(*request));
	int err;

	if (!request)
		return -ENOMEM;
	err = file_open_program(dirfd, path, flags, &request->file, request->path, sizeof(request->path));
	if (!err)
		err = add_strings(request, argv, &request->argc);
	if (!err && !request->argc) { /* Linux gives a program at least an empty name */
		err = make_room(request, 1);
		if (!err) {
			request->args[request->args_size++] = 0;
			request->argc = 1;
		}
	}
	if (!err)
		err = add_strings(request, envp, &request->envc);
	if (!err)
		return process_execute(request);
	give_up(request);
	return err;
}

SYSCALL(execve)
{
	return execute(AT_FDCWD, (uaddr_t)a[0], (uaddr_t)a[1], (uaddr_t)a[2], 0);
}

SYSCALL(execveat)
{
	if (a[4] & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	return execute((int)a[0], (uaddr_t)a[1], (uaddr_t)a[2], (uaddr_t)a[3], (int)a[4]);
}
