/* SPDX-License-Identifier: Apache-2.0 */
/* libos' C functions beside the C library's, on all small sizes and overlaps; ChaCha20 on the vectors of RFC 8439. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define memcpy lv_memcpy
#define memmove lv_memmove
#define memset lv_memset
#define memcmp lv_memcmp
#define memchr lv_memchr
#define strlen lv_strlen
#define strnlen lv_strnlen
#define strcmp lv_strcmp
#define strncmp lv_strncmp
#define strchr lv_strchr
#define snprintf lv_snprintf
#define vsnprintf lv_vsnprintf
#include "libos/core/lib.c"
#include "libos/core/random.c"
#include "libos/core/time.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef snprintf
#undef vsnprintf

struct lv_device_page test_device_page;
struct lv_shared test_shared_page;
static jmp_buf panicked;

void panic(const char *format, ...)
{
	longjmp(panicked, 1);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(seed = seed * 1103515245 + 12345, seed >> 16);
}

static void test_copy(void **state)
{
	char from[700], a[700], b[700];

	for (size_t n = 0; n < 600; n++)
		for (size_t shift = 0; shift < 9; shift++) {
			fill(from, sizeof(from), (unsigned)n);
			fill(a, sizeof(a), 7);
			fill(b, sizeof(b), 7);
			assert_ptr_equal(lv_memcpy(a + shift, from + 3, n), a + shift);
			memcpy(b + shift, from + 3, n);
			assert_memory_equal(a, b, sizeof(a));
		}
}

static void test_move(void **state)
{
	char a[1000], b[1000];

	for (size_t n = 0; n < 400; n = n < 70 ? n + 1 : n + 37)
		for (size_t from = 200; from < 300; from += 3)
			for (size_t to = 190; to < 310; to++) {
				fill(a, sizeof(a), (unsigned)n);
				fill(b, sizeof(b), (unsigned)n);
				lv_memmove(a + to, a + from, n);
				memmove(b + to, b + from, n);
				assert_memory_equal(a, b, sizeof(a));
			}
}

static void test_set(void **state)
{
	char a[700], b[700];

	for (size_t n = 0; n < 600; n++) {
		memset(a, 1, sizeof(a));
		memset(b, 1, sizeof(b));
		assert_ptr_equal(lv_memset(a + n % 9, 0x1f3, n), a + n % 9);
		memset(b + n % 9, 0x1f3, n);
		assert_memory_equal(a, b, sizeof(a));
	}
}

static void test_compare(void **state)
{
	char a[64], b[64];

	for (size_t n = 0; n < 64; n++)
		for (size_t at = 0; at < 64; at++) {
			memset(a, 'x', sizeof(a));
			memset(b, 'x', sizeof(b));
			a[at] = (char)0xe0;
			assert_int_equal(sign(lv_memcmp(a, b, n)), sign(memcmp(a, b, n)));
			assert_int_equal(sign(lv_memcmp(b, a, n)), sign(memcmp(b, a, n)));
			assert_ptr_equal(lv_memchr(a, 0xe0, n), memchr(a, 0xe0, n));
		}
}

static void test_strings(void **state)
{
	const char *text[] = {"", "a", "ab", "abc", "abd", "\xff", "abcabc", "b"};

	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		assert_int_equal(lv_strlen(text[i]), strlen(text[i]));
		assert_ptr_equal(lv_strchr(text[i], 'b'), strchr(text[i], 'b'));
		assert_ptr_equal(lv_strchr(text[i], 0), strchr(text[i], 0));
		for (size_t n = 0; n < 8; n++)
			assert_int_equal(lv_strnlen(text[i], n), strnlen(text[i], n));
		for (size_t j = 0; j < ARRAY_SIZE(text); j++) {
			assert_int_equal(sign(lv_strcmp(text[i], text[j])), sign(strcmp(text[i], text[j])));
			for (size_t n = 0; n < 8; n++)
				assert_int_equal(sign(lv_strncmp(text[i], text[j], n)), sign(strncmp(text[i], text[j], n)));
		}
	}
}

#define SAME(...) do { \
	char got[200], want[200]; \
	int n = lv_snprintf(got, sizeof(got), __VA_ARGS__); \
	assert_int_equal(n, snprintf(want, sizeof(want), __VA_ARGS__)); \
	assert_string_equal(got, want); \
} while (0)

static void test_format(void **state)
{
	SAME("plain %% text");
	SAME("%d %d %d %i", 0, -1, INT32_MIN, INT32_MAX);
	SAME("%u %x %X %o", 0u, UINT32_MAX, 0xbeefu, 8u);
	SAME("%ld %lu %lx %lld %llu %zu", INT64_MIN, UINT64_MAX, UINT64_MAX, -5ll, 7ull, (size_t)99);
	SAME("[%5d] [%-5d] [%05d] [%05d] [%+d] [%*d]", 42, 42, 42, -42, 42, 7, 42);
	SAME("[%16lx] [%016lx] [%-8x]|", 0xabcul, 0xabcul, 0xau);
	SAME("[%s] [%10s] [%-10s] [%.2s] [%.*s] [%10.3s]", "abc", "abc", "abc", "abc", 1, "abc", "abcdef");
	SAME("%c%c[%3c]", 'x', 'y', 'z');
	SAME("%p", (void *)0x1234abcd);
}

static void test_format_bounds(void **state)
{
	char buffer[8] = "zzzzzzz";

	assert_int_equal(lv_snprintf(buffer, 4, "abcdef"), 6);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], 'z');
	assert_int_equal(lv_snprintf(NULL, 0, "%d", 12345), 5);
	assert_int_equal(lv_snprintf(buffer, 1, "abc"), 3);
	assert_int_equal(buffer[0], 0);
}

/* RFC 8439, section 2.3.2 */
static void test_chacha20(void **state)
{
	static const uint32_t want[16] = {
		0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
		0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
	};
	uint32_t key[8], nonce[4] = {1, 0x09000000, 0x4a000000, 0}, out[16];

	for (unsigned i = 0; i < 32; i++)
		((uint8_t *)key)[i] = (uint8_t)i;
	chacha20_block(key, nonce, out);
	assert_memory_equal(out, want, sizeof(want));
}

