/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm version, completion, man: what the program says of itself, out of the verb table. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "abi/libos_header.h"
#include "base/file.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"

/* ---- version ---- */

static int version(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct format_options *given = options;
	struct text out = { 0 };
	if (format_is_json(given))
		return json_print(json_pack("{s:s, s:i}", "version", LIGHTVM_VERSION, "abi", LV_LIBOS_ABI));
	text_format(&out, "lightvm %s (ABI %d)\n", LIGHTVM_VERSION, LV_LIBOS_ABI);
	return text_print(&out);
}

const struct verb verb_version = {
	.name = "version",
	.summary = "Print the version",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = version,
};

/* ---- completion ---- */

static void option_words(const struct verb *verb, struct text *out)
{
	text_put(out, "--help");
	for (const struct option_spec *spec = verb->options; spec && spec->name; spec++) {
		text_format(out, " --%s", spec->name);
		if (spec->letter)
			text_format(out, " -%c", spec->letter);
	}
}

/* How a value or operand completes, as the argument of the script's own function. */
static void value_cases(const struct verb *verb, const char *key, struct text *out)
{
	for (const struct option_spec *spec = verb->options; spec && spec->name; spec++) {
		if (spec->kind == OPTION_FLAG || spec->otherwise)
			continue;
		text_format(out, "\t'%s --%s'", key, spec->name);
		if (spec->letter)
			text_format(out, "|'%s -%c'", key, spec->letter);
		text_format(out, ") _lightvm_kind %s '%s' ;;\n", spec->words ? "words" : spec->complete ? spec->complete : "none",
			    spec->words ? spec->words : "");
	}
}

static void verb_words(const struct verb *const *table, struct text *out)
{
	for (bool first = true; *table; table++)
		if (!(*table)->hidden) {
			text_format(out, "%s%s", first ? "" : " ", (*table)->name);
			first = false;
		}
}

typedef void (*verb_visit)(const struct verb *verb, const char *key, struct text *out);

static void each_verb(const struct verb *const *table, const char *prefix, verb_visit visit, struct text *out)
{
	for (; *table; table++) {
		char *key = alloc_format("%s%s", prefix, (*table)->name), *below = alloc_format("%s-", key);
		if ((*table)->sub)
			each_verb((*table)->sub, below, visit, out);
		else if (!(*table)->hidden)
			visit(*table, key, out);
		free(key);
		free(below);
	}
}

static void options_case(const struct verb *verb, const char *key, struct text *out)
{
	text_format(out, "\t'%s') echo '", key);
	option_words(verb, out);
	text_put(out, "' ;;\n");
}

static void operands_case(const struct verb *verb, const char *key, struct text *out)
{
	text_format(out, "\t'%s') _lightvm_kind %s ;;\n", key, verb->complete ? verb->complete : "none");
}

static void sub_cases(const struct verb *const *table, struct text *out)
{
	for (; *table; table++)
		if ((*table)->sub) {
			text_format(out, "\t%s) _lightvm_kind words '", (*table)->name);
			verb_words((*table)->sub, out);
			text_put(out, "' ;;\n");
		}
}

static int completion(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct text out = { 0 };
	text_put(&out, "# bash completion for lightvm; made from its verb table by: lightvm completion\n"
		       "_lightvm_kind() {\n\tcase $1 in\n\twords) COMPREPLY=($(compgen -W \"$2\" -- \"$cur\")) ;;\n"
		       "\tvm) COMPREPLY=($(compgen -W \"$(lightvm ps -aq 2>/dev/null) $(lightvm ps -a 2>/dev/null | awk 'NR > 1 && $2 != \"-\" { print $2 }')\" -- \"$cur\")) ;;\n"
		       "\timage) COMPREPLY=($(compgen -W \"$(lightvm image ls -q 2>/dev/null)\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n"
		       "\tcheckpoint) COMPREPLY=($(compgen -W \"$(lightvm checkpoint ls -q 2>/dev/null)\" -- \"$cur\") $(compgen -d -- \"$cur\")) ;;\n"
		       "\thost|pool|service) COMPREPLY=($(compgen -W \"$(lightvm $1 ls 2>/dev/null | awk 'NR > 1 && !/[a-z]\\.$/ { print $1 }')\" -- \"$cur\")) ;;\n"
		       "\tkernel) COMPREPLY=($(compgen -W \"$(lightvm kernel ls -q 2>/dev/null) $2\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n"
		       "\tfile) COMPREPLY=($(compgen -f -- \"$cur\") $(compgen -c -- \"$cur\")); compopt -o filenames ;;\n\tesac\n}\n"
		       "_lightvm_value() {\n\tcase \"$1 $2\" in\n");
	each_verb(verbs, "", value_cases, &out);
	text_put(&out, "\t*) return 1 ;;\n\tesac\n\treturn 0\n}\n_lightvm_options() {\n\tcase $1 in\n");
	each_verb(verbs, "", options_case, &out);
	text_put(&out, "\tesac\n}\n_lightvm_operands() {\n\tcase $1 in\n");
	each_verb(verbs, "", operands_case, &out);
	text_put(&out, "\tesac\n}\n_lightvm_sub() {\n\tcase $1 in\n");
	sub_cases(verbs, &out);
	text_put(&out, "\t*) return 1 ;;\n\tesac\n\treturn 0\n}\n_lightvm() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} key=${COMP_WORDS[1]}\n"
		       "\tCOMPREPLY=()\n\tif [ $COMP_CWORD = 1 ]; then\n\t\t_lightvm_kind words '");
	verb_words(verbs, &out);
	text_put(&out, "'\n\t\treturn\n\tfi\n\tif [ $COMP_CWORD = 2 ] && _lightvm_sub \"$key\"; then return; fi\n"
		       "\tif _lightvm_sub \"$key\"; then COMPREPLY=(); key=$key-${COMP_WORDS[2]}; fi\n"
		       "\tif _lightvm_value \"$key\" \"$prev\"; then return; fi\n"
		       "\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W \"$(_lightvm_options \"$key\")\" -- \"$cur\")) ;;\n"
		       "\t*) _lightvm_operands \"$key\" ;;\n\tesac\n}\ncomplete -F _lightvm lightvm\n");
	return text_print(&out);
}

