/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's configuration: what is printed reads back to the same, over configurations that nobody would think of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/tree.h"
#include "node/vm_config.h"
#include "node/vm_row.h"
#include "tests/unit/random_config.h"
#include "tests/unit/scratch.h"

#define ROUNDS 2000

static char *printed(const struct vm_config *config)
{
	json_t *json = config_to_json(config);
	char *text = json_dumps(json, JSON_INDENT(1));
	json_decref(json);
	assert_non_null(text);
	return text;
}

/* Not by what it prints: a field that is never printed would be the same there. */
static void assert_same(const struct vm_config *a, const struct vm_config *b)
{
	char *why = config_difference(a, b);
	if (why)
		fail_msg("%s differs", why);
}

static void round_trip(void **state)
{
	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		struct vm_config first, second;
		struct error error = { 0 };
		random_config(&first, seed);
		char *text = printed(&first);
		json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(json);
		config_init(&second);
		if (config_from_json(&second, json, &error))
			fail_msg("seed %u: %s", seed, error.text);
		assert_same(&first, &second);
		json_decref(json);
		free(text);
		config_free(&first);
		config_free(&second);
	}
}

static void in_a_file(void **state)
{
	struct vm_config first, second;
	struct error error = { 0 };
	char *path = scratch();
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	random_config(&first, 7);
	setenv("LIGHTVM_KEPT", path, 1); /* where the copy of one with a restart policy goes */
	config_init(&second);
	assert_int_equal(config_load(&second, dir, &error), -ENOENT);
	assert_string_equal(error.text, "config.json: missing, or not a JSON object");
	assert_int_equal(config_write(&first, dir, &error), 0);
	assert_int_equal(config_write(&first, dir, &error), 0);
	assert_int_equal(config_load(&second, dir, &error), 0);
	assert_same(&first, &second);
	config_free(&first);
	config_free(&second);
	close(dir);
	tree_remove(AT_FDCWD, path);
	free(path);
}

static void refused(const char *text, const char *message)
{
	struct vm_config config;
	struct error error = { 0 };
	json_t *json = json_loads(text, 0, NULL);
	assert_non_null(json);
	config_init(&config);
	int err = config_from_json(&config, json, &error);
	if (!err)
		err = config_validate(&config, &error);
	assert_true(err < 0);
	assert_string_equal(error.text, message);
	json_decref(json);
	config_free(&config);
}

#define REST ",\"program\":\"/p\",\"args\":[\"p\"],\"cwd\":\"/\",\"hostname\":\"h\",\"kernel\":\"libos\",\"image\":\"/i\"}"

