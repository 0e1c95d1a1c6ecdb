/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel configurations, files that claim to be kernels, and the cache of built kernels. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tinyx/kernel.h"
#include "tinyx/kernel_make.h"

static char scratch[] = "/tmp/lightvm-kernel-XXXXXX";

static int make_scratch(void **state)
{
	return mkdtemp(scratch) && !setenv("LIGHTVM_CACHE", scratch, 1) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	return tree_remove(AT_FDCWD, scratch);
}

static char *put(const char *name, const void *data, size_t size)
{
	char *path = alloc_format("%s/%s", scratch, name);
	assert_int_equal(file_write(AT_FDCWD, path, data, size, 0600), 0);
	return path;
}

/* ---- configurations ---- */

static void load_fails(const char *name, const char *text, int code, const char *says)
{
	struct kernel_config config;
	struct error error = { 0 };
	char *path = put(name, text, strlen(text));
	assert_int_equal(kernel_config_load(&config, path, &error), code);
	if (!strstr(error.text, says))
		fail_msg("'%s' is not in: %s", says, error.text);
	kernel_config_free(&config);
	free(path);
}

static void test_builtin_configurations(void **state)
{
	for (size_t i = 0; kernel_config_name(i); i++) {
		struct kernel_config config;
		struct strings missing = { 0 };
		assert_int_equal(kernel_config_load(&config, kernel_config_name(i), NULL), 0);
		assert_string_equal(config.name, kernel_config_name(i));
		/* What a configuration asks for is there when the result is what it asked for. */
		kernel_config_missing(config.text, config.text, &missing);
		assert_int_equal(missing.count, 0);
		assert_non_null(strstr(config.text, "CONFIG_PVH=y\n"));
		kernel_config_free(&config);
	}
}

static void test_includes(void **state)
{
	struct kernel_config config;
	static const char text[] = "#include base\nCONFIG_MINE=y\n# CONFIG_EPOLL is not set";
	char *path = put("mine.config", text, sizeof(text) - 1);
	assert_int_equal(kernel_config_load(&config, path, NULL), 0);
	assert_string_equal(config.name, "mine");
	assert_non_null(strstr(config.text, "CONFIG_PVH=y\n"));
	assert_true(strstr(config.text, "CONFIG_EPOLL=y\n") < strstr(config.text, "# CONFIG_EPOLL is not set\n"));
	kernel_config_free(&config);
	free(path);
}

