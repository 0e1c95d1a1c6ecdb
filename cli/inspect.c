/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm inspect, boot-time: what is known of a VM. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "node/vm_config.h"
#include "node/monitor_control.h"
#include "cli/describe.h"
#include "node/record.h"
#include "node/save_view.h"
#include "node/vm_view.h"

/* ---- inspect ---- */

/* The configuration, but for what stands beside it. */
static json_t *config_shown(const json_t *config)
{
	json_t *shown = json_copy((json_t *)config);
	json_object_del(shown, "id");
	json_object_del(shown, "name");
	return shown;
}

static json_t *info_json(struct vm_info *info)
{
	json_t *object = json_object();
	char *status = vm_state_text(info);
	json_object_set_new(object, "id", json_string(info->dir.id));
	json_object_set(object, "name", json_object_get(info->config, "name"));
	json_object_set_new(object, "state", json_string(vm_state_word(info->state)));
	json_object_set_new(object, "crashed", json_boolean(info->state == VM_CRASHED));
	json_object_set_new(object, "status", json_string(status));
	json_object_set_new(object, "exit_status", info->exit_code < 0 ? json_null() : json_integer(info->exit_code));
	vm_view_add(object, info, CONTROL_PATIENCE_MS);
	json_object_set_new(object, "config", config_shown(info->config));
	free(status);
	return object;
}

struct inspect_options {
	const char *format;
};

static const struct option_spec inspect_options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct inspect_options, format), "KEY", "print only this, a line a VM: the name of a member, of members of members with "
	  "points between, as in state, config.memory or record.boot.0.ns; json (the default) is everything", .complete = "none" },
	{ 0 },
};

struct inspecting {
	const char *key; /* NULL: everything, into array */
	json_t *array;
};

/* The member that a key names, borrowed; NULL: there is none. */
static const json_t *member(const json_t *value, const char *key)
{
	while (value && *key) {
		size_t n = strcspn(key, ".");
		char *name = alloc_format("%.*s", (int)n, key);
		uint64_t index;
		if (json_is_array(value))
			value = number_parse(name, &index) ? NULL : json_array_get(value, (size_t)index);
		else
			value = json_object_get(value, name);
		free(name);
		key += n + (key[n] == '.');
	}
	return value;
}

static int print_member(const json_t *object, const char *id, const char *key, struct error *error)
{
	const json_t *value = member(object, key);
	struct text out = { 0 };
	if (!value && strstr(key, "{{"))
		return error_set(error, -EINVAL, "-f \"%s\": templates are not read; name a member, as in -f state or -f config.memory, or use jq", key);
	if (!value)
		return error_set(error, -ENOENT, "VM %s has no \"%s\"; \"lightvm inspect %s\" prints all that there is", id, key, id);
	char *json = json_is_string(value) ? alloc_copy(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	text_format(&out, "%s\n", json ? json : "");
	free(json);
	return text_print(&out) ? -EIO : 0;
}

static int inspect_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	struct inspecting *inspecting = context;
	json_t *object = info_json(info);
	if (!inspecting->key)
		return json_array_append_new(inspecting->array, object) ? error_set(error, -ENOMEM, "out of memory") : 0;
	int err = print_member(object, info->dir.id, inspecting->key, error);
	json_decref(object);
	return err;
}

/* A word with a slash in it, or what no VM is called: a saved one. */
static int inspect_saved(const char *word, struct inspecting *inspecting, struct error *error)
{
	char *path = save_find_kept(word, error);
	json_t *view = path ? save_view(path, error) : NULL;
	int err = view ? 0 : error->code;
	if (view && !inspecting->key)
		err = json_array_append_new(inspecting->array, json_incref(view)) ? error_set(error, -ENOMEM, "out of memory") : 0;
	else if (view)
		err = print_member(view, word, inspecting->key, error);
	json_decref(view);
	free(path);
	return err;
}

static bool is_saved(const char *word)
{
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	bool is_vm = !strchr(word, '/') && !state_open(&state, false, NULL) && !vm_find(&state, word, &vm, NULL);
	char *path = is_vm ? NULL : save_find_kept(word, NULL);
	bool saved = path != NULL;
	vm_close(&vm);
	state_close(&state);
	free(path);
	return saved;
}

