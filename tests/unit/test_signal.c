/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: pending sets and queues, masks, handler frames and the way back, restart rules, default actions, timers. */
#include <stdarg.h>

#include "proc_world.h"
#include "user_faults.h"

#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#include <cmocka.h>

#define CALL(name, ...) sys_##name((const long[6]){__VA_ARGS__})
#define HANDLER 0x4000u
#define RESTORER 0x5000u

SYSCALL(rt_sigaction);
SYSCALL(rt_sigprocmask);
SYSCALL(rt_sigpending);
SYSCALL(rt_sigsuspend);
SYSCALL(rt_sigtimedwait);
SYSCALL(rt_sigqueueinfo);
SYSCALL(rt_sigreturn);
SYSCALL(sigaltstack);
SYSCALL(kill);
SYSCALL(tgkill);
SYSCALL(timer_create);
SYSCALL(timer_settime);
SYSCALL(timer_gettime);
SYSCALL(timer_getoverrun);
SYSCALL(timer_delete);
SYSCALL(setitimer);
SYSCALL(alarm);

static int setup(void **state)
{
	world_reset(0);
	return 0;
}

static void handle(int signo, uint64_t flags, uint64_t mask)
{
	struct sigaction_k action = {HANDLER, flags | SA_RESTORER, RESTORER, mask};

	assert_int_equal(CALL(rt_sigaction, signo, (long)&action, 0, 8), 0);
}

static bool entered(int signo)
{
	return world_regs.rip == HANDLER && world_regs.rdi == (uint64_t)signo;
}

static void test_handler_and_back(void **state)
{
	struct regs before;

	handle(SIGUSR1, SA_SIGINFO, SIG_BIT(SIGUSR2));
	assert_int_equal(CALL(kill, 1, SIGUSR1), 0);
	assert_true(signal_pending());
	before = world_regs;
	signal_deliver(&world_regs);
	assert_true(entered(SIGUSR1));
	assert_int_equal(world_regs.rsp % 16, 8);
	assert_true(world_regs.rsp < before.rsp - 128);
	assert_int_equal(*(uint64_t *)world_regs.rsp, RESTORER);
	assert_int_equal(((struct siginfo_k *)world_regs.rsi)->kill.pid, 1);
	assert_int_equal(((struct ucontext *)world_regs.rdx)->uc_mcontext.rip, before.rip);
	assert_int_equal(current->sig_blocked, SIG_BIT(SIGUSR1) | SIG_BIT(SIGUSR2));
	assert_true(current->restore_all);
	/* the handler changes registers and returns */
	world_regs.rbx = world_regs.r15 = 99;
	world_regs.rflags |= 0x3001;
	world_regs.rsp += 8;
	world_regs.orig_rax = 15;
	assert_int_equal(CALL(rt_sigreturn, 0), before.rax);
	before.orig_rax = (uint64_t)-1;
	before.rflags |= 0x3000; /* not the program's to change */
	assert_memory_equal(&before, &world_regs, sizeof(before));
	assert_int_equal(current->sig_blocked, 0);
}

static void test_vector_registers(void **state)
{
	uint64_t in[2] = {0x1122334455667788, 0x99aabbccddeeff00}, out[2], zero[2] = {0};

	handle(SIGUSR1, SA_SIGINFO, 0);
	CALL(kill, 1, SIGUSR1);
	__asm__ volatile("movdqu %0, %%xmm13" : : "m"(in) : "xmm13");
	signal_deliver(&world_regs);
	struct ucontext *uc = (struct ucontext *)world_regs.rdx;
	struct _fpstate *fp = uc->uc_mcontext.fpstate;

	assert_memory_equal(&fp->xmm_space[13 * 4], in, sizeof(in));
	assert_int_equal((uint64_t)fp % 64, 0);
	assert_int_equal(fp->sw_reserved.magic1, FP_XSTATE_MAGIC1);
	assert_int_equal(*(uint32_t *)((char *)fp + fp->sw_reserved.xstate_size), FP_XSTATE_MAGIC2);
	assert_true(uc->uc_flags & UC_FP_XSTATE);
	world_regs.rsp += 8;
	__asm__ volatile("movdqu %0, %%xmm13" : : "m"(zero) : "xmm13");
	CALL(rt_sigreturn, 0);
	__asm__ volatile("movdqu %%xmm13, %0" : "=m"(out));
	assert_memory_equal(in, out, sizeof(in));
}

