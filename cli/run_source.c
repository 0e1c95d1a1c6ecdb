/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/packing.h"
#include "node/image_list.h"
#include "node/vm_source.h"
#include "tinyx/image_volume.h"
#include "tinyx/import.h"
#include "tinyx/import_source.h"
#include "tinyx/pack.h"
#include "tinyx/runtime.h"

static char *absolute(const char *word, struct error *error)
{
	char cwd[PATH_MAX];
	if (strchr(word, '/') || !access(word, F_OK)) {
		if (!getcwd(cwd, sizeof(cwd)))
			strcpy(cwd, "/");
		/* Without a slash only an image in the working directory is meant; a program is looked for in PATH. */
		if (strchr(word, '/') || text_ends(word, ".lvm"))
			return path_clean(cwd, word);
	}
	char *found = program_find(word);
	if (!found)
		error_set(error, -ENOENT, "there is no program \"%s\" in PATH; give a path, as in ./%s", word, word);
	return found;
}

/* "NAME=VALUE" as VALUE; NAME alone has the value that it has here. NULL: another one. */
static const char *value_of(const char *variable, const char *name)
{
	size_t n = strlen(name);
	if (strncmp(variable, name, n))
		return NULL;
	return variable[n] == '=' ? variable + n + 1 : variable[n] ? NULL : getenv(name);
}

static const char *timezone_of(const struct run_options *given)
{
	const char *zone = NULL;
	for (size_t i = 0; i < given->env.count && !zone; i++)
		zone = value_of(given->env.item[i], "TZ");
	return zone && zone[0] == ':' ? zone + 1 : zone;
}

/* The first that not every image has. */
static const char *locale_of(const struct run_options *given)
{
	static const char *const names[] = { "LC_ALL", "LANG", "LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_NUMERIC", "LC_MONETARY", "LC_MESSAGES" };
	for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
		for (size_t i = 0; i < given->env.count; i++) {
			const char *locale = value_of(given->env.item[i], names[n]);
			if (locale && !runtime_has_locale(locale))
				return locale;
		}
	return NULL;
}

static int add_start_file(struct run_options *given, const struct template_wish *template, const char *program, struct error *error)
{
	char *volume = NULL;
	int err = program ? template_start_volume(template, program, &volume, error) : 0;
	if (volume)
		strings_take(&given->volumes, volume);
	return err;
}

/* A program of the host: packed, or found in the cache as it was packed before. */
static int use_program(struct vm_config *config, const struct run_options *given, const char *path, struct operands operands, struct error *error)
{
	const struct strings words = { .item = operands.argv + 1, .count = (size_t)operands.argc - 1 };
	struct pack_request request = { .program = path, .words = &words, .volumes = &given->volumes, .timezone = timezone_of(given),
		.locale = locale_of(given), .no_companions = given->no_companions };
	struct packing packing;
	packing_init(&packing, path);
	request.watch = &packing.watch;
	int err = source_program(config, &request, operands.argv[0], given->memory, error);
	packing_fini(&packing);
	return err;
}

/* An image of containers, or another one that is imported; what it became is kept, so this packs nothing the second time. */
static int use_import(struct vm_config *config, const struct run_options *given, const char *word, struct source *source, struct error *error)
{
	struct packing packing;
	struct packed packed;
	char *name = import_name(word), *shown = alloc_format("/%s", name);
	packing_init(&packing, shown);
	int err = import_cached(&(struct import_request){ .word = word, .watch = &packing.watch }, &packed, error);
	packing_fini(&packing);
	if (!err)
		err = source_image(config, packed.path, given->entrypoint, &source->facts, error);
	packed_free(&packed);
	free(name);
	free(shown);
	return err;
}

/* The user's arguments replace the manifest's, but for those that are kept; where none are, and there is no program, they name it. */
static int add_arguments(struct vm_config *config, const struct source *source, bool is_image, struct operands operands, struct error *error)
{
	if (!config->program && operands.argc < 2 && !config->args.count)
		return error_set(error, -EINVAL, "%s: its manifest names no program; give one: lightvm run %s /PATH ARG...", operands.argv[0], operands.argv[0]);
	if (is_image && operands.argc > 1) {
		struct strings kept = { 0 };
		for (size_t i = 0; i < source->facts.kept && i < config->args.count; i++)
			strings_add(&kept, config->args.item[i]);
		if (config->program && !kept.count)
			strings_add(&kept, config->program);
		strings_free(&config->args);
		config->args = kept;
	}
	for (int i = 1; i < operands.argc; i++)
		strings_add(&config->args, operands.argv[i]);
	if (!config->args.count)
		strings_add(&config->args, config->program);
	return source_enter(config, error);
}

