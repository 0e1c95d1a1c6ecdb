/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that another user may have prepared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/owned_dir.h"
#include "base/text.h"
#include "tests/unit/scratch.h"

static char *top;

static int setup(void **state)
{
	top = scratch();
	return 0;
}

static int teardown(void **state)
{
	int err = tree_remove(AT_FDCWD, top);
	free(top);
	return err;
}

/* Opens top/name; the result, and the message in *error. */
static int opens(const char *name, bool create, struct error *error)
{
	char *path = alloc_format("%s/%s", top, name);
	*error = (struct error){ 0 };
	int fd = owned_dir_open(path, create, error);
	if (fd >= 0) {
		struct stat by_fd, by_path;
		assert_int_equal(fstat(fd, &by_fd), 0);
		assert_int_equal(lstat(path, &by_path), 0);
		assert_int_equal(by_fd.st_ino, by_path.st_ino);
		close(fd);
	}
	free(path);
	return fd < 0 ? fd : 0;
}

static void makes_what_is_not_there(void **state)
{
	struct error error;
	struct stat st;
	assert_int_equal(opens("a/b/c", false, &error), -ENOENT);
	assert_string_equal(error.text, "");
	assert_int_equal(opens("a/b/c", true, &error), 0);
	assert_int_equal(opens("a/b/c", false, &error), 0);
	char *path = alloc_format("%s/a/b/c", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	int fd = owned_dir_open(path, false, &error), below = owned_dir_openat(fd, path, "images", false, &error);
	assert_int_equal(below, -ENOENT);
	below = owned_dir_openat(fd, path, "images", true, &error);
	assert_true(below >= 0);
	close(below);
	close(fd);
	free(path);
}

static void refuses_links(void **state)
{
	struct error error;
	char *real = alloc_format("%s/real", top), *link = alloc_format("%s/link", top), *plain = alloc_format("%s/plain", top);
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(opens("real", false, &error), 0);
	assert_int_equal(opens("link", false, &error), -ELOOP);
	assert_int_equal(opens("link", true, &error), -ELOOP);
	assert_non_null(strstr(error.text, "/link is a symbolic link"));
	int fd = owned_dir_open(top, false, &error);
	assert_true(fd >= 0);
	assert_int_equal(owned_dir_openat(fd, top, "link", true, &error), -ELOOP);
	close(fd);
	/* A link that leads nowhere does not get its target made. */
	assert_int_equal(rmdir(real), 0);
	assert_int_equal(opens("link", true, &error), -ELOOP);
	assert_int_equal(access(real, F_OK), -1);
	assert_int_equal(file_write(AT_FDCWD, plain, "", 0, 0600), 0);
	assert_int_equal(opens("plain", true, &error), -ENOTDIR);
	free(real), free(link), free(plain);
}

static void refuses_what_others_may_write(void **state)
{
	static const struct {
		mode_t mode;
		int err;
	} cases[] = { { 0700, 0 }, { 0755, 0 }, { 0770, -EPERM }, { 0720, -EPERM }, { 0702, -EPERM }, { 01777, -EPERM } };
	struct error error;
	char *path = alloc_format("%s/modes", top);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(chmod(path, cases[i].mode), 0);
		assert_int_equal(opens("modes", true, &error), cases[i].err);
		assert_int_equal(strstr(error.text, "others than its owner may write to ") != NULL, cases[i].err != 0);
	}
	free(path);
}

/* Root makes one that belongs to somebody else; for everybody else root's own is such a one. */
static void refuses_those_of_others(void **state)
{
	struct error error = { 0 };
	char *path = geteuid() ? alloc_copy("/usr") : alloc_format("%s/theirs", top);
	if (!geteuid()) {
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(chown(path, 65534, 65534), 0);
	}
	char *want = alloc_format("%s belongs to user %u, not to user %u who runs this", path, geteuid() ? 0 : 65534u, (unsigned)geteuid());
	assert_int_equal(owned_dir_open(path, true, &error), -EPERM);
	assert_string_equal(error.text, want);
	free(path), free(want);
}

/* What lies where a file is made before it gets its name: a leftover goes, a link is not followed. */
static void writes_through_nothing(void **state)
{
	char *path = alloc_format("%s/written", top), *fresh = alloc_format("%s/written.%d", top, (int)getpid()), *other = alloc_format("%s/other", top);
	char text[16] = "";
	assert_int_equal(file_write(AT_FDCWD, other, "theirs", 6, 0600), 0);
	assert_int_equal(symlink(other, fresh), 0);
	assert_int_equal(file_write(AT_FDCWD, path, "ours", 4, 0600), 0);
	int fd = open(other, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text)), 6);
	close(fd);
	assert_int_equal(access(fresh, F_OK), -1);
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 4);
	free(path), free(fresh), free(other);
}

/* What was never made, on a full disk for one, is taken away like all else. */
static void nothing_is_removed(void **state)
{
	assert_int_equal(tree_remove(AT_FDCWD, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_what_is_not_there),
		cmocka_unit_test(refuses_links),
		cmocka_unit_test(refuses_what_others_may_write),
		cmocka_unit_test(refuses_those_of_others),
		cmocka_unit_test(writes_through_nothing), cmocka_unit_test(nothing_is_removed),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
