/* SPDX-License-Identifier: Apache-2.0 */
/* Users of monitors: two that start at once get two, though neither has become its own yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "node/vm_jail.h"
#include "tests/unit/scratch.h"

#define FIRST 0x7effff00u /* nobody's, and no monitor's by default */

static int dir_of(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	return dir;
}

static void *scratch_or_skip(void)
{
	if (geteuid())
		skip(); /* who is not root has no users to give */
	return scratch();
}

static void test_held(void **state)
{
	char *path = scratch_or_skip();
	int dir = dir_of(path), one = jail_users_hold(dir, "users"), two = jail_users_hold(dir, "users");
	const struct jail_users users = { FIRST, 16 };
	uint32_t first = jail_user_find(&users, "5", one), second = jail_user_find(&users, "5", two);
	assert_int_equal(first, FIRST + 5);
	assert_true(second && second != first);
	close(one);
	one = jail_users_hold(dir, "users");
	assert_int_equal(jail_user_find(&users, "5", one), first);
	close(one);
	close(two);
	close(dir);
	tree_remove(AT_FDCWD, path);
	free(path);
}

static void test_none_left(void **state)
{
	char *path = scratch_or_skip();
	int dir = dir_of(path), one = jail_users_hold(dir, "users"), two = jail_users_hold(dir, "users");
	const struct jail_users users = { FIRST, 1 };
	assert_int_equal(jail_user_find(&users, "0", one), FIRST);
	assert_int_equal(jail_user_find(&users, "0", two), 0);
	close(one);
	assert_int_equal(jail_user_find(&users, "0", two), FIRST);
	close(two);
	close(dir);
	tree_remove(AT_FDCWD, path);
	free(path);
}

/* Once it has a process, it is that which keeps it. */
static void test_lives(void **state)
{
	char *path = scratch_or_skip(), byte;
	int dir = dir_of(path), ready[2], held = jail_users_hold(dir, "users");
	const struct jail_users users = { FIRST, 16 };
	assert_return_code(pipe(ready), errno);
	pid_t child = fork();
	if (!child) {
		if (setresuid(FIRST + 5, FIRST + 5, FIRST + 5) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	uint32_t other = jail_user_find(&users, "5", held);
	assert_true(other && other != FIRST + 5);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(held);
	held = jail_users_hold(dir, "users");
	assert_int_equal(jail_user_find(&users, "5", held), FIRST + 5);
	close(held);
	close(ready[0]);
	close(ready[1]);
	close(dir);
	tree_remove(AT_FDCWD, path);
	free(path);
}

/* A file that cannot be had is no reason not to start. */
static void test_no_file(void **state)
{
	const struct jail_users users = { FIRST, 16 };
	char *path = scratch_or_skip();
	int dir = dir_of(path);
	assert_int_equal(jail_users_hold(dir, "nowhere/users"), -1);
	assert_return_code(symlinkat("/etc/passwd", dir, "link"), errno);
	assert_int_equal(jail_users_hold(dir, "link"), -1);
	assert_int_equal(jail_user_find(&users, "5", -1), FIRST + 5);
	close(dir);
	tree_remove(AT_FDCWD, path);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_none_left),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
