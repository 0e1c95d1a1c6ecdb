/* SPDX-License-Identifier: Apache-2.0 */
/* Manifest, image plan, libraries, image checks and the image cache. */
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/image.h"
#include "base/file.h"
#include "tinyx/image_file.h"
#include "tinyx/image_volume.h"
#include "tinyx/libraries.h"
#include "tinyx/pack.h"

static char work[] = "/tmp/test-pack-XXXXXX";
static const struct plan no_plan; /* files of the host */

static char *at(const char *name)
{
	return alloc_format("%s/%s", work, name);
}

static void put(const char *name, const char *text, mode_t mode)
{
	char *path = at(name);
	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), mode), 0);
	chmod(path, mode);
	free(path);
}

static int setup(void **state)
{
	if (!mkdtemp(work))
		return -1;
	char *cache = at("cache");
	setenv("XDG_CACHE_HOME", cache, 1);
	free(cache);
	return 0;
}

static int teardown(void **state)
{
	return tree_remove(AT_FDCWD, work);
}

/* ---- manifest ---- */

static void bad_manifest(const char *json, const char *message)
{
	struct manifest manifest;
	struct error error = { 0 };
	assert_int_equal(manifest_parse(&manifest, json, strlen(json), &error), -EINVAL);
	assert_string_equal(error.text, message);
	manifest_free(&manifest);
}

static void manifests(void **state)
{
	static const char good[] = "{\"lightvm\": 1, \"program\": \"/bin/x\", \"args\": [\"x\", \"-y\"], \"env\": [\"A=b\"], \"memory\": 1048576, "
				   "\"uid\": 33, \"later\": {}}";
	struct manifest manifest;
	struct error error = { 0 };
	assert_int_equal(manifest_parse(&manifest, good, strlen(good), &error), 0);
	assert_string_equal(manifest.program, "/bin/x");
	assert_string_equal(manifest.args.item[1], "-y");
	assert_int_equal(manifest.memory, 1 << 20);
	assert_int_equal(manifest.uid, 33);
	manifest_free(&manifest);
	bad_manifest("[]", "manifest: not a JSON object");
	bad_manifest("{}", "manifest: \"lightvm\" (the version) is missing");
	bad_manifest("{\"lightvm\": 2}", "manifest: version 2 is not known to this lightvm (it knows 1)");
	bad_manifest("{\"lightvm\": 1, \"program\": \"x\"}", "manifest: \"program\": \"x\" is not an absolute path");
	bad_manifest("{\"lightvm\": 1, \"args\": [1]}", "manifest: \"args\": item 0 is not a string");
	bad_manifest("{\"lightvm\": 1, \"env\": [\"=x\"]}", "manifest: \"env\": \"=x\" is not NAME=VALUE");
	bad_manifest("{\"lightvm\": 1, \"uid\": -1}", "manifest: \"uid\" is not a number between 0 and 4294967294");
	bad_manifest("{\"lightvm\": 1, \"memory\": \"64M\"}", "manifest: \"memory\" is not a number between 0 and 1099511627776");
}

/* ---- plan ---- */

