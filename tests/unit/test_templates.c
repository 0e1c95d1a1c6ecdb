/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of templates: words, JSON, and which runtimes have a start file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "node/template_wish.h"

static void words(void **state)
{
	static const struct {
		const char *word;
		enum template_at at;
		unsigned seconds;
	} good[] = { { "call", TEMPLATE_CALL, 0 }, { "listen", TEMPLATE_LISTEN, 0 }, { "1", TEMPLATE_SECONDS, 1 }, { "3600", TEMPLATE_SECONDS, 3600 } };
	static const char *const bad[] = { "", "cal", "calls", "0", "3601", "-1", "1.5", "1s", "18446744073709551617" };
	struct error error = { 0 };
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct template_wish wish = { 0 };
		assert_int_equal(template_wish_at(&wish, "--template-at", good[i].word, &error), 0);
		assert_int_equal(wish.at, good[i].at);
		assert_int_equal(wish.seconds, good[i].seconds);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct template_wish wish = { 0 };
		assert_int_equal(template_wish_at(&wish, "--template-at", bad[i], &error), -EINVAL);
		assert_non_null(strstr(error.text, "--template-at: \""));
		assert_int_equal(wish.at, TEMPLATE_NONE);
	}
}

static int from_text(struct template_wish *wish, const char *text, struct error *error)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	assert_non_null(json);
	int err = template_wish_from_json(wish, json, error);
	json_decref(json);
	return err;
}

static void wishes(void **state)
{
	static const struct {
		const char *json, *says;
	} bad[] = {
		{ "3", "template: not an object" }, { "{}", "template.at: neither a text nor a number of seconds" }, { "{\"at\": true}", "template.at: neither" },
		{ "{\"at\": \"soon\"}", "template.at: \"soon\" is neither call nor listen" }, { "{\"at\": 0}", "template.at: \"0\"" }, { "{\"at\": -5}", "template.at: \"-5\"" },
		{ "{\"at\": 9223372036854775807}", "template.at: \"9223372036854775807\"" }, { "{\"at\": \"call\", \"when\": 1}", "template.when: there is no such key" },
		{ "{\"at\": \"call\", \"preload\": {}}", "template.preload: not a list" }, { "{\"at\": \"call\", \"preload\": [null]}", "template.preload: not a text" },
		{ "{\"at\": 5, \"preload\": [\"json\"]}", "preload: \"json\" is for a template that is copied at its call" },
		{ "{\"at\": 5, \"accept_shared_random\": 1}", "template.accept_shared_random: neither true nor false" },
	};
	struct error error = { 0 };
	struct template_wish wish = { 0 };
	assert_int_equal(from_text(&wish, "{\"at\": \"call\", \"preload\": [\"json\", \"\"], \"accept_shared_random\": true}", &error), 0);
	assert_int_equal(wish.at, TEMPLATE_CALL);
	assert_int_equal(wish.preload.count, 2);
	assert_string_equal(wish.preload.item[0], "json");
	assert_true(wish.accept_shared_random);
	template_wish_free(&wish);
	assert_int_equal(from_text(&wish, "{\"at\": 20}", &error), 0);
	assert_int_equal(wish.seconds, 20);
	template_wish_free(&wish);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_true(from_text(&wish, bad[i].json, &error) < 0);
		if (!strstr(error.text, bad[i].says))
			fail_msg("%s: %s", bad[i].json, error.text);
		template_wish_free(&wish);
	}
	for (int i = 0; i <= TEMPLATE_PRELOAD_MAX; i++)
		strings_add(&wish.preload, "word");
	wish.at = TEMPLATE_CALL;
	assert_int_equal(template_wish_check(&wish, &error), -E2BIG);
	template_wish_free(&wish);
}

static void starts(void **state)
{
	static const struct {
		const char *program, *file;
	} known[] = { { "/usr/bin/python3", "/usr/share/lightvm/template/python3.py" }, { "python3.11", "/usr/share/lightvm/template/python3.py" },
		{ "/opt/node", "/usr/share/lightvm/template/node.js" }, { "/usr/lib/jvm/bin/java", "/usr/share/lightvm/template/Java.class" },
		{ "/usr/bin/pythonic", NULL }, { "/usr/bin/nodejs", NULL }, { "/java/tool", NULL }, { "", NULL } };
	struct template_wish wish = { .at = TEMPLATE_CALL };
	strings_add(&wish.preload, "json");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		struct strings args = { 0 };
		const char *file = template_start_args(&wish, known[i].program, &args);
		assert_true((!file && !known[i].file) || (file && known[i].file && !strcmp(file, known[i].file)));
		assert_string_equal(args.item[args.count - 1], "json");
		assert_true(file ? args.count > 1 : args.count == 1);
		strings_free(&args);
	}
	assert_non_null(template_start_shares(&wish, "/usr/bin/node"));
	assert_null(template_start_shares(&wish, "/usr/bin/python3"));
	wish.at = TEMPLATE_LISTEN; /* which has no use for one */
	assert_null(template_start_shares(&wish, "/usr/bin/node"));
	template_wish_free(&wish);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(wishes), cmocka_unit_test(starts) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
