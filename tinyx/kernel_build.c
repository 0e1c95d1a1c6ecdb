/* SPDX-License-Identifier: Apache-2.0 */
/* From a source package and a configuration to a kernel in the cache. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/linux_guest.h"
#include "base/file.h"
#include "tinyx/kernel.h"
#include "tinyx/kernel_files.h"
#include "tinyx/kernel_make.h"

/* As in image.c: the one-shot interface would link in the whole library. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#define BUILD_VERSION "lightvm-kernel-2" /* a change of how kernels are built makes every one of them old */
#define SOURCES "/usr/src/linux-source-*.tar.xz"
#define FILE_MAX (64u << 20)

struct build {
	const struct kernel_request *request;
	char *cache, *source, *source_id;
	char *result;		/* CACHE/NAME-KEY */
	char *tree, *objects;
	char key[KERNEL_KEY + 1];
	time_t date;		/* of the source: the same for everybody who builds from it */
	int lock;
};

/* ---- what is built from ---- */

static char *newest_source(void)
{
	glob_t found;
	char *best = NULL;
	if (!glob(SOURCES, 0, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (!best || strverscmp(found.gl_pathv[i], best) > 0)
				best = found.gl_pathv[i];
		best = alloc_copy(best);
	}
	globfree(&found);
	return best;
}

/* A package's files keep their times: the same package is the same source on every machine, without reading 130 MB. */
static int find_source(struct build *build, struct error *error)
{
	struct stat st;
	build->source = build->request->source ? alloc_copy(build->request->source) : newest_source();
	if (!build->source)
		return error_set(error, -ENOENT, "there is no kernel source: no file is like %s; run: sudo apt-get install linux-source-6.1 (or give one with --source)",
				 SOURCES);
	if (stat(build->source, &st))
		return error_set(error, -errno, "%s: %s", build->source, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "%s: not a file; --source takes an archive (linux-*.tar.xz)", build->source);
	build->date = st.st_mtime;
	const char *slash = strrchr(build->source, '/'), *base = slash ? slash + 1 : build->source;
	build->source_id = alloc_format("%.*s-%" PRIx64 "-%" PRIx64, (int)strcspn(base, "/"), base, (uint64_t)st.st_size, (uint64_t)st.st_mtime);
	return 0;
}

/* line: "CONFIG_X=y\n" */
static bool asks_for(const struct kernel_config *config, const char *line)
{
	struct strings missing = { 0 };
	kernel_config_missing(line, config->text, &missing);
	const bool lacks = missing.count;
	strings_free(&missing);
	return !lacks;
}

/* Our own file in the kernel, with the numbers that it and the monitor agree on; where functions are traced the recorder stands behind it. */
static char *mark_source(const struct kernel_config *config)
{
	return alloc_format("#define LV_PORT_MARK %d\n#define LV_MARK_INITCALL %d\n#define LV_MARK_PANIC %d\n#define LV_MARK_OFF %d\n%s%s", LV_PORT_MARK, LV_MARK_INITCALL, LV_MARK_PANIC,
			    LV_MARK_OFF, kernel_lightvm_c, asks_for(config, "CONFIG_FUNCTION_TRACER=y\n") ? kernel_recorder_c : "");
}

static void find_key(struct build *build)
{
	SHA256_CTX hash;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hex[2 * sizeof(digest) + 1], *mark = mark_source(build->request->config);
	struct text text = { 0 };
	text_format(&text, "%s\n%s\n%s\n%s", BUILD_VERSION, build->source_id, build->request->config->text, mark);
	SHA256_Init(&hash);
	SHA256_Update(&hash, text.data, text.size);
	SHA256_Final(digest, &hash);
	hex_print(digest, sizeof(digest), hex);
	memcpy(build->key, hex, KERNEL_KEY);
	build->key[KERNEL_KEY] = 0;
	text_free(&text);
	free(mark);
}

static int prepare(struct build *build, struct error *error)
{
	const char *name = build->request->config->name;
	int err = find_source(build, error);
	if (err)
		return err;
	find_key(build);
	build->cache = kernel_cache();
	build->result = alloc_format("%s/%s-%s", build->cache, name, build->key);
	build->tree = alloc_format("%s/.source-%s", build->cache, build->source_id);
	build->objects = alloc_format("%s/.objects-%s-%s", build->cache, name, build->source_id);
	return kernel_cache_make(error);
}

static bool is_there(const struct build *build)
{
	char *path = alloc_format("%s/meta.json", build->result);
	bool there = !access(path, R_OK);
	free(path);
	return there;
}

static int lock(struct build *build, struct error *error)
{
	char *path = alloc_format("%s/.lock", build->cache);
	build->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int err = build->lock < 0 ? -errno : 0;
	if (!err && flock(build->lock, LOCK_EX | LOCK_NB)) {
		make_tell(build->request, KERNEL_WAITING, NULL, 0, 0);
		while ((err = flock(build->lock, LOCK_EX) ? -errno : 0) == -EINTR)
			;
	}
	if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	free(path);
	return err;
}

/* ---- the source tree ---- */

static int unpack(const struct build *build, const char *fresh, struct error *error)
{
	/* What no VM of ours has is left out: two fifths of the source. What Kconfig and make read stays everywhere. */
	static const char *const without[] = { "arch/[!x]*", "drivers/gpu", "drivers/media", "drivers/staging", "drivers/infiniband", "drivers/iio",
		"drivers/usb", "drivers/pinctrl", "drivers/net/ethernet", "drivers/net/wireless", "sound", "tools/testing", "tools/perf" };
	struct strings argv = { 0 };
	strings_add(&argv, "tar");
	strings_add(&argv, "-xf");
	strings_add(&argv, build->source);
	strings_add(&argv, "-C");
	strings_add(&argv, fresh);
	strings_add(&argv, "--strip-components=1");
	for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++)
		strings_take(&argv, alloc_format("--exclude=*/%s/*.[chS]", without[i]));
	strings_add(&argv, "--exclude=*.dts");
	strings_add(&argv, "--exclude=*.dtsi");
	strings_add(&argv, "--exclude=*/Documentation/*.rst");
	strings_add(&argv, "--exclude=*/Documentation/*.yaml");
	struct make make = { .argv = argv.item, .step = KERNEL_UNPACKING, .request = build->request };
	int err = make_run(&make, error);
	strings_free(&argv);
	return err;
}