/* What would be given out before there is a seed would be the same in every VM of that build. */
static void test_no_seed(void **state)
{
	uint8_t a[4];

	assert_int_equal(test_device_page.generation, 0);
	if (!setjmp(panicked)) {
		random_bytes(a, sizeof(a));
		fail_msg("random numbers without a seed");
	}
	test_device_page.generation = 1;
}

static void test_random(void **state)
{
	uint8_t a[300] = {0}, b[300] = {0};
	unsigned ones = 0;

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		ones += (unsigned)__builtin_popcount(a[i]);
	assert_in_range(ones, 1000, 1400); /* 1200 expected, standard deviation 24 */
	random_bytes(a, 0);
}

/* Twins: from one state on, each with a generation of its own. */
static void test_generation(void **state)
{
	uint8_t one[32], other[32], again[32];
	typeof(pool) kept = pool;

	random_bytes(one, sizeof(one));
	pool = kept;
	random_bytes(again, sizeof(again));
	assert_memory_equal(one, again, sizeof(one));
	pool = kept;
	test_device_page.generation++;
	random_bytes(other, sizeof(other));
	assert_memory_not_equal(one, other, sizeof(one));
}

/* The program's memory: where it may be, where strings end. */
static void test_user(void **state)
{
	char to[8], text[] = "seven77";

	assert_true(user_range(0x1000, 0));
	assert_true(user_range(LV_WINDOW - 8, 8));
	assert_false(user_range(LV_WINDOW - 8, 9));
	assert_false(user_range(LV_RAM, 1));
	assert_false(user_range(LV_WINDOW_END - 1, 1));
	assert_true(user_range(LV_WINDOW_END, 1));
	assert_false(user_range(USER_END, 1));
	assert_false(user_range(0x1000, ~0ull));
	assert_false(user_range(~0ull, 2));
	assert_int_equal(user_string(to, text, sizeof(to)), 7);
	assert_string_equal(to, text);
	assert_int_equal(user_string(to, text, 7), -ENAMETOOLONG);
	assert_int_equal(user_string(to, LV_RAM, 8), -EFAULT);
	for (size_t n = 0; n < 300; n++) {
		uint8_t from[302], out[302] = { 0 };

		for (size_t i = 0; i < sizeof(from); i++)
			from[i] = (uint8_t)(i + n + 1);
		assert_int_equal(user_write(out + 1, from, n), 0);
		assert_int_equal(out[0] | out[n + 1], 0);
		assert_memory_equal(out + 1, from, n);
	}
}

static int woken; /* who waits for the clocks to be set */

int wake_many(struct waitq *queue, int most, uint32_t events)
{
	assert_ptr_equal(queue, &clocks_set);
	return ++woken;
}

static int fired[4], fired_count;
static struct timer timer_list[4];

static void on_fire(struct timer *t)
{
	fired[fired_count++] = (int)(t - timer_list);
}

