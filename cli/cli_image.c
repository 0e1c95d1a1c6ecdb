/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm image: making, showing and checking image files, and the cache of those that run made. */
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
#include "node/image_list.h"
#include "tinyx/import.h"
#include "tinyx/import_source.h"
#include "tinyx/pack.h"
#include "tinyx/packages/rules.h"

/* ---- build ---- */

struct build_options {
	bool no_companions;
	const char *output, *name, *workdir, *hostname, *from, *rules, *explain;
	uint64_t memory, uid, gid;
	struct strings env, volumes, ports, packages;
};

#define AT(field) offsetof(struct build_options, field)
static const struct option_spec build_options[] = {
	{ "output", 'o', OPTION_STRING, AT(output), "FILE", "the image file (default: NAME.lvm in the working directory)", .complete = "file" },
	{ "from", 0, OPTION_STRING, AT(from), "SOURCE", "make it of a container image (oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, or what skopeo brings, as docker://NAME), a root directory (dir:DIR) or a tar of one (tar:FILE)", .words = "oci: oci-archive: docker-archive: docker:// containers-storage: dir: tar:" },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "name in the manifest (default: the program's)" },
	{ "package", 0, OPTION_LIST, AT(packages), "NAME", "a Debian package, with what it depends on, in place of the host's files; NAME=VERSION for another version; may be repeated" },
	{ "rules", 0, OPTION_STRING, AT(rules), "FILE", "what of packages goes in: a changed copy of what \"lightvm image rules\" prints", .complete = "file" },
	{ "volume", 'v', OPTION_LIST, AT(volumes), "HOST:/PATH", "add a file or directory of the host; may be repeated", .complete = "file" },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "default environment; may be repeated" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "default working directory" },
	{ "hostname", 'h', OPTION_STRING, AT(hostname), "NAME", "default host name" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "default memory limit", .low = 4u << 20, .high = 64ull << 30 },
	{ "uid", 0, OPTION_NUMBER, AT(uid), "N", "default user", .high = UINT32_MAX - 1 },
	{ "gid", 0, OPTION_NUMBER, AT(gid), "N", "default group", .high = UINT32_MAX - 1 },
	{ "expose", 'p', OPTION_LIST, AT(ports), "PORT[/udp]", "a port on which the program listens, for information; may be repeated" },
	{ "explain", 0, OPTION_STRING, AT(explain), "PATH", "build nothing: say why PATH is in the image, or why not and what adds it", .complete = "none" },
	{ "no-companions", 0, OPTION_FLAG, AT(no_companions), NULL, "pack the program and its libraries only, not the other files of its package" },
	{ 0 },
};

static char *find_program(const char *word, struct error *error)
{
	char cwd[PATH_MAX];
	if (strchr(word, '/'))
		return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", word);
	char *path = program_find(word);
	if (!path)
		error_set(error, -ENOENT, "there is no program \"%s\" in PATH; give a path, as in ./%s", word, word);
	return path;
}

/* The image's name, if the user gives none. */
static const char *default_name(const struct build_options *given, struct operands operands)
{
	const char *word = given->packages.count ? given->packages.item[0] : operands.argv[0], *base = strrchr(word, '/');
	return base ? base + 1 : word;
}