static void test_broken_frame(void **state)
{
	handle(SIGUSR1, SA_SIGINFO, 0);
	CALL(kill, 1, SIGUSR1);
	signal_deliver(&world_regs);
	struct ucontext *uc = (struct ucontext *)world_regs.rdx;

	((uint64_t *)uc->uc_mcontext.fpstate)[512 / 8] = 1ull << 40; /* a state component that does not exist */
	world_regs.rsp += 8;
	assert_true(WORLD_ENDS(CALL(rt_sigreturn, 0)));
	assert_int_equal(world_exit_status, 1000 + SIGSEGV);
}

static void test_no_stack(void **state)
{
	user_faults_catch();
	handle(SIGUSR1, 0, 0);
	CALL(kill, 1, SIGUSR1);
	world_regs.rsp = 5000; /* the frame would reach into page 0 */
	assert_true(WORLD_ENDS(signal_deliver(&world_regs)));
	assert_int_equal(world_exit_status, 1000 + SIGSEGV);
}

static void test_blocked(void **state)
{
	uint64_t set = SIG_BIT(SIGUSR1) | SIG_BIT(SIGKILL), got;

	handle(SIGUSR1, 0, 0);
	assert_int_equal(CALL(rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8), 0);
	assert_int_equal(current->sig_blocked, SIG_BIT(SIGUSR1));
	CALL(kill, 1, SIGUSR1);
	CALL(tgkill, 1, 1, SIGUSR1);
	assert_false(signal_pending());
	assert_int_equal(CALL(rt_sigpending, (long)&got, 8), 0);
	assert_int_equal(got, SIG_BIT(SIGUSR1));
	signal_deliver(&world_regs);
	assert_false(entered(SIGUSR1));
	assert_int_equal(CALL(rt_sigprocmask, 77, (long)&set, 0, 8), -EINVAL);
	CALL(rt_sigprocmask, SIG_UNBLOCK, (long)&set, 0, 8);
	assert_true(signal_pending());
}

static void test_choice_of_thread(void **state)
{
	handle(SIGUSR1, 0, 0);
	world_thread[0].sig_blocked = SIG_BIT(SIGUSR1);
	world_thread[2].sig_blocked = 0;
	CALL(kill, 1, SIGUSR1);
	assert_true(world_thread[2].woken);
	assert_false(world_thread[0].woken);
	assert_false(signal_pending());
	assert_int_equal(CALL(tgkill, 1, 7, SIGUSR1), -ESRCH);
	assert_int_equal(CALL(tgkill, 2, 1, SIGUSR1), -ESRCH);
	assert_int_equal(CALL(kill, 5, SIGUSR1), -ESRCH);
	assert_int_equal(CALL(kill, 1, 65), -EINVAL);
	assert_int_equal(CALL(kill, 0, 0), 0);
}

static void test_default_actions(void **state)
{
	CALL(kill, 1, SIGCHLD);
	CALL(kill, 1, SIGWINCH);
	assert_false(signal_pending());
	CALL(kill, 1, SIGTERM);
	assert_true(WORLD_ENDS(signal_deliver(&world_regs)));
	assert_int_equal(world_exit_status, SIGTERM);
	assert_string_equal(world_note, "");
	assert_true(WORLD_ENDS(CALL(kill, 1, SIGKILL)));
	assert_int_equal(world_exit_status, SIGKILL);
	assert_string_equal(world_note, "lightvm: the program was ended by SIGKILL, which it raised itself\n");
}

