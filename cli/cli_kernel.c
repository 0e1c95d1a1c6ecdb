/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm kernel: building the kernels of Linux guests, and the cache of those that were built. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/kernel_building.h"
#include "node/image_list.h"
#include "tinyx/kernel.h"

/* ---- build ---- */

struct build_options {
	const char *config, *source;
	uint64_t jobs;
	bool force, quiet;
};

#define AT(field) offsetof(struct build_options, field)
static const struct option_spec build_options[] = {
	{ "config", 0, OPTION_STRING, AT(config), "NAME|FILE", "base, general (the default), container, trace, or a file of CONFIG_ lines", .words = NULL, .complete = "file" },
	{ "source", 0, OPTION_STRING, AT(source), "FILE", "an archive of Linux' source (default: the newest /usr/src/linux-source-*.tar.xz)", .complete = "file" },
	{ "jobs", 'j', OPTION_NUMBER, AT(jobs), "N", "how many compilers run at a time (default: one a processor)", .low = 1, .high = KERNEL_JOBS_MAX },
	{ "force", 'f', OPTION_FLAG, AT(force), NULL, "build it although it is there" },
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "no progress" },
	{ 0 },
};

static int build(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct build_options *given = options;
	struct kernel_config config;
	int err = kernel_config_load(&config, given->config ? given->config : KERNEL_DEFAULT, error);
	if (!err) {
		struct kernel_request request = { .config = &config, .source = given->source, .jobs = (unsigned)given->jobs, .force = given->force };
		err = kernel_building(&request, given->quiet, error);
	}
	kernel_config_free(&config);
	return err;
}

static const struct verb verb_build = {
	.name = "build",
	.summary = "Build a kernel for Linux guests into the cache",
	.text = "Builds from the distribution's kernel source (Debian: apt-get install linux-source-6.1) and prints the directory that holds the\n"
		"result: vmlinux, bzImage, config, asked (the configuration as it was given) and meta.json. What was built before from the same source and configuration is\n"
		"not built again. A first build takes some minutes; a later one with a changed configuration compiles what changed.\n\n"
		"general (the default) runs real applications; base is the smallest that runs a single program, without network;\n"
		"container is general with what container engines need inside of a VM (cgroups, bridges, nftables); trace is general, and tells\n"
		"which of its functions a program has called (\"lightvm kernel specialise --help\"). A\n"
		"configuration file has lines CONFIG_NAME=VALUE and \"# CONFIG_NAME is not set\"; what it does not name is off; a line\n"
		"\"#include general\" begins with that one. An option that Linux does not take is an error.",
	.examples = "lightvm kernel build\nlightvm kernel build --config base\nlightvm kernel build --config mine.config && lightvm run --kernel mine ...",
	.options = build_options,
	.options_size = sizeof(struct build_options),
	.run = build,
};

/* ---- ls ---- */

struct list_options {
	bool quiet;
	const char *format;
};

