/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm image trim: an image becomes as small as what was seen of its use allows, and is tested again before it is kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/log.h"
#include "base/number.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "cli/exercise.h"
#include "node/image_list.h"
#include "tinyx/image_names.h"
#include "tinyx/image_put.h"
#include "tinyx/reasons.h"
#include "tinyx/trim.h"

#define RUNS_MOST 64
#define TRIES 4 /* what the trimmed image looks for in vain comes back, and it is tested once more */
#define SECONDS 60

struct trim_options {
	const char *tag, *output, *rules;
	struct strings run, test, keep, env, ports;
	uint64_t memory, seconds;
};

#define AT(field) offsetof(struct trim_options, field)
static const struct option_spec trim_options[] = {
	{ "run", 0, OPTION_LIST, AT(run), "WORDS", "exercise it with these words in place of its own arguments, as \"lightvm run IMAGE WORDS\" would; may be repeated: what any of them uses stays", .complete = "none" },
	{ "test", 0, OPTION_LIST, AT(test), "COMMAND", "exercise it as a server: run this on the host, by its shell, once the program listens on a TCP port, and stop it then; may be repeated", .complete = "none" },
	{ "tag", 't', OPTION_STRING, AT(tag), "NAME[:TAG]", "what the trimmed image is called in the cache (default: only its digest is printed)", .complete = "none" },
	{ "output", 'o', OPTION_STRING, AT(output), "FILE", "write it to a file, and not into the cache", .complete = "file" },
	{ "keep", 0, OPTION_LIST, AT(keep), "PATH", "keep this path, with all that is below it, or what matches this pattern, used or not; may be repeated", .complete = "none" },
	{ "rules", 0, OPTION_STRING, AT(rules), "FILE", "what stays besides: a changed copy of what \"lightvm image rules --trim\" prints", .complete = "file" },
	{ "publish", 'p', OPTION_LIST, AT(ports), "HOST:GUEST", "with --test: a port of the host that leads to one of the VM; may be repeated", .complete = "none" },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "environment of the runs; may be repeated", .complete = "none" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "memory limit of the runs", .low = 4u << 20, .high = 64ull << 30 },
	{ "timeout", 0, OPTION_NUMBER, AT(seconds), "SECONDS", "for each run (default: 60); one that has not ended then is ended, and nothing is made", .low = 1, .high = 86400 },
	{ 0 },
};
#undef AT

struct trimming {
	const struct trim_options *given;
	const char *word;     /* the image, as it was given */
	char *path, *command; /* of it; that makes this again */
	struct image image;
	struct rules rules;
	size_t runs;
	struct exercise exercise[RUNS_MOST];
	struct exercised done[RUNS_MOST];
	struct trim_run run[RUNS_MOST];
	char *text[RUNS_MOST];
	struct strings looked;
	struct plan plan;
	struct trim_facts facts;
};

static unsigned mark_of(const void *context, uint64_t nid)
{
	return vm_files_mark(context, nid);
}

static void add_exercise(struct trimming *at, const char *command, const char *test)
{
	const struct trim_options *given = at->given;
	struct exercise *exercise = &at->exercise[at->runs];
	*exercise = (struct exercise){ .image = at->path, .command = command, .test = test, .env = &given->env, .ports = test ? &given->ports : NULL,
		.memory = given->memory, .seconds = given->seconds ? (unsigned)given->seconds : SECONDS, .record = LV_RECORD_KNOWN };
	at->text[at->runs++] = exercise_text(exercise);
}

/* Each command of --run, or none, to its end; with --test each of them as a server under each test. */
static int list_exercises(struct trimming *at, struct error *error)
{
	const struct trim_options *given = at->given;
	size_t commands = given->run.count ? given->run.count : 1, tests = given->test.count ? given->test.count : 1;
	if (commands * tests > RUNS_MOST)
		return error_set(error, -E2BIG, "--run, --test: %zu runs; at most %d", commands * tests, RUNS_MOST);
	if (given->ports.count && !given->test.count)
		return error_set(error, -EINVAL, "-p is for a server, which --test 'COMMAND' exercises");
	for (size_t c = 0; c < commands; c++)
		for (size_t t = 0; t < tests; t++)
			add_exercise(at, given->run.count ? given->run.item[c] : NULL, given->test.count ? given->test.item[t] : NULL);
	return 0;
}

static void add_option(struct text *command, const char *option, const struct strings *words)
{
	for (size_t i = 0; i < words->count; i++) {
		text_format(command, " %s ", option);
		word_quote(command, words->item[i]);
	}
}

static char *command_of(const struct trimming *at)
{
	const struct trim_options *given = at->given;
	struct text command = { 0 };
	text_put(&command, "lightvm image trim");
	add_option(&command, "--run", &given->run);
	add_option(&command, "--test", &given->test);
	add_option(&command, "-p", &given->ports);
	add_option(&command, "-e", &given->env);
	add_option(&command, "--keep", &given->keep);
	if (given->rules) {
		text_put(&command, " --rules ");
		word_quote(&command, given->rules);
	}
	if (given->tag || given->output) {
		text_put(&command, given->tag ? " -t " : " -o ");
		word_quote(&command, given->tag ? given->tag : given->output);
	}
	text_put(&command, " ");
	word_quote(&command, at->word);
	return command.data;
}