const struct verb verb_completion = {
	.name = "completion",
	.summary = "Print the script for completion in bash",
	.examples = "source <(lightvm completion)",
	.run = completion,
};

/* ---- man pages ---- */

/* Escapes what troff would take for a request or an escape. */
static void roff(struct text *out, const char *text)
{
	for (bool line_start = true; *text; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			text_put(out, "\\&");
		if (*text == '\\')
			text_put(out, "\\e");
		else if (*text == '-')
			text_put(out, "\\-");
		else
			text_add(out, text, 1);
		line_start = *text == '\n';
	}
}

static void man_options(const struct option_spec *spec, struct text *out)
{
	text_put(out, ".SH OPTIONS\n");
	for (; spec && spec->name; spec++) {
		text_put(out, ".TP\n.B ");
		if (spec->letter)
			text_format(out, "\\-%c\\fR, \\fB", spec->letter);
		text_put(out, "\\-\\-");
		roff(out, spec->name);
		if (spec->value) {
			text_put(out, " \\fI");
			roff(out, spec->value);
			text_put(out, "\\fR");
		}
		text_put(out, "\n");
		roff(out, spec->help);
		text_put(out, ".\n");
	}
}

static void man_paragraphs(const char *title, const char *text, struct text *out)
{
	text_format(out, ".SH %s\n", title);
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		char *copy = alloc_format("%.*s", (int)n, line);
		if (n) {
			roff(out, copy);
			text_put(out, "\n");
		} else {
			text_put(out, ".PP\n");
		}
		free(copy);
		line += n + (line[n] == '\n');
	}
}

