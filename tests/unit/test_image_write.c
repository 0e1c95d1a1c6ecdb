/* SPDX-License-Identifier: Apache-2.0 */
/* The EROFS writer, read back by the parser; and files on their way into a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "tests/unit/hand_clock.h"
#include "tests/unit/scratch.h"
#include "tinyx/erofs_write.h"
#include "tinyx/image_file.h"
#include "tinyx/stage.h"

static char *top;
static int top_fd;

static int setup(void **state)
{
	top = scratch();
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top_fd < 0;
}

static int teardown(void **state)
{
	clock_release();
	close(top_fd);
	int err = tree_remove(AT_FDCWD, top);
	free(top);
	return err;
}

/* ---- the writer ---- */

struct written {
	struct erofs fs;
	void *map;
	size_t size;
};

static void write_plan(struct plan *plan, struct written *out, const struct pack_watch *watch)
{
	struct error error = { 0 };
	struct stat st;
	int fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(fd >= 0);
	if (erofs_write(plan, fd, "here", watch, &error))
		fail_msg("%s", error.text);
	assert_int_equal(fstat(fd, &st), 0);
	out->size = (size_t)st.st_size;
	out->map = mmap(NULL, out->size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(out->map, MAP_FAILED);
	close(fd);
	assert_int_equal(erofs_open(&out->fs, out->map, out->size), 0);
	plan_free(plan);
}

static struct erofs_inode inode_of(const struct written *image, const char *path)
{
	struct erofs_inode inode;
	if (erofs_walk(&image->fs, path, &inode))
		fail_msg("%s is not in the image", path);
	return inode;
}

static void set_time(const char *name, time_t seconds, long ns)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds, .tv_nsec = ns } };
	assert_int_equal(utimensat(top_fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void keeps_what_stat_tells(void **state)
{
	struct plan plan = { 0 };
	struct error error = { 0 };
	struct written image;
	mkdirat(top_fd, "meta", 0755);
	put_file(top_fd, "meta/set-uid", "text", 0755);
	put_file(top_fd, "meta/empty", "", 0600);
	assert_int_equal(symlinkat("set-uid", top_fd, "meta/link"), 0);
	bool root = !geteuid();
	if (root)
		assert_int_equal(fchownat(top_fd, "meta/set-uid", 70123, 456, 0), 0);
	assert_int_equal(fchmodat(top_fd, "meta/set-uid", 04751, 0), 0);
	assert_int_equal(fchmodat(top_fd, "meta", 03775, 0), 0);
	set_time("meta/set-uid", 981173106, 123456789);
	set_time("meta/link", 5, 0);
	set_time("meta/empty", -86400, 7); /* before 1970 */
	set_time("meta", 1262304000, 250000000);
	char *dir = alloc_format("%s/meta", top);
	assert_int_equal(plan_add_as(&plan, dir, "/a/b", &error), 0);
	write_plan(&plan, &image, NULL);
	struct erofs_inode inode = inode_of(&image, "/a/b/set-uid");
	assert_int_equal(inode.mode, S_IFREG | 04751);
	assert_int_equal(inode.uid, root ? 70123 : 0);
	assert_int_equal(inode.gid, root ? 456 : 0);
	assert_int_equal(inode.mtime, 981173106);
	assert_int_equal(inode.mtime_nsec, 123456789);
	char text[8] = "";
	assert_int_equal(erofs_read(&image.fs, &inode, 0, text, sizeof(text)), 4);
	assert_string_equal(text, "text");
	inode = inode_of(&image, "/a/b/empty");
	assert_int_equal((int64_t)inode.mtime, -86400);
	assert_int_equal(inode.size, 0);
	inode = inode_of(&image, "/a/b");
	assert_int_equal(inode.mode, S_IFDIR | 03775);
	assert_int_equal(inode.mtime, 1262304000);
	assert_int_equal(inode.nlink, 2);
	/* On the way to it, and not of the host: as old as what is in it, which no other file of the host changes. */
	inode = inode_of(&image, "/a");
	assert_int_equal(inode.mtime, 1262304000);
	assert_int_equal(inode.nlink, 3);
	munmap(image.map, image.size);
	free(dir);
}

/* Entries that no packing of the host makes, but containers' layers have. */
static void keeps_what_only_root_can_make(void **state)
{
	static const char capability[20] = { 1, 0, 0, 2, 0, 4 };
	int spool = memfd_create("spool", MFD_CLOEXEC);
	struct plan plan = { 0 };
	char *path = alloc_format("/proc/self/fd/%d", spool);
	struct written image;
	assert_int_equal(fd_write(spool, "....contents", 12), 0);
	struct plan_xattr *xattr = alloc_zero(2 * sizeof(*xattr));
	xattr[0] = (struct plan_xattr){ alloc_copy("security.capability"), memcpy(alloc_zero(20), capability, 20), 20 };
	xattr[1] = (struct plan_xattr){ alloc_copy("user.empty"), NULL, 0 };
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/"), .kind = PLAN_DIR, .mode = 0711, .uid = 7, .mtime = 70 });
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/bin/b"), .kind = PLAN_FILE, .source = alloc_copy(path), .offset = 4, .size = 8, .mode = 04755,
		.uid = 1, .gid = 2, .mtime = 77 });
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/a"), .kind = PLAN_FILE, .source = alloc_copy(path), .offset = 4, .size = 8, .mode = 04755,
		.uid = 1, .gid = 2, .same = plan_same(&plan, "/bin/b"), .xattr = xattr, .xattrs = 2, .mtime = 77 });
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/dev/disk"), .kind = PLAN_SPECIAL, .mode = S_IFBLK | 0660, .rdev = makedev(259, 70000) });
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/dev/null"), .kind = PLAN_SPECIAL, .mode = S_IFCHR | 0666, .rdev = makedev(1, 3) });
	plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/dev/pipe"), .kind = PLAN_SPECIAL, .mode = S_IFIFO | 0600 });
	write_plan(&plan, &image, NULL);
	struct erofs_inode root = inode_of(&image, "/"), a = inode_of(&image, "/a"), b = inode_of(&image, "/bin/b");
	assert_int_equal(root.mode, S_IFDIR | 0711);
	assert_int_equal(root.uid, 7);
	assert_int_equal(root.mtime, 70);
	assert_int_equal(a.nid, b.nid);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(a.mode, S_IFREG | 04755);
	assert_int_equal(a.gid, 2);
	char text[16] = "";
	assert_int_equal(erofs_read(&image.fs, &a, 0, text, sizeof(text)), 8);
	assert_string_equal(text, "contents");
	struct erofs_inode disk = inode_of(&image, "/dev/disk"), pipe = inode_of(&image, "/dev/pipe");
	assert_int_equal(disk.mode, S_IFBLK | 0660);
	assert_int_equal(disk.rdev, (70000 & 0xff) | 259 << 8 | (70000 & ~0xff) << 12);
	assert_int_equal(inode_of(&image, "/dev/null").rdev, 0x103);
	assert_int_equal(pipe.mode, S_IFIFO | 0600);
	uint32_t cursor = 0;
	struct erofs_xattr got;
	assert_int_equal(erofs_xattr(&image.fs, &b, &cursor, &got), 1);
	assert_string_equal(got.prefix, "security.");
	assert_int_equal(got.name_len, 10);
	assert_memory_equal(got.name, "capability", 10);
	assert_int_equal(got.size, 20);
	assert_memory_equal(got.value, capability, 20);
	assert_int_equal(erofs_xattr(&image.fs, &b, &cursor, &got), 1);
	assert_string_equal(got.prefix, "user.");
	assert_int_equal(got.size, 0);
	assert_int_equal(erofs_xattr(&image.fs, &b, &cursor, &got), 0);
	cursor = 0;
	assert_int_equal(erofs_xattr(&image.fs, &pipe, &cursor, &got), 0);
	munmap(image.map, image.size);
	close(spool);
	free(path);
}

