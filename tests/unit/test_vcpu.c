/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of vCPUs under ThreadSanitizer, with a KVM_RUN of our own: two vCPUs that leave the guest all the time are kicked,
 * stopped, looked at and let go by other threads; a WAIT lives through being stopped; the end comes once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/vm.h"

#define CPUS 2
#define FIRST_FD 1000 /* the fake vCPUs': never opened */
#define STOPS 200
#define PATIENCE_S 30

struct fake_cpu {
	struct kvm_run run;
	bool incomplete; /* an exit that the next KVM_RUN has to complete; the vCPU's thread, or who stopped it */
	atomic_uint inside, exits, kicks, waits, kept_out;
};

static struct fake_cpu fake[CPUS];
static atomic_bool wants_wait, halts;
static atomic_uint halted; /* vCPUs that only a signal brings back */

/* In the guest until the time is over, or a signal comes: also one that came since the last look, which KVM does not lose either. */
static bool interrupted_within(const struct timespec *time, const sigset_t *allowed)
{
	return ppoll(NULL, 0, time, allowed) < 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
/* As KVM does: completes the last exit, and enters the guest only if nobody asked to stay out. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct fake_cpu *cpu = &fake[fd - FIRST_FD];

	assert_int_equal(request, KVM_RUN);
	cpu->incomplete = false;
	sigset_t kick, before;
	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &kick, &before);
	if (__atomic_load_n(&cpu->run.immediate_exit, __ATOMIC_SEQ_CST)) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		atomic_fetch_add(&cpu->kept_out, 1);
		errno = EINTR;
		return -1;
	}
	atomic_store(&cpu->inside, 1);
	bool for_long = atomic_load(&halts);
	if (for_long)
		atomic_fetch_add(&halted, 1);
	bool interrupted = interrupted_within(&(struct timespec){ .tv_sec = for_long ? 10 * PATIENCE_S : 0, .tv_nsec = 20000 }, &before);
	atomic_store(&cpu->inside, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (interrupted) {
		errno = EINTR;
		return -1;
	}
	cpu->run.exit_reason = KVM_EXIT_MMIO;
	cpu->incomplete = true;
	return 0;
}

static int on_exit_of_guest(struct vcpu *vcpu)
{
	struct fake_cpu *cpu = &fake[vcpu->index];

	status_count(&vcpu->vm->status.counts.exits_mmio);
	atomic_fetch_add(&cpu->exits, 1);
	if (atomic_load(&wants_wait))
		vcpu->wait = (struct vcpu_wait){ .underway = true };
	return VCPU_RUNNING;
}

static int on_kick_of_guest(struct vcpu *vcpu)
{
	atomic_fetch_add(&fake[vcpu->index].kicks, 1);
	return VCPU_RUNNING;
}

static int on_wait_of_guest(struct vcpu *vcpu)
{
	if (vcpu_sleep(vcpu, vcpu->wait.deadline))
		atomic_fetch_add(&fake[vcpu->index].waits, 1);
	return VCPU_RUNNING;
}

static const struct guest_ops fake_ops = { .bad_memory = "bad memory", .on_exit = on_exit_of_guest, .on_kick = on_kick_of_guest, .on_wait = on_wait_of_guest };

static atomic_uint stops;

/* As the monitor's: in the last vCPU's thread, and it may take the loop's lock. */
static void on_stopped(struct vm *vm)
{
	loop_lock(&vm->loop);
	if (vcpu_all_stopped(vm))
		atomic_fetch_add(&stops, 1);
	loop_unlock(&vm->loop);
}

struct world {
	struct vm vm;
	pthread_t runner;
	int result;
};

static void *runner(void *context)
{
	struct world *w = context;

	w->result = vcpu_run_all(&w->vm);
	return NULL;
}

static struct world *start(void)
{
	static struct world world;
	struct world *w = &world;

	memset(w, 0, sizeof(*w));
	memset(fake, 0, sizeof(fake));
	atomic_store(&wants_wait, false);
	atomic_store(&halts, false);
	atomic_store(&halted, 0);
	w->vm.guest = &fake_ops;
	vcpus_init(&w->vm);
	w->vm.vcpus.stopped = on_stopped;
	assert_int_equal(loop_init(&w->vm.loop), 0);
	status_init(&w->vm.status, -1);
	for (unsigned i = 0; i < CPUS; i++)
		w->vm.vcpu[i] = (struct vcpu){ .vm = &w->vm, .index = i, .fd = FIRST_FD + i, .run = &fake[i].run };
	w->vm.vcpu_count = CPUS;
	assert_int_equal(pthread_create(&w->runner, NULL, runner, w), 0);
	return w;
}

static int end(struct world *w, int status)
{
	vcpu_end_all(&w->vm, status);
	pthread_join(w->runner, NULL);
	loop_fini(&w->vm.loop);
	return w->result;
}

/* Until the counter exceeds the value. */
static void await(atomic_uint *counter, unsigned value, const char *what)
{
	time_t until = time(NULL) + PATIENCE_S;

	while (atomic_load(counter) <= value) {
		if (time(NULL) > until)
			fail_msg("%d s are over, and there was no %s", PATIENCE_S, what);
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

static void *kicker(void *context)
{
	struct world *w = context;
	struct lv_status status;

	for (unsigned i = 0; i < 4 * STOPS; i++) {
		vcpu_request(&w->vm.vcpu[i % CPUS], VCPU_KICK);
		loop_lock(&w->vm.loop);
		status_collect(&w->vm.status, &status);
		loop_unlock(&w->vm.loop);
	}
	return NULL;
}

static void stopped_vcpus_stand_still(void **state)
{
	struct world *w = start();
	pthread_t other;

	pthread_create(&other, NULL, kicker, w);
	for (unsigned i = 0; i < STOPS; i++) {
		unsigned exits[CPUS];

		assert_int_equal(vcpu_stop_all(&w->vm), 0);
		for (unsigned c = 0; c < CPUS; c++) {
			exits[c] = atomic_load(&fake[c].exits);
			assert_false(fake[c].incomplete);
		}
		for (unsigned c = 0; c < CPUS; c++) {
			assert_int_equal(atomic_load(&fake[c].inside), 0);
			assert_int_equal(atomic_load(&fake[c].exits), exits[c]);
		}
		vcpu_resume_all(&w->vm);
	}
	pthread_join(other, NULL);
	for (unsigned c = 0; c < CPUS; c++)
		await(&fake[c].exits, atomic_load(&fake[c].exits), "exit after the vCPU went on");
	await(&fake[1].kicks, 0, "kick of vCPU 1");
	assert_int_equal(end(w, 7 << 8), 7 << 8);
	assert_int_equal(vcpu_stop_all(&w->vm), -ESRCH);
}

static void a_wait_outlives_a_stop(void **state)
{
	struct world *w = start();

	atomic_store(&wants_wait, true);
	for (unsigned i = 0; i < 20; i++) {
		unsigned waits = atomic_load(&fake[0].waits);

		assert_int_equal(vcpu_stop_all(&w->vm), 0);
		vcpu_resume_all(&w->vm);
		vcpu_wake(&w->vm.vcpu[0]);
		await(&fake[0].waits, waits, "end of the wait");
	}
	assert_int_equal(atomic_load(&fake[1].waits), 0); /* nobody woke it, and no stop did */
	assert_int_equal(end(w, SIGKILL), SIGKILL);
}

static void *pauser(void *context)
{
	struct world *w = context;

	vcpu_pause_all(&w->vm);
	return NULL;
}

/*
 * Who asks may lose the processor when it has woken a vCPU and not yet kept it out of the guest: that one must not go back there with its WAIT underway, or it sleeps on
 * afterwards as if the guest had not run since.
 */
static void a_wait_is_not_left_by_a_stop(void **state)
{
	struct world *w = start();
	pthread_t other;

	atomic_store(&wants_wait, true);
	for (unsigned i = 0; i < 20; i++) {
		unsigned exits, kept_out;

		while (!atomic_load(&w->vm.vcpu[0].waiting))
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		exits = atomic_load(&fake[0].exits);
		kept_out = atomic_load(&fake[0].kept_out);
		pthread_mutex_lock(&w->vm.vcpus.lock); /* without it nobody is kept out */
		pthread_create(&other, NULL, pauser, w);
		while (atomic_load(&fake[0].kept_out) == kept_out && atomic_load(&fake[0].exits) == exits)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		pthread_mutex_unlock(&w->vm.vcpus.lock);
		pthread_join(other, NULL);
		assert_int_equal(vcpu_stop_all(&w->vm), 0);
		assert_int_equal(atomic_load(&fake[0].exits), exits);
		vcpu_resume_all(&w->vm);
	}
	assert_int_equal(end(w, SIGKILL), SIGKILL);
}

/* Nobody waits for the barrier: who comes last says so, also where a vCPU sleeps in a WAIT. */
static void the_last_one_tells(void **state)
{
	struct world *w = start();

	for (unsigned i = 0; i < STOPS; i++) {
		unsigned told = atomic_load(&stops), exits = 0, later = 0;

		if (i == STOPS / 2)
			atomic_store(&wants_wait, true);
		vcpu_pause_all(&w->vm);
		/* Two may tell of one stop, the second one when it is over already: what counts is what is true then. */
		do {
			await(&stops, told, "word of the vCPU that came last");
			told = atomic_load(&stops);
		} while (!vcpu_all_stopped(&w->vm));
		for (unsigned c = 0; c < CPUS; c++)
			exits += atomic_load(&fake[c].exits);
		vcpu_wake(&w->vm.vcpu[0]); /* which is kept for later */
		for (unsigned c = 0; c < CPUS; c++)
			later += atomic_load(&fake[c].exits) + atomic_load(&fake[c].inside);
		assert_int_equal(later, exits);
		vcpu_resume_all(&w->vm);
	}
	vcpu_pause_all(&w->vm);
	assert_int_equal(end(w, 5 << 8), 5 << 8); /* on the way there, or there */
}

/* Who is held stays so, whoever is paused and resumed meanwhile; and who is paused, whoever is let go. */
static void held_and_paused(void **state)
{
	struct world *w = start();

	for (unsigned i = 0; i < STOPS / 10; i++) {
		bool held = i % 2;
		unsigned before = 0, after = 0;

		vcpu_hold_all(&w->vm, true);
		assert_int_equal(vcpu_stop_all(&w->vm), 0);
		if (held)
			vcpu_resume_all(&w->vm);
		else
			vcpu_hold_all(&w->vm, false);
		for (unsigned c = 0; c < CPUS; c++)
			before += atomic_load(&fake[c].exits);
		vcpu_wake(&w->vm.vcpu[0]);
		for (unsigned c = 0; c < CPUS; c++)
			after += atomic_load(&fake[c].exits) + atomic_load(&fake[c].inside);
		assert_int_equal(after, before);
		assert_true(vcpu_all_stopped(&w->vm));
		if (held)
			vcpu_hold_all(&w->vm, false);
		else
			vcpu_resume_all(&w->vm);
	}
	assert_int_equal(end(w, 5 << 8), 5 << 8);
}

static void the_first_end_counts(void **state)
{
	struct world *w = start();

	assert_int_equal(vcpu_stop_all(&w->vm), 0); /* who stands at the barrier ends too */
	vcpu_end_all(&w->vm, 3 << 8);
	assert_int_equal(end(w, SIGKILL), 3 << 8);
}

/* Who ends a VM may lose the processor when it has told the first vCPU: that one must not wait for a guest that sleeps on. */
static void the_end_reaches_who_halts(void **state)
{
	struct world *w = start();
	int running = VCPU_RUNNING;

	atomic_store(&halts, true);
	await(&halted, CPUS - 1, "all vCPUs that halt");
	assert_true(atomic_compare_exchange_strong(&w->vm.vcpus.end, &running, 4 << 8)); /* as far as vcpu_end_all came */
	vcpu_request(&w->vm.vcpu[0], VCPU_KILL);
	assert_int_equal(end(w, SIGKILL), 4 << 8);
}

/* Line 9 is ACPI's: no device has it, and none shares a line. */
static void no_device_has_line_9(void **state)
{
	for (unsigned i = 0; i < LV_MAX_DEVICES; i++) {
		assert_int_not_equal(linux_irq(i), 9);
		assert_int_not_equal(linux_irq(i), GUEST_SERIAL_IRQ);
		assert_true(linux_irq(i) < GUEST_IRQS);
		assert_true(i == 0 || linux_irq(i) > linux_irq(i - 1));
	}
}

/* The sanitizer of this compiler finds no room for its tables where the kernel spreads addresses widely. */
static void without_randomisation(char **argv)
{
	int now = personality(0xffffffff);

	if (now != -1 && !(now & ADDR_NO_RANDOMIZE) && personality(now | ADDR_NO_RANDOMIZE) != -1)
		execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(stopped_vcpus_stand_still), cmocka_unit_test(a_wait_outlives_a_stop), cmocka_unit_test(a_wait_is_not_left_by_a_stop),
					    cmocka_unit_test(the_last_one_tells), cmocka_unit_test(held_and_paused),
					    cmocka_unit_test(the_first_end_counts), cmocka_unit_test(the_end_reaches_who_halts), cmocka_unit_test(no_device_has_line_9) };

	without_randomisation(argv);
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