static int add_to_makefile(const char *tree, struct error *error)
{
	char *path = alloc_format("%s/init/Makefile", tree);
	static const char line[] = "\nobj-y += lightvm.o\n";
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int err = fd < 0 ? error_set(error, -errno, "%s: %s; is that a kernel's source?", path, strerror(errno)) : fd_write(fd, line, sizeof(line) - 1);
	if (fd >= 0)
		close(fd);
	free(path);
	return err;
}

static int make_tree(const struct build *build, struct error *error)
{
	char *fresh = alloc_format("%s/.new-tree", build->cache);
	int err = tree_remove(AT_FDCWD, fresh);
	if (!err && mkdir(fresh, 0700))
		err = -errno;
	if (err)
		error_set(error, err, "%s: %s", fresh, strerror(-err));
	if (!err)
		err = unpack(build, fresh, error);
	if (!err)
		err = add_to_makefile(fresh, error);
	if (!err && rename(fresh, build->tree))
		err = error_set(error, -errno, "%s: %s", build->tree, strerror(errno));
	if (err)
		tree_remove(AT_FDCWD, fresh);
	free(fresh);
	return err;
}

/* Written only if it differs, since make goes by times. */
static int write_if_new(const char *path, const char *text, struct error *error)
{
	char *old = NULL;
	size_t size;
	bool same = !file_read(AT_FDCWD, path, FILE_MAX, &old, &size) && size == strlen(text) && !memcmp(old, text, size);
	int err = same ? 0 : file_write(AT_FDCWD, path, text, strlen(text), 0600);
	free(old);
	return err ? error_set(error, err, "%s: %s", path, strerror(-err)) : 0;
}