static void attributes_have_a_limit(void **state)
{
	struct error error = { 0 };
	static const struct {
		const char *name, *message;
		size_t size;
	} wrong[] = {
		{ "user.big", "/a: its extended attributes take more than 4032 bytes", 5000 },
		{ "odd.name", "/a: the extended attribute \"odd.name\" cannot be kept", 1 },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct plan plan = { 0 };
		struct plan_xattr *xattr = alloc_zero(sizeof(*xattr));
		*xattr = (struct plan_xattr){ alloc_copy(wrong[i].name), alloc_zero(wrong[i].size), wrong[i].size };
		plan_put(&plan, (struct plan_entry){ .guest = alloc_copy("/a"), .kind = PLAN_DIR, .mode = 0755, .xattr = xattr, .xattrs = 1 });
		int fd = memfd_create("image", MFD_CLOEXEC);
		assert_true(erofs_write(&plan, fd, "here", NULL, &error) < 0);
		assert_string_equal(error.text, wrong[i].message);
		close(fd);
		plan_free(&plan);
	}
}

/* Directories of no, one and many blocks, names of all lengths that sort before and behind "." and "..". */
static void finds_every_name(void **state)
{
	enum { MANY = 3000 };
	struct plan plan = { 0 };
	struct written image;
	for (int i = 0; i < MANY; i++) {
		char *name = alloc_format("/many/%s%d%0*d", i % 3 ? i % 2 ? "-" : "x" : ".", i, i % 200 + 1, 0);
		plan_data(&plan, name, 0644, name, strlen(name));
		free(name);
	}
	plan_dir(&plan, "/none", 0700);
	plan_dir(&plan, "/many-more/a/b", 0755); /* sorts between "/many" and "/many/..." */
	char *target = alloc_format("%04000d", 1); /* fits behind no inode's beginning but a block's */
	plan_link(&plan, "/long", target);
	write_plan(&plan, &image, NULL);
	for (int i = 0; i < MANY; i++) {
		char *name = alloc_format("/many/%s%d%0*d", i % 3 ? i % 2 ? "-" : "x" : ".", i, i % 200 + 1, 0), text[300] = "";
		struct erofs_inode inode = inode_of(&image, name);
		assert_int_equal(erofs_read(&image.fs, &inode, 0, text, sizeof(text)), strlen(name));
		assert_string_equal(text, name);
		free(name);
	}
	struct erofs_inode inode = inode_of(&image, "/many"), missing;
	assert_true(inode.size > 10 * 4096);
	assert_int_equal(erofs_walk(&image.fs, "/many/nothing", &missing), -ENOENT);
	uint64_t nid;
	assert_int_equal(erofs_lookup(&image.fs, &inode, "..", 2, &nid), 0);
	assert_int_equal(nid, image.fs.root_nid);
	assert_int_equal(erofs_lookup(&image.fs, &inode, ".", 1, &nid), 0);
	assert_int_equal(nid, inode.nid);
	inode = inode_of(&image, "/");
	assert_int_equal(erofs_lookup(&image.fs, &inode, "long", 4, &nid), 0);
	assert_int_equal(erofs_inode(&image.fs, nid, &inode), 0);
	assert_int_equal(inode.mode & S_IFMT, S_IFLNK);
	char *read = alloc_zero(4001);
	assert_int_equal(erofs_read(&image.fs, &inode, 0, read, 4001), 4000);
	assert_string_equal(read, target);
	free(read);
	free(target);
	inode = inode_of(&image, "/many-more/a");
	assert_int_equal(inode.nlink, 3);
	assert_int_equal(inode_of(&image, "/none").mode, S_IFDIR | 0700);
	munmap(image.map, image.size);
}