#undef AT
#define AT(field) offsetof(struct list_options, field)
static const struct option_spec list_options[] = {
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "names only" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

struct listing {
	struct text *table;
	json_t *json;
	bool quiet;
};

static int list_one(void *context, const struct kernel *kernel)
{
	struct listing *listing = context;
	char vmlinux[24], bzimage[24], built[32] = "-";
	struct tm tm;
	time_t when = (time_t)kernel->built;
	/* An older build of a name is reached by its full name only. */
	char *full = alloc_format(kernel->newest ? "%s" : "%s-%s", kernel->name, kernel->key);
	if (kernel->built && localtime_r(&when, &tm))
		strftime(built, sizeof(built), "%Y-%m-%d %H:%M", &tm);
	if (listing->quiet)
		text_format(listing->table, "%s\n", full);
	else
		text_format(listing->table, "%-24s  %-12s  %-20s  %7s  %7s  %s\n", full, kernel->key, kernel->release,
			    size_print(kernel->vmlinux, vmlinux, sizeof(vmlinux)), size_print(kernel->bzimage, bzimage, sizeof(bzimage)), built);
	json_array_append_new(listing->json, kernel_view(kernel));
	free(full);
	return 0;
}

static int list(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct list_options *given = options;
	struct text table = { 0 };
	struct listing listing = { &table, json_array(), given->quiet };
	if (!given->quiet)
		text_format(&table, "%-24s  %-12s  %-20s  %7s  %7s  %s\n", "NAME", "KEY", "RELEASE", "VMLINUX", "BZIMAGE", "BUILT");
	int err = kernel_each(list_one, &listing);
	if (err)
		error_set(error, err, "the kernel cache: %s", strerror(-err));
	else if (given->format && !strcmp(given->format, "json"))
		err = json_print(json_incref(listing.json));
	else
		err = text_print(&table);
	json_decref(listing.json);
	text_free(&table);
	return err;
}

static const struct verb verb_list = {
	.name = "ls",
	.summary = "List the kernels that were built",
	.options = list_options,
	.options_size = sizeof(struct list_options),
	.run = list,
};

/* ---- inspect ---- */

static void add_config(json_t *object, const struct kernel *kernel)
{
	char *path = alloc_format("%s/config", kernel->directory), *data = NULL, *save = NULL;
	size_t size;
	json_t *set = json_array();
	if (!file_read(AT_FDCWD, path, KERNEL_CONFIG_MAX, &data, &size))
		for (char *line = strtok_r(data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (text_starts(line, "CONFIG_"))
				json_array_append_new(set, json_string(line));
	json_object_set_new(object, "options", set);
	free(data);
	free(path);
}

static int inspect(const struct context *context, void *options, struct operands operands, struct error *error)
{
	json_t *array = json_array();
	int err = 0;
	for (int i = 0; i < operands.argc && !err; i++) {
		struct kernel kernel;
		err = kernel_find(operands.argv[i], &kernel, error);
		if (err)
			break;
		json_t *object = kernel_view(&kernel);
		add_config(object, &kernel);
		json_array_append_new(array, object);
		kernel_free(&kernel);
	}
	if (!err)
		return json_print(array);
	json_decref(array);
	return err;
}

static const struct verb verb_kernel_inspect = {
	.name = "inspect",
	.operands = "KERNEL...",
	.summary = "Tell all that is known of built kernels, with the options that are set, as JSON",
	.complete = "kernel",
	.min = 1,
	.max = -1,
	.run = inspect,
};

/* ---- rm ---- */

struct remove_options {
	bool trees;
};

static const struct option_spec remove_options[] = {
	{ "trees", 0, OPTION_FLAG, offsetof(struct remove_options, trees), NULL,
	  "also remove the unpacked source and object files, some 700 MB, with which the next build would be quick" },
	{ 0 },
};

static int remove_kernels(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct remove_options *given = options;
	int status = 0;
	if (!operands.argc && !given->trees)
		return error_set(error, -EINVAL, "which kernel? \"lightvm kernel ls\" lists them");
	for (int i = 0; i < operands.argc; i++) {
		struct kernel kernel;
		int err = kernel_find(operands.argv[i], &kernel, error);
		if (!err)
			err = kernel_remove(&kernel, error);
		kernel_free(&kernel);
		if (err) {
			log_error("%s", error->text);
			status = EXIT_OWN;
		}
	}
	int err = given->trees ? kernel_remove_trees(error) : 0;
	return err ? err : status;
}

static const struct verb verb_remove = {
	.name = "rm",
	.no_guess = true,
	.operands = "[KERNEL...]",
	.summary = "Remove kernels from the cache",
	.text = "VMs that run keep the kernel they were started with.",
	.options = remove_options,
	.options_size = sizeof(struct remove_options),
	.complete = "kernel",
	.max = -1,
	.run = remove_kernels,
};

static const struct verb *const verbs_of_kernel[] = { &verb_build, &verb_list, &verb_kernel_inspect, &verb_kernel_explain, &verb_kernel_diff, &verb_kernel_specialise, &verb_remove, NULL };

const struct verb verb_kernel = {
	.name = "kernel",
	.summary = "Build, list, explain, compare, specialise and remove the kernels of Linux guests",
	.sub = verbs_of_kernel,
};