/* As a shell says it, before anything is packed. host: where path comes from. */
static int check_program(const char *path, const char *host, struct source *source, struct error *error)
{
	struct stat st;
	int err = stat(host, &st) ? -errno : 0;
	if (err) {
		source->status = err == -ENOENT || err == -ENOTDIR ? EXIT_NO_PROGRAM : EXIT_NO_EXECUTABLE;
		return error_set(error, err, "%s: %s", path, strerror(-err));
	}
	if (S_ISREG(st.st_mode) && !faccessat(AT_FDCWD, host, X_OK, AT_EACCESS))
		return 0;
	source->status = EXIT_NO_EXECUTABLE;
	if (S_ISDIR(st.st_mode))
		return error_set(error, -EISDIR, "%s is a directory", path);
	return error_set(error, -EACCES, "%s: Permission denied: it is not executable; if it is a program: chmod +x %s", path, host);
}

static int use_path(struct vm_config *config, struct run_options *given, const struct template_wish *template, const char *path, struct operands operands, bool is_image,
		    struct source *source, struct error *error)
{
	const char *typed = operands.argv[0];
	char *host = volume_host(&given->volumes, path);
	int err = is_image ? 0 : check_program(path, host, source, error);
	free(host);
	if (!err && !is_image && given->entrypoint)
		err = error_set(error, -EINVAL, "--entrypoint is for images; %s is a program: name the one to run in its place", typed);
	if (!err && !is_image)
		err = add_start_file(given, template, typed, error);
	if (!err)
		err = is_image ? source_image(config, path, given->entrypoint, &source->facts, error) : use_program(config, given, path, operands, error);
	return err;
}

/* Packages: an image of them, made now or found in the cache, and run as an image; the user's arguments are the program's. */
static int use_packages(struct vm_config *config, struct run_options *given, const struct template_wish *template, struct operands operands, struct source *source,
			struct error *error)
{
	struct packing packing;
	struct packed packed = PACKED_NONE;
	struct text said = { 0 };
	packing_init(&packing, given->packages.item[0]);
	struct pack_request request = { .program = operands.argc ? operands.argv[0] : NULL, .packages = &given->packages, .rules = given->rules, .volumes = &given->volumes,
		.timezone = timezone_of(given), .locale = locale_of(given), .no_companions = given->no_companions, .said = &said, .watch = &packing.watch, .steps = &packing.steps };
	int err = given->entrypoint ? error_set(error, -EINVAL, "--entrypoint is for images; with --package the program is named behind the options") : 0;
	for (size_t i = 0; i < given->packages.count && !err; i++)
		err = debs_check_name(given->packages.item[i], error);
	if (!err)
		err = add_start_file(given, template, request.program, error);
	if (!err)
		err = pack_cached(&request, &packed, error);
	packing_fini(&packing);
	if (!err && said.size)
		fputs(said.data, stderr);
	if (!err)
		err = source_image(config, packed.path, NULL, &source->facts, error);
	packed_free(&packed);
	text_free(&said);
	return err ? err : add_arguments(config, source, true, operands, error);
}

static bool copies(const struct run_options *given)
{
	bool any = false;
	for (size_t i = 0; i < given->volumes.count; i++)
		any |= !text_ends(given->volumes.item[i], VOLUME_LIVE);
	return any;
}

int source_find(struct vm_config *config, struct run_options *given, const struct template_wish *template, struct operands operands, struct source *source,
		struct error *error)
{
	*source = (struct source){ .facts.on_libos = true };
	if (given->packages.count)
		return use_packages(config, given, template, operands, source, error);
	if (given->rules)
		return error_set(error, -EINVAL, "--rules is for packages; give --package NAME");
	const char *word = operands.argv[0];
	bool imported = import_is(word);
	char *path = imported ? alloc_copy(word) : absolute(word, error);
	char *named = path && (imported || !access(path, F_OK)) ? NULL : image_named_path(word);
	if (named) { /* neither a file nor a program of the host: an image's name */
		free(path);
		path = named;
	}
	source->status = path ? 0 : EXIT_NO_PROGRAM;
	if (!path)
		return -ENOENT;
	bool is_image = imported || text_ends(path, ".lvm") || source_is_image(path);
	int err = 0;
	if (is_image && copies(given))
		err = error_set(error, -EINVAL, "-v of a file, --copy and what a Linux guest gets are packed when an image is made: use them with \"lightvm image build\"");
	if (!err)
		err = imported ? use_import(config, given, word, source, error) : use_path(config, given, template, path, operands, is_image, source, error);
	if (!err)
		err = add_arguments(config, source, is_image, operands, error);
	if (err == -ENOEXEC)
		source->status = EXIT_NO_EXECUTABLE;
	free(path);
	return err;
}