/* What "-v FILE:/NAME" asks for may be a name that no directory can hold. */
static void names_have_a_limit(void **state)
{
	static const size_t sizes[] = { 255, 256, 5000, 100000 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct plan plan = { 0 };
		struct error error = { 0 };
		char *name = alloc_format("/dir/%0*d", (int)sizes[i], 0), want[160];
		int fd = memfd_create("image", MFD_CLOEXEC);
		plan_data(&plan, name, 0644, "", 0);
		plan_data(&plan, "/dir/another", 0644, "", 0);
		assert_int_equal(erofs_write(&plan, fd, "here", NULL, &error), i ? -ENAMETOOLONG : 0);
		snprintf(want, sizeof(want), "%.64s...: a name of %zu bytes; a file system of Linux has at most 255", name, sizes[i]);
		assert_string_equal(error.text, i ? want : "");
		close(fd);
		free(name);
		plan_free(&plan);
	}
}

static void files_begin_on_pages(void **state)
{
	static const size_t sizes[] = { 1, 4032, 4096, 4097, 100000 };
	struct plan plan = { 0 };
	struct error error = { 0 };
	struct written image;
	uint8_t *data = alloc_zero(100000);
	for (size_t i = 0; i < 100000; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *name = alloc_format("size-%zu", sizes[i]), *host = alloc_format("%s/%s", top, name), *guest = alloc_format("/%s", name);
		assert_int_equal(file_write(top_fd, name, data, sizes[i], 0644), 0);
		assert_int_equal(plan_add_as(&plan, host, guest, &error), 0);
		free(name), free(host), free(guest);
	}
	write_plan(&plan, &image, NULL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *guest = alloc_format("/size-%zu", sizes[i]);
		struct erofs_inode inode = inode_of(&image, guest);
		const uint8_t *at;
		size_t len;
		assert_int_equal(erofs_map(&image.fs, &inode, 0, &at, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_int_equal((at - (uint8_t *)image.map) % 4096, 0);
		assert_memory_equal(at, data, len);
		free(guest);
	}
	free(data);
	munmap(image.map, image.size);
}

static void count_report(void *context, const struct pack_progress *progress)
{
	struct pack_progress *last = context;
	assert_true(progress->bytes >= last->bytes && progress->bytes <= progress->bytes_total && progress->files <= progress->files_total);
	*last = *progress;
}

/* A file that became longer or shorter since it was planned: what the plan says is written. */
static void files_that_change(void **state)
{
	struct plan plan = { 0 };
	struct error error = { 0 };
	struct written image;
	struct pack_progress last = { 0 };
	const struct pack_watch watch = { .report = count_report, .context = &last };
	mkdirat(top_fd, "moving", 0755);
	put_file(top_fd, "moving/grows", "1234", 0644);
	put_file(top_fd, "moving/shrinks", "12345678", 0644);
	char *dir = alloc_format("%s/moving", top);
	assert_int_equal(plan_add_as(&plan, dir, "/m", &error), 0);
	assert_int_equal(file_write(top_fd, "moving/grows", "1234567", 7, 0644), 0);
	assert_int_equal(file_write(top_fd, "moving/shrinks", "12", 2, 0644), 0);
	write_plan(&plan, &image, &watch);
	char text[16] = "";
	struct erofs_inode inode = inode_of(&image, "/m/grows");
	assert_int_equal(erofs_read(&image.fs, &inode, 0, text, sizeof(text)), 4);
	inode = inode_of(&image, "/m/shrinks");
	assert_int_equal(erofs_read(&image.fs, &inode, 0, text, sizeof(text)), 8);
	assert_memory_equal(text, "12\0\0\0\0\0\0", 8);
	assert_int_equal(last.files, 2);
	assert_int_equal(last.files_total, 2);
	munmap(image.map, image.size);
	free(dir);
}

/* ---- stages ---- */

static int entries(int dir)
{
	DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	int n = 0;
	assert_non_null(stream);
	for (struct dirent *entry; (entry = readdir(stream));)
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(stream);
	return n;
}

static int new_dir(const char *name)
{
	assert_int_equal(mkdirat(top_fd, name, 0700), 0);
	int fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void stages_appear_whole(void **state)
{
	struct stage stage;
	struct stat st;
	int dir = new_dir("stages");
	assert_int_equal(stage_open(&stage, dir), 0);
	assert_int_equal(fd_write(stage.fd, "new", 3), 0);
	stage_close(&stage);
	assert_int_equal(entries(dir), 0);
	put_file(dir, "there", "old", 0600);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(stage_open(&stage, dir), 0);
		assert_int_equal(fd_write(stage.fd, "new", 3), 0);
		stage_sweep(dir, 0); /* one that is held stays */
		assert_int_equal(stage_publish(&stage, "there", 0444), 0);
		stage_close(&stage);
		expect_file(dir, "there", "new");
		assert_int_equal(fstatat(dir, "there", &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0444);
		assert_int_equal(entries(dir), 1);
	}
	/* What cannot be replaced leaves nothing behind. */
	assert_int_equal(mkdirat(dir, "taken", 0700), 0);
	assert_int_equal(stage_open(&stage, dir), 0);
	assert_int_equal(stage_publish(&stage, "taken", 0444), -EISDIR);
	stage_close(&stage);
	assert_int_equal(entries(dir), 2);
	close(dir);
}

static void leftovers_are_swept(void **state)
{
	int dir = new_dir("leftovers");
	put_file(dir, ".stage-aaaaaa.lvm", "x", 0600);
	put_file(dir, ".stage-held", "x", 0600);
	put_file(dir, "image.lvm", "x", 0444);
	assert_int_equal(mkdirat(dir, ".stage-tree", 0700), 0);
	assert_int_equal(mkdirat(dir, ".stage-tree/sub", 0700), 0);
	put_file(dir, ".stage-tree/sub/file", "x", 0600);
	assert_int_equal(fchmodat(dir, ".stage-tree/sub", 0500, 0), 0);
	int held = openat(dir, ".stage-held", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(held, LOCK_EX), 0);
	stage_sweep(dir, 10000);
	assert_int_equal(entries(dir), 2);
	close(held); /* as the kernel does when its process is killed */
	stage_sweep(dir, 0);
	assert_int_equal(entries(dir), 1);
	expect_file(dir, "image.lvm", "x");
	close(dir);
}

/* A directory that would take long is taken away in parts: by a clock that goes on by a tenth of a millisecond whenever it is read. */
static void sweeping_is_bounded(void **state)
{
	enum { FILES = 100 };
	int dir = new_dir("bounded"), left;
	assert_int_equal(mkdirat(dir, ".stage-big", 0700), 0);
	int big = openat(dir, ".stage-big", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < FILES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		int fd = openat(big, name, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	clock_hold(NS_PER_MS / 10);
	stage_sweep(dir, 1);
	left = entries(big);
	assert_in_range(left, FILES - 11, FILES - 8);
	clock_hold(NS_PER_S); /* nothing can be done in time: each sweep still gets on */
	stage_sweep(dir, 1);
	assert_int_equal(entries(big), left - 1);
	stage_sweep(dir, 1);
	assert_int_equal(entries(big), left - 2);
	clock_hold(NS_PER_MS / 10);
	for (int calls = 0; entries(dir) && calls < 13; calls++)
		stage_sweep(dir, 1);
	assert_int_equal(entries(dir), 0);
	close(big);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_stat_tells),
		cmocka_unit_test(keeps_what_only_root_can_make),
		cmocka_unit_test(attributes_have_a_limit),
		cmocka_unit_test(finds_every_name),
		cmocka_unit_test(names_have_a_limit),
		cmocka_unit_test(files_begin_on_pages),
		cmocka_unit_test(files_that_change),
		cmocka_unit_test(stages_appear_whole),
		cmocka_unit_test(leftovers_are_swept),
		cmocka_unit_test(sweeping_is_bounded),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