/* What came from outside is no news to who sent it. */
static void test_end_from_outside(void **state)
{
	test_shared_page.signals = 1u << (SIGABRT - 1);
	signal_poll_outside();
	assert_true(WORLD_ENDS(signal_deliver(&world_regs)));
	assert_int_equal(world_exit_status, SIGABRT);
	assert_string_equal(world_note, "");
}

/* Real-time signals have no names. */
static void test_end_by_number(void **state)
{
	CALL(kill, 1, 40);
	assert_true(WORLD_ENDS(signal_deliver(&world_regs)));
	assert_string_equal(world_note, "lightvm: the program was ended by signal 40, which it raised itself\n");
}

static void test_ignored(void **state)
{
	struct sigaction_k ignore = {.handler = 1}, old;
	uint64_t set = SIG_BIT(SIGTERM);

	CALL(rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8);
	CALL(kill, 1, SIGTERM);
	assert_int_equal(CALL(rt_sigaction, SIGTERM, (long)&ignore, (long)&old, 8), 0);
	assert_int_equal(signal_pending_set(), 0); /* ignoring throws away what waits */
	CALL(rt_sigprocmask, SIG_UNBLOCK, (long)&set, 0, 8);
	CALL(kill, 1, SIGTERM);
	assert_false(signal_pending());
	assert_int_equal(CALL(rt_sigaction, SIGKILL, (long)&ignore, 0, 8), -EINVAL);
	assert_int_equal(CALL(rt_sigaction, 65, 0, 0, 8), -EINVAL);
	assert_int_equal(CALL(rt_sigaction, 1, 0, 0, 4), -EINVAL);
}

static int continue_later(uint64_t deadline)
{
	assert_false(signal_pending()); /* stopped: nothing is taken */
	CALL(kill, 1, SIGCONT);
	return 0;
}

static void test_stop_and_continue(void **state)
{
	CALL(kill, 1, SIGSTOP);
	world_while_waiting = continue_later;
	signal_deliver(&world_regs);
	assert_false(signal_pending());
	CALL(kill, 1, SIGTSTP); /* nobody could continue it */
	assert_false(signal_pending());
}

static void queue_value(int signo, uint64_t value, long expected)
{
	struct siginfo_k info = {.code = SI_QUEUE, .kill.value = value};

	assert_int_equal(CALL(rt_sigqueueinfo, 1, signo, (long)&info), expected);
}

static void test_real_time_queue(void **state)
{
	uint64_t set = SIG_BIT(40) | SIG_BIT(SIGUSR1);
	struct siginfo_k info;

	CALL(rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8);
	for (uint64_t i = 0; i < SIG_QUEUE_MAX; i++)
		queue_value(40, i, 0);
	queue_value(40, 1, -EAGAIN);
	queue_value(SIGUSR1, 5, 0); /* comes all the same, without what was sent along */
	queue_value(SIGUSR1, 6, 0); /* merged */
	assert_int_equal(signal_take(~0ull, &info), SIGUSR1);
	assert_int_equal(info.kill.value, 0);
	queue_value(SIGUSR1, 7, 0);
	assert_int_equal(signal_take(set, &info), SIGUSR1);
	for (uint64_t i = 0; i < SIG_QUEUE_MAX; i++) {
		assert_int_equal(signal_take(set, &info), 40);
		assert_int_equal(info.kill.value, i);
	}
	assert_int_equal(signal_take(~0ull, &info), 0);
}

static void test_sigtimedwait(void **state)
{
	uint64_t set = SIG_BIT(SIGUSR1);
	struct siginfo_k info = {0};
	long timeout[2] = {0, 1000}, wrong[2] = {0, 1000000000};

	CALL(rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8);
	assert_int_equal(CALL(rt_sigtimedwait, (long)&set, (long)&info, (long)timeout, 8), -EAGAIN);
	assert_int_equal(CALL(rt_sigtimedwait, (long)&set, (long)&info, (long)wrong, 8), -EINVAL);
	CALL(tgkill, 1, 1, SIGUSR1);
	assert_int_equal(CALL(rt_sigtimedwait, (long)&set, (long)&info, (long)timeout, 8), SIGUSR1);
	assert_int_equal(info.code, SI_TKILL);
	assert_int_equal(info.kill.pid, 1);
}