/* Each word may be either; messages come in their order. */
static int inspect_words(struct operands operands, struct inspecting *inspecting)
{
	int status = 0;
	for (int i = 0; i < operands.argc; i++) {
		struct error error = { 0 };
		if (!is_saved(operands.argv[i])) {
			int one = vm_for_each((struct operands){ 1, operands.argv + i }, inspect_one, inspecting);
			status = one ? one : status;
		} else if (inspect_saved(operands.argv[i], inspecting, &error)) {
			log_error("%s", error.text);
			status = EXIT_OWN;
		}
	}
	return status;
}

static int inspect(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct inspect_options *given = options;
	json_t *array = json_array();
	struct inspecting inspecting = { given->format && strcmp(given->format, "json") ? given->format : NULL, array };
	int status = inspect_words(operands, &inspecting);
	if (json_array_size(array))
		return json_print(array) ? EXIT_OWN : status;
	json_decref(array);
	return status;
}

const struct verb verb_inspect = {
	.name = "inspect",
	.operands = "VM|NAME|DIR|FILE...",
	.summary = "Tell all that is known of virtual machines, as JSON",
	.text = "A list with one object a VM: its configuration, the monitor's record (memory, VM exits, boot ledger, devices, system\n"
		"calls that the library OS does not have), what a Linux guest says that it uses, the crash report if there is one, and the\n"
		"last output. What a restart policy has done so far is the\n"
		"member restart. Of a directory or file that \"lightvm save\" made, or the name of a saved VM that is no VM's, the manifest is printed. The configuration (member config) is what \"lightvm start\" starts from; id and name stand in it, too.",
	.examples = "lightvm inspect web\n"
		    "lightvm inspect -f record.memory_used web",
	.options = inspect_options,
	.options_size = sizeof(struct inspect_options),
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = inspect,
};

/* ---- boot-time ---- */

/* "3,489,786.305": digits in groups, all of them there. */
#define MICROSECONDS 32
static const char *microseconds(uint64_t ns, char out[MICROSECONDS])
{
	char digits[24];
	int whole = snprintf(digits, sizeof(digits), "%" PRIu64, ns / 1000), n = 0;
	for (int i = 0; i < whole; i++) {
		if (i && (whole - i) % 3 == 0)
			out[n++] = ',';
		out[n++] = digits[i];
	}
	snprintf(out + n, MICROSECONDS - (size_t)n, ".%03u", (unsigned)(ns % 1000));
	return out;
}

static int print_table(const struct ledger_line *line, int count, uint64_t unaccounted)
{
	struct text out = { 0 };
	char since[MICROSECONDS], took[MICROSECONDS];
	text_format(&out, "%-12s %15s  %15s  %6s  %s\n", "STEP", "SINCE START, us", "STEP TOOK, us", "EXITS", "WHAT");
	for (int i = 0; i < count; i++)
		text_format(&out, "%-12s %15s  %15s  %6" PRIu64 "  %s\n", line[i].step, microseconds(line[i].ns, since), microseconds(line[i].delta, took),
			    line[i].exits, line[i].text);
	text_format(&out, "%-12s %15s  %15s  %6s  %s\n", "unaccounted", "", microseconds(unaccounted, took), "", "no step explains this time");
	return text_print(&out);
}

static int boot_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct format_options *given = context;
	struct ledger_line line[LV_STEPS];
	uint64_t unaccounted;
	if (info->alive)
		control_status(info->dir.dir, CONTROL_PATIENCE_MS, &info->status);
	int count = ledger_lines(&info->status, line, &unaccounted);
	if (!count)
		return error_set(error, -ENODATA, "VM %s: its monitor wrote no record", info->dir.id);
	bool json = format_is_json(given);
	return (json ? json_print(vm_view_ledger(info)) : print_table(line, count, unaccounted)) ? -EIO : 0;
}

static int boot_time(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, boot_one, options);
}

const struct verb verb_boot_time = {
	.name = "boot-time",
	.operands = "VM",
	.summary = "Print the time line of a virtual machine's start",
	.text = "One line a step, in microseconds of one clock since the command started, with the VM exits to the monitor so far. The\n"
		"line \"unaccounted\" is the time between the first and the last step that no step explains.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = boot_time,
};