static int prepare_tree(const struct build *build, struct error *error)
{
	int err = access(build->tree, F_OK) ? make_tree(build, error) : 0;
	if (err)
		return err;
	char *path = alloc_format("%s/init/lightvm.c", build->tree), *mark = mark_source(build->request->config);
	err = write_if_new(path, mark, error);
	free(path);
	free(mark);
	return err;
}

/* ---- configuring and compiling ---- */

static char *objects_path(const struct build *build, const char *file)
{
	return alloc_format("%s/%s", build->objects, file);
}

static int run_make(const struct build *build, enum kernel_step step, const char *target, const char *variable, struct error *error)
{
	char *objects = alloc_format("O=%s", build->objects), *jobs = alloc_format("-j%u", build->request->jobs), *log = objects_path(build, "build.log");
	char *argv[] = { "make", "-C", build->tree, "--no-print-directory", objects, "ARCH=x86_64", jobs, (char *)target, (char *)variable, NULL };
	struct make make = { .argv = argv, .step = step, .log = log, .request = build->request, .date = build->date };
	int err = make_run(&make, error);
	free(objects);
	free(jobs);
	free(log);
	return err;
}

static int check_config(const struct build *build, struct error *error)
{
	struct strings missing = { 0 };
	struct text list = { 0 };
	char *path = objects_path(build, ".config"), *result = NULL;
	size_t size;
	int err = file_read(AT_FDCWD, path, KERNEL_CONFIG_MAX, &result, &size);
	if (err) {
		error_set(error, err, "%s: %s", path, strerror(-err));
		free(path);
		return err;
	}
	kernel_config_missing(build->request->config->text, result, &missing);
	for (size_t i = 0; i < missing.count; i++)
		text_format(&list, " %s", missing.item[i]);
	if (missing.count)
		err = error_set(error, -EINVAL, "configuration %s: this Linux does not take %zu of its options (they do not exist, depend on others, or "
				"others need them):%.600s", build->request->config->name, missing.count, list.data);
	text_free(&list);
	strings_free(&missing);
	free(result);
	free(path);
	return err;
}

static int configure(const struct build *build, struct error *error)
{
	int err = dir_make(build->objects, 0700);
	if (err)
		return error_set(error, err, "%s: %s", build->objects, strerror(-err));
	char *path = objects_path(build, "lightvm.config"), *variable = alloc_format("KCONFIG_ALLCONFIG=%s", path);
	err = write_if_new(path, build->request->config->text, error);
	if (!err)
		err = run_make(build, KERNEL_CONFIGURING, "allnoconfig", variable, error);
	free(variable);
	free(path);
	return err ? err : check_config(build, error);
}

/* ---- the result ---- */

static int strip_into(const struct build *build, const char *fresh, struct error *error)
{
	char *from = objects_path(build, "vmlinux"), *to = alloc_format("%s/vmlinux", fresh);
	char *argv[] = { "strip", "--strip-all", "-o", to, from, NULL };
	struct make make = { .argv = argv, .step = KERNEL_COLLECTING, .request = build->request };
	int err = make_run(&make, error);
	free(from);
	free(to);
	return err;
}

static int copy_into(const struct build *build, const char *file, const char *fresh, const char *name, struct error *error)
{
	char *from = objects_path(build, file), *to = alloc_format("%s/%s", fresh, name), *data = NULL;
	size_t size;
	int err = file_read(AT_FDCWD, from, FILE_MAX, &data, &size);
	if (!err)
		err = file_write(AT_FDCWD, to, data, size, 0644);
	if (err)
		error_set(error, err, "%s to %s: %s", from, to, strerror(-err));
	free(data);
	free(from);
	free(to);
	return err;
}

