/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm image: making, showing and checking image files, and the cache of those that run made. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/packing.h"
#include "tinyx/pack.h"
#include "tinyx/stage.h"

#define SHORT_ID 12

/* ---- which image ---- */

struct cached_search {
	const char *prefix;
	char *found;
	int count;
};

static int each_in(const struct cache *cache, int (*each)(void *context, int dir, const char *name), void *context)
{
	int fd = openat(cache->dir, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *entry; !err && (entry = readdir(dir));)
		if (strlen(entry->d_name) == IMAGE_HEX + 4 && text_ends(entry->d_name, ".lvm"))
			err = each(context, dirfd(dir), entry->d_name);
	closedir(dir);
	return err;
}

static int each_cached(int (*each)(void *context, int dir, const char *name), void *context, struct error *error)
{
	struct cache cache;
	int err = cache_open(&cache, false, error);
	if (!err && (err = each_in(&cache, each, context)))
		error_set(error, err, "%s/images: %s", cache.path, strerror(-err));
	cache_close(&cache);
	return err == -ENOENT ? 0 : err;
}

static int match_cached(void *context, int dir, const char *name)
{
	struct cached_search *search = context;
	if (text_starts(name, search->prefix)) {
		free(search->found);
		search->found = alloc_copy(name);
		search->count++;
	}
	return 0;
}

/* A file, or the digest (or its beginning) of a cached image; the caller's. */
static char *image_path(const char *word, struct error *error)
{
	if (strchr(word, '/') || !access(word, F_OK))
		return alloc_copy(word);
	struct cached_search search = { .prefix = word };
	if (each_cached(match_cached, &search, error)) {
		free(search.found);
		return NULL;
	}
	if (search.count != 1) {
		error_set(error, -ENOENT, search.count ? "\"%s\" is the beginning of %d images; give more digits" : "there is no image \"%s\" (file or digest)", word,
			  search.count);
		free(search.found);
		return NULL;
	}
	char *cache = cache_dir(), *path = alloc_format("%s/images/%s", cache, search.found);
	free(cache);
	free(search.found);
	return path;
}

/* ---- build ---- */

struct build_options {
	bool no_companions;
	const char *output, *name, *workdir, *hostname;
	uint64_t memory, uid, gid;
	struct strings env, volumes, ports;
};

#define AT(field) offsetof(struct build_options, field)
static const struct option_spec build_options[] = {
	{ "output", 'o', OPTION_STRING, AT(output), "FILE", "the image file (default: NAME.lvm in the working directory)", .complete = "file" },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "name in the manifest (default: the program's)" },
	{ "volume", 'v', OPTION_LIST, AT(volumes), "HOST:/PATH", "add a file or directory of the host; may be repeated", .complete = "file" },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "default environment; may be repeated" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "default working directory" },
	{ "hostname", 'h', OPTION_STRING, AT(hostname), "NAME", "default host name" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "default memory limit", .low = 4u << 20, .high = 64ull << 30 },
	{ "uid", 0, OPTION_NUMBER, AT(uid), "N", "default user", .high = UINT32_MAX - 1 },
	{ "gid", 0, OPTION_NUMBER, AT(gid), "N", "default group", .high = UINT32_MAX - 1 },
	{ "expose", 'p', OPTION_LIST, AT(ports), "PORT[/udp]", "a port on which the program listens, for information; may be repeated" },
	{ "no-companions", 0, OPTION_FLAG, AT(no_companions), NULL, "pack the program and its libraries only, not the other files of its package" },
	{ 0 },
};

static char *find_program(const char *word, struct error *error)
{
	char cwd[PATH_MAX];
	if (strchr(word, '/'))
		return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", word);
	char *path = pack_find_program(word);
	if (!path)
		error_set(error, -ENOENT, "there is no program \"%s\" in PATH; give a path, as in ./%s", word, word);
	return path;
}

