/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/specialise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tinyx/specialise/dot_config.h"
#include "tinyx/specialise/evidence.h"
#include "tinyx/specialise/kernel_source.h"
#include "tinyx/specialise/wanted.h"


struct work {
	const struct specialise *request;
	struct specialised *done;
	struct dot_config general;
	struct evidence baseline;
	char *tree;
	struct link_map map; /* is read when it is needed first */
	struct wanted wanted;
	struct wanted_source from;
	struct kernel_source source;
	struct text calls;
	struct error *error;
};

/* ---- what there is to work with ---- */

static int open_general(struct work *at)
{
	struct kernel kernel;
	int err = kernel_find(KERNEL_DEFAULT, &kernel, at->error);
	if (!err)
		err = dot_config_load(&at->general, &kernel, at->error);
	if (!err && !(at->tree = source_unpacked(&kernel, at->error)))
		err = at->error->code;
	kernel_free(&kernel);
	at->source = (struct kernel_source){ .read = source_read_tree, .context = at->tree };
	at->from = (struct wanted_source){ .source = &at->source, .general = &at->general, .call_name = at->request->call_name };
	return err;
}

static int open_map(struct work *at)
{
	struct kernel kernel;
	const char *traced = at->request->traced;
	char *text = NULL;
	size_t size;
	if (at->map.count)
		return 0;
	int err = kernel_find(traced, &kernel, at->error);
	if (err)
		return err;
	char *path = alloc_format("%s/map", kernel.directory);
	err = path ? file_read(AT_FDCWD, path, LINK_MAP_MAX, &text, &size) : -ENOMEM;
	if (err == -ENOENT)
		error_set(at->error, err, "%s: kernel %s was built without CONFIG_VMLINUX_MAP: nobody knows what is at its addresses", path, traced);
	else if (err)
		error_set(at->error, err, "%s: %s", path ? path : traced, strerror(-err));
	else if ((err = link_map_parse(&at->map, text, size)))
		error_set(at->error, err, "%s: that is no map of a linker", path);
	free(path);
	kernel_free(&kernel);
	return err;
}

/* ---- evidence ---- */

static bool has_addresses(const struct evidence *evidence)
{
	for (size_t i = 0; i < evidence->count; i++)
		if (!evidence->call[i].object)
			return true;
	return false;
}

/* Without a call of the program's nothing would be wanted, and the smallest kernel would seem to do. */
static int check_program(const struct evidence *evidence, const char *file, struct error *error)
{
	for (size_t i = 0; i < evidence->count; i++)
		if (evidence->call[i].phase == EVIDENCE_PROGRAM)
			return 0;
	return error_set(error, -EINVAL, "%s: the program has called nothing: it was not started", file);
}

/* With all objects known. To be freed in any case. */
static int read_evidence(struct work *at, const char *file, struct evidence *evidence)
{
	char *text = NULL;
	size_t size;
	int err = file_read(AT_FDCWD, file, EVIDENCE_FILE_MAX, &text, &size);
	if (err)
		return error_set(at->error, err, "%s: %s", file, strerror(-err));
	err = evidence_parse(evidence, file, text, size, at->error);
	if (!err)
		err = check_program(evidence, file, at->error);
	if (!err && has_addresses(evidence)) {
		err = open_map(at);
		if (!err)
			err = evidence_resolve(evidence, file, &at->map, at->error);
	}
	return err;
}

static int open_baseline(struct work *at)
{
	int err = at->request->baseline ? read_evidence(at, at->request->baseline, &at->baseline) : 0;
	at->from.baseline = &at->baseline;
	return err;
}

static int add_evidence(struct work *at, const char *file)
{
	struct evidence evidence = { 0 };
	int err = read_evidence(at, file, &evidence);
	if (!err)
		err = wanted_add(&at->wanted, &at->from, &evidence, at->error);
	if (!err) {
		at->done->lost += evidence.lost;
		evidence_print_calls(&evidence, &at->calls);
	}
	evidence_free(&evidence);
	return err;
}

static int ask_all(struct work *at)
{
	int err = 0;
	for (size_t i = 0; at->request->with && i < at->request->with->count && !err; i++) {
		const char *name = at->request->with->item[i];
		err = wanted_ask(&at->wanted, &at->from, dot_option_name(name), at->error);
	}
	return err;
}

/* ---- the configuration ---- */

static int print(struct work *at)
{
	struct specialised *done = at->done;
	struct kernel_config base = { 0 };
	struct text lines = { 0 }, evidence = { 0 };
	int err = kernel_config_load(&base, "base", at->error);
	if (!err) {
		text_put(&lines, "# Made by \"lightvm kernel specialise\": base, and what a run has used of general. Above each option is why it is there.\n#include base\n\n");
		done->options = wanted_print(&at->wanted, &at->from, base.text, &lines);
		evidence_print_heading(done->lost, &evidence);
		text_put(&evidence, at->calls.data);
		evidence_print_end(&evidence);
		if (text_error(&lines) || text_error(&evidence) || text_error(&at->calls))
			err = error_set(at->error, -ENOMEM, "no memory");
	}
	kernel_config_free(&base);
	done->lines = lines.data;
	done->evidence = evidence.data;
	return err ? err : kernel_config_make(&done->config, at->request->name, done->lines, at->request->name, at->error);
}

int specialise(const struct specialise *request, struct specialised *done, struct error *error)
{
	struct work at = { .request = request, .done = done, .error = error };
	*done = (struct specialised){ 0 };
	int err = open_general(&at);
	if (!err)
		err = open_baseline(&at);
	for (size_t i = 0; i < request->evidence->count && !err; i++)
		err = add_evidence(&at, request->evidence->item[i]);
	if (!err)
		err = ask_all(&at);
	if (!err)
		err = wanted_close(&at.wanted, &at.from, error);
	if (!err)
		err = print(&at);
	done->objects = at.wanted.objects.count;
	done->unknown = at.wanted.unknown;
	at.wanted.unknown = (struct strings){ 0 };
	wanted_free(&at.wanted);
	evidence_free(&at.baseline);
	link_map_free(&at.map);
	dot_config_free(&at.general);
	text_free(&at.calls);
	free(at.tree);
	return err;
}

void specialised_free(struct specialised *done)
{
	kernel_config_free(&done->config);
	free(done->lines);
	free(done->evidence);
	strings_free(&done->unknown);
	*done = (struct specialised){ 0 };
}
