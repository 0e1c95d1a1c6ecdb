/* SPDX-License-Identifier: Apache-2.0 */
/* The futex operations, and what a thread leaves behind when it ends. */
#include <stdarg.h>

#include "proc_world.h"
#include "user_faults.h"

#include <asm/unistd_64.h>
#include <linux/futex.h>

#include <cmocka.h>

SYSCALL(futex);

static uint32_t word, other;
static int depth;

static long futex(uint32_t *addr, int op, uint32_t value, long fourth, uint32_t *second, uint32_t third)
{
	return sys_futex((const long[6]){(long)addr, op, (long)value, fourth, (long)second, (long)third});
}

static int setup(void **state)
{
	world_reset(__NR_futex);
	word = other = 0;
	depth = 0;
	return 0;
}

static void test_errors(void **state)
{
	long wrong[2] = {0, -1};

	user_faults_catch();
	word = 5;
	assert_int_equal(futex(&word, FUTEX_WAIT, 4, 0, NULL, 0), -EAGAIN);
	assert_int_equal(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 4, 0, NULL, 0), -EINVAL);
	assert_int_equal(futex((uint32_t *)16, FUTEX_WAIT, 4, 0, NULL, 0), -EFAULT);
	assert_int_equal(futex(&word, FUTEX_WAIT, 5, (long)wrong, NULL, 0), -EINVAL);
	assert_int_equal(futex(&word, FUTEX_WAIT_BITSET, 5, 0, NULL, 0), -EINVAL);
	assert_int_equal(futex(&word, 99, 5, 0, NULL, 0), -ENOSYS);
	assert_int_equal(futex(&word, FUTEX_CMP_REQUEUE, 1, 1, &other, 4), -EAGAIN);
	assert_int_equal(futex(&word, FUTEX_WAIT, 5, 0, NULL, 0), -ETIMEDOUT);
	assert_int_equal(futex(&word, FUTEX_WAKE, 5, 0, NULL, 0), 0); /* nobody is left in the queue */
}

/* While thread 1 waits thread 2 runs, and so on. */
static int wake_it(uint64_t deadline)
{
	assert_int_equal(futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, NULL, 0), 1);
	assert_int_equal(futex(&word, FUTEX_WAKE, 1, 0, NULL, 0), 0);
	return -ETIMEDOUT; /* at the same time as the deadline: woken wins */
}

static void test_wake(void **state)
{
	world_while_waiting = wake_it;
	assert_int_equal(futex(&word, FUTEX_WAIT, 0, 0, NULL, 0), 0);
	assert_true(current->woken);
}

static int other_bits(uint64_t deadline)
{
	assert_int_equal(futex(&word, FUTEX_WAKE_BITSET, 1, 0, NULL, 6), 0);
	assert_int_equal(futex(&word, FUTEX_WAKE_BITSET, 1, 0, NULL, 9), 1);
	return 0;
}

static void test_bitset(void **state)
{
	world_while_waiting = other_bits;
	assert_int_equal(futex(&word, FUTEX_WAIT_BITSET, 0, 0, NULL, 1), 0);
}

static int interrupt(uint64_t deadline)
{
	struct siginfo_k info = {0};

	signal_send(current, SIGTERM, &info);
	return 0;
}

static void test_interrupted(void **state)
{
	long timeout[2] = {1, 0};

	world_while_waiting = interrupt;
	assert_int_equal(futex(&word, FUTEX_WAIT, 0, 0, NULL, 0), -ERESTARTSYS);
	world_reset(0);
	world_while_waiting = interrupt;
	assert_int_equal(futex(&word, FUTEX_WAIT, 0, (long)timeout, NULL, 0), -ERESTART_RESTARTBLOCK);
	assert_int_equal(futex(&word, FUTEX_WAKE, 1, 0, NULL, 0), 0);
}

/* Queues threads 1 to 3 one inside the other, then moves and wakes them. */
static int three_deep(uint64_t deadline)
{
	if (++depth < 3) {
		current = &world_thread[depth];
		current->sig_blocked = ~0ull;
		assert_int_equal(futex(&word, FUTEX_WAIT, 0, 0, NULL, 0), 0);
		return 0;
	}
	assert_int_equal(futex(&word, FUTEX_CMP_REQUEUE, 1, 1, &other, 0), 2);
	assert_true(world_thread[0].woken && !world_thread[1].woken);
	assert_int_equal(futex(&other, FUTEX_WAKE, 9, 0, NULL, 0), 1);
	assert_true(world_thread[1].woken && !world_thread[2].woken); /* oldest first */
	assert_int_equal(futex(&word, FUTEX_REQUEUE, 0, 9, &other, 0), 1);
	assert_int_equal(futex(&word, FUTEX_WAKE, 9, 0, NULL, 0), 0);
	assert_int_equal(futex(&other, FUTEX_WAKE, 9, 0, NULL, 0), 1);
	return 0;
}