static void man_head(const char *name, const char *summary, struct text *out)
{
	char *upper = alloc_copy(name);
	for (char *c = upper; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	text_format(out, ".\\\" Made from lightvm's verb table.\n.TH %s 1 \"\" \"lightvm %s\" \"LightVM\"\n.SH NAME\n", upper, LIGHTVM_VERSION);
	free(upper);
	roff(out, name);
	text_put(out, " \\- ");
	roff(out, summary);
	text_put(out, "\n");
}

static void man_verb(const struct verb *verb, const char *key, struct text *out)
{
	char *page = alloc_format("lightvm-%s", key), *words = alloc_format("lightvm %s", key);
	for (char *c = words + 8; *c; c++)
		*c = *c == '-' && strncmp(words + 8, "boot", 4) ? ' ' : *c;
	man_head(page, verb->summary, out);
	text_put(out, ".SH SYNOPSIS\n.B ");
	roff(out, words);
	text_put(out, verb->options ? "\n[OPTIONS]\n" : "\n");
	if (verb->operands) {
		roff(out, verb->operands);
		text_put(out, "\n");
	}
	if (verb->text)
		man_paragraphs("DESCRIPTION", verb->text, out);
	if (verb->options)
		man_options(verb->options, out);
	if (verb->examples) {
		text_put(out, ".SH EXAMPLES\n.nf\n");
		roff(out, verb->examples);
		text_put(out, "\n.fi\n");
	}
	text_put(out, ".SH SEE ALSO\n.BR lightvm (1)\n");
	free(page);
	free(words);
}

static void man_line(const struct verb *verb, const char *key, struct text *out)
{
	text_format(out, ".TP\n.BR lightvm\\-%s (1)\n", key);
	roff(out, verb->summary);
	text_put(out, ".\n");
}

static void man_main(struct text *out)
{
	man_head("lightvm", "runs Linux programs, each in a virtual machine of its own", out);
	text_put(out, ".SH SYNOPSIS\n.B lightvm\nCOMMAND [OPTIONS] ...\n.SH DESCRIPTION\n"
		      "An unmodified Linux program is packed with its libraries into an image and started as a KVM virtual machine on a library\n"
		      "OS. Where a command takes a VM, its id, the beginning of its id and its name are understood.\n.SH COMMANDS\n");
	each_verb(verbs, "", man_line, out);
	text_put(out, ".SH ENVIRONMENT\n.TP\n.BR LIGHTVM_STATE \", \" XDG_RUNTIME_DIR\nVMs are recorded in the first one, or in the directory lightvm of the second. logind's\n"
		      "/run/user/UID is not used, since it goes when its user logs out: then, and without both, it is /run/lightvm for root, and\n"
		      "$XDG_STATE_HOME/lightvm (~/.local/state/lightvm; without HOME /tmp/lightvm\\-UID) for others.\n.TP\n.BR LIGHTVM_CACHE \", \" XDG_CACHE_HOME\nImages and kernels are kept in the first one, or in the directory lightvm of the second;\n"
		      "without both in ~/.cache/lightvm, and without HOME in /var/cache/lightvm (root) or /var/tmp/lightvm\\-UID.\n"
		      ".TP\n.BR LIGHTVM_KEPT \", \" XDG_STATE_HOME\nWhat outlives the machine's run (saved VMs; key and names of hosts; restart policies and services) is kept in the first one;\n"
		      "without it in /var/lib/lightvm for root, and in the directory lightvm of the second (~/.local/state/lightvm) for others.\n"
		      ".TP\n.B LIGHTVM_RUN\nThe directory of lightvmd's sockets, an absolute path; see\n.BR lightvmd (8).\n"
		      ".TP\n.B LIGHTVM_CACHE_SIZE\nHow much the images may take (8G): when a new one makes them take more, those whose last use is\n"
		      "longest ago are removed.\n"
		      ".TP\n.B LIGHTVM_LOG\nerror, warn (the default), info or debug.\n"
		      ".TP\n.BR LIGHTVM_VMM \", \" LIGHTVM_LIBOS\nThe monitor and the library OS, if not those that were installed together with lightvm.\n"
		      ".TP\n.B LIGHTVM_INIT\nThe initial RAM disk with the first program of Linux guests, likewise.\n"
		      ".TP\n.B LIGHTVM_TLS\nThe program that secures the connections of \\fBlightvm migrate\\fR and \\fBlightvm host serve\\fR, likewise.\n"
		      ".TP\n.B TERM\nWith standard output on a terminal it is the program's, too.\n"
		      ".TP\n.B LIGHTVM_UIDS\nFIRST\\-LAST: of which users monitors that root starts become one each; off: of none. Without it 2130706432\\-2139095039.\n"
		      ".SH EXIT STATUS\n0 for success, 125 for an error of lightvm's own with a message on standard error; for run see\n"
		      ".BR lightvm\\-run (1).\n.SH SEE ALSO\n.BR lightvm\\-vmm (1),\n.BR lightvmd (8)\n");
}

static int man_write(const char *dir, const char *key, const struct text *page, struct error *error)
{
	char *path = alloc_format("%s/lightvm%s%s.1", dir, *key ? "-" : "", key);
	int err = file_write(AT_FDCWD, path, page->data, page->size, 0644);
	if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	free(path);
	return err;
}

/* The page of a verb that has others below it. */
static void man_family(const struct verb *verb, const char *key, struct text *out)
{
	char *page = alloc_format("lightvm-%s", key), *below = alloc_format("%s-", key);
	man_head(page, verb->summary, out);
	text_format(out, ".SH SYNOPSIS\n.B lightvm %s\nCOMMAND [OPTIONS] ...\n", key);
	if (verb->text)
		man_paragraphs("DESCRIPTION", verb->text, out);
	text_put(out, ".SH COMMANDS\n");
	each_verb(verb->sub, below, man_line, out);
	text_put(out, ".SH SEE ALSO\n.BR lightvm (1)\n");
	free(page);
	free(below);
}

static int man_table(const struct verb *const *table, const char *prefix, const char *dir, struct error *error)
{
	int err = 0;
	for (; *table && !err; table++) {
		struct text page = { 0 };
		char *key = alloc_format("%s%s", prefix, (*table)->name), *below = alloc_format("%s-", key);
		if ((*table)->sub) {
			man_family(*table, key, &page);
			err = man_write(dir, key, &page, error);
			if (!err)
				err = man_table((*table)->sub, below, dir, error);
		} else if (!(*table)->hidden) {
			man_verb(*table, key, &page);
			err = man_write(dir, key, &page, error);
		}
		text_free(&page);
		free(key);
		free(below);
	}
	return err;
}

static int man(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct text page = { 0 };
	man_main(&page);
	int err = dir_make(operands.argv[0], 0755);
	if (!err)
		err = man_write(operands.argv[0], "", &page, error);
	text_free(&page);
	return err ? err : man_table(verbs, "", operands.argv[0], error);
}

const struct verb verb_man = {
	.name = "man",
	.operands = "DIR",
	.summary = "Write the man pages into a directory",
	.hidden = true,
	.min = 1,
	.max = 1,
	.run = man,
};