static void test_bad_configurations(void **state)
{
	struct kernel_config config;
	struct error error = { 0 };
	load_fails("a.config", "CONFIG_A=y\nCONFIG B\n", -EINVAL, "a.config:2: \"CONFIG B\" is neither CONFIG_NAME=VALUE nor a comment");
	load_fails("a.config", "#include genral\n", -EINVAL, "a.config:1: there is no configuration \"genral\" to include; did you mean \"general\"?");
	load_fails("base.config", "CONFIG_A=y\n", -EINVAL, "its kernel cannot be called \"base\"");
	load_fails("a b.config", "CONFIG_A=y\n", -EINVAL, "its kernel cannot be called \"a b\"");
	assert_int_equal(kernel_config_load(&config, "genera", &error), -ENOENT);
	assert_non_null(strstr(error.text, "did you mean \"general\"?"));
	assert_int_equal(kernel_config_load(&config, "something", &error), -ENOENT);
	assert_non_null(strstr(error.text, "give base, general, container, trace or a file"));
	assert_int_equal(kernel_config_load(&config, "/nowhere/x.config", &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/x.config: No such file"));
}

static void test_missing_options(void **state)
{
	struct strings missing = { 0 };
	kernel_config_missing("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n# CONFIG_D is not set\nCONFIG_E=32\nCONFIG_F=n\nCONFIG_G=y\n# CONFIG_G is not set\n"
			      "CONFIG_A_LONG=y\n",
			      "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_E=64\nCONFIG_A_LONG=y\n", &missing);
	assert_int_equal(missing.count, 3);
	assert_string_equal(missing.item[0], "CONFIG_B");
	assert_string_equal(missing.item[1], "CONFIG_C");
	assert_string_equal(missing.item[2], "CONFIG_E");
	strings_free(&missing);
}

/* ---- progress ---- */

struct seen {
	unsigned calls, last_done, last_percent;
	char detail[32];
};

static void see(void *context, const struct kernel_progress *progress)
{
	struct seen *seen = context;
	assert_true(progress->percent >= seen->last_percent && progress->percent <= 100);
	assert_true(progress->total && progress->done <= progress->total);
	seen->calls++;
	seen->last_done = progress->done;
	seen->last_percent = progress->percent;
	snprintf(seen->detail, sizeof(seen->detail), "%s", progress->detail ? progress->detail : "");
}

static void test_progress(void **state)
{
	struct seen seen = { 0 };
	struct error error = { 0 };
	const struct kernel_config config = { .name = (char *)"base" };
	const struct kernel_request request = { .config = &config, .progress = see, .context = &seen };
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"for i in 1 2 3; do echo \"  CC      part$i.o\"; echo other words; done; exit $0", (char *)"0", NULL };
	struct make make = { .argv = argv, .step = KERNEL_COMPILING, .request = &request };
	assert_int_equal(make_run(&make, &error), 0);
	assert_int_equal(seen.calls, 4); /* the beginning, too */
	assert_int_equal(seen.last_done, 3);
	assert_string_equal(seen.detail, "part3.o");
	unsigned begun = seen.last_percent;
	assert_true(begun > 0 && begun < 20); /* of more than a thousand */
	argv[2] = (char *)"echo \"  ENV     $KBUILD_BUILD_TIMESTAMP\"";
	make.date = 1801000000;
	assert_int_equal(make_run(&make, &error), 0);
	assert_string_equal(seen.detail, "Tue Jan 26 21:46:40 UTC 2027");
	argv[2] = (char *)"exit $0";
	argv[3] = (char *)"7";
	seen.last_percent = 0;
	assert_int_equal(make_run(&make, &error), -EIO);
	assert_non_null(strstr(error.text, "compiling failed: sh ended with status 7"));
	/* Each step begins where the one before it ends. */
	for (int step = 0; step < KERNEL_STEPS; step++) {
		seen = (struct seen){ 0 };
		make_tell(&request, (enum kernel_step)step, NULL, 1, 1);
		unsigned end = seen.last_percent;
		seen = (struct seen){ 0 };
		make_tell(&request, (enum kernel_step)(step + 1 < KERNEL_STEPS ? step + 1 : step), NULL, step + 1 < KERNEL_STEPS ? 0 : 1, 1);
		assert_int_equal(seen.last_percent, end);
		if (step == KERNEL_STEPS - 1)
			assert_int_equal(end, 100);
	}
}

/* ---- files ---- */

static int check(const void *data, size_t size, enum kernel_kind *kind, struct error *error)
{
	char *path = put("file", data, size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = kernel_check(fd, "file", kind, error);
	close(fd);
	free(path);
	return err;
}

static void refuses(const void *data, size_t size, const char *says)
{
	enum kernel_kind kind;
	struct error error = { 0 };
	assert_int_equal(check(data, size, &kind, &error), -ENOEXEC);
	if (!strstr(error.text, says))
		fail_msg("'%s' is not in: %s", says, error.text);
}

static void test_vmlinux(void **state)
{
	enum kernel_kind kind = KERNEL_BZIMAGE;
	Elf64_Ehdr elf = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 }, .e_type = ET_EXEC, .e_machine = EM_X86_64 };
	assert_int_equal(check(&elf, sizeof(elf), &kind, NULL), 0);
	assert_int_equal(kind, KERNEL_VMLINUX);
	refuses(&elf, 40, "it ends within its ELF header");
	elf.e_type = ET_DYN;
	refuses(&elf, sizeof(elf), "a program, not a kernel");
	elf.e_machine = EM_AARCH64;
	refuses(&elf, sizeof(elf), "not a kernel for x86-64: its ELF machine is 183");
	elf.e_ident[EI_CLASS] = ELFCLASS32;
	refuses(&elf, sizeof(elf), "a 32-bit kernel");
}

static void test_bzimage(void **state)
{
	enum kernel_kind kind = KERNEL_VMLINUX;
	uint8_t head[1024] = { 0 };
	head[0x1fe] = 0x55, head[0x1ff] = 0xaa;
	memcpy(head + 0x202, "HdrS\x0f\x02", 6);
	head[0x211] = 1;
	head[0x236] = 1;
	assert_int_equal(check(head, sizeof(head), &kind, NULL), 0);
	assert_int_equal(kind, KERNEL_BZIMAGE);
	refuses(head, 0x260, "neither a bzImage nor an ELF vmlinux");
	head[0x236] = 0;
	refuses(head, sizeof(head), "a 32-bit kernel");
	head[0x211] = 0;
	refuses(head, sizeof(head), "a zImage");
	head[0x206] = 9;
	refuses(head, sizeof(head), "its boot protocol 2.09 is older than 2.12");
}

