/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a saved VM: what is written reads back, what is foreign is refused by name, and so is another processor. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/save_sample.h"

static void what_was_written_reads_back(void **state)
{
	struct save_manifest first = save_sample(), second = { 0 };
	struct error error = { 0 };
	json_t *json = save_manifest_to_json(&first);
	assert_int_equal(save_manifest_from_json(&second, json, &error), 0);
	json_t *again = save_manifest_to_json(&second);
	assert_true(json_equal(json, again));
	assert_int_equal(second.devices.count, 2);
	assert_int_equal(cpu_words_fit(&first.cpu, &second.cpu, &error), 0);
	json_decref(json);
	json_decref(again);
	save_manifest_free(&first);
	save_manifest_free(&second);
}

/* What is not compressed is as it always was: older ones read it. */
static void compression_is_told_only_where_it_is(void **state)
{
	struct save_manifest manifest = save_sample(), read = { 0 };
	struct error error = { 0 };
	json_t *json = save_manifest_to_json(&manifest);
	assert_null(json_object_get(json, "compressed"));
	json_decref(json);
	manifest.compressed = (struct save_compressed){ "zstd", 77 };
	json = save_manifest_to_json(&manifest);
	assert_int_equal(save_manifest_from_json(&read, json, &error), 0);
	assert_string_equal(read.compressed.method, "zstd");
	assert_int_equal(read.compressed.size, 77);
	json_decref(json);
	save_manifest_free(&read);
	save_manifest_free(&manifest);
}

static void foreign_manifests_are_refused(void **state)
{
	static const struct { const char *key, *value, *words; int err; } cases[] = {
		{ "format", "2", "format: 2 is not known; this lightvm reads 1", -EPROTONOSUPPORT },
		{ "format", "\"1\"", "format: missing, or not a number", -EINVAL },
		{ "parent", "\"other\"", "parent: not an object", -EINVAL },
		{ "parent", "{}", "parent.path: missing, or not an absolute path", -EINVAL },
		{ "parent", "{\"path\":\"web\"}", "parent.path: missing, or not an absolute path", -EINVAL },
		{ "parent", "{\"path\":\"/web\"}", "parent.state_sha256: missing, or not 64 hexadecimal digits", -EINVAL },
		{ "parent", "{\"path\":\"/web\", \"state_sha256\":\"12\"}", "parent.state_sha256: missing, or not 64 hexadecimal digits", -EINVAL },
		{ "parent", "{\"path\":\"/web\", \"colour\":1}", "parent.colour: there is no such key", -EINVAL },
		{ "id", "\"0123456789a\"", "id: missing, or not 12 hexadecimal digits", -EINVAL },
		{ "id", "\"../../../etc\"", "id: missing, or not 12 hexadecimal digits", -EINVAL },
		{ "id", "\"0123456789abc\"", "id: too long", -ERANGE },
		{ "name", "\"../x\"", "name: \"../x\" is none", -EINVAL },
		{ "guest", "\"bsd\"", "guest: none of its words", -EINVAL },
		{ "libos_build", "\"\"", "libos_build: missing, or not 40 hexadecimal digits", -EINVAL },
		{ "image_sha256", "\"12\"", "image_sha256: not 64 hexadecimal digits", -EINVAL },
		{ "memory_limit", "99999999999999", "memory_limit: 99999999999999 is not between", -ERANGE },
		{ "memory_size", "0", "memory_size: missing, or 0", -EINVAL },
		{ "state_size", "-1", "state_size: -1 is not between", -ERANGE },
		{ "devices", "[1]", "devices: not a text", -EINVAL },
		{ "devices", "[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]", "devices: more than 16", -E2BIG },
		{ "cpu", "{\"vendor\":\"GenuineIntelIntel\"}", "cpu.vendor: too long", -ERANGE },
		{ "cpu", "3", "cpu: not an object", -EINVAL },
		{ "compressed", "\"zstd\"", "compressed: not an object", -EINVAL },
		{ "compressed", "{\"method\":\"lzma\", \"size\":1}", "compressed.method: \"lzma\" is not known; this lightvm reads zstd", -EPROTONOSUPPORT },
		{ "compressed", "{\"method\":\"zstd\"}", "compressed.size: missing, or 0", -EINVAL },
		{ "compressed", "{\"method\":\"zstd\", \"size\":1, \"level\":1}", "compressed.level: there is no such key", -EINVAL },
		{ "config", "[]", "config: missing, or not an object", -EINVAL },
		{ "colour", "1", "colour: there is no such key", -EINVAL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct save_manifest manifest = save_sample(), read = { 0 };
		struct error error = { 0 };
		json_t *json = save_manifest_to_json(&manifest);
		json_object_set_new(json, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		assert_int_equal(save_manifest_from_json(&read, json, &error), cases[i].err);
		if (!strstr(error.text, cases[i].words))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].words, error.text);
		json_decref(json);
		save_manifest_free(&read);
		save_manifest_free(&manifest);
	}
}

static void another_processor_is_told_by_name(void **state)
{
	struct cpu_words saved, here;
	struct error error = { 0 };
	cpu_words_read(&here);
	saved = here;
	assert_int_equal(cpu_words_fit(&saved, &here, &error), 0);
	here.word[CPU_7_EBX] &= ~(1u << 5);
	saved.word[CPU_7_EBX] |= 1u << 5;
	here.word[CPU_1_EDX] &= ~(1u << 10);
	saved.word[CPU_1_EDX] |= 1u << 10;
	assert_int_equal(cpu_words_fit(&saved, &here, &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "this processor lacks what that one had: leaf_1_edx bit 10, avx2"));
	/* What is more here does no harm. */
	assert_int_equal(cpu_words_fit(&here, &saved, &error), 0);
	strcpy(saved.vendor, "HalfPriceCPU");
	assert_int_equal(cpu_words_fit(&saved, &here, &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "it was saved on a processor of HalfPriceCPU"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_reads_back),
		cmocka_unit_test(compression_is_told_only_where_it_is),
		cmocka_unit_test(foreign_manifests_are_refused),
		cmocka_unit_test(another_processor_is_told_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