static void test_suspend_restores_mask(void **state)
{
	uint64_t blocked = SIG_BIT(SIGUSR1), none = 0;

	handle(SIGUSR1, 0, 0);
	CALL(rt_sigprocmask, SIG_SETMASK, (long)&blocked, 0, 8);
	CALL(kill, 1, SIGUSR1);
	world_regs.rax = (uint64_t)CALL(rt_sigsuspend, (long)&none, 8);
	signal_deliver(&world_regs);
	assert_true(entered(SIGUSR1));
	struct ucontext *uc = (struct ucontext *)world_regs.rdx;

	assert_int_equal(uc->uc_sigmask, blocked); /* what the handler returns to */
	assert_int_equal((long)uc->uc_mcontext.rax, -EINTR);
	assert_false(current->sig_restore_mask);
}

static uint64_t rip_after(long result, uint64_t flags, bool with_handler)
{
	world_reset(7);
	if (with_handler) {
		handle(SIGUSR1, flags, 0);
		CALL(kill, 1, SIGUSR1);
	}
	world_regs.rax = (uint64_t)result;
	signal_deliver(&world_regs);
	if (!with_handler)
		return world_regs.rax == 7 ? world_regs.rip : 0;
	struct sigcontext *sc = &((struct ucontext *)world_regs.rdx)->uc_mcontext;

	return sc->rax == 7 ? sc->rip : (long)sc->rax == -EINTR ? 0 : 1;
}

static void test_restart(void **state)
{
	assert_int_equal(rip_after(-ERESTARTSYS, SA_RESTART, true), 0x401000);
	assert_int_equal(rip_after(-ERESTARTSYS, 0, true), 0);
	assert_int_equal(rip_after(-ERESTARTSYS, 0, false), 0x401000);
	assert_int_equal(rip_after(-ERESTARTNOINTR, 0, true), 0x401000);
	assert_int_equal(rip_after(-ERESTARTNOHAND, SA_RESTART, true), 0);
	assert_int_equal(rip_after(-ERESTARTNOHAND, 0, false), 0x401000);
	assert_int_equal(rip_after(-ERESTART_RESTARTBLOCK, SA_RESTART, true), 0);
	assert_true(wants_restart(-ERESTARTSYS) && wants_restart(-ERESTART_RESTARTBLOCK));
	assert_false(wants_restart(-EINTR) || wants_restart(0) || wants_restart(-517) || wants_restart(512));
	/* not after a trap */
	world_reset((uint64_t)-1);
	world_regs.rax = (uint64_t)-ERESTARTSYS;
	signal_deliver(&world_regs);
	assert_int_equal(world_regs.rip, 0x401002);
}

static void test_nested_delivery(void **state)
{
	uint64_t outer;

	handle(SIGUSR1, 0, 0);
	handle(SIGUSR2, SA_NODEFER | SA_RESETHAND, 0);
	CALL(kill, 1, SIGUSR2);
	CALL(kill, 1, SIGUSR1);
	signal_deliver(&world_regs);
	assert_true(entered(SIGUSR2)); /* the second frame lies on the first: it runs first */
	assert_int_equal(current->sig_blocked, SIG_BIT(SIGUSR1));
	assert_int_equal(signal_action_get(SIGUSR2).handler, 0);
	outer = ((struct ucontext *)world_regs.rdx)->uc_mcontext.rip;
	assert_int_equal(outer, HANDLER);
	assert_int_equal(((struct ucontext *)world_regs.rdx)->uc_mcontext.rdi, SIGUSR1);
}