static void show_output(const struct exercised *done)
{
	size_t size = done->output ? strlen(done->output) : 0;
	if (!size)
		return;
	char *shown = alloc_copy(done->output);
	size = text_shown(shown, done->output, size, SHOWN_LINES, NULL);
	fprintf(stderr, "%.*s%s", (int)size, shown, size && shown[size - 1] == '\n' ? "" : "\n");
	free(shown);
}

static int open_all(struct trimming *at, struct error *error)
{
	at->path = image_path(at->word, error);
	int err = at->path ? image_open(&at->image, at->path, error) : error->code;
	if (!err && at->image.manifest.trimmed)
		err = error_set(error, -EINVAL, "%s was trimmed already; trim the image that it was made of anew, with all commands", at->word);
	if (!err && at->image.has_trailer)
		err = image_verify(&at->image, at->word, error);
	if (!err)
		err = rules_load(&at->rules, at->given->rules, trim_rules, error);
	if (!err)
		err = list_exercises(at, error);
	return err;
}

/* A test has to succeed on the whole image; a program may end as it likes, and has to end so again. */
static int run_all(struct trimming *at, struct error *error)
{
	for (size_t i = 0; i < at->runs; i++) {
		int err = exercise_run(&at->exercise[i], &at->done[i], error);
		if (!err && at->exercise[i].test && at->done[i].status) {
			show_output(&at->done[i]);
			err = error_set(error, -EINVAL, "%s ends with status %d on the whole image: there is nothing to trim by", at->text[i], at->done[i].status);
		}
		if (!err && at->done[i].status == EXIT_OWN) {
			show_output(&at->done[i]);
			err = error_set(error, -EIO, "%s did not run on the library OS", at->text[i]);
		}
		if (err)
			return err;
		at->run[i] = (struct trim_run){ .what = at->text[i], .mark = mark_of, .context = &at->done[i].files };
	}
	return 0;
}

static int make_plan(struct trimming *at, struct error *error)
{
	const struct trim_request request = { .image = &at->image, .name = at->word, .run = at->run, .runs = at->runs, .rules = &at->rules, .keep = &at->given->keep,
		.looked = &at->looked, .command = at->command };
	plan_free(&at->plan);
	return trim_plan(&request, &at->plan, &at->facts, error);
}

/* What was looked for in vain, and was there before: so many paths more in at->looked. */
static size_t note_lacks(struct trimming *at, const struct image *trimmed, const struct vm_files *files)
{
	struct reasons reasons;
	const size_t before = at->looked.count;
	if (files->names && !reasons_open(&reasons, trimmed, at->word, NULL)) {
		for (const char *path = NULL; (path = vm_files_lack(files, path));)
			if (reasons_left(&reasons, path) && !strings_have(&at->looked, path))
				strings_add(&at->looked, path);
		reasons_free(&reasons);
	}
	return at->looked.count - before;
}

/* 0: all of them end as before; 1: not, but what was looked for in vain is known; or a negative errno. */
static int test_again(struct trimming *at, const struct image *trimmed, const char *path, struct error *error)
{
	for (size_t i = 0; i < at->runs; i++) {
		struct exercise exercise = at->exercise[i];
		struct exercised done;
		exercise.image = path;
		exercise.record = LV_RECORD_LACKS;
		int err = exercise_run(&exercise, &done, error);
		bool same = !err && done.status == at->done[i].status;
		size_t lacks = same || !done.files.names ? 0 : note_lacks(at, trimmed, &done.files);
		if (!same && !lacks) {
			show_output(&done);
			if (!err)
				error_set(error, -EIO, "%s ends with status %d on the trimmed image, and with %d on the whole one; nothing was made. It may be that it does not always do the same: "
					  "--run more that exercises it, or --keep what it needs", at->text[i], done.status, at->done[i].status);
		}
		exercised_free(&done);
		if (!same)
			return lacks ? 1 : error->code ? error->code : -EIO;
	}
	return 0;
}

/* As a file without a name, so that nothing is left if it is not accepted. */
static int try_once(struct trimming *at, struct error *error)
{
	struct packed packed = PACKED_NONE;
	struct image trimmed = IMAGE_CLOSED;
	int err = make_plan(at, error);
	if (!err)
		err = image_put_aside(&at->plan, NULL, &packed, error);
	if (!err)
		err = image_open(&trimmed, packed.path, error);
	if (!err)
		err = test_again(at, &trimmed, packed.path, error);
	image_close(&trimmed);
	packed_free(&packed);
	return err;
}

