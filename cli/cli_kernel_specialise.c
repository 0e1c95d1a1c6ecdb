/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm kernel specialise: a kernel with what a program was seen to use, and the reason of each option. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/all_verbs.h"
#include "cli/kernel_building.h"
#include "node/record.h"
#include "tinyx/specialise/specialise.h"

#define UNKNOWN_SHOWN 8

struct specialise_options {
	struct strings evidence, with;
	const char *baseline, *traced, *name, *output, *save;
	uint64_t jobs;
	bool quiet;
};

#define AT(field) offsetof(struct specialise_options, field)
static const struct option_spec specialise_options[] = {
	{ "evidence", 0, OPTION_LIST, AT(evidence), "FILE", "what a run on kernel trace has told on its standard error; may be repeated: what any of the runs used is in", .complete = "file" },
	{ "baseline", 0, OPTION_STRING, AT(baseline), "FILE", "what a run of a program that does nothing has told: what it called too is done for every process, and shows no need", .complete = "file" },
	{ "traced", 0, OPTION_STRING, AT(traced), "KERNEL", "on which kernel the evidence was recorded, if not on trace", .complete = "kernel" },
	{ "with", 0, OPTION_LIST, AT(with), "OPTION", "have this option of general too, as SMP or CONFIG_SMP, with what it depends on; may be repeated", .complete = "none" },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "what the kernel is called (default: as the first file of evidence, without its last suffix)", .complete = "none" },
	{ "output", 'o', OPTION_STRING, AT(output), "FILE", "write the configuration to this file (-: standard output), and build nothing", .complete = "file" },
	{ "save", 0, OPTION_STRING, AT(save), "FILE", "also write the evidence with names of object files in the place of addresses: it can be used when the traced kernel is another one, or gone", .complete = "file" },
	{ "jobs", 'j', OPTION_NUMBER, AT(jobs), "N", "how many compilers run at a time (default: one a processor)", .low = 1, .high = KERNEL_JOBS_MAX },
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "no progress, and no account of what was found" },
	{ 0 },
};
#undef AT

/* "dir/nginx.evidence": "nginx"; the caller's. */
static char *name_of(const char *file)
{
	const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file, *dot = strrchr(base, '.');
	return alloc_format("%.*s", (int)(dot && dot > base ? (size_t)(dot - base) : strlen(base)), base);
}

static int write_out(const char *path, const char *text, struct error *error)
{
	int err = !strcmp(path, "-") ? fd_write(STDOUT_FILENO, text, strlen(text)) : file_write(AT_FDCWD, path, text, strlen(text), 0644);
	return err ? error_set(error, err, "%s: %s", path, strerror(-err)) : 0;
}

static void account(const struct specialised *done)
{
	fprintf(stderr, "kernel %s: functions of %zu object files were called; %zu options on top of base\n", done->config.name, done->objects, done->options);
	if (done->lost)
		log_warn("%s: %" PRIu64 " calls were of functions that there was no room to note", done->config.name, done->lost);
	for (size_t i = 0; i < done->unknown.count && i < UNKNOWN_SHOWN; i++)
		log_warn("%s: no Makefile names it: which options it needs is not known", done->unknown.item[i]);
	if (done->unknown.count > UNKNOWN_SHOWN)
		log_warn("and %zu more object files that no Makefile names", done->unknown.count - UNKNOWN_SHOWN);
}

static int give(const struct specialise_options *given, const struct specialised *done, struct error *error)
{
	if (!given->quiet)
		account(done);
	int err = given->save ? write_out(given->save, done->evidence, error) : 0;
	if (err || given->output)
		return err ? err : write_out(given->output, done->lines, error);
	struct kernel_request request = { .config = &done->config, .jobs = (unsigned)given->jobs };
	return kernel_building(&request, given->quiet, error);
}

static int run_specialise(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct specialise_options *given = options;
	struct specialised done = { 0 };
	if (!given->evidence.count)
		return error_set(error, -EINVAL, "specialise by what? Record a run: lightvm run --kernel trace PROGRAM 2>FILE; then give that: --evidence FILE");
	char *name = given->name ? alloc_copy(given->name) : name_of(given->evidence.item[0]);
	const struct specialise request = { .name = name, .evidence = &given->evidence, .baseline = given->baseline, .traced = given->traced ? given->traced : SPECIALISE_TRACED, .with = &given->with, .call_name = syscall_name };
	int err = specialise(&request, &done, error);
	if (!err)
		err = give(given, &done, error);
	specialised_free(&done);
	free(name);
	return err;
}

const struct verb verb_kernel_specialise = {
	.name = "specialise",
	.summary = "Build a kernel that has what a program was seen to use",
	.text = "Takes base, and of general what the program used. A kernel of the configuration trace tells, as the last of the program's standard error, which of its functions\n"
		"were called, and who called each first: that is evidence. What the program has called counts, from its first instruction on. Each function is of an object file: the Makefiles of the source say which options that file needs, the\n"
		"#ifdefs in it which the function needs, the Kconfig files what all these depend on. The reason of each option stands in the configuration, and\n"
		"\"lightvm kernel explain --kernel NAME OPTION\" tells it. Options that change what a function does, and not whether it is there, leave no evidence: run your\n"
		"test on the new kernel before you rely on it; general stays. What is done for every process that ends\n"
		"(freeing shared memory that it never had, say) seems to be a need: --baseline takes the evidence of a program that does nothing, and what that has called, too, is left out. What interrupts, threads of the kernel and PID 1 call is in the evidence, and is not taken.\n\n"
		"The kernel has one processor unless you say --with SMP. general has to be built, with its source unpacked, and so has trace, unless the\n"
		"evidence was written by --save. With a terminal (run -t) nothing is told.",
	.examples = "lightvm kernel build --config trace\nlightvm run --kernel trace /bin/true 2>true.evidence\nlightvm kernel specialise --evidence true.evidence && lightvm run --kernel true /bin/true\nlightvm kernel specialise --evidence nginx.evidence --with SMP -o nginx.config",
	.options = specialise_options,
	.options_size = sizeof(struct specialise_options),
	.run = run_specialise,
};
