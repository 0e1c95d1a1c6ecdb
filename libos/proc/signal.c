/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: which wait for whom, who takes them, and what they do when nobody handles them. */
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#define HANDLER_DEFAULT 0ull
#define HANDLER_IGNORE 1ull
#define UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))
/* Of a terminal: they do nothing where no shell could wake the process group again. SIGSTOP itself always stops. */
#define TERMINAL_STOPS (SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define STOPS (SIG_BIT(SIGSTOP) | TERMINAL_STOPS)
#define SYNCHRONOUS \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))

struct waitq signal_queue;

static struct signals *own(void)
{
	return &current->process->signals;
}

struct sigaction_k signal_action_get(int signo)
{
	return own()->action[signo];
}

static bool ignored(const struct process *process, int signo)
{
	uint64_t handler = process->signals.action[signo].handler;

	if (handler == HANDLER_DEFAULT && TERMINAL_STOPS & SIG_BIT(signo))
		return process_group_is_orphaned(process->group);
	return handler == HANDLER_IGNORE || (handler == HANDLER_DEFAULT && (IGNORED_BY_DEFAULT & SIG_BIT(signo)));
}

bool signal_is_deaf(int signo)
{
	return current->process->signals.action[signo].handler == HANDLER_IGNORE || (current->sig_blocked & SIG_BIT(signo));
}

static uint32_t queued; /* entries of all queues */

uint32_t signal_queued(void)
{
	return queued;
}

static void entry_free(struct sig_entry *entry)
{
	kfree(entry);
	queued--;
}

static void flush(uint64_t *pending, struct sig_entry **queue, uint64_t set)
{
	*pending &= ~set;
	for (struct sig_entry **at = queue; *at;) {
		struct sig_entry *entry = *at;

		if (!(SIG_BIT(entry->info.signo) & set)) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		entry_free(entry);
	}
}

static void flush_everywhere(struct process *process, uint64_t set)
{
	flush(&process->signals.pending, &process->signals.queue, set);
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process)
			flush(&thread->sig_pending, &thread->sig_queue, set);
}

void signal_action_set(int signo, const struct sigaction_k *action)
{
	own()->action[signo] = *action;
	own()->action[signo].mask &= ~UNBLOCKABLE;
	if (ignored(current->process, signo))
		flush_everywhere(current->process, SIG_BIT(signo));
}

void signal_block(uint64_t mask)
{
	current->sig_blocked = mask & ~UNBLOCKABLE;
}

void signal_mask_temporarily(uint64_t mask)
{
	if (!current->sig_restore_mask)
		current->sig_saved_mask = current->sig_blocked;
	current->sig_restore_mask = true;
	signal_block(mask);
}

int signal_mask_from(uaddr_t from, size_t size)
{
	uint64_t mask;

	if (!from)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_get(&mask, from))
		return -EFAULT;
	signal_mask_temporarily(mask);
	return 0;
}

uint64_t signal_pending_set(void)
{
	return current->sig_pending | own()->pending;
}

bool signal_pending(void)
{
	if (thread_must_end(current))
		return true;
	if (current->sig_parked)
		return false;
	return own()->stopped || (signal_pending_set() & ~current->sig_blocked);
}

/* ---- sending ---- */

/*
 * Appends to a queue. A plain signal that waits already is not queued twice. Beyond the limit a signal that the kernel or
 * kill(2) sent arrives without its information; who queues real-time signals is told (sigqueue(3)).
 */
static int enqueue(uint64_t *pending, struct sig_entry **queue, int signo, const struct siginfo_k *info)
{
	struct sig_entry **at = queue, *entry = NULL;
	bool real_time = signo >= SIGRTMIN;

	if (!real_time && (*pending & SIG_BIT(signo)))
		return 0;
	if (queued < process_limit(RLIMIT_SIGPENDING) || (!real_time && info->code >= 0))
		entry = kmalloc(sizeof(*entry));
	if (!entry && real_time && info->code != SI_USER)
		return -EAGAIN;
	*pending |= SIG_BIT(signo);
	if (!entry)
		return 0;
	queued++;
	*entry = (struct sig_entry){ .info = *info };
	entry->info.signo = signo;
	while (*at)
		at = &(*at)->next;
	*at = entry;
	return 0;
}

static bool wants(const struct thread *thread, int signo)
{
	return thread->state != THREAD_DEAD && !(thread->sig_blocked & SIG_BIT(signo));
}

/* The first thread takes what it does not block, as on Linux. */
static struct thread *choose(const struct process *process, int signo)
{
	struct thread *first = thread_find(process->pid);

	if (first && wants(first, signo))
		return first;
	for (struct thread *thread = threads; thread; thread = thread->next)
		if (thread->process == process && wants(thread, signo))
			return thread;
	return NULL;
}

static void resume_stopped(struct process *process)
{
	if (process->signals.stopped)
		process_continue(process);
	wake_all(&process->signals.stop_queue, 0);
}

/*
 * Who starts a program sees a status above 128, and nothing else, where a shell says "Aborted". What the user's own keys,
 * pipes and commands bring about needs no words.
 */