static void paths(void **state)
{
	static const char *const cases[][3] = { { "/", "/a/b", "/a/b" }, { "/x", "a", "/x/a" }, { "/x", "./a//b/../c/", "/x/a/c" },
		{ "/x", "../../..", "/" }, { "/", "/../a", "/a" }, { "/x/y", "..", "/x" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *clean = path_clean(cases[i][0], cases[i][1]);
		assert_string_equal(clean, cases[i][2]);
		free(clean);
	}
}

static void plan_follows_links(void **state)
{
	struct plan plan = { 0 };
	struct error error = { 0 };
	char *real = at("real"), *link = at("link"), *file = at("link/file"), *loop = at("loop"), *in_loop = at("loop/x");
	mkdir(real, 0755);
	put("real/file", "text", 0640);
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(symlink("loop", loop), 0);
	assert_int_equal(plan_add(&plan, file, false, &error), 0);
	char *guest = at("real/file");
	assert_int_equal(plan_find(&plan, link)->kind, PLAN_LINK);
	assert_int_equal(plan_find(&plan, guest)->kind, PLAN_FILE);
	assert_int_equal(plan_find(&plan, guest)->mode, 0640);
	assert_null(plan_find(&plan, file));
	assert_int_equal(plan_add(&plan, in_loop, false, &error), -ELOOP);
	/* What is added below the link lands where it leads. */
	char *below = at("link/new");
	plan_data(&plan, below, 0600, "x", 1);
	char *there = at("real/new");
	assert_int_equal(plan_find(&plan, there)->kind, PLAN_DATA);
	plan_free(&plan);
	free(real), free(link), free(file), free(loop), free(in_loop), free(guest), free(below), free(there);
}

static void plan_names_what_is_missing(void **state)
{
	struct plan plan = { 0 };
	struct error error = { 0 };
	assert_int_equal(plan_add(&plan, "/no/such/program", false, &error), -ENOENT);
	assert_string_equal(error.text, "/no/such/program: No such file or directory");
	plan_free(&plan);
}

/* ---- programs ---- */

static void assert_program(const char *name, int err, const char *message)
{
	struct program_facts facts;
	struct error error = { 0 };
	char *path = at(name), *want = alloc_format("%s: %s", path, message);
	assert_int_equal(program_check(&no_plan, path, &facts, &error), err);
	assert_string_equal(error.text, want);
	free(path);
	free(want);
}

static void programs(void **state)
{
	put("text", "just text", 0755);
	put("empty", "", 0755);
	assert_program("text", -ENOEXEC, "not an ELF file");
	assert_program("empty", -ENOEXEC, "an empty file, not an ELF file");
	struct program_facts facts;
	struct error error = { 0 };
	assert_int_equal(program_check(&no_plan, "/bin/sh", &facts, &error), 0);
	assert_true(facts.dynamic && facts.need > 0);
	assert_int_equal(program_check(&no_plan, work, &facts, &error), -EISDIR);
	char *pipe = at("pipe");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	alarm(20); /* nobody writes to it */
	assert_int_equal(program_check(&no_plan, pipe, &facts, &error), -EINVAL);
	alarm(0);
	free(pipe);
}

static void libraries_of_a_program(void **state)
{
	struct plan plan = { 0 };
	struct error error = { 0 };
	assert_int_equal(plan_add(&plan, "/bin/sh", false, &error), 0);
	struct library_wants wants = { 0 };
	assert_int_equal(libraries_add(&plan, plan.count, &wants, &error), 0);
	assert_non_null(wants.libc);
	assert_false(wants.converters);
	library_wants_free(&wants);
	int libc = 0, loader = 0;
	for (size_t i = 0; i < plan.count; i++) {
		libc += text_ends(plan.entry[i].guest, "/libc.so.6");
		loader += strstr(plan.entry[i].guest, "/ld-linux-x86-64.so.2") != NULL;
	}
	assert_int_equal(libc, 1);
	assert_true(loader >= 1);
	plan_free(&plan);
}

/* ---- images ---- */

static char *make_image(const char *name)
{
	struct pack_request request = { .program = "/bin/true", .no_companions = true };
	struct error error = { 0 };
	char *path = at(name);
	if (pack_to(&request, path, &error))
		fail_msg("%s", error.text);
	return path;
}

static void assert_damaged(const char *path, const char *message)
{
	struct image image;
	struct error error = { 0 };
	char *want = alloc_format("%s: %s", path, message);
	int err = image_open(&image, path, &error);
	if (!err)
		err = image_verify(&image, path, &error);
	assert_true(err < 0);
	assert_true(text_starts(error.text, want));
	image_close(&image);
	free(want);
}

static void overwrite(const char *path, off_t where, const char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, size, where), size);
	close(fd);
}

static void images(void **state)
{
	char *path = make_image("one.lvm"), *again = make_image("two.lvm");
	struct image one, two;
	struct error error = { 0 };
	assert_int_equal(image_open(&one, path, &error), 0);
	assert_int_equal(image_open(&two, again, &error), 0);
	assert_int_equal(image_verify(&one, path, &error), 0);
	assert_string_equal(one.sha256, two.sha256); /* the same files, the same bytes */
	assert_string_equal(one.manifest.program, "/bin/true");
	off_t size = (off_t)one.size;
	image_close(&one);
	image_close(&two);

	overwrite(path, size - LV_TRAILER_SIZE - 4096, "bit", 3);
	assert_damaged(path, "image damaged: SHA-256 is ");
	overwrite(again, 1060, "\xff\xff", 2);
	assert_damaged(again, "image damaged: the superblock's checksum is wrong");
	assert_int_equal(truncate(path, size - 1), 0);
	assert_damaged(path, "image damaged: it is cut off: ");
	assert_int_equal(truncate(path, 8192), 0);
	assert_damaged(path, "image damaged: it is cut off: ");
	assert_int_equal(truncate(path, 100), 0);
	assert_damaged(path, "image damaged: 100 bytes are less than one block");
	overwrite(again, 1024, "XXXX", 4);
	assert_damaged(again, "image damaged, or not an image: there is no EROFS superblock");
	free(path);
	free(again);
}

