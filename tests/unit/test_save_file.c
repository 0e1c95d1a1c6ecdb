/* SPDX-License-Identifier: Apache-2.0 */
/* Saved VMs in one file: it holds all of them, is replaced as a whole, and what is damaged, cut or something else is refused. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "node/save_dir.h"
#include "node/save_file.h"
#include "tests/unit/save_sample.h"
#include "tests/unit/scratch.h"

static char *top;

static int setup(void **state)
{
	top = scratch();
	return 0;
}

static int teardown(void **state)
{
	tree_remove(AT_FDCWD, top);
	free(top);
	return 0;
}

static bool is_there(const char *path)
{
	struct stat st;
	return !lstat(path, &st);
}

static void refused(const char *path, int err, const char *words)
{
	struct save save;
	struct error error = { 0 };
	assert_int_equal(save_open(&save, path, &error), err);
	assert_non_null(strstr(error.text, words));
	save_close(&save);
}

/* parent: of what it says that it is only a difference from; NULL: it is whole. */
static void publish_one_since(const char *path, const char *words, const char *parent)
{
	struct save_manifest manifest = save_sample();
	manifest.parent.path = parent ? alloc_copy(parent) : NULL;
	memset(manifest.parent.state_sha256, parent ? 'a' : 0, sizeof(manifest.parent.state_sha256) - 1);
	struct save_draft made;
	struct error error = { 0 };
	assert_int_equal(save_begin_file(&made, path, &error), 0);
	assert_int_equal(fd_write(made.memory, words, 6), 0);
	assert_int_equal(fd_write(made.state, "state", 5), 0);
	assert_int_equal(save_compress(&made, &manifest, &error), 0);
	assert_int_equal(save_file_publish(&made, &manifest, &error), 0);
	save_free(&made);
	save_manifest_free(&manifest);
}

static void publish_one(const char *path, const char *words)
{
	publish_one_since(path, words, NULL);
}

static void has_all(struct save *save, const char *words)
{
	struct error error = { 0 };
	char data[7] = "", state[6] = "";
	int memory = save_open_memory(save, &error), saved = save_open_state(save, &error);
	assert_int_equal(pread(memory, data, 7, 0), 6);
	assert_string_equal(data, words);
	assert_int_equal(pread(saved, state, 6, 0), 5);
	assert_string_equal(state, "state");
	assert_int_equal(pwrite(saved, "x", 1, 0), -1);
	close(memory), close(saved);
	save_close(save);
}

static void one_holds(const char *path, const char *words)
{
	struct save save;
	struct error error = { 0 };
	assert_int_equal(save_open(&save, path, &error), 0);
	has_all(&save, words);
}

static void one_file_has_all_of_it(void **state)
{
	struct save save;
	struct stat st;
	struct error error = { 0 };
	char *path = alloc_format("%s/one", top), *hidden = alloc_format("%s/.one.saving", top), *letter = alloc_format("%s/letter", top);
	publish_one(path, "single");
	assert_false(is_there(hidden));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	one_holds(path, "single");
	publish_one(path, "second");
	one_holds(path, "second");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(save_open_stream(&save, fd, &error), 0);
	has_all(&save, "second");
	close(fd);
	/* What is something else is not replaced, nor removed, nor taken for one. */
	assert_int_equal(file_write(AT_FDCWD, letter, "dear", 4, 0600), 0);
	struct save_draft made;
	assert_int_equal(save_begin_file(&made, letter, &error), -EEXIST);
	save_free(&made);
	assert_int_equal(save_begin_file(&made, top, &error), -EEXIST);
	save_free(&made);
	assert_int_equal(save_begin(&made, path, &error), -EEXIST);
	save_free(&made);
	assert_int_equal(save_remove(letter, &error), -EINVAL);
	assert_true(is_there(letter));
	refused(letter, -EINVAL, "letter: no saved VM: it does not begin like one");
	assert_int_equal(chmod(path, 0620), 0);
	refused(path, -EPERM, "one: others than its owner may write to it");
	assert_int_equal(save_remove(path, &error), 0);
	assert_false(is_there(path));
	free(path), free(hidden), free(letter);
}

static void one_file_is_no_difference(void **state)
{
	char *path = alloc_format("%s/one", top);
	publish_one_since(path, "single", "/saved/web");
	refused(path, -EINVAL, "one: it holds only what changed since another one");
	publish_one(path, "single");
	one_holds(path, "single");
	free(path);
}

static void altered(const char *path, int fd, off_t at, int by)
{
	struct save save;
	struct error error = { 0 };
	char byte, other;
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	other = (char)(byte ^ by);
	assert_int_equal(pwrite(fd, &other, 1, at), 1);
	/* The state is looked at only by who wants it: a list of them does not read that of each. */
	bool is_state = !save_open(&save, path, &error);
	if (is_state && (at < (off_t)save.state_at || at >= (off_t)save.packed_at || save_open_state(&save, &error) != -EBADMSG))
		fail_msg("byte %lld may be another one", (long long)at);
	assert_non_null(strstr(error.text, "one: "));
	save_close(&save);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Every byte before its memory, which has checksums of its own; and wherever it ends. */
static void one_file_that_is_damaged_is_refused(void **state)
{
	struct save save;
	struct stat st;
	struct error error = { 0 };
	char *path = alloc_format("%s/one", top), *half = alloc_format("%s/half-one", top), *bytes;
	size_t size;
	publish_one(path, "memory");
	assert_int_equal(save_open(&save, path, &error), 0);
	const off_t memory = (off_t)save.packed_at;
	save_close(&save);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(memory > 48 && !fstat(fd, &st) && memory < st.st_size);
	for (off_t at = 0; at < memory; at++)
		altered(path, fd, at, at % 2 ? 1 : 0x80);
	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &bytes, &size), 0);
	for (size_t end = 0; end < size; end++) {
		assert_int_equal(file_write(AT_FDCWD, half, bytes, end, 0600), 0);
		refused(half, end < 8 ? -EINVAL : -EBADMSG, end < 8 ? "no saved VM" : "it is not whole");
	}
	assert_int_equal(pwrite(fd, "\2", 1, 8), 1);
	refused(path, -EPROTONOSUPPORT, "one: version 2 is not known; this lightvm reads 1");
	assert_int_equal(pwrite(fd, "\1", 1, 8), 1);
	/* Memory. */
	assert_int_equal(pwrite(fd, "xxxx", 4, st.st_size - 4), 4);
	assert_int_equal(save_open(&save, path, &error), 0);
	assert_int_equal(save_open_memory(&save, &error), -EBADMSG);
	save_close(&save);
	assert_int_equal(pwrite(fd, "more", 4, st.st_size), 4);
	refused(path, -EBADMSG, "it is not whole");
	close(fd);
	free(bytes), free(path), free(half);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_file_has_all_of_it), cmocka_unit_test(one_file_is_no_difference),
						cmocka_unit_test(one_file_that_is_damaged_is_refused) };
	return cmocka_run_group_tests(tests, setup, teardown);
}