static int fill_manifest(struct manifest *manifest, const struct build_options *given, struct operands operands, struct error *error)
{
	const char *base = strrchr(operands.argv[0], '/');
	manifest->name = alloc_copy(given->name ? given->name : base ? base + 1 : operands.argv[0]);
	manifest->cwd = given->workdir ? alloc_copy(given->workdir) : NULL;
	manifest->hostname = given->hostname ? alloc_copy(given->hostname) : NULL;
	manifest->memory = given->memory;
	manifest->uid = (uint32_t)given->uid;
	manifest->gid = (uint32_t)given->gid;
	for (int i = 1; i < operands.argc; i++)
		strings_add(&manifest->args, operands.argv[i]);
	for (size_t i = 0; i < given->ports.count; i++)
		strings_add(&manifest->ports, given->ports.item[i]);
	for (size_t i = 0; i < given->env.count; i++) {
		const char *equals = strchr(given->env.item[i], '=');
		if (!equals || equals == given->env.item[i])
			return error_set(error, -EINVAL, "-e: \"%s\" is not NAME=VALUE", given->env.item[i]);
		strings_add(&manifest->env, given->env.item[i]);
	}
	if (manifest->cwd && manifest->cwd[0] != '/')
		return error_set(error, -EINVAL, "--workdir \"%s\" is not an absolute path", manifest->cwd);
	return 0;
}

static int build(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct build_options *given = options;
	struct manifest manifest = { 0 };
	char *program = find_program(operands.argv[0], error);
	if (!program)
		return -ENOENT;
	int err = fill_manifest(&manifest, given, operands, error);
	char *output = given->output ? alloc_copy(given->output) : alloc_format("%s.lvm", err ? "" : manifest.name);
	struct pack_request request = { .program = program, .volumes = &given->volumes, .no_companions = given->no_companions, .manifest = &manifest };
	struct packing packing;
	packing_init(&packing, program);
	request.watch = &packing.watch;
	if (!err)
		err = pack_to(&request, output, error);
	packing_fini(&packing);
	struct text out = { 0 };
	if (!err) {
		text_format(&out, "%s\n", output);
		err = text_print(&out);
	}
	manifest_free(&manifest);
	free(program);
	free(output);
	return err;
}

static const struct verb verb_build = {
	.name = "build",
	.operands = "PROGRAM [ARG...]",
	.summary = "Pack a program into an image file",
	.text = "The image holds the program, its interpreter and libraries, the files of its package, what -v adds, and a manifest with\n"
		"the defaults that the options give. The same files always make the same image, byte for byte.",
	.examples = "lightvm image build -o web.lvm -p 80 -v ./site:/var/www/html /usr/sbin/nginx -g 'daemon off; master_process off;'",
	.options = build_options,
	.options_size = sizeof(struct build_options),
	.complete = "file",
	.min = 1,
	.max = -1,
	.first_ends = true,
	.run = build,
};

/* ---- inspect, verify ---- */

static int inspect(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct image image;
	char *path = image_path(operands.argv[0], error);
	if (!path)
		return -ENOENT;
	int err = image_open(&image, path, error);
	if (!err) {
		struct text text = { 0 };
		manifest_print(&image.manifest, &text);
		json_t *object = json_pack("{s:s, s:I, s:s}", "path", path, "size", (json_int_t)image.size, "sha256", image.sha256);
		json_object_set_new(object, "manifest", json_loads(text.data, 0, NULL));
		text_free(&text);
		err = json_print(object);
	}
	image_close(&image);
	free(path);
	return err;
}

static const struct verb verb_image_inspect = {
	.name = "inspect",
	.operands = "IMAGE",
	.summary = "Show an image's size, digest and manifest, as JSON",
	.complete = "image",
	.min = 1,
	.max = 1,
	.run = inspect,
};

static int verify(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct text out = { 0 };
	for (int i = 0; i < operands.argc; i++) {
		struct image image;
		char *path = image_path(operands.argv[i], error);
		int err = path ? image_open(&image, path, error) : -ENOENT;
		if (!err)
			err = image_verify(&image, path, error);
		if (!err)
			text_format(&out, "%s: whole, SHA-256 %s\n", path, image.sha256);
		if (path)
			image_close(&image);
		free(path);
		if (err) {
			text_print(&out);
			return err;
		}
	}
	return text_print(&out);
}

static const struct verb verb_verify = {
	.name = "verify",
	.operands = "IMAGE...",
	.summary = "Compare every byte of images with their digests",
	.complete = "image",
	.min = 1,
	.max = -1,
	.run = verify,
};

/* ---- ls, rm ---- */

struct ls_options {
	bool quiet;
	const char *format;
};