static void signal_say_end(int signo, const struct siginfo_k *info)
{
	static const char *const names[] = { [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL", [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
		[SIGBUS] = "SIGBUS", [SIGFPE] = "SIGFPE", [SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV",
		[SIGUSR2] = "SIGUSR2", [SIGALRM] = "SIGALRM", [SIGSTKFLT] = "SIGSTKFLT", [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ",
		[SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGIO] = "SIGIO", [SIGPWR] = "SIGPWR", [SIGSYS] = "SIGSYS" };
	bool from_outside = (info->code == SI_USER && info->kill.pid != process_id()) || (signo == SIGQUIT && info->code == SI_KERNEL); /* a key */
	char text[96], number[16];
	const char *name = (size_t)signo < ARRAY_SIZE(names) ? names[signo] : number;

	if (from_outside || !name || current->process != process_first())
		return;
	snprintf(number, sizeof(number), "signal %d", signo);
	snprintf(text, sizeof(text), "lightvm: the program was ended by %s, which it raised itself\n", name);
	console_note(text);
}

int signal_post(struct process *process, struct thread *thread, int signo, const struct siginfo_k *info)
{
	const struct siginfo_k from_self = { .code = SI_USER, .kill = { .pid = process_id(), .uid = credentials()->uid } };
	struct thread *taker = thread ? thread : choose(process, signo);
	int err;

	if (!info)
		info = &from_self;
	if (process->dead)
		return 0;
	if (signo == SIGKILL) {
		if (process == process_first())
			signal_say_end(SIGKILL, info);
		process_end(process, SIGKILL);
		return 0;
	}
	if (signo == SIGCONT) {
		flush_everywhere(process, STOPS);
		resume_stopped(process);
	} else if (SIG_BIT(signo) & STOPS) {
		flush_everywhere(process, SIG_BIT(SIGCONT));
	}
	if (ignored(process, signo) && taker && wants(taker, signo))
		return 0;
	if (thread)
		err = enqueue(&thread->sig_pending, &thread->sig_queue, signo, info);
	else
		err = enqueue(&process->signals.pending, &process->signals.queue, signo, info);
	if (taker && wants(taker, signo) && !taker->sig_parked)
		thread_wake(taker);
	wake_all(&signal_queue, EPOLLIN);
	return err;
}

void signal_send(struct thread *thread, int signo, const struct siginfo_k *info)
{
	(void)signal_post(thread->process, thread, signo, info);
}

void signal_send_process(struct process *process, int signo, const struct siginfo_k *info)
{
	(void)signal_post(process, NULL, signo, info);
}

int signal_send_group(int group, int signo, const struct siginfo_k *info)
{
	int err = -ESRCH;

	for (struct process *process = processes; process; process = process->next) {
		if (process->group != group)
			continue;
		signal_send_process(process, signo, info);
		err = 0;
	}
	return err;
}

void signal_poll_outside(void)
{
	struct siginfo_k info = { .code = SI_USER };
	uint32_t bits = __atomic_exchange_n(&shared_page->signals, 0, __ATOMIC_ACQ_REL);

	for (; bits; bits &= bits - 1)
		signal_send_process(process_first(), __builtin_ctz(bits) + 1, &info);
}

void signal_fault(struct regs *regs, int signo, int code, uint64_t addr, uint64_t vector, uint64_t error, uint64_t cr2)
{
	struct siginfo_k info = { .signo = signo, .code = code, .fault.addr = addr };

	current->trap_vector = vector;
	current->trap_error = error;
	current->trap_cr2 = cr2;
	if (own()->action[signo].handler <= HANDLER_IGNORE || (current->sig_blocked & SIG_BIT(signo)))
		crash_program(regs, signo, vector, error, cr2);
	signal_send(current, signo, &info);
}

void signal_thread_exit(struct thread *thread)
{
	flush(&thread->sig_pending, &thread->sig_queue, ~0ull);
	/* A signal of the process that woke this thread must not be forgotten: somebody else takes it. */
	for (uint64_t left = thread->process->signals.pending; left; left &= left - 1) {
		struct thread *other = choose(thread->process, __builtin_ctzll(left) + 1);

		if (other && other != thread)
			thread_wake(other);
	}
}

void signal_process_ends(struct process *process)
{
	flush(&process->signals.pending, &process->signals.queue, ~0ull);
}

/* Handlers are gone with the program that had them; what was ignored stays ignored. */
void signals_execute(void)
{
	for (int signo = 1; signo <= SIG_MAX; signo++) {
		struct sigaction_k *action = &own()->action[signo];

		*action = (struct sigaction_k){ .handler = action->handler == HANDLER_IGNORE ? HANDLER_IGNORE : HANDLER_DEFAULT };
	}
	current->altstack_sp = current->altstack_size = current->altstack_flags = 0;
	current->sig_restore_mask = false;
}

bool signal_can_act(const struct process *target)
{
	const struct credentials *own_ids = credentials(), *ids = &target->credentials;

	return target == current->process || capable(CAP_KILL) || own_ids->euid == ids->suid || own_ids->euid == ids->uid ||
	       own_ids->uid == ids->suid || own_ids->uid == ids->uid;
}

/* ---- taking ---- */

/* Removes the oldest entry of the signal from a queue that has it pending. */
static void dequeue(uint64_t *pending, struct sig_entry **queue, int signo, struct siginfo_k *info)
{
	bool found = false, more = false;

	*info = (struct siginfo_k){ .signo = signo, .code = SI_USER };
	for (struct sig_entry **at = queue; *at;) {
		struct sig_entry *entry = *at;

		if (entry->info.signo == signo && found) {
			more = true;
			break;
		}
		if (entry->info.signo != signo) {
			at = &entry->next;
			continue;
		}
		found = true;
		*info = entry->info;
		*at = entry->next;
		entry_free(entry);
	}
	if (!more)
		*pending &= ~SIG_BIT(signo);
	if (info->code == SI_TIMER)
		posix_timer_delivered(info);
}

static int lowest(uint64_t set)
{
	if (set & SYNCHRONOUS)
		set &= SYNCHRONOUS;
	return set ? __builtin_ctzll(set) + 1 : 0;
}

int signal_take(uint64_t mask, struct siginfo_k *info)
{
	int signo = lowest(current->sig_pending & mask);

	if (signo) {
		dequeue(&current->sig_pending, &current->sig_queue, signo, info);
		return signo;
	}
	signo = lowest(own()->pending & mask);
	if (signo)
		dequeue(&own()->pending, &own()->queue, signo, info);
	return signo;
}

struct sig_entry *signal_find_timer(const struct process *process, int timer_id)
{
	struct sig_entry *entry;

	for (entry = process->signals.queue; entry; entry = entry->next)
		if (entry->info.code == SI_TIMER && entry->info.timer.timer_id == timer_id)
			return entry;
	for (struct thread *thread = threads; thread; thread = thread->next)
		for (entry = thread->process == process ? thread->sig_queue : NULL; entry; entry = entry->next)
			if (entry->info.code == SI_TIMER && entry->info.timer.timer_id == timer_id)
				return entry;
	return NULL;
}

/* ---- delivery ---- */

static void park_while_stopped(void)
{
	current->sig_parked = true;
	while (own()->stopped && !thread_must_end(current))
		wait_on(&own()->stop_queue, 0);
	current->sig_parked = false;
}

/* What becomes of a system call that a signal interrupted; action is NULL if no handler runs. */
static void settle_restart(struct regs *regs, const struct sigaction_k *action)
{
	bool interrupted;

	if ((int64_t)regs->orig_rax < 0)
		return;
	switch (-(int64_t)regs->rax) {
	case ERESTARTSYS:
		interrupted = action && !(action->flags & SA_RESTART);
		break;
	case ERESTARTNOINTR:
		interrupted = false;
		break;
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		interrupted = action != NULL;
		break;
	default:
		return;
	}
	if (interrupted) {
		regs->rax = (uint64_t)-EINTR;
	} else { /* also true for a patched call: what jumps is where the SYSCALL was, or that is still there */
		regs->rax = regs->orig_rax;
		regs->rip -= 2;
	}
	regs->orig_rax = (uint64_t)-1;
}

static void default_action(const struct siginfo_k *info)
{
	if (SIG_BIT(info->signo) & STOPS) {
		process_stop(info->signo);
		return;
	}
	signal_say_end(info->signo, info);
	process_exit(info->signo);
}

static void enter_handler(struct regs *regs, struct siginfo_k *info)
{
	struct sigaction_k action = own()->action[info->signo];
	uint64_t mask = current->sig_restore_mask ? current->sig_saved_mask : current->sig_blocked;

	settle_restart(regs, &action);
	if (!rseq_restart(regs) && info->signo == SIGSEGV)
		crash_program(regs, SIGSEGV, 13, 0, 0);
	if (!sigframe_push(regs, &action, info, mask)) {
		if (info->signo == SIGSEGV)
			crash_program(regs, SIGSEGV, current->trap_vector, current->trap_error, current->trap_cr2);
		signal_fault(regs, SIGSEGV, SI_KERNEL, 0, 14, 6, regs->rsp);
		return;
	}
	current->sig_restore_mask = false;
	current->restore_all = true;
	signal_block(current->sig_blocked | action.mask | (action.flags & SA_NODEFER ? 0 : SIG_BIT(info->signo)));
	if (action.flags & SA_RESETHAND)
		own()->action[info->signo].handler = HANDLER_DEFAULT;
}

void signal_deliver(struct regs *regs)
{
	struct siginfo_k info;

	for (;;) {
		park_while_stopped();
		if (thread_must_end(current))
			thread_exit();
		if (!signal_take(~current->sig_blocked, &info))
			break;
		if (ignored(current->process, info.signo))
			continue;
		if (own()->action[info.signo].handler == HANDLER_DEFAULT)
			default_action(&info);
		else
			enter_handler(regs, &info);
	}
	settle_restart(regs, NULL);
	if (current->sig_restore_mask) {
		current->sig_restore_mask = false;
		signal_block(current->sig_saved_mask);
	}
}