static int write_meta(const struct build *build, const char *fresh, struct error *error)
{
	char *path = objects_path(build, "include/config/kernel.release"), *release = NULL, *to = alloc_format("%s/meta.json", fresh);
	size_t size;
	int err = file_read(AT_FDCWD, path, 256, &release, &size);
	if (!err) {
		release[strcspn(release, "\n")] = 0;
		json_t *meta = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "config", build->request->config->name, "release", release, "source",
					 strrchr(build->source, '/') ? strrchr(build->source, '/') + 1 : build->source, "source_id", build->source_id, "key", build->key, "built",
					 (json_int_t)time(NULL));
		char *text = json_dumps(meta, JSON_INDENT(2));
		err = text ? file_write(AT_FDCWD, to, text, strlen(text), 0644) : -EINVAL;
		free(text);
		json_decref(meta);
	}
	if (err)
		error_set(error, err, "%s: %s", to, strerror(-err));
	free(release);
	free(path);
	free(to);
	return err;
}

static int point_name(const struct build *build, struct error *error)
{
	char *link = alloc_format("%s/%s", build->cache, build->request->config->name), *fresh = alloc_format("%s/.new-link", build->cache);
	unlink(fresh);
	int err = symlink(strrchr(build->result, '/') + 1, fresh) || rename(fresh, link) ? error_set(error, -errno, "%s: %s", link, strerror(errno)) : 0;
	free(link);
	free(fresh);
	return err;
}

static int collect(const struct build *build, struct error *error)
{
	char *fresh = alloc_format("%s/.new-kernel", build->cache);
	int err = tree_remove(AT_FDCWD, fresh);
	if (!err && mkdir(fresh, 0755))
		err = error_set(error, -errno, "%s: %s", fresh, strerror(errno));
	if (!err)
		err = strip_into(build, fresh, error);
	if (!err)
		err = copy_into(build, "arch/x86/boot/bzImage", fresh, "bzImage", error);
	if (!err)
		err = copy_into(build, ".config", fresh, "config", error);
	if (!err)
		err = copy_into(build, "lightvm.config", fresh, "asked", error);
	if (!err && asks_for(build->request->config, "CONFIG_VMLINUX_MAP=y\n")) /* or it may be of an older build */
		err = copy_into(build, "vmlinux.map", fresh, "map", error);
	if (!err)
		err = write_meta(build, fresh, error);
	if (!err && ((err = tree_remove(AT_FDCWD, build->result)) || (rename(fresh, build->result) && (err = -errno))))
		error_set(error, err, "%s: %s", build->result, strerror(-err));
	if (err)
		tree_remove(AT_FDCWD, fresh);
	free(fresh);
	return err ? err : point_name(build, error);
}

/* ---- all of it ---- */

static int build_locked(struct build *build, struct error *error)
{
	if (!build->request->force && is_there(build)) { /* another build has just made it, or an older one is meant again */
		int err = point_name(build, error);
		return err ? err : 0;
	}
	int err = make_check_tools(error);
	if (!err)
		err = prepare_tree(build, error);
	if (!err)
		err = configure(build, error);
	if (!err)
		err = run_make(build, KERNEL_COMPILING, "bzImage", NULL, error);
	if (!err)
		err = collect(build, error);
	return err ? err : 1;
}

int kernel_build(const struct kernel_request *request, char **directory, struct error *error)
{
	struct build build = { .request = request, .lock = -1 };
	int result = prepare(&build, error);
	if (!result)
		result = lock(&build, error);
	if (!result)
		result = build_locked(&build, error);
	if (build.lock >= 0)
		close(build.lock);
	*directory = result < 0 ? NULL : alloc_copy(build.result);
	free(build.cache);
	free(build.source);
	free(build.source_id);
	free(build.result);
	free(build.tree);
	free(build.objects);
	return result;
}