static int fill_manifest(struct manifest *manifest, const struct build_options *given, struct operands operands, struct error *error)
{
	const char *name = given->name ? given->name : given->from ? NULL : default_name(given, operands);
	manifest->name = !name ? import_name(given->from) : alloc_format("%.*s", given->name ? (int)strlen(name) : (int)strcspn(name, "="), name);
	manifest->cwd = given->workdir ? alloc_copy(given->workdir) : NULL;
	manifest->hostname = given->hostname ? alloc_copy(given->hostname) : NULL;
	manifest->memory = given->memory;
	manifest->uid = (uint32_t)given->uid;
	manifest->gid = (uint32_t)given->gid;
	for (int i = given->from ? 0 : 1; i < operands.argc; i++)
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

/* Of a program of the host, or of packages, of which word, if it is not NULL, names the program. */
static int build_packed(const struct build_options *given, const struct manifest *manifest, const char *word, const char *output, struct error *error)
{
	struct text said = { 0 }, reason = { 0 };
	struct packing packing;
	char *program = !word ? NULL : given->packages.count ? alloc_copy(word) : find_program(word, error);
	if (word && !program)
		return -ENOENT;
	packing_init(&packing, given->packages.count ? manifest->name : program);
	struct pack_request request = { .program = program, .volumes = &given->volumes, .no_companions = given->no_companions, .manifest = manifest,
		.packages = &given->packages, .rules = given->rules, .said = &said, .watch = &packing.watch, .steps = &packing.steps };
	int err = given->explain ? pack_explain(&request, given->explain, &reason, error) : pack_to(&request, output, error);
	packing_fini(&packing);
	if (!err && given->explain)
		err = text_print(&reason);
	else if (!err)
		fputs(said.data ? said.data : "", stderr);
	text_free(&said);
	free(program);
	return err;
}

static int build_of_import(const struct build_options *given, const struct manifest *manifest, const char *output, struct error *error)
{
	struct packing packing;
	char *shown = alloc_format("/%s", manifest->name);
	if (given->volumes.count || given->no_companions)
		return error_set(error, -EINVAL, "%s is for programs of this machine, not for what --from names", given->volumes.count ? "-v" : "--no-companions");
	packing_init(&packing, shown);
	int err = import_to(&(struct import_request){ .word = given->from, .watch = &packing.watch, .manifest = manifest }, output, error);
	packing_fini(&packing);
	free(shown);
	return err;
}

static int check_source(const struct build_options *given, struct operands operands, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < given->packages.count && !err; i++)
		err = debs_check_name(given->packages.item[i], error);
	if (err)
		return err;
	if (given->from && given->explain)
		return error_set(error, -EINVAL, "--explain is for programs and packages: a container image is taken as it is");
	if (given->from && given->packages.count)
		return error_set(error, -EINVAL, "--from and --package: an image is made of one or the other");
	if (!given->packages.count && given->rules)
		return error_set(error, -EINVAL, "--rules is for packages; give --package NAME");
	if (!given->from && !given->packages.count && !operands.argc)
		return error_set(error, -EINVAL, "of what? Name a program, a container image with --from, or a Debian package with --package");
	return 0;
}

static int build(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct build_options *given = options;
	struct manifest manifest = { 0 };
	struct text out = { 0 };
	int err = check_source(given, operands, error);
	if (!err)
		err = fill_manifest(&manifest, given, operands, error);
	char *output = given->output ? alloc_copy(given->output) : alloc_format("%s.lvm", err ? "" : manifest.name);
	if (!err)
		err = given->from ? build_of_import(given, &manifest, output, error) :
				    build_packed(given, &manifest, operands.argc ? operands.argv[0] : NULL, output, error);
	if (!err && !given->explain) {
		text_format(&out, "%s\n", output);
		err = text_print(&out);
	}
	manifest_free(&manifest);
	free(output);
	return err;
}

static const struct verb verb_build = {
	.name = "build",
	.operands = "[PROGRAM [ARG...]]",
	.summary = "Pack a program, Debian packages, or a container image, into an image file",
	.text = "The image holds the program, its interpreter and libraries, the files of its package, what -v adds, and a manifest with\n"
		"the defaults that the options give. The same files always make the same image, byte for byte.\n\n"
		"With --from it is made of a container image, whose configuration becomes the manifest; PROGRAM takes the place of its entry point and command.\n\n"
		"With --package all of it comes from the package sources that apt has, and nothing from the files of this host, where nothing is\n"
		"installed. What the packages depend on comes along as far as it is needed; what rules did instead of maintainer scripts, and which\n"
		"program the image starts, is said. PROGRAM is then one of the packages'.",
	.examples = "lightvm image build -o web.lvm -p 80 -v ./site:/var/www/html /usr/sbin/nginx -g 'daemon off; master_process off;'\n"
		    "lightvm image build --package redis-server -o redis.lvm\n"
		    "lightvm image build --from docker-archive:saved.tar -o app.lvm",
	.options = build_options,
	.options_size = sizeof(struct build_options),
	.complete = "file",
	.max = -1,
	.first_ends = true,
	.run = build,
};