static char *packed_path(const char *program, const char *volume)
{
	struct strings volumes = { 0 };
	struct pack_request request = { .program = program, .volumes = &volumes, .no_companions = true };
	struct packed packed;
	struct error error = { 0 };
	strings_add(&volumes, volume);
	if (pack_cached(&request, &packed, &error))
		fail_msg("%s", error.text);
	char *path = alloc_copy(packed.path);
	packed_free(&packed);
	strings_free(&volumes);
	return path;
}

static void cache_notices_changes(void **state)
{
	char *dir = at("data"), *volume = alloc_format("%s:/data", dir);
	mkdir(dir, 0755);
	put("data/file", "one", 0644);
	char *first = packed_path("/bin/true", volume), *second = packed_path("/bin/true", volume);
	assert_string_equal(first, second);
	put("data/file", "two", 0644);
	char *changed = packed_path("/bin/true", volume);
	assert_string_not_equal(first, changed);
	put("data/more", "new", 0644);
	char *grown = packed_path("/bin/true", volume);
	assert_string_not_equal(changed, grown);
	/* The same contents make the same image, though it was packed anew. */
	char *more = at("data/more");
	unlink(more);
	put("data/file", "two", 0644);
	/* An image that is gone, or was touched, is made again. */
	unlink(grown);
	char *made = packed_path("/bin/true", volume);
	assert_int_equal(access(made, R_OK), 0);
	chmod(made, 0644);
	overwrite(made, 0, "x", 1);
	char *repaired = packed_path("/bin/true", volume);
	struct image image;
	struct error error = { 0 };
	assert_int_equal(image_open(&image, repaired, &error), 0);
	assert_int_equal(image_verify(&image, repaired, &error), 0);
	image_close(&image);
	free(dir), free(volume), free(first), free(second), free(changed), free(grown), free(more), free(made), free(repaired);
}

/* Of a tree as large as an interpreter's each file counts, whichever thread looks at it. */
static void cache_notices_one_of_many(void **state)
{
	enum { FILES = 700 };
	char *dir = at("many"), *volume = alloc_format("%s:/many", dir), name[32];
	mkdir(dir, 0755);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "many/%03d", i);
		put(name, "as it was", 0644);
	}
	char *before = packed_path("/bin/true", volume), *same = packed_path("/bin/true", volume);
	assert_string_equal(before, same);
	for (int i = 0; i < FILES; i += FILES / 4) {
		snprintf(name, sizeof(name), "many/%03d", i);
		put(name, "otherwise", 0644);
		char *after = packed_path("/bin/true", volume);
		assert_string_not_equal(before, after);
		free(before);
		before = after;
	}
	free(dir), free(volume), free(before), free(same);
}

static void set_time(const char *path, time_t seconds)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds } };
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Times of the index, of which each names one image: all old but the one that is used. */
static void age_index(const char *cache)
{
	char *path = alloc_format("%s/index", cache);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char *file = alloc_format("%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			set_time(file, 1000);
		free(file);
	}
	closedir(dir);
	free(path);
}

