/* SPDX-License-Identifier: Apache-2.0 */
/* Tar archives into plans: what GNU tar wrote, and what nobody should have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/unit/scratch.h"
#include "tinyx/tar.h"

#define LIMIT (64u << 20)

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

/* Runs a shell command in the scratch directory. */
static void shell(const char *command)
{
	char *line = alloc_format("cd '%s' && { %s; }", top, command);
	assert_int_equal(system(line), 0);
	free(line);
}

static int plan_archive(const char *name, struct plan *plan, struct spool *spool, uint64_t limit, struct error *error)
{
	struct tar_entry entry;
	char *path = alloc_format("%s/%s", top, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	assert_true(fd >= 0);
	struct tar *tar;
	spool_init(spool, memfd_create("spool", MFD_CLOEXEC), limit);
	assert_true(spool->fd >= 0);
	err = tar_open(&tar, fd, name, error);
	while (!err && (err = tar_next(tar, &entry, error)) == 1)
		err = tar_plan(tar, &entry, spool, plan, error);
	tar_close(tar);
	close(fd);
	free(path);
	return err;
}

static void expect_contents(const struct plan *plan, const char *guest, const char *text)
{
	char got[64] = "";
	const struct plan_entry *entry = plan_find(plan, guest);
	assert_non_null(entry);
	assert_int_equal(entry->kind, PLAN_FILE);
	assert_int_equal(entry->size, strlen(text));
	assert_int_equal(entry->offset % 4096, 0);
	int fd = open(entry->source, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, got, entry->size, (off_t)entry->offset), (ssize_t)entry->size);
	assert_string_equal(got, text);
	close(fd);
}

static void test_takes_what_is_there(void **state)
{
	struct plan plan = { 0 };
	struct spool spool;
	struct error error = { 0 };
	shell("mkdir -p t/usr/lib t/lib && ln -s usr/bin t/bin && echo one >t/usr/lib/a && ln t/usr/lib/a t/usr/lib/b && : >t/empty && chmod 4751 t/usr/lib/a"
	      " && echo deep >t/lib/$(printf %0150d 7) && mkfifo t/pipe && touch -d '2001-02-03 04:05:06Z' t/usr/lib/a"
	      " && tar --format=gnu --owner=:123 --group=:456 --numeric-owner -C t -cf a.tar .");
	plan_link(&plan, "/lib", "usr/lib"); /* a merged /usr: the archive's directory goes where the link leads */
	assert_int_equal(plan_archive("a.tar", &plan, &spool, LIMIT, &error), 0);
	expect_contents(&plan, "/usr/lib/a", "one\n");
	expect_contents(&plan, "/usr/lib/b", "one\n");
	expect_contents(&plan, "/empty", "");
	char *deep = alloc_format("/usr/lib/%0150d", 7);
	expect_contents(&plan, deep, "deep\n");
	free(deep);
	const struct plan_entry *file = plan_find(&plan, "/usr/lib/a"), *link = plan_find(&plan, "/bin"), *lib = plan_find(&plan, "/lib");
	assert_int_equal(file->mode, 04751);
	assert_int_equal(file->uid, 123);
	assert_int_equal(file->gid, 456);
	assert_int_equal(file->mtime, 981173106);
	assert_int_equal(link->kind, PLAN_LINK);
	assert_string_equal(link->source, "usr/bin");
	assert_int_equal(lib->kind, PLAN_LINK);
	assert_int_equal(plan.left_out, 1);
	assert_string_equal(plan.left_out_first, "/pipe");
	assert_null(plan_find(&plan, "/pipe"));
	close(spool.fd);
	plan_free(&plan);
}

static void expect_refused(const char *command, uint64_t limit, int code, const char *text)
{
	struct plan plan = { 0 };
	struct spool spool;
	struct error error = { 0 };
	shell(command);
	assert_int_equal(plan_archive("x.tar", &plan, &spool, limit, &error), code);
	assert_non_null(strstr(error.text, text));
	assert_non_null(strstr(error.text, "x.tar"));
	close(spool.fd);
	plan_free(&plan);
}

static void test_refuses_what_leads_out(void **state)
{
	expect_refused("mkdir -p u/in && echo x >u/out && tar -C u/in -P -cf x.tar ../out", LIMIT, -EINVAL, "\"../out\" leads out of the archive");
	expect_refused("echo x >u/one && ln -f u/one u/two && tar -C u -P --transform='flags=h;s,one,../../one,' -cf x.tar one two", LIMIT, -EINVAL,
		       "\"../../one\" leads out of the archive");
	expect_refused("tar -C u --transform='flags=h;s,one,none,' -cf x.tar one two", LIMIT, -EINVAL, "another name of /none, which is no file before it");
}

static void test_refuses_what_is_damaged(void **state)
{
	expect_refused("mkdir -p v && head -c 20000 /dev/zero >v/zeros && tar -C v -cf x.tar zeros && truncate -s 9000 x.tar", LIMIT, -EIO, "it ends within /zeros");
	expect_refused("tar -C v -cf x.tar zeros && printf X | dd of=x.tar bs=1 seek=150 conv=notrunc 2>/dev/null", LIMIT, -EINVAL, "a damaged archive");
	expect_refused("tar -C v -cf x.tar zeros", 10000, -EFBIG, "with /zeros it takes more than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_what_is_there),
		cmocka_unit_test(test_refuses_what_leads_out),
		cmocka_unit_test(test_refuses_what_is_damaged),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
