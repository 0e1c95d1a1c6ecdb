/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_source.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/packing.h"
#include "node/vm_source.h"
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
	char *found = pack_find_program(word);
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

/* A program of the host: packed, or found in the cache as it was packed before. */
static int use_program(struct vm_config *config, const struct run_options *given, const char *path, const char *typed, struct error *error)
{
	struct pack_request request = { .program = path, .volumes = &given->volumes, .timezone = timezone_of(given),
		.locale = locale_of(given), .no_companions = given->no_companions };
	struct packing packing;
	packing_init(&packing, path);
	request.watch = &packing.watch;
	int err = source_program(config, &request, typed, given->memory, error);
	packing_fini(&packing);
	return err;
}

/* The user's arguments replace the manifest's defaults, but for argv[0]; without a program in the manifest they name it. */
static int add_arguments(struct vm_config *config, bool is_image, struct operands operands, struct error *error)
{
	if (!config->program) {
		if (operands.argc < 2)
			return error_set(error, -EINVAL, "%s: its manifest names no program; give one: lightvm run %s /PATH ARG...", operands.argv[0],
					 operands.argv[0]);
		config->program = alloc_copy(operands.argv[1]);
	} else if (is_image && operands.argc > 1) {
		char *first = alloc_copy(config->args.count ? config->args.item[0] : config->program);
		strings_free(&config->args);
		strings_take(&config->args, first);
	}
	for (int i = 1; i < operands.argc; i++)
		strings_add(&config->args, operands.argv[i]);
	if (!config->args.count)
		strings_add(&config->args, config->program);
	return 0;
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

int source_find(struct vm_config *config, const struct run_options *given, struct operands operands, struct source *source, struct error *error)
{
	char *path = absolute(operands.argv[0], error);
	*source = (struct source){ .on_libos = true, .status = path ? 0 : EXIT_NO_PROGRAM };
	if (!path)
		return -ENOENT;
	bool is_image = text_ends(path, ".lvm") || source_is_image(path);
	char *host = volume_host(&given->volumes, path);
	int err = is_image ? 0 : check_program(path, host, source, error);
	free(host);
	if (!err && is_image && given->volumes.count)
		err = error_set(error, -EINVAL, "-v is packed when an image is made: use it with \"lightvm image build\"");
	if (!err && !is_image && given->entrypoint)
		err = error_set(error, -EINVAL, "--entrypoint is for images; %s is a program: name the one to run in its place", operands.argv[0]);
	if (!err)
		err = is_image ? source_image(config, path, given->entrypoint, &source->on_libos, error) : use_program(config, given, path, operands.argv[0], error);
	if (err == -ENOEXEC)
		source->status = EXIT_NO_EXECUTABLE;
	free(path);
	return err ? err : add_arguments(config, is_image, operands, error);
}