static void cache_is_bounded(void **state)
{
	struct cache cache;
	struct error error = { 0 };
	assert_int_equal(cache_open(&cache, true, &error), 0);
	char *dir = at("bounded"), *volume = alloc_format("%s:/b", dir);
	mkdir(dir, 0755);
	char *path[3];
	for (int i = 0; i < 3; i++) {
		char text[2] = { (char)('a' + i), 0 };
		put("bounded/file", text, 0644);
		path[i] = packed_path("/bin/true", volume);
		set_time(path[i], 1000 + i);
		free(volume);
		volume = alloc_format("%s:/b%d", dir, i); /* another key: the first entries stay in the index */
	}
	age_index(cache.path);
	/* Nothing happens below the limit. */
	cache_trim(&cache, strrchr(path[2], '/') + 1, 1ull << 40);
	assert_int_equal(access(path[0], R_OK), 0);
	/* Room for one: the one that is kept stays whatever its age, the others go, and so does what the index says of them. */
	struct stat st;
	assert_int_equal(stat(path[1], &st), 0);
	cache_trim(&cache, strrchr(path[0], '/') + 1, (uint64_t)st.st_size + 1);
	assert_int_equal(access(path[0], R_OK), 0);
	assert_int_equal(access(path[1], R_OK), -1);
	assert_int_equal(access(path[2], R_OK), -1);
	/* What was used counts, not what was made: the older image was just started from. */
	put("bounded/file", "a", 0644);
	char *again = packed_path("/bin/true", volume), *other = alloc_format("%s:/other", dir), *last = packed_path("/bin/true", other);
	age_index(cache.path);
	set_time(last, 2000);
	free(packed_path("/bin/true", volume));
	assert_int_equal(stat(again, &st), 0);
	cache_trim(&cache, "", (uint64_t)st.st_size + 1);
	assert_int_equal(access(again, R_OK), 0);
	assert_int_equal(access(last, R_OK), -1);
	setenv("LIGHTVM_CACHE_SIZE", "3M", 1);
	assert_int_equal(cache_limit(), 3 << 20);
	unsetenv("LIGHTVM_CACHE_SIZE");
	assert_int_equal(cache_limit(), 8ull << 30);
	for (int i = 0; i < 3; i++)
		free(path[i]);
	cache_close(&cache);
	free(dir), free(volume), free(again), free(other), free(last);
}

/* What somebody else needs stays for as long as that is there. */
static void cache_keeps_what_is_needed(void **state)
{
	struct cache cache;
	struct error error = { 0 };
	assert_int_equal(cache_open(&cache, true, &error), 0);
	char *user = at("user"), *dir = at("needed"), *volume = alloc_format("%s:/n", dir), *other = alloc_format("%s:/m", dir), sha256[IMAGE_HEX + 1] = "";
	mkdir(dir, 0755);
	put("user", "", 0600);
	put("needed/file", "n", 0644);
	char *needed = packed_path("/bin/true", volume), *more = packed_path("/bin/true", other);
	memcpy(sha256, strrchr(more, '/') + 1, IMAGE_HEX);
	assert_int_equal(cache_keep_for(&cache, sha256, user), 0);
	memcpy(sha256, strrchr(needed, '/') + 1, IMAGE_HEX);
	assert_int_equal(cache_keep_for(&cache, sha256, user), 0); /* in place of the other one */
	cache_trim(&cache, "", 1);
	assert_int_equal(access(needed, R_OK), 0);
	assert_int_equal(access(more, R_OK), -1);
	assert_int_equal(unlink(user), 0);
	cache_trim(&cache, "", 1);
	assert_int_equal(access(needed, R_OK), -1);
	/* An image that is not there is nobody's. */
	assert_int_equal(cache_keep_for(&cache, sha256, user), 0);
	char *const all[] = { user, dir, volume, other, needed, more };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
	cache_close(&cache);
}

/* The list of the pages that starts touch: one for each image of the cache, which goes with it, and is emptied when it is old. */
static void cache_lists_pages(void **state)
{
	struct cache cache;
	struct error error = { 0 };
	struct stat st;
	assert_int_equal(cache_open(&cache, true, &error), 0);
	char *dir = at("listed"), *volume = alloc_format("%s:/listed", dir);
	mkdir(dir, 0755);
	char *image = packed_path("/bin/true", volume), *elsewhere = at("elsewhere.lvm"), sha256[IMAGE_HEX + 1] = "";
	memcpy(sha256, strrchr(image, '/') + 1, IMAGE_HEX);
	char *list = alloc_format("%s/index/pages-%s", cache.path, sha256);
	int fd = cache_pages_open(&cache, image, -1);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "list", 4), 4);
	close(fd);
	assert_int_equal(fstat(fd = cache_pages_open(&cache, image, -1), &st), 0);
	assert_int_equal(st.st_size, 4);
	close(fd);
	set_time(list, time(NULL) - 2 * 86400);
	assert_int_equal(fstat(fd = cache_pages_open(&cache, image, -1), &st), 0);
	assert_int_equal(st.st_size, 0);
	close(fd);
	cache_forget(&cache, NULL);
	assert_int_equal(access(list, R_OK), 0);
	cache_forget(&cache, sha256);
	assert_int_equal(access(list, R_OK), -1);
	close(cache_pages_open(&cache, image, -1));
	unlink(image);
	cache_forget(&cache, NULL);
	assert_int_equal(access(list, R_OK), -1);
	/* One that lies elsewhere has one, too, which is another one's when the file changes. */
	assert_int_equal(cache_pages_open(&cache, elsewhere, -1), -EBADF);
	put("elsewhere.lvm", "one", 0644);
	int file = open(elsewhere, O_RDONLY);
	fd = cache_pages_open(&cache, elsewhere, file);
	assert_int_equal(write(fd, "list", 4), 4);
	cache_forget(&cache, NULL);
	close(fd);
	assert_int_equal(fstat(fd = cache_pages_open(&cache, elsewhere, file), &st), 0);
	assert_int_equal(st.st_size, 4);
	close(fd);
	set_time(elsewhere, 1000000);
	assert_int_equal(fstat(fd = cache_pages_open(&cache, elsewhere, file), &st), 0);
	assert_int_equal(st.st_size, 0);
	close(fd);
	close(file);
	free(dir), free(volume), free(image), free(elsewhere), free(list);
	cache_close(&cache);
}

