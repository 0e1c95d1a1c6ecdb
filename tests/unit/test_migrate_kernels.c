/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel and initial RAM disk a Linux guest that comes from another host has: files that are here, by size and digest, whatever the source says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "node/migrate_kernels.h"
#include "tests/unit/scratch.h"
#include "tinyx/file_digest.h"

struct fixture {
	char *top, *place;
	char kernel[FILE_DIGEST_HEX + 1], initrd[FILE_DIGEST_HEX + 1];
};

static char *write_file(const char *place, const char *name, const char *words)
{
	char *path = alloc_format("%s/%s", place, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write(fd, words, strlen(words)), 0);
	close(fd);
	return path;
}

/* Beside the two: others of the same size, shorter ones, and what is no file. */
static int setup(void **state)
{
	static const char *const files[][2] = { { "a", "Kernel" }, { "b", "kernel" }, { "c", "disk!" }, { "d", "DISK!" }, { "e", "kernel and more" }, { "f", "" } };
	struct fixture *f = calloc(1, sizeof(*f));
	f->top = scratch();
	f->place = alloc_format("%s/place", f->top);
	setenv("LIGHTVM_CACHE", f->top, 1);
	assert_int_equal(mkdir(f->place, 0700), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		free(write_file(f->place, files[i][0], files[i][1]));
	char *pipe = alloc_format("%s/pipe", f->place), *other = alloc_format("%s/directory", f->place);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(mkdir(other, 0700), 0);
	free(pipe), free(other);
	data_digest("kernel", 6, f->kernel);
	data_digest("disk!", 5, f->initrd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	tree_remove(AT_FDCWD, f->top);
	free(f->top), free(f->place), free(f);
	return 0;
}

static int place(const struct fixture *f, struct save_manifest *manifest, const char *kernel_sha256, json_t *offer, const char *where, int *initrd, struct error *error)
{
	*manifest = (struct save_manifest){ .config = json_pack("{s:s, s:{s:s, s:s}}", "kernel", "theirs", "linux", "kernel", "/etc/shadow", "initrd", "/etc/passwd") };
	strcpy(manifest->kernel_sha256, kernel_sha256);
	*error = (struct error){ 0 };
	int err = migrate_kernels_place(manifest, offer, where, initrd, error);
	json_decref(offer);
	return err;
}

static const char *path_of(const struct save_manifest *manifest, const char *key)
{
	return config_string(json_object_get(manifest->config, "linux"), key);
}

static void the_two_are_found(void **state)
{
	const struct fixture *f = *state;
	struct save_manifest manifest;
	struct error error;
	int initrd;
	char *kernel = alloc_format("%s/b", f->place), *disk = alloc_format("%s/c", f->place), data[8] = "";
	json_t *offer = json_pack("{s:i, s:s, s:i}", "kernel_size", 6, "initrd_sha256", f->initrd, "initrd_size", 5);
	assert_int_equal(place(f, &manifest, f->kernel, offer, f->place, &initrd, &error), 0);
	assert_string_equal(path_of(&manifest, "kernel"), kernel);
	assert_string_equal(path_of(&manifest, "initrd"), disk);
	assert_string_equal(config_string(manifest.config, "kernel"), kernel);
	/* What lies at its path by now is not what was looked at, and is not what is open. */
	assert_int_equal(unlink(disk), 0);
	free(write_file(f->place, "c", "worse"));
	assert_int_equal(pread(initrd, data, sizeof(data), 0), 5);
	assert_string_equal(data, "disk!");
	close(initrd);
	save_manifest_free(&manifest);
	free(kernel), free(disk);
}

/* The source tells of what it has: what it tells is what is found here. */
static void what_is_told_is_found(void **state)
{
	const struct fixture *f = *state;
	struct save_manifest manifest;
	struct error error = { 0 };
	int initrd;
	char *kernel = write_file(f->top, "vmlinuz", "kernel"), *disk = write_file(f->top, "initrd", "disk!");
	json_t *config = json_pack("{s:{s:s, s:s}}", "linux", "kernel", kernel, "initrd", disk), *offer = json_object();
	assert_int_equal(migrate_kernels_tell(config, offer, &error), 0);
	assert_int_equal(place(f, &manifest, f->kernel, offer, f->place, &initrd, &error), 0);
	close(initrd);
	save_manifest_free(&manifest);
	assert_int_equal(unlink(disk), 0);
	offer = json_object();
	assert_int_equal(migrate_kernels_tell(config, offer, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/initrd: No such file"));
	json_decref(offer);
	json_decref(config);
	free(kernel), free(disk);
}

static void what_is_not_here_is_refused(void **state)
{
	const struct fixture *f = *state;
	const char *const none = "0123456789012345678901234567890123456789012345678901234567890123";
	const struct {
		const char *kernel;
		json_int_t kernel_size;
		const char *initrd;
		json_int_t initrd_size;
		int err;
		const char *words;
	} cases[] = {
		{ "", 6, f->initrd, 5, -EINVAL, "kernel_sha256: missing, or not 64 hexadecimal digits, of a Linux guest" },
		{ f->kernel, 0, f->initrd, 5, -EINVAL, "kernel_size: missing, or 0 bytes, which is not between 1 and 3221225472, of a Linux guest" },
		{ f->kernel, -1, f->initrd, 5, -EINVAL, "kernel_size: missing, or -1 bytes, which is not between" },
		{ f->kernel, 3221225473, f->initrd, 5, -EINVAL, "kernel_size: missing, or 3221225473 bytes, which is not between" },
		{ f->kernel, 7, f->initrd, 5, -ENOENT, "its kernel (SHA-256 " },
		{ none, 6, f->initrd, 5, -ENOENT, "its kernel (SHA-256 012345678901) is not here" },
		{ f->kernel, 6, "../../c", 5, -EINVAL, "initrd_sha256: missing, or not 64 hexadecimal digits, of a Linux guest" },
		{ f->kernel, 6, f->initrd, 0, -EINVAL, "initrd_size: missing, or 0 bytes" },
		{ f->kernel, 6, f->initrd, 6, -ENOENT, "its initial RAM disk (SHA-256 " },
		{ f->kernel, 6, none, 5, -ENOENT, "its initial RAM disk (SHA-256 012345678901) is not here" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct save_manifest manifest;
		struct error error;
		int initrd;
		json_t *offer = json_pack("{s:I, s:s, s:I}", "kernel_size", cases[i].kernel_size, "initrd_sha256", cases[i].initrd, "initrd_size", cases[i].initrd_size);
		assert_int_equal(place(f, &manifest, cases[i].kernel, offer, f->place, &initrd, &error), cases[i].err);
		assert_true(initrd < 0);
		if (!strstr(error.text, cases[i].words))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].words, error.text);
		save_manifest_free(&manifest);
	}
	/* Nor is anything, where no directory is for them. */
	struct save_manifest manifest;
	struct error error;
	int initrd;
	assert_int_equal(place(f, &manifest, f->kernel, json_pack("{s:i}", "kernel_size", 6), NULL, &initrd, &error), -ENOENT);
	save_manifest_free(&manifest);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(the_two_are_found), TEST(what_is_told_is_found), TEST(what_is_not_here_is_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