static void refusals(void **state)
{
	refused("{}", "version: missing, or not a number");
	refused("[]", "the configuration: not an object");
	refused("{\"version\":2}", "version: 2 is not known; this program knows 1");
	refused("{\"version\":1,\"memroy\":1}", "memroy: there is no such key");
	refused("{\"version\":1,\"memory\":\"64M\"}", "memory: not a whole number");
	refused("{\"version\":1,\"memory\":-1}", "memory: -1 is not between 0 and 9223372036854775807");
	refused("{\"version\":1,\"memory\":1000" REST, "--memory 1000 is not between 4M and 64G");
	refused("{\"version\":1,\"id\":\"0123456789abc\"}", "id: too long");
	refused("{\"version\":1,\"program\":{\"hex\":\"2g\"}}", "program: not hexadecimal digits of bytes that are not zero");
	refused("{\"version\":1,\"program\":{\"hex\":\"00\"}}", "program: not hexadecimal digits of bytes that are not zero");
	refused("{\"version\":1,\"program\":7}", "program: not a text");
	refused("{\"version\":1,\"uid\":4294967295}", "uid: 4294967295 is not between 0 and 4294967294");
	refused("{\"version\":1,\"linux\":{\"cpus\":33}}", "linux.cpus: 33 is not between 1 and 32");
	refused("{\"version\":1,\"linux\":{\"bare\":0}}", "linux.bare: neither true nor false");
	refused("{\"version\":1,\"net\":{\"kind\":\"wifi\"}}", "net.kind: none of its words");
	refused("{\"version\":1,\"net\":{\"kind\":\"none\",\"mtu\":1500}}", "net: a network of the kind \"none\" has nothing else");
	refused("{\"version\":1,\"net\":{\"kind\":\"tap\",\"mac\":\"01:00:00:00:00:00\"}}", "net.mac: not a MAC address of one host");
	refused("{\"version\":1,\"net\":{\"kind\":\"passt\",\"ports\":[{\"host\":0,\"guest\":1}]}}", "net.ports.host: 0 is not between 1 and 65535");
	refused("{\"version\":1,\"net\":{\"kind\":\"passt\",\"ports\":[{\"guest\":1}]}}", "net.ports: a port without \"host\"");
	refused("{\"version\":1,\"net\":{\"kind\":\"tap\"}" REST, "net.name: \"\" is not an interface name of 1 to 15 characters");
	refused("{\"version\":1,\"net\":{\"kind\":\"tap\",\"name\":\"t\",\"ports\":[{\"host\":1,\"guest\":1}]}" REST, "net.ports: only passt forwards ports");
	refused("{\"version\":1,\"disks\":[{},{},{},{},{},{},{},{},{}]}", "disks: more than 8");
	refused("{\"version\":1,\"disks\":[{}]" REST, "disks: disk 0 has no path, or a serial number of more than 20 characters");
	refused("{\"version\":1,\"env\":[\"A\"]" REST, "env: \"A\" is not NAME=VALUE");
	refused("{\"version\":1,\"mounts\":[{\"path\":\"/a/../b\"}]" REST, "mounts: \"/a/../b\" is not an absolute path of at most 255 bytes without \".\" and \"..\"");
	refused("{\"version\":1,\"mounts\":[{\"kind\":\"tmpfs\"}]" REST, "mounts: \"\" is not an absolute path of at most 255 bytes without \".\" and \"..\"");
	refused("{\"version\":1,\"mounts\":[{\"path\":\"/\",\"kind\":\"tmpfs\"}]" REST, "mounts: / itself cannot be a tmpfs or a volume");
	refused("{\"version\":1,\"mounts\":[{\"path\":\"/proc/x\",\"kind\":\"tmpfs\"}]" REST, "mounts: /proc/x is the kernel's");
	refused("{\"version\":1,\"mounts\":[{\"path\":\"/a\",\"mode\":4096}]" REST, "mounts.mode: 4096 is not between 0 and 4095");
	refused("{\"version\":1,\"labels\":[\"=x\"]" REST, "labels: \"=x\" is not NAME=VALUE");
	refused("{\"version\":1,\"pid_file\":\"p\"" REST, "pid_file: \"p\" is not an absolute path");
	refused("{\"version\":1,\"name\":\"a/b\"" REST, "name: \"a/b\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"");
	refused("{\"version\":1}", "the configuration names no program");
}

/* The same keys on both sides, at every depth. */
static void compare_keys(const json_t *schema, const json_t *value, const char *where)
{
	const char *key;
	json_t *inner;
	const json_t *properties = json_object_get(schema, "properties");
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	json_object_foreach((json_t *)value, key, inner)
		if (!json_object_get(properties, key))
			fail_msg("the schema has no %s.%s", where, key);
	json_object_foreach((json_t *)properties, key, inner) {
		const json_t *items = json_object_get(inner, "items"), *mine = json_object_get(value, key);
		if (!mine)
			fail_msg("the program writes no %s.%s", where, key);
		if (json_object_get(inner, "properties"))
			compare_keys(inner, mine, key);
		else if (json_object_get(items, "properties"))
			compare_keys(items, json_array_get(mine, 0), key);
	}
}

static void schema(void **state)
{
	struct vm_config config;
	json_error_t error;
	json_t *file = json_load_file(LV_SCHEMA, JSON_REJECT_DUPLICATES, &error);
	if (!file)
		fail_msg("%s: %s", error.source, error.text);
	full_config(&config);
	json_t *json = config_to_json(&config);
	compare_keys(file, json, "");
	json_decref(json);
	json_decref(file);
	config_free(&config);
}

/* What a list shows is what the configuration says, whatever bytes are in it; what is no row is none. */
static void listed(void **state)
{
	char *path = scratch();
	int vms = open(path, O_RDONLY | O_DIRECTORY), links = 0;
	for (unsigned seed = 0; seed < 300; seed++) {
		struct vm_config config;
		struct vm_row row, same;
		char id[STATE_ID + 1];
		random_config(&config, seed);
		snprintf(id, sizeof(id), "%012x", seed);
		assert_int_equal(mkdirat(vms, id, 0700), 0);
		int dir = openat(vms, id, O_RDONLY | O_DIRECTORY);
		vm_row_write(&config, dir);
		json_t *json = config_to_json(&config);
		vm_row_from_json(json, &same);
		assert_null(strpbrk(same.command, "\n\033"));
		if (!vm_row_read(vms, id, &row)) {
			links++;
			assert_int_equal(row.created_ns, config.created_ns);
			assert_int_equal(row.remove, config.remove);
			assert_string_equal(row.name, config_string(json, "name"));
			assert_string_equal(row.kernel, config_string(json, "kernel"));
			assert_string_equal(row.program, config_string(json, "program"));
			assert_string_equal(row.ports, same.ports);
			assert_string_equal(row.command, same.command);
		}
		json_decref(json);
		close(dir);
		config_free(&config);
	}
	assert_true(links > 30); /* the others have a line feed where none may be, or are too long */
	static const char *const bad[] = { "x", "1", "1 5", "1 5 0", "1 5 2\na\nb\nc\nd\ne", "2 5 0\na\nb\nc\nd\ne", "1 5 0\na\nb\nc\nd", "1 5 0\na\nb\nc\nd\ne\nf",
					   "1 5 0 \na\nb\nc\nd\ne" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct vm_row row;
		unlinkat(vms, "000000000000/row", 0);
		assert_int_equal(symlinkat(bad[i], vms, "000000000000/row"), 0);
		assert_int_equal(vm_row_read(vms, "000000000000", &row), -EINVAL);
	}
	unlinkat(vms, "000000000000/row", 0);
	struct vm_row row;
	assert_int_equal(vm_row_read(vms, "000000000000", &row), -ENOENT);
	close(vms);
	assert_int_equal(tree_remove(AT_FDCWD, path), 0);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(in_a_file), cmocka_unit_test(listed),
		cmocka_unit_test(refusals),
		cmocka_unit_test(schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