static void test_other_files(void **state)
{
	refuses("", 0, "it is empty");
	refuses("\x1f\x8bxx", 4, "a gzip file");
	refuses("070701", 6, "--initrd");
	refuses("#!/bin/sh\n", 10, "a script");
	refuses("hello", 5, "neither a bzImage nor an ELF vmlinux");
}

/* ---- the cache ---- */

static void make_kernel(const char *name, const char *key, int64_t built)
{
	char *dir = alloc_format("%s/kernel/%s-%s", scratch, name, key), *link = alloc_format("%s/kernel/%s", scratch, name);
	char *vmlinux = alloc_format("%s/vmlinux", dir), *meta = alloc_format("%s/meta.json", dir), *entry = alloc_format("%s-%s", name, key);
	char *json = alloc_format("{\"release\": \"6.1\", \"source\": \"linux.tar.xz\", \"built\": %lld}", (long long)built);
	assert_int_equal(dir_make(dir, 0700), 0);
	assert_int_equal(file_write(AT_FDCWD, vmlinux, "kernel", 6, 0600), 0);
	assert_int_equal(file_write(AT_FDCWD, meta, json, strlen(json), 0600), 0);
	unlink(link);
	assert_int_equal(symlink(entry, link), 0);
	char *all[] = { dir, link, vmlinux, meta, entry, json };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
}

static int count_one(void *context, const struct kernel *kernel)
{
	++*(int *)context;
	return 0;
}

static int count(void)
{
	int n = 0;
	assert_int_equal(kernel_each(count_one, &n), 0);
	return n;
}

/* Only what lies in the store is never written to again. */
static void test_kept(void **state)
{
	char *cache = kernel_cache(), *inside = alloc_format("%s/general-0123/vmlinux", cache), *beside = alloc_format("%s2/vmlinux", cache);
	assert_true(kernel_is_kept(inside));
	assert_false(kernel_is_kept(beside));
	assert_false(kernel_is_kept(cache));
	assert_false(kernel_is_kept("/boot/vmlinux"));
	free(cache);
	free(inside);
	free(beside);
}

static void find_fails(const char *word, const char *says)
{
	struct kernel kernel;
	struct error error = { 0 };
	int err = kernel_find(word, &kernel, &error);
	assert_true(err == -ENOENT || err == -ENODATA);
	if (!strstr(error.text, says))
		fail_msg("'%s' is not in: %s", says, error.text);
}

static void test_cache(void **state)
{
	struct kernel kernel;
	find_fails("general", "is not built yet; run: lightvm kernel build");
	assert_int_equal(kernel_find("general", &kernel, NULL), -ENODATA);
	find_fails("base", "run: lightvm kernel build --config base");
	find_fails("linxu", "did you mean \"linux\"?");
	make_kernel("mine", "0123456789ab", 100);
	make_kernel("mine", "ba9876543210", 200);
	assert_int_equal(count(), 2);
	find_fails("mien", "did you mean \"mine\"?");
	find_fails("../mine", "there is no kernel");
	find_fails("", "there is no kernel");
	assert_int_equal(kernel_find("mine", &kernel, NULL), 0);
	assert_string_equal(kernel.key, "ba9876543210");
	assert_true(kernel.newest);
	assert_int_equal(kernel.built, 200);
	/* Without its newest build the name means the one before. */
	assert_int_equal(kernel_remove(&kernel, NULL), 0);
	kernel_free(&kernel);
	assert_int_equal(kernel_find("mine", &kernel, NULL), 0);
	assert_string_equal(kernel.key, "0123456789ab");
	kernel_free(&kernel);
	assert_int_equal(kernel_find("mine-0123456789ab", &kernel, NULL), 0);
	assert_int_equal(kernel_remove(&kernel, NULL), 0);
	kernel_free(&kernel);
	assert_int_equal(count(), 0);
	find_fails("mine", "there is no kernel \"mine\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin_configurations), cmocka_unit_test(test_kept), cmocka_unit_test(test_includes), cmocka_unit_test(test_bad_configurations),
		cmocka_unit_test(test_missing_options), cmocka_unit_test(test_progress), cmocka_unit_test(test_vmlinux), cmocka_unit_test(test_bzimage), cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_cache),
	};
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
