/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as "lightvm cp" sends and takes them, by senders that are honest and by such that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/tree.h"
#include "tests/unit/scratch.h"

static void count_note(void *context, const char *text)
{
	++*(int *)context;
}

static void tree_there(void **state)
{
	char *path = scratch();
	int dir = open(path, O_RDONLY | O_DIRECTORY), pair[2], notes = 0;
	struct stat st;
	sockets(pair);
	mkdirat(dir, "a", 0755);
	mkdirat(dir, "a/sub", 0750);
	put_file(dir, "a/x", "some text", 0640);
	put_file(dir, "a/sub/suid", "", 04755);
	assert_int_equal(symlinkat("../../etc/passwd", dir, "a/sub/link"), 0);
	assert_int_equal(mkfifoat(dir, "a/fifo", 0600), 0);
	pid_t pid = fork();
	if (!pid) {
		int seen = 0; /* who sends is told as well */
		struct tree_report report = { .note = count_note, .context = &seen };
		_exit(tree_send(pair[0], dir, "a", &report) != 0 || seen != 1);
	}
	struct tree_report report = { .note = count_note, .context = &notes };
	assert_int_equal(tree_receive(pair[1], dir, "b", 0777, &report), 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_file(dir, "b/x", "some text");
	assert_int_equal(notes, 1);
	assert_int_equal(report.files, 2);
	assert_int_equal(fstatat(dir, "b/sub/suid", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(dir, "b/sub", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(fstatat(dir, "b/sub/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(tree_remove(AT_FDCWD, path), 0);
	close(dir);
	close(pair[0]);
	close(pair[1]);
	free(path);
}

/* Sends `from` of dir in a child and receives it as `to`; the result. */
static int copy_there(int from_dir, const char *from, int dir, const char *to, mode_t mask, struct tree_report *report)
{
	int pair[2], status;
	sockets(pair);
	pid_t pid = fork();
	if (!pid) {
		struct tree_report sent = { 0 };
		close(pair[1]);
		_exit(tree_send(pair[0], from_dir, from, &sent) != 0);
	}
	close(pair[0]);
	int err = tree_receive(pair[1], dir, to, mask, report);
	close(pair[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return err;
}

static void holes_and_sizes(void **state)
{
	char *path = scratch(), bytes[4096];
	struct tree_report report = { 0 };
	struct stat st;
	int dir = open(path, O_RDONLY | O_DIRECTORY), proc = open("/proc/self", O_RDONLY | O_DIRECTORY);
	int file = openat(dir, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(file, 64 << 20), 0);
	assert_int_equal(pwrite(file, "middle", 6, 32 << 20), 6);
	close(file);
	assert_int_equal(copy_there(dir, "sparse", dir, "copy", 0777, &report), 0);
	assert_int_equal(fstatat(dir, "copy", &st, 0), 0);
	assert_int_equal(st.st_size, 64 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	file = openat(dir, "copy", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(file, bytes, 6, 32 << 20), 6);
	assert_memory_equal(bytes, "middle", 6);
	assert_int_equal(pread(file, bytes, 6, 1 << 20), 6);
	assert_memory_equal(bytes, "\0\0\0\0\0\0", 6);
	close(file);
	/* A file that says it has no bytes, and has some. */
	report = (struct tree_report){ 0 };
	assert_int_equal(copy_there(proc, "status", dir, "status", 0777, &report), 0);
	assert_int_equal(fstatat(dir, "status", &st, 0), 0);
	assert_true(st.st_size > 100);
	/* An empty one stays empty. */
	put_file(dir, "empty", "", 0600);
	assert_int_equal(copy_there(dir, "empty", dir, "empty2", 0777, &report), 0);
	assert_int_equal(fstatat(dir, "empty2", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	tree_remove(AT_FDCWD, path);
	close(dir);
	close(proc);
	free(path);
}

static void old_times(void **state)
{
	static const struct timespec times[] = { { -86400 * 365, 5 }, { -1, 999999999 }, { 0, 0 }, { 6311433600, 1 } };
	char *path = scratch();
	struct stat st;
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		struct tree_report report = { 0 };
		struct timespec both[2] = { times[i], times[i] };
		put_file(dir, "x", "", 0600);
		assert_int_equal(utimensat(dir, "x", both, 0), 0);
		assert_int_equal(copy_there(dir, "x", dir, "y", 0777, &report), 0);
		assert_int_equal(fstatat(dir, "y", &st, 0), 0);
		assert_int_equal(st.st_mtim.tv_sec, times[i].tv_sec);
		assert_int_equal(st.st_mtim.tv_nsec, times[i].tv_nsec);
	}
	tree_remove(AT_FDCWD, path);
	close(dir);
	free(path);
}

/* What was there before keeps its mode and time; what is new gets none of the masked bits. */
static void directories_that_were_there(void **state)
{
	char *path = scratch();
	struct tree_report report = { 0 };
	struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
	struct stat st;
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	mkdirat(dir, "from", 0777);
	put_file(dir, "from/x", "1", 0666);
	utimensat(dir, "from", long_ago, 0);
	mkdirat(dir, "to", 0700);
	assert_int_equal(copy_there(dir, "from", dir, "to", 0777 & ~077, &report), 0);
	assert_int_equal(fstatat(dir, "to", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_not_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(fstatat(dir, "to/x", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	tree_remove(AT_FDCWD, path);
	close(dir);
	free(path);
}

static void too_many_bytes(void **state)
{
	char *path = scratch();
	struct tree_report report = { .limit = 10 };
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	mkdirat(dir, "from", 0777);
	put_file(dir, "from/x", "12345678", 0666);
	assert_int_equal(copy_there(dir, "from", dir, "to", 0777, &report), 0);
	put_file(dir, "from/y", "12345678", 0666);
	report = (struct tree_report){ .limit = 10 };
	assert_int_equal(copy_there(dir, "from", dir, "again", 0777, &report), -EFBIG);
	assert_non_null(strstr(report.error, "more than 10 bytes"));
	tree_remove(AT_FDCWD, path);
	close(dir);
	free(path);
}

/* Empty ones take room, too. */
static void too_many_files(void **state)
{
	char *path = scratch();
	struct tree_report report = { .most = 3 };
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	mkdirat(dir, "from", 0777);
	put_file(dir, "from/x", "", 0666);
	assert_int_equal(symlinkat("x", dir, "from/link"), 0);
	assert_int_equal(copy_there(dir, "from", dir, "to", 0777, &report), 0);
	assert_int_equal(mkdirat(dir, "from/sub", 0777), 0);
	report = (struct tree_report){ .most = 3 };
	assert_int_equal(copy_there(dir, "from", dir, "again", 0777, &report), -E2BIG);
	assert_non_null(strstr(report.error, "more than 3 files and directories"));
	tree_remove(AT_FDCWD, path);
	close(dir);
	free(path);
}

static void put_entry(struct text *out, uint8_t type, const char *name, size_t name_size, uint64_t size)
{
	struct tree_entry entry = { .type = type, .name_size = (uint16_t)name_size, .size = size, .mode = 0755 };
	text_add(out, &entry, sizeof(entry));
	text_add(out, name, name_size < 256 ? name_size : 0);
}

/* A stream by a hostile sender: refused with these words, and nothing appears beside the target. */
static void hostile(const struct text *stream, const char *words)
{
	char *path = scratch(), *inner = alloc_format("%s/inner", path);
	struct tree_report report = { 0 };
	int pair[2];
	sockets(pair);
	assert_int_equal(mkdir(inner, 0755), 0);
	int dir = open(inner, O_RDONLY | O_DIRECTORY), outside = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fd_write(pair[0], stream->data, stream->size), 0);
	close(pair[0]);
	assert_true(tree_receive(pair[1], dir, "top", 0777, &report) < 0);
	if (!strstr(report.error, words))
		fail_msg("\"%s\" does not say \"%s\"", report.error, words);
	assert_int_equal(faccessat(outside, "evil", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	tree_remove(AT_FDCWD, path);
	close(dir);
	close(outside);
	close(pair[1]);
	free(inner);
	free(path);
}

static void one_name(const char *name, size_t size, const char *words)
{
	struct text stream = { 0 };
	put_entry(&stream, TREE_DIR, "", 0, 0);
	put_entry(&stream, TREE_FILE, name, size, 4);
	text_put(&stream, "evil");
	hostile(&stream, words);
	text_free(&stream);
}

static void hostile_trees(void **state)
{
	struct text stream = { 0 };
	one_name("..", 2, "would leave the directory");
	one_name(".", 1, "would leave the directory");
	one_name("", 0, "would leave the directory");
	one_name("../evil", 7, "would leave the directory");
	one_name("/evil", 5, "would leave the directory");
	one_name("a\0b", 3, "would leave the directory");
	one_name("x", 300, "a name of 300 bytes");

	/* A link out of the directory, then a directory of the same name to walk through it. */
	put_entry(&stream, TREE_DIR, "", 0, 0);
	put_entry(&stream, TREE_LINK, "l", 1, 5);
	text_put(&stream, "../..");
	put_entry(&stream, TREE_DIR, "l", 1, 0);
	put_entry(&stream, TREE_FILE, "evil", 4, 0);
	hostile(&stream, "is no directory");
	text_free(&stream);

	put_entry(&stream, TREE_LINK, "", 0, 4);
	text_put(&stream, "evil");
	hostile(&stream, "a symbolic link where");
	text_free(&stream);
	put_entry(&stream, TREE_UP, "", 0, 0);
	hostile(&stream, "left a directory");
	text_free(&stream);
	put_entry(&stream, TREE_FILE, "", 0, 0);
	put_entry(&stream, TREE_FILE, "", 0, 0);
	hostile(&stream, "more than one tree");
	text_free(&stream);
	put_entry(&stream, TREE_DIR, "", 0, 0);
	put_entry(&stream, TREE_END, "", 0, 0);
	hostile(&stream, "ended within a directory");
	text_free(&stream);
	put_entry(&stream, TREE_FILE, "", 0, 1u << 30);
	hostile(&stream, "ended in the middle");
	text_free(&stream);
	put_entry(&stream, TREE_NOTE, "", 0, 1u << 30);
	hostile(&stream, "a text of");
	text_free(&stream);
	put_entry(&stream, TREE_PIECES, "", 0, 0);
	text_add(&stream, (uint64_t[]){ 4, 2 }, 16);
	text_put(&stream, "xx");
	text_add(&stream, (uint64_t[]){ 5, 2 }, 16);
	hostile(&stream, "lies before the last one");
	text_free(&stream);
	put_entry(&stream, TREE_PIECES, "", 0, 0);
	text_add(&stream, (uint64_t[]){ INT64_MAX, 2 }, 16);
	hostile(&stream, "beyond any file");
	text_free(&stream);
	put_entry(&stream, 99, "", 0, 0);
	hostile(&stream, "unknown type");
	text_free(&stream);
	put_entry(&stream, TREE_END, "", 0, 0);
	hostile(&stream, "sent nothing");
	text_free(&stream);
	for (int i = 0; i <= TREE_DEPTH; i++)
		put_entry(&stream, TREE_DIR, "d", i > 0, 0);
	hostile(&stream, "deeper than");
	text_free(&stream);
}

static void links_are_replaced(void **state)
{
	char *path = scratch();
	struct text stream = { 0 };
	struct tree_report report = { 0 };
	int dir = open(path, O_RDONLY | O_DIRECTORY), pair[2];
	sockets(pair);
	put_file(dir, "victim", "untouched", 0600);
	assert_int_equal(symlinkat("victim", dir, "top"), 0);
	put_entry(&stream, TREE_FILE, "", 0, 3);
	text_put(&stream, "new");
	put_entry(&stream, TREE_END, "", 0, 0);
	assert_int_equal(fd_write(pair[0], stream.data, stream.size), 0);
	assert_int_equal(tree_receive(pair[1], dir, "top", 0777, &report), 0);
	expect_file(dir, "victim", "untouched");
	expect_file(dir, "top", "new");
	tree_remove(AT_FDCWD, path);
	close(dir);
	close(pair[0]);
	close(pair[1]);
	text_free(&stream);
	free(path);
}

/* What comes, into a directory that has the file "top" already: it stays. Answers what is said. */
static void stays(const struct text *stream, uint64_t room, const char *words)
{
	char *path = scratch();
	struct tree_report report = { .room = room };
	int dir = open(path, O_RDONLY | O_DIRECTORY), pair[2];
	sockets(pair);
	put_file(dir, "top", "old", 0600);
	assert_int_equal(fd_write(pair[0], stream->data, stream->size), 0);
	close(pair[0]);
	assert_true(tree_receive(pair[1], dir, "top", 0777, &report) < 0);
	if (!strstr(report.error, words))
		fail_msg("\"%s\" does not say \"%s\"", report.error, words);
	expect_file(dir, "top", "old");
	assert_int_equal(unlinkat(dir, "top", 0), 0);
	assert_int_equal(rmdir(path), 0); /* nothing else is there */
	close(dir);
	close(pair[1]);
	free(path);
}

/* A byte in each block: sixteen times 4 KiB, of which 17 bytes come each time. */
static void bytes_far_apart(void **state)
{
	struct text stream = { 0 };
	put_entry(&stream, TREE_PIECES, "", 0, 0);
	for (uint64_t i = 0; i < 16; i++) {
		text_add(&stream, (uint64_t[]){ i * 4096, 1 }, 16);
		text_put(&stream, "x");
	}
	stays(&stream, 16 * 4096, "top: with it more than 65536 bytes of room would be taken");
	text_free(&stream);
	put_entry(&stream, TREE_PIECES, "", 0, 0);
	text_add(&stream, (uint64_t[]){ 4095, 2 }, 16);
	text_put(&stream, "xx");
	stays(&stream, 2 * 4096, "top: with it more than 8192 bytes of room would be taken");
	text_free(&stream);
}

static void room_for_names(void **state)
{
	char *path = scratch(), name[16];
	struct text stream = { 0 };
	struct tree_report report = { .room = 8 * 4096 };
	int dir = open(path, O_RDONLY | O_DIRECTORY), pair[2];
	sockets(pair);
	put_entry(&stream, TREE_DIR, "", 0, 0);
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%d", i);
		put_entry(&stream, TREE_FILE, name, 1, 0);
	}
	assert_int_equal(fd_write(pair[0], stream.data, stream.size), 0);
	assert_true(tree_receive(pair[1], dir, "top", 0777, &report) < 0);
	assert_string_equal(report.error, "7: with it more than 32768 bytes of room would be taken");
	tree_remove(AT_FDCWD, path);
	close(dir);
	close(pair[0]);
	close(pair[1]);
	text_free(&stream);
	free(path);
}

static void old_until_whole(void **state)
{
	struct text stream = { 0 };
	put_entry(&stream, TREE_FILE, "", 0, 100);
	text_put(&stream, "half of it");
	stays(&stream, 0, "ended in the middle");
	text_free(&stream);
}

/* Directories nested deeper than there are descriptors, all of them shut, and the names that are met on the way; not as root, who may look into everything. */
static int make_and_remove(const char *path)
{
	const struct rlimit few = { 100, 100 };
	int dir = open(path, O_RDONLY | O_DIRECTORY), at = dir, up;
	if ((!getuid() && (fchown(dir, 1, 1) || setuid(1))) || setrlimit(RLIMIT_NOFILE, &few))
		return 1;
	put_file(dir, ".removed-1", "", 0600);
	mkdirat(dir, ".removed-2", 0700);
	mkdirat(dir, ".removed-3", 0700);
	put_file(dir, ".removed-3/file", "", 0600);
	for (int i = 0; i < 1000; i++, at = up) {
		put_file(at, "file", "", 0600);
		if (mkdirat(at, "d", 0700) || (up = openat(at, "d", O_RDONLY | O_DIRECTORY)) < 0)
			return 2;
		close(at);
	}
	for (int i = 0; i < 1000; i++, at = up)
		if ((up = openat(at, "..", O_RDONLY | O_DIRECTORY)) < 0 || fchmod(at, 0) || close(at))
			return 3;
	close(at);
	return tree_remove(AT_FDCWD, path) ? 4 : access(path, F_OK) ? 0 : 5;
}

static void remove_deep(void **state)
{
	char *path = scratch();
	pid_t pid = fork();
	int status;
	if (!pid)
		_exit(make_and_remove(path));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_there), cmocka_unit_test(holes_and_sizes), cmocka_unit_test(old_times),
		cmocka_unit_test(directories_that_were_there), cmocka_unit_test(too_many_bytes), cmocka_unit_test(too_many_files), cmocka_unit_test(hostile_trees), cmocka_unit_test(links_are_replaced),
		cmocka_unit_test(bytes_far_apart), cmocka_unit_test(room_for_names), cmocka_unit_test(old_until_whole), cmocka_unit_test(remove_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