#undef AT
#define AT(field) offsetof(struct ls_options, field)
static const struct option_spec ls_options[] = {
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "digests only" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

static void print_day(json_int_t seconds, char *out, size_t room)
{
	time_t when = (time_t)seconds;
	struct tm day;
	if (!localtime_r(&when, &day) || !strftime(out, room, "%Y-%m-%d %H:%M", &day))
		snprintf(out, room, "?");
}

static int list_one(void *context, int dir, const char *name)
{
	struct image image;
	struct stat st;
	char *path = alloc_format("/proc/self/fd/%d/%s", dir, name);
	if (!image_open(&image, path, NULL) && !fstat(image.fd, &st))
		json_array_append_new(context, json_pack("{s:s#, s:I, s:I, s:I, s:s?, s:s?}", "sha256", name, IMAGE_HEX, "size", (json_int_t)image.size,
							 "created", (json_int_t)st.st_ctim.tv_sec, "used", (json_int_t)st.st_mtim.tv_sec, "name", image.manifest.name, "program",
							 image.manifest.program));
	image_close(&image);
	free(path);
	return 0;
}

static int ls(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct ls_options *given = options;
	json_t *array = json_array();
	struct text out = { 0 };
	int err = each_cached(list_one, array, error);
	if (err)
		return err;
	if (given->format && !strcmp(given->format, "json"))
		return json_print(array);
	uint64_t total = 0;
	char size[24], used[24];
	if (!given->quiet)
		text_format(&out, "%-12s  %7s  %-16s  %-16s  %s\n", "IMAGE", "SIZE", "LAST USED", "NAME", "PROGRAM");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		const char *sha256 = json_string_value(json_object_get(item, "sha256")), *name = json_string_value(json_object_get(item, "name")),
			   *program = json_string_value(json_object_get(item, "program"));
		uint64_t bytes = (uint64_t)json_integer_value(json_object_get(item, "size"));
		total += bytes;
		print_day(json_integer_value(json_object_get(item, "used")), used, sizeof(used));
		if (given->quiet)
			text_format(&out, "%s\n", sha256);
		else
			text_format(&out, "%-12.12s  %7s  %-16s  %-16s  %s\n", sha256, size_print(bytes, size, sizeof(size)), used, name ? name : "-",
				    program ? program : "-");
	}
	if (!given->quiet)
		text_format(&out, "%zu images, %s of at most %s\n", json_array_size(array), size_print(total, size, sizeof(size)),
			    size_print(cache_limit(), used, sizeof(used)));
	json_decref(array);
	return text_print(&out);
}

static const struct verb verb_ls = {
	.name = "ls",
	.summary = "List cached images",
	.text = "LAST USED is right to the hour. When a new image makes them take more than the limit (LIGHTVM_CACHE_SIZE, 8 GiB if it is not\n"
		"set), those whose last use is longest ago are removed.",
	.options = ls_options,
	.options_size = sizeof(struct ls_options),
	.run = ls,
};

struct rm_options {
	bool all;
};

static const struct option_spec rm_options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct rm_options, all), NULL, "all cached images" },
	{ 0 },
};

static int remove_one(void *context, int dir, const char *name)
{
	return unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
}

static int remove_named(const struct cache *cache, const char *word, struct error *error)
{
	char *path = image_path(word, error);
	int err = path ? 0 : -ENOENT;
	if (path && (!text_starts(path, cache->path) || path[strlen(cache->path)] != '/'))
		err = error_set(error, -EINVAL, "%s is not in the cache; remove the file with rm", path);
	else if (path && unlink(path))
		err = error_set(error, -errno, "%s: %s", path, strerror(errno));
	free(path);
	return err;
}

static int rm(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct rm_options *given = options;
	if (!given->all && !operands.argc)
		return error_set(error, -EINVAL, "which images? Give their digests, or --all");
	struct cache cache;
	int err = cache_open(&cache, true, error);
	if (!err && given->all)
		err = each_in(&cache, remove_one, NULL);
	if (!err && given->all)
		stage_sweep(cache.images, 0);
	for (int i = 0; i < operands.argc && !err; i++)
		err = remove_named(&cache, operands.argv[i], error);
	if (cache.dir >= 0)
		cache_forget(&cache, NULL);
	cache_close(&cache);
	return err;
}

static const struct verb verb_image_rm = {
	.name = "rm",
	.no_guess = true,
	.operands = "[IMAGE...]",
	.summary = "Remove cached images; they are made again when they are needed",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.complete = "image",
	.max = -1,
	.run = rm,
};

static const struct verb *const image_verbs[] = { &verb_build, &verb_image_inspect, &verb_verify, &verb_ls, &verb_image_rm, NULL };

const struct verb verb_image = {
	.name = "image",
	.summary = "Build, show, check and remove images",
	.sub = image_verbs,
};
