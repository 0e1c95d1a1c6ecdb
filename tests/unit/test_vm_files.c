/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor says of the files that are used, which may be anything, and may go while it is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "node/vm_files.h"
#include "tests/unit/scratch.h"

static struct vm_dir vm;
static int monitors; /* its descriptor */
static struct vm_files files;

static void put(const char *bytes, size_t size, off_t at)
{
	assert_int_equal(pwrite(monitors, bytes, size, at), size);
}

static void said(void **state)
{
	put("/a\0/b/", 7, LV_USED_NAMES_AT);
	put("\1\3", 2, LV_USED_MARKS_AT + 5);
	assert_int_equal(vm_files_open(&files, &vm), 0);
	const char *name = vm_files_lack(&files, NULL);
	assert_string_equal(name, "/a");
	assert_string_equal(name = vm_files_lack(&files, name), "/b/");
	assert_null(vm_files_lack(&files, name));
	assert_int_equal(vm_files_mark(&files, 5), 1);
	assert_int_equal(vm_files_mark(&files, 6), 3);
	assert_int_equal(vm_files_mark(&files, UINT64_MAX), 0);
}

static void cut_short(void **state)
{
	put("/a", 3, LV_USED_NAMES_AT);
	assert_int_equal(vm_files_open(&files, &vm), 0);
	assert_int_equal(ftruncate(monitors, 0), 0);
	assert_string_equal(vm_files_lack(&files, NULL), "/a");
	assert_int_equal(vm_files_mark(&files, 5), 0);
	vm_files_close(&files);
	assert_int_equal(vm_files_open(&files, &vm), -EINVAL);
}

static void no_end(void **state)
{
	char names[LV_USED_NAMES];
	memset(names, 'x', sizeof(names));
	put(names, sizeof(names), LV_USED_NAMES_AT);
	assert_int_equal(vm_files_open(&files, &vm), 0);
	const char *name = vm_files_lack(&files, NULL);
	assert_int_equal(name ? strlen(name) : 0, LV_USED_NAMES);
	assert_null(vm_files_lack(&files, name));
}

static int set_up(void **state)
{
	char *path = scratch();
	vm = (struct vm_dir){ .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .status = -1 };
	monitors = vm_files_make(&vm, LV_RECORD_KNOWN, 1 << 20, NULL);
	*state = path;
	return monitors < 0;
}

static int tear_down(void **state)
{
	vm_files_close(&files);
	close(monitors);
	int err = unlinkat(vm.dir, "files", 0) || rmdir(*state);
	close(vm.dir);
	free(*state);
	return err;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = { TEST(said), TEST(cut_short), TEST(no_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