/* What others could have written is neither found nor written to: the program is packed for this start alone. */
static void cache_of_others(void **state)
{
	struct pack_request request = { .program = "/bin/true", .no_companions = true };
	struct packed packed;
	struct error error = { 0 };
	char *dir = at("theirs"), *link = at("theirs-link");
	setenv("LIGHTVM_CACHE", dir, 1);
	assert_int_equal(pack_cached(&request, &packed, &error), 0);
	assert_true(text_starts(packed.path, dir));
	packed_free(&packed);
	assert_int_equal(symlink(dir, link), 0);
	for (int i = 0; i < 2; i++) {
		if (i)
			setenv("LIGHTVM_CACHE", link, 1);
		else
			assert_int_equal(chmod(dir, 0770), 0);
		assert_int_equal(pack_cached(&request, &packed, &error), 0);
		assert_false(text_starts(packed.path, work));
		struct image image;
		assert_int_equal(image_open(&image, packed.path, &error), 0);
		assert_int_equal(image_verify(&image, packed.path, &error), 0);
		image_close(&image);
		packed_free(&packed);
		struct cache cache;
		assert_int_equal(cache_open(&cache, true, &error), i ? -ELOOP : -EPERM);
		cache_close(&cache);
		assert_int_equal(chmod(dir, 0700), 0);
	}
	unsetenv("LIGHTVM_CACHE");
	free(dir), free(link);
}

static void scripts(void **state)
{
	struct packed packed;
	struct error error = { 0 };
	char *path = at("script"), *lost = at("lost");
	put("script", "#! /bin/sh -e\necho hi\n", 0755);
	put("lost", "#!/no/such/interpreter\n", 0755);
	struct pack_request request = { .program = path, .no_companions = true };
	assert_int_equal(pack_cached(&request, &packed, &error), 0);
	assert_string_equal(packed.program, "/bin/sh");
	assert_int_equal(packed.args.count, 3);
	assert_string_equal(packed.args.item[1], "-e");
	assert_string_equal(packed.args.item[2], path);
	packed_free(&packed);
	request.program = lost;
	assert_int_equal(pack_cached(&request, &packed, &error), -ENOENT);
	assert_non_null(strstr(error.text, "needs the interpreter /no/such/interpreter"));
	free(path);
	free(lost);
}

static void volumes(void **state)
{
	char *host = NULL, *guest = NULL;
	struct error error = { 0 };
	assert_int_equal(volume_parse("/a/../b:/c:ro", &host, &guest, &error), 0);
	assert_string_equal(host, "/b");
	assert_string_equal(guest, "/c");
	free(host);
	free(guest);
	static const char *const bad[] = { "", "/a", ":/c", "/a:c", "/a:/c:rw" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(volume_parse(bad[i], &host, &guest, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifests), cmocka_unit_test(paths), cmocka_unit_test(plan_follows_links),
		cmocka_unit_test(plan_names_what_is_missing), cmocka_unit_test(programs), cmocka_unit_test(libraries_of_a_program),
		cmocka_unit_test(images), cmocka_unit_test(cache_notices_changes), cmocka_unit_test(cache_notices_one_of_many), cmocka_unit_test(cache_is_bounded), cmocka_unit_test(cache_keeps_what_is_needed), cmocka_unit_test(cache_lists_pages), cmocka_unit_test(cache_of_others), cmocka_unit_test(scripts), cmocka_unit_test(volumes),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