static void test_altstack(void **state)
{
	static char area[8192] __attribute__((aligned(64)));
	stack_t stack = {.ss_sp = area, .ss_size = sizeof(area)}, old;

	assert_int_equal(CALL(sigaltstack, (long)&stack, 0), 0);
	handle(SIGUSR1, SA_ONSTACK, 0);
	CALL(kill, 1, SIGUSR1);
	signal_deliver(&world_regs);
	assert_true(world_regs.rsp > (uint64_t)area && world_regs.rsp < (uint64_t)area + sizeof(area));
	assert_int_equal(CALL(sigaltstack, (long)&stack, (long)&old), -EPERM);
	assert_int_equal(CALL(sigaltstack, 0, (long)&old), 0);
	assert_int_equal(old.ss_flags, SS_ONSTACK);
	world_regs.rsp += 8;
	CALL(rt_sigreturn, 0);
	stack.ss_size = 100;
	assert_int_equal(CALL(sigaltstack, (long)&stack, 0), -ENOMEM);
	stack.ss_size = sizeof(area);
	stack.ss_flags = (int)SS_AUTODISARM;
	assert_int_equal(CALL(sigaltstack, (long)&stack, 0), 0);
	CALL(kill, 1, SIGUSR1);
	signal_deliver(&world_regs);
	assert_int_equal(current->altstack_size, 0);
	world_regs.rsp += 8;
	CALL(rt_sigreturn, 0);
	assert_int_equal(current->altstack_size, sizeof(area)); /* armed again */
}

static void test_altstack_too_small(void **state)
{
	static char area[2048] __attribute__((aligned(64)));
	stack_t stack = {.ss_sp = area, .ss_size = sizeof(area)};

	assert_int_equal(CALL(sigaltstack, (long)&stack, 0), 0);
	handle(SIGUSR1, SA_ONSTACK, 0);
	CALL(kill, 1, SIGUSR1);
	signal_deliver(&world_regs);
	CALL(tgkill, 1, 1, SIGUSR1);
	signal_block(0);
	assert_true(WORLD_ENDS(signal_deliver(&world_regs))); /* a second frame would fall off the end */
	assert_int_equal(world_exit_status, 1000 + SIGSEGV);
}

static void test_fault(void **state)
{
	handle(SIGSEGV, SA_SIGINFO, 0);
	signal_fault(&world_regs, SIGSEGV, SEGV_MAPERR, 0x1234, 14, 6, 0x1234);
	signal_deliver(&world_regs);
	assert_true(entered(SIGSEGV));
	assert_int_equal(((struct siginfo_k *)world_regs.rsi)->fault.addr, 0x1234);
	struct sigcontext *sc = &((struct ucontext *)world_regs.rdx)->uc_mcontext;

	assert_int_equal(sc->trapno, 14);
	assert_int_equal(sc->err, 6);
	assert_int_equal(sc->cr2, 0x1234);
	/* now blocked: a second fault cannot be told */
	assert_true(WORLD_ENDS(signal_fault(&world_regs, SIGSEGV, SEGV_MAPERR, 1, 14, 6, 1)));
	assert_int_equal(world_exit_status, 1000 + SIGSEGV);
	world_reset(0);
	assert_true(WORLD_ENDS(signal_fault(&world_regs, SIGFPE, FPE_INTDIV, 1, 0, 0, 0)));
	assert_int_equal(world_exit_status, 1000 + SIGFPE);
}

static void test_outside(void **state)
{
	handle(SIGHUP, SA_SIGINFO, 0);
	test_shared_page.signals = 1u << (SIGHUP - 1);
	signal_poll_outside();
	assert_int_equal(test_shared_page.signals, 0);
	signal_deliver(&world_regs);
	assert_true(entered(SIGHUP));
	assert_int_equal(((struct siginfo_k *)world_regs.rsi)->kill.pid, 0);
}

/* ---- timers ---- */

static void wait_until(uint64_t deadline)
{
	while (clock_monotonic() < deadline)
		;
	timers_run();
}