/* ---- inspect, verify ---- */

static int inspect(const struct context *context, void *options, struct operands operands, struct error *error)
{
	char *path = image_path(operands.argv[0], error);
	json_t *view = path ? image_view(path, error) : NULL;
	free(path);
	return view ? json_print(view) : error->code;
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

/* The names it was given, or, if there are none, the one of its manifest. */
static char *names_of(const json_t *item)
{
	struct text names = { 0 };
	size_t i;
	json_t *name;
	json_array_foreach(json_object_get(item, "names"), i, name)
		text_format(&names, "%s%s", i ? ", " : "", json_string_value(name));
	const char *own = json_string_value(json_object_get(item, "name"));
	if (!names.size)
		text_put(&names, own ? own : "-");
	return names.data;
}

static int ls(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct ls_options *given = options;
	json_t *array = images_list(error);
	struct text out = { 0 };
	if (!array)
		return error->code;
	if (given->format && !strcmp(given->format, "json"))
		return json_print(array);
	uint64_t total = 0;
	char size[24], used[24];
	if (!given->quiet)
		text_format(&out, "%-12s  %7s  %-16s  %-16s  %s\n", "IMAGE", "SIZE", "LAST USED", "NAME", "PROGRAM");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);
		const char *sha256 = json_string_value(json_object_get(item, "sha256")), *program = json_string_value(json_object_get(item, "program"));
		char *names = names_of(item);
		uint64_t bytes = (uint64_t)json_integer_value(json_object_get(item, "size"));
		total += bytes;
		print_day(json_integer_value(json_object_get(item, "used")), used, sizeof(used));
		if (given->quiet)
			text_format(&out, "%s\n", sha256);
		else
			text_format(&out, "%-12.12s  %7s  %-16s  %-16s  %s\n", sha256, size_print(bytes, size, sizeof(size)), used, names,
				    program ? program : "-");
		free(names);
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

const struct verb verb_images = {
	.name = "images",
	.summary = "List cached images: \"lightvm image ls\"",
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

static int rm(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct rm_options *given = options;
	if (!given->all && !operands.argc)
		return error_set(error, -EINVAL, "which images? Give their digests, or --all");
	int err = given->all ? images_remove_all(error) : 0;
	for (int i = 0; i < operands.argc && !err; i++)
		err = image_remove(operands.argv[i], error);
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

/* ---- rules ---- */

struct rules_options {
	bool trim;
};

static const struct option_spec rules_options[] = {
	{ "trim", 0, OPTION_FLAG, offsetof(struct rules_options, trim), NULL, "those of \"lightvm image trim\"" },
	{ 0 },
};

static int print_rules(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct rules_options *given = options;
	struct text out = { 0 };
	text_put(&out, given->trim ? trim_rules : default_rules);
	return text_print(&out);
}

static const struct verb verb_rules = {
	.name = "rules",
	.summary = "Print the rules by which packages become images; changed, they are for --rules of image build",
	.options = rules_options,
	.options_size = sizeof(struct rules_options),
	.run = print_rules,
};

static const struct verb *const image_verbs[] = { &verb_build, &verb_image_trim, &verb_image_save, &verb_image_load, &verb_rules, &verb_image_files, &verb_image_diff, &verb_image_inspect, &verb_verify, &verb_ls, &verb_image_history, &verb_image_rm, &verb_image_prune, NULL };

const struct verb verb_image = {
	.name = "image",
	.summary = "Build, trim, show, check, carry and remove images",
	.sub = image_verbs,
};