static int put_file(struct trimming *at, struct error *error)
{
	struct image_target target = IMAGE_TARGET_CLOSED;
	int err = image_target_open(&target, at->given->output, error);
	if (!err)
		err = image_target_put(&target, &at->plan, NULL, error);
	image_target_close(&target);
	return err;
}

static int put_cached(struct trimming *at, struct text *out, struct error *error)
{
	struct cache cache;
	struct packed packed = PACKED_NONE;
	char *key = alloc_format("lightvm-trim-1\n%s\n%s\n", at->image.sha256, at->command);
	packed.program = alloc_copy("");
	int err = cache_open(&cache, true, error);
	if (!err)
		err = image_put_cached(&cache, key, &at->plan, NULL, &packed, error);
	char *digest = err ? NULL : alloc_format("%.*s", IMAGE_HEX, strrchr(packed.path, '/') + 1);
	if (!err && at->given->tag) {
		char *name = image_name_whole(at->given->tag, error);
		err = name ? image_name_set(&cache, name, digest, error) : error->code;
		text_format(out, "%s\n", name ? name : "");
		free(name);
	} else if (!err) {
		text_format(out, "%s\n", digest);
	}
	free(digest);
	free(key);
	packed_free(&packed);
	cache_close(&cache);
	return err;
}

static void tell(const struct trimming *at)
{
	char now[24], before[24];
	for (size_t i = 0; i < at->looked.count; i++)
		log_warn("%s stays, too: the trimmed image looked for it", at->looked.item[i]);
	fprintf(stderr, "%zu of %zu files stay, %s of %s; \"lightvm image files IMAGE --explain PATH\" says why\n", at->facts.files, at->facts.files_before, size_print(at->facts.bytes, now, sizeof(now)),
		 size_print(at->facts.bytes_before, before, sizeof(before)));
}

static int check(const struct trim_options *given, struct error *error)
{
	char *name = given->tag ? image_name_whole(given->tag, error) : NULL;
	if (given->tag && !name)
		return error->code;
	free(name);
	if (given->tag && given->output)
		return error_set(error, -EINVAL, "-t and -o: the image goes into the cache or into a file");
	for (size_t i = 0; i < given->keep.count; i++)
		if (given->keep.item[i][0] != '/' && given->keep.item[i][0] != '*')
			return error_set(error, -EINVAL, "--keep: \"%s\" is no absolute path, nor a pattern that begins with \"*\"", given->keep.item[i]);
	return 0;
}

static int trim(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct trimming *at = alloc_zero(sizeof(*at));
	struct text out = { 0 };
	*at = (struct trimming){ .given = options, .word = operands.argv[0], .image = IMAGE_CLOSED };
	int err = check(at->given, error);
	if (!err)
		err = open_all(at, error);
	at->command = err ? NULL : command_of(at);
	if (!err)
		err = run_all(at, error);
	int again = err ? 0 : 1;
	for (int i = 0; again == 1 && i < TRIES; i++)
		again = try_once(at, error);
	if (!err && again)
		err = again < 0 ? again : error_set(error, -EIO, "%s: after %d tries the trimmed image still looks for what it lacks", at->word, TRIES);
	if (!err)
		err = at->given->output ? put_file(at, error) : put_cached(at, &out, error);
	if (!err)
		tell(at);
	if (!err && at->given->output)
		text_format(&out, "%s\n", at->given->output);
	for (size_t i = 0; i < at->runs; i++) {
		exercised_free(&at->done[i]);
		free(at->text[i]);
	}
	strings_free(&at->looked);
	plan_free(&at->plan);
	rules_free(&at->rules);
	image_close(&at->image);
	free(at->path);
	free(at->command);
	free(at);
	return err ? err : text_print(&out);
}

const struct verb verb_image_trim = {
	.name = "trim",
	.operands = "IMAGE",
	.summary = "Make an image that has only what was used while it was exercised, and what that needs",
	.text = "IMAGE is run on the library OS, as often as --run and --test say, and which of its files were opened or looked at is noted. The new\n"
		"image has these, what they need by rule (libraries, the C library's own, whom to trust for TLS), and what the rules and --keep name.\n"
		"It is then run again in the same way, and kept only if each run ends with the same status; what it looks for in vain on the way\n"
		"comes back. IMAGE stays as it is.\n\n"
		"Without --run and --test it is run as it is, until its end. Exercise all that shall work: what no run uses is gone, and a VM that\n"
		"looks for it later says so, and by which command it comes back. \"lightvm image files IMAGE --explain PATH\" says why a file is\n"
		"there, or that it was left out.",
	.examples = "lightvm image trim python.lvm --run '-c \"import json; print(json.dumps(1))\"' -t python-small\n"
		    "lightvm image trim nginx.lvm --test 'curl -fsS http://127.0.0.1:8080/' -p 8080:80 -o nginx-small.lvm",
	.options = trim_options,
	.options_size = sizeof(struct trim_options),
	.complete = "image",
	.min = 1,
	.max = 1,
	.run = trim,
};