static void test_posix_timer(void **state)
{
	struct { uint64_t value; int signo, notify, tid, pad[11]; } event = {77, SIGUSR1, SIGEV_SIGNAL, 0, {0}};
	long spec[4] = {0, 1000, 0, 1000}; /* every 1000 ticks of the test's clock */
	struct siginfo_k info;
	int id = 0;

	current->sig_blocked = SIG_BIT(SIGUSR1);
	assert_int_equal(CALL(timer_create, CLOCK_MONOTONIC, (long)&event, (long)&id), 0);
	assert_int_equal(CALL(timer_create, 99, (long)&event, (long)&id), -EINVAL);
	assert_int_equal(CALL(timer_settime, id, 0, (long)spec, 0), 0);
	wait_until(clock_monotonic() + 10000);
	wait_until(clock_monotonic() + 10000);
	assert_int_equal(signal_take(~0ull, &info), SIGUSR1);
	assert_int_equal(info.code, SI_TIMER);
	assert_int_equal(info.timer.timer_id, id);
	assert_int_equal(info.timer.value, 77);
	assert_true(info.timer.overrun >= 15);
	assert_int_equal(signal_take(~0ull, &info), 0); /* one signal only */
	assert_true(CALL(timer_getoverrun, id) >= 15);
	assert_int_equal(CALL(timer_delete, id), 0);
	assert_int_equal(CALL(timer_delete, id), -EINVAL);
	assert_int_equal(timers_next(), 0);
	event.signo = 70;
	assert_int_equal(CALL(timer_create, CLOCK_MONOTONIC, (long)&event, (long)&id), -EINVAL);
}

static void test_alarm(void **state)
{
	long real[4] = {0, 0, 0, 5}, off[4] = {0}, old[4];

	assert_int_equal(CALL(alarm, 100), 0);
	assert_int_equal(CALL(alarm, 50), 100);
	assert_int_equal(CALL(setitimer, 0, (long)off, (long)old), 0);
	assert_true(old[2] == 49 || old[2] == 50);
	assert_int_equal(timers_next(), 0);
	handle(SIGALRM, 0, 0);
	assert_int_equal(CALL(setitimer, 0, (long)real, 0), 0);
	wait_until(clock_monotonic() + 10000);
	signal_deliver(&world_regs);
	assert_true(entered(SIGALRM));
	assert_int_equal(CALL(setitimer, 3, (long)real, 0), -EINVAL);
	real[3] = 1000000;
	assert_int_equal(CALL(setitimer, 0, (long)real, 0), -EINVAL);
}

static void test_processor_timer(void **state)
{
	long prof[4] = {0, 0, 0, 5}, off[4] = {0};

	handle(SIGPROF, 0, 0);
	current->last_start = clock_monotonic();
	assert_int_equal(CALL(setitimer, 2, (long)prof, 0), 0);
	wait_until(clock_monotonic() + 1100000);
	assert_true(signal_pending());
	CALL(setitimer, 2, (long)off, 0);
	assert_int_equal(timers_next(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_handler_and_back, setup), cmocka_unit_test_setup(test_vector_registers, setup),
		cmocka_unit_test_setup(test_broken_frame, setup), cmocka_unit_test_setup(test_no_stack, setup),
		cmocka_unit_test_setup(test_blocked, setup), cmocka_unit_test_setup(test_choice_of_thread, setup),
		cmocka_unit_test_setup(test_default_actions, setup), cmocka_unit_test_setup(test_end_from_outside, setup),
		cmocka_unit_test_setup(test_end_by_number, setup), cmocka_unit_test_setup(test_ignored, setup),
		cmocka_unit_test_setup(test_stop_and_continue, setup), cmocka_unit_test_setup(test_real_time_queue, setup),
		cmocka_unit_test_setup(test_sigtimedwait, setup), cmocka_unit_test_setup(test_suspend_restores_mask, setup),
		cmocka_unit_test_setup(test_restart, setup), cmocka_unit_test_setup(test_nested_delivery, setup),
		cmocka_unit_test_setup(test_altstack, setup), cmocka_unit_test_setup(test_altstack_too_small, setup),
		cmocka_unit_test_setup(test_fault, setup), cmocka_unit_test_setup(test_outside, setup),
		cmocka_unit_test_setup(test_posix_timer, setup), cmocka_unit_test_setup(test_alarm, setup),
		cmocka_unit_test_setup(test_processor_timer, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
