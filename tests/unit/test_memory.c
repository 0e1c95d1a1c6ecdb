/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is short at every place where it can be: each flow of the toolstack runs with the first allocation refused, then the
 * second, and so on until none is. It answers -ENOMEM each time, or does without; it never ends the program, and the leak check at
 * the end of this one finds nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "node/config_encode.h"
#include "node/state.h"
#include "node/vm_config.h"
#include "tests/unit/scratch.h"
#include "tinyx/manifest.h"
#include "tinyx/plan.h"

#define MOST 20000 /* allocations of one flow */

/* ---- an allocator that refuses the nth request from now on ---- */

static long left = -1; /* -1: refuses none */

static bool refuses(void)
{
	return left >= 0 && left-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *string);
int __real_vasprintf(char **out, const char *format, va_list args);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *string);
int __wrap_vasprintf(char **out, const char *format, va_list args);

void *__wrap_malloc(size_t size)
{
	return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuses() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refuses() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *string)
{
	return refuses() ? NULL : __real_strdup(string);
}

int __wrap_vasprintf(char **out, const char *format, va_list args)
{
	return refuses() ? -1 : __real_vasprintf(out, format, args);
}

/* ---- the flows ---- */

static const char *json_bytes;

static int parse_network(struct error *error)
{
	struct net_spec spec;
	struct strings ports = { 0 };
	struct net_request request = { .net = "passt", .ports = &ports, .id = "0123456789ab" };
	strings_add(&ports, "127.0.0.1:80:8080/udp");
	strings_add(&ports, "81");
	int err = strings_error(&ports);
	if (!err)
		err = net_parse(&spec, &request, error);
	else
		spec = (struct net_spec){ 0 };
	net_free(&spec);
	strings_free(&ports);
	return err;
}

static int parse_tap(struct error *error)
{
	struct net_spec spec;
	struct net_request request = { .net = "tap:lvm0,queues=2,spoof=on", .id = "0123456789ab" };
	int err = net_parse(&spec, &request, error);
	net_free(&spec);
	return err;
}

static int parse_manifest(struct error *error)
{
	static const char json[] = "{\"lightvm\":1,\"program\":\"/p\",\"args\":[\"p\",\"q\"],\"env\":[\"A=b\"],\"hostname\":\"h\"}";
	struct manifest manifest;
	int err = manifest_parse(&manifest, json, strlen(json), error);
	manifest_free(&manifest);
	/* The JSON library takes what it cannot keep for what is not there. */
	return err && text_starts(error->text, "manifest: line ") ? -ENOMEM : err;
}

static int clean_path(struct error *error)
{
	char *path = path_clean("/a/long/directory/to/begin/with", "../and/a/path/that/has/some/more/components");
	if (path)
		assert_string_equal(path, "/a/long/directory/to/begin/and/a/path/that/has/some/more/components");
	int err = path ? 0 : -ENOMEM;
	free(path);
	return err;
}

static int read_and_write(struct error *error)
{
	struct vm_config config;
	json_t *json = json_loads(json_bytes, 0, NULL);
	config_init(&config);
	int err = json ? config_from_json(&config, json, error) : -ENOMEM;
	json_decref(json);
	if (!err)
		err = config_validate(&config, error);
	json_t *again = err ? NULL : config_to_json(&config);
	if (!err && !again)
		err = -ENOMEM;
	json_decref(again);
	config_free(&config);
	return err;
}

static int encode(struct error *error)
{
	struct vm_config config;
	struct text out = { 0 };
	struct fd_list fds = { 0 };
	struct net_link link = NET_LINK_NONE;
	const struct monitor_files files = { .link = &link, .libos = 3, .initrd = -1, .vsock = -1, .control = 4, .status = 5, .log = 6, .cpuid = 7, .files = -1, .prefault = -1, .in = 0, .out = 1, .err = 2 };
	config_init(&config);
	config_env(&config, "A=b");
	config_env(&config, "A=c");
	strings_add(&config.args, "p");
	config.program = alloc_copy("/p");
	config.cwd = alloc_copy("/");
	config.hostname = alloc_copy("h");
	config.image = alloc_copy("/i");
	config.guest.kernel = alloc_copy("libos");
	int err = !config.program || !config.cwd || !config.hostname || !config.image || !config.guest.kernel ? -ENOMEM : config_validate(&config, error);
	if (!err)
		err = config_encode(&config, &files, 0, &out, &fds, error);
	text_free(&out);
	config_free(&config);
	return err;
}

static int directories(struct error *error)
{
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE, found = VM_DIR_NONE;
	char id[STATE_ID + 1];
	int err = state_open(&state, true, error);
	if (!err)
		err = vm_new_id(id, error);
	if (!err)
		err = vm_create(&state, id, &vm, error);
	if (!err && (err = vm_publish(&state, &vm, "short", error)))
		vm_abandon(&state, &vm);
	if (!err)
		err = vm_find(&state, "short", &found, error);
	if (vm.dir >= 0)
		vm_remove(&state, &vm, "short", NULL);
	vm_close(&found);
	vm_close(&vm);
	state_close(&state);
	return err;
}

static void run_short(const char *name, int (*flow)(struct error *error))
{
	long n = 0;
	for (; n < MOST; n++) {
		struct error error = { 0 };
		left = n;
		int err = flow(&error);
		bool was_refused = left < 0;
		left = -1;
		if (!was_refused) {
			if (err)
				fail_msg("%s: with all memory: %s", name, error.text);
			break;
		}
		if (err && err != -ENOMEM)
			fail_msg("%s: allocation %ld refused: %d, %s", name, n, err, error.text);
	}
	assert_in_range(n, 3, MOST - 1);
}

static void no_memory(void **state)
{
	json_bytes = "{\"version\":1,\"program\":\"/p\",\"args\":[\"p\",{\"hex\":\"ff\"}],\"env\":[\"A=b\"],\"cwd\":\"/\",\"hostname\":\"h\",\"image\":\"/i\","
		     "\"kernel\":\"k\",\"linux\":{\"kernel\":\"/k\",\"append\":\"x\"},\"disks\":[{\"path\":\"/d\"}],"
		     "\"net\":{\"kind\":\"passt\",\"ports\":[{\"host\":1}]}}";
	char *path = scratch();
	setenv("XDG_RUNTIME_DIR", path, 1);
	run_short("network", parse_network);
	run_short("tap", parse_tap);
	run_short("manifest", parse_manifest);
	run_short("path", clean_path);
	run_short("JSON", read_and_write);
	run_short("records", encode);
	run_short("directories", directories);
	tree_remove(AT_FDCWD, path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_memory) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