static void test_timers(void **state)
{
	uint64_t start;

	test_device_page.tsc_mult = 1ull << 32;
	test_device_page.tsc_base = __builtin_ia32_rdtsc();
	test_device_page.clock_base_ns[LV_CLOCK_MONOTONIC] = 1000;
	start = clock_monotonic();
	assert_true(start >= 1000 && start <= clock_monotonic());
	for (int i = 0; i < 4; i++)
		timer_list[i].fire = on_fire;
	timer_set(&timer_list[2], start + 3);
	timer_set(&timer_list[0], start + 1);
	timer_set(&timer_list[1], start + 2);
	timer_set(&timer_list[3], UINT64_MAX / 2);
	assert_int_equal(timers_next(), start + 1);
	timer_cancel(&timer_list[0]);
	timer_cancel(&timer_list[0]);
	assert_int_equal(timers_next(), start + 2);
	timer_set(&timer_list[1], start + 4); /* moved behind 2 */
	while (clock_monotonic() < start + 4)
		;
	timers_run();
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[0], 2);
	assert_int_equal(fired[1], 1);
	assert_int_equal(timers_next(), UINT64_MAX / 2);
	timer_cancel(&timer_list[3]);
	assert_int_equal(timers_next(), 0);
}

/* The VM stood still for that long: its wall clock was set right, its monotonic clock goes on where it stood. */
static void stood_still(uint64_t ns, bool advance)
{
	uint64_t now[LV_CLOCKS];

	for (int i = 0; i < LV_CLOCKS; i++)
		now[i] = clock_show(i);
	now[LV_CLOCK_REALTIME] += ns;
	now[LV_CLOCK_BOOTTIME] += ns;
	now[LV_CLOCK_MONOTONIC] += advance ? ns : 0;
	test_device_page.tsc_base = __builtin_ia32_rdtsc();
	memcpy(test_device_page.clock_base_ns, now, sizeof(now));
	test_device_page.clock_sequence++;
	clock_look();
	timers_run();
}

/* Each timer goes by its own clock, also when the clocks are set; what fell due fires once. */
static void test_clocks_set(void **state)
{
	const uint64_t minute = 60 * NS_PER_S;

	fired_count = 0;
	test_device_page.clock_base_ns[LV_CLOCK_REALTIME] = 1000 * minute;
	test_device_page.clock_base_ns[LV_CLOCK_BOOTTIME] = 1;
	clock_start();
	for (int i = 0; i < 3; i++)
		timer_set_on(&timer_list[i], i, clock_show(i) + 2 * minute);
	timer_set_on(&timer_list[3], LV_CLOCK_REALTIME, clock_realtime() + minute / 2);
	stood_still(minute, false);
	assert_int_equal(fired_count, 1);
	assert_int_equal(fired[0], 3);
	uint64_t monotonic = clock_monotonic(), run = clock_show(LV_CLOCK_RUN);
	assert_true(clock_uptime() >= minute && clock_uptime() < 2 * minute);
	assert_true(timers_next() > monotonic + minute / 2 && timers_next() < monotonic + 2 * minute);
	stood_still(2 * minute, true);
	assert_int_equal(fired_count, 4); /* all, and in time's order: the two others were due a minute before the monotonic one */
	assert_int_equal(fired[3], LV_CLOCK_MONOTONIC);
	assert_int_equal(timers_next(), 0);
	assert_true(clock_monotonic() >= monotonic + 2 * minute);
	assert_true(clock_show(LV_CLOCK_RUN) < run + minute); /* nobody's processor time */
	assert_true(clock_realtime() >= 1003 * minute);
	assert_int_equal(woken, 2);
}

static void test_clock_behind(void **state)
{
	test_device_page.tsc_base = __builtin_ia32_rdtsc() + (1ull << 40);
	test_device_page.clock_base_ns[LV_CLOCK_REALTIME] = 77;
	assert_int_equal(clock_realtime(), 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy), cmocka_unit_test(test_move), cmocka_unit_test(test_set), cmocka_unit_test(test_compare),
		cmocka_unit_test(test_strings), cmocka_unit_test(test_format), cmocka_unit_test(test_format_bounds),
		cmocka_unit_test(test_chacha20), cmocka_unit_test(test_no_seed), cmocka_unit_test(test_random), cmocka_unit_test(test_generation), cmocka_unit_test(test_user), cmocka_unit_test(test_timers),
		cmocka_unit_test(test_clocks_set), cmocka_unit_test(test_clock_behind),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
