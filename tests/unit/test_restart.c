/* SPDX-License-Identifier: Apache-2.0 */
/* Restart policies: words, and what they decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "node/restart_policy.h"

static void words(void **state)
{
	static const struct {
		const char *word;
		struct config_restart is;
	} good[] = { { "no", { RESTART_NO, 0 } }, { "on-failure", { RESTART_ON_FAILURE, 0 } }, { "on-failure:3", { RESTART_ON_FAILURE, 3 } },
		{ "always", { RESTART_ALWAYS, 0 } }, { "unless-stopped", { RESTART_UNLESS_STOPPED, 0 } } };
	static const char *const bad[] = { "", "yes", "on", "on-failur", "on-failure:", "on-failure:0", "on-failure:-1", "on-failure:1000001", "on-failure:2x",
		"always:1", "no:", "unless-stopped-" };
	struct config_restart restart;
	struct error error = { 0 };
	char word[24];
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(restart_parse(good[i].word, &restart, &error), 0);
		assert_int_equal(restart.policy, good[i].is.policy);
		assert_int_equal(restart.most, good[i].is.most);
		assert_string_equal(restart_print(&restart, word, sizeof(word)), good[i].word);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_true(restart_parse(bad[i], &restart, &error) < 0);
		assert_non_null(strstr(error.text, "--restart"));
	}
}

static void delays(void **state)
{
	const struct config_restart always = { RESTART_ALWAYS, 0 };
	struct restart_record record = { 0 };
	uint32_t last = 0;
	for (int i = 0; i < 20; i++) {
		assert_true(restart_due(&always, &record, i % 2, 10));
		assert_int_equal(record.delay_ms, !i ? RESTART_FIRST_MS : last * 2 < RESTART_LAST_MS ? last * 2 : RESTART_LAST_MS);
		last = record.delay_ms;
	}
	assert_int_equal(last, RESTART_LAST_MS);
	assert_true(restart_due(&always, &record, true, RESTART_SOUND_MS - 1));
	assert_int_equal(record.delay_ms, RESTART_LAST_MS);
	assert_true(restart_due(&always, &record, true, RESTART_SOUND_MS));
	assert_int_equal(record.delay_ms, RESTART_FIRST_MS);
}

static void ends(void **state)
{
	struct restart_record record = { 0 };
	const struct config_restart no = { RESTART_NO, 0 }, twice = { RESTART_ON_FAILURE, 2 }, unless = { RESTART_UNLESS_STOPPED, 0 };
	assert_false(restart_due(&no, &record, true, 0));
	assert_false(restart_due(&twice, &record, false, 0));
	assert_true(restart_due(&twice, &record, true, 0));
	record.restarts = 1;
	assert_true(restart_due(&twice, &record, true, 0));
	record.restarts = 2;
	record.next_ns = 5;
	assert_false(restart_due(&twice, &record, true, 0));
	assert_int_equal(record.next_ns, 0);
	assert_true(restart_due(&unless, &record, false, 0));
}

static void comes_to_life(void **state)
{
	const struct config_restart no = { RESTART_NO, 0 }, failure = { RESTART_ON_FAILURE, 0 }, always = { RESTART_ALWAYS, 0 },
		unless = { RESTART_UNLESS_STOPPED, 0 };
	for (int i = 0; i < 8; i++) {
		bool stopped = i & 1, ended = i & 2, failed = i & 4;
		assert_false(restart_at_start(&no, stopped, ended, failed));
		assert_true(restart_at_start(&always, stopped, ended, failed));
		assert_int_equal(restart_at_start(&unless, stopped, ended, failed), !stopped);
		assert_int_equal(restart_at_start(&failure, stopped, ended, failed), !stopped && ended && failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(delays), cmocka_unit_test(ends), cmocka_unit_test(comes_to_life) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