static void test_requeue(void **state)
{
	world_while_waiting = three_deep;
	assert_int_equal(futex(&word, FUTEX_WAIT, 0, 0, NULL, 0), 0);
}

/* FUTEX_OP of the kernel's header shifts into the sign. */
static uint32_t operation(uint32_t op, uint32_t argument, uint32_t comparison, uint32_t operand)
{
	return op << 28 | comparison << 24 | argument << 12 | operand;
}

static int wake_by_operation(uint64_t deadline)
{
	uint32_t add_2_if_lt_7 = operation(FUTEX_OP_ADD, 2, FUTEX_OP_CMP_LT, 7);

	other = 6;
	assert_int_equal(futex(&other, FUTEX_WAKE_OP, 1, 1, &word, add_2_if_lt_7), 1);
	assert_int_equal(word, 2);
	return 0;
}

static void test_wake_op(void **state)
{
	world_while_waiting = wake_by_operation;
	assert_int_equal(futex(&word, FUTEX_WAIT, 0, 0, NULL, 0), 0);
	word = 12;
	assert_int_equal(futex(&other, FUTEX_WAKE_OP, 1, 1, &word, operation(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT, 2, FUTEX_OP_CMP_EQ, 12)), 0);
	assert_int_equal(word, 8);
	assert_int_equal(futex(&other, FUTEX_WAKE_OP, 1, 1, &word, operation(7, 2, FUTEX_OP_CMP_EQ, 12)), -ENOSYS);
}

static int release(uint64_t deadline)
{
	assert_int_equal(word, 2 | FUTEX_WAITERS);
	current = &world_thread[1];
	assert_int_equal(futex(&word, FUTEX_UNLOCK_PI, 0, 0, NULL, 0), 0);
	current = &world_thread[0];
	return 0;
}

static void test_pi(void **state)
{
	assert_int_equal(futex(&word, FUTEX_LOCK_PI, 0, 0, NULL, 0), 0);
	assert_int_equal(word, 1);
	assert_int_equal(futex(&word, FUTEX_LOCK_PI, 0, 0, NULL, 0), -EDEADLK);
	assert_int_equal(futex(&word, FUTEX_UNLOCK_PI, 0, 0, NULL, 0), 0);
	word = 2;
	assert_int_equal(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, NULL, 0), -EAGAIN);
	assert_int_equal(futex(&word, FUTEX_UNLOCK_PI, 0, 0, NULL, 0), -EPERM);
	world_while_waiting = release;
	assert_int_equal(futex(&word, FUTEX_LOCK_PI, 0, 0, NULL, 0), 0);
	assert_int_equal(word, 1);
	word = 4711;
	assert_int_equal(futex(&word, FUTEX_LOCK_PI, 0, 0, NULL, 0), -ESRCH);
}

struct lock {
	struct robust_list link;
	uint32_t word;
};

static void test_thread_exit(void **state)
{
	struct lock a = {.word = 1}, b = {.word = 1 | FUTEX_WAITERS}, others = {.word = 2}, pending = {.word = 1};
	struct robust_list_head head = {.list.next = &a.link, .futex_offset = offsetof(struct lock, word),
					.list_op_pending = &pending.link};

	a.link.next = &b.link;
	b.link.next = &others.link;
	others.link.next = &head.list;
	user_faults_catch();
	current->robust_list = (uint64_t)&head;
	current->clear_child_tid = (uint64_t)&word;
	word = 1;
	futex_thread_exit(current);
	assert_int_equal(a.word, FUTEX_OWNER_DIED);
	assert_int_equal(b.word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
	assert_int_equal(others.word, 2);
	assert_int_equal(pending.word, FUTEX_OWNER_DIED);
	assert_int_equal(word, 0);
	/* a list that never ends, and one that leads nowhere */
	b.link.next = &a.link;
	futex_thread_exit(current);
	a.link.next = (void *)8;
	futex_thread_exit(current);
	current->robust_list = 8;
	current->clear_child_tid = 8;
	futex_thread_exit(current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_errors, setup), cmocka_unit_test_setup(test_wake, setup),
		cmocka_unit_test_setup(test_bitset, setup), cmocka_unit_test_setup(test_interrupted, setup),
		cmocka_unit_test_setup(test_requeue, setup), cmocka_unit_test_setup(test_wake_op, setup),
		cmocka_unit_test_setup(test_pi, setup), cmocka_unit_test_setup(test_thread_exit, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
