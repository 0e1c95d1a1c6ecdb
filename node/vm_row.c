/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_row.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/shown.h"

#define LINK "row"
#define ROW_VERSION "1"
#define FIELDS 5 /* lines after the first: name, kernel, program, ports, command */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* One line of it: no control character, no line feed. */
static void put_shown(struct text *out, const char *words)
{
	size_t start = out->size;
	text_put(out, words);
	shown_from(out, start, 0);
}

static void put_ports(const json_t *ports, struct text *out)
{
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		const char *ip = json_string_value(json_object_get(port, "host_ip")), *kind = json_string_value(json_object_get(port, "protocol"));
		text_format(out, "%s%s%s%lld->%lld%s", i ? "," : "", ip ? ip : "", ip ? ":" : "",
			    (long long)json_integer_value(json_object_get(port, "host")), (long long)json_integer_value(json_object_get(port, "guest")),
			    kind && !strcmp(kind, "udp") ? "/udp" : "");
	}
}

static void put_command(const json_t *config, struct text *out)
{
	const json_t *args = json_object_get(config, "args");
	put_shown(out, base_of(config_string(config, "program")));
	for (size_t i = 1; i < json_array_size(args) && out->size < VM_ROW_MAX; i++) {
		const char *arg = json_string_value(json_array_get(args, i));
		text_put(out, " ");
		put_shown(out, arg ? arg : "?"); /* bytes that are no text */
	}
}

/* Fields that are searched stay as they are, those that are shown lose what a terminal would act on. */
static void put_row(const json_t *config, struct text *out)
{
	const char *const kept[] = { config_string(config, "name"), config_string(config, "kernel"), config_string(config, "program") };
	text_format(out, ROW_VERSION " %" JSON_INTEGER_FORMAT " %d\n", json_integer_value(json_object_get(config, "created_ns")),
		    json_is_true(json_object_get(config, "remove")));
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		out->failed |= strchr(kept[i], '\n') != NULL;
		text_format(out, "%s\n", kept[i]);
	}
	put_ports(json_object_get(json_object_get(config, "net"), "ports"), out);
	text_put(out, "\n");
	if (out->size > VM_ROW_MAX)
		out->failed = true;
	put_command(config, out);
	if (out->size > VM_ROW_MAX) {
		/* Only the command's end is given up, at the beginning of a character. */
		size_t end = VM_ROW_MAX;
		while (end && (out->data[end] & 0xc0) == 0x80)
			end--;
		out->data[out->size = end] = 0;
	}
}

static int parse(struct vm_row *row)
{
	const char **field[FIELDS] = { &row->name, &row->kernel, &row->program, &row->ports, &row->command };
	char *at = row->text;
	/* By hand: sscanf takes longer than all system calls of a VM together. */
	if (strncmp(at, ROW_VERSION " ", sizeof(ROW_VERSION)))
		return -EINVAL;
	row->created_ns = strtoull(at + sizeof(ROW_VERSION), &at, 10);
	if (*at++ != ' ' || (*at != '0' && *at != '1'))
		return -EINVAL;
	row->remove = *at++ == '1';
	for (int i = 0; i < FIELDS; i++) {
		if (!at || *at != '\n')
			return -EINVAL;
		*at++ = 0;
		*field[i] = at;
		at = strchr(at, '\n');
	}
	return at ? -EINVAL : 0;
}

void vm_row_write(const struct vm_config *config, int dir)
{
	struct text out = { 0 };
	json_t *json = config_to_json(config);
	if (json)
		put_row(json, &out);
	if (json && !text_error(&out))
		(void)!symlinkat(out.data, dir, LINK);
	json_decref(json);
	text_free(&out);
}

void vm_row_replace(const json_t *config, int dir)
{
	struct text out = { 0 };
	put_row(config, &out);
	unlinkat(dir, LINK ".new", 0); /* of a command that was killed here */
	if (text_error(&out) || symlinkat(out.data, dir, LINK ".new") || renameat(dir, LINK ".new", dir, LINK))
		unlinkat(dir, LINK, 0);
	text_free(&out);
}

static int read_link(int dir, const char *path, struct vm_row *row)
{
	ssize_t n = readlinkat(dir, path, row->text, sizeof(row->text));
	if (n < 0 || n > VM_ROW_MAX)
		return n < 0 ? -ENOENT : -EINVAL;
	row->text[n] = 0;
	return parse(row);
}

int vm_row_read(int vms, const char *id, struct vm_row *row)
{
	char path[STATE_ID + sizeof("/" LINK)];
	if (strlen(id) != STATE_ID)
		return -ENOENT;
	memcpy(path, id, STATE_ID);
	memcpy(path + STATE_ID, "/" LINK, sizeof("/" LINK));
	return read_link(vms, path, row);
}

int vm_row_read_in(int vm_dir, struct vm_row *row)
{
	return read_link(vm_dir, LINK, row);
}

void vm_row_from_json(const json_t *config, struct vm_row *row)
{
	struct text out = { 0 };
	put_row(config, &out);
	snprintf(row->text, sizeof(row->text), "%s", text_error(&out) ? "" : out.data);
	text_free(&out);
	if (!parse(row))
		return;
	memcpy(row->text, "1 0 0\n\n\n?\n\n?", sizeof("1 0 0\n\n\n?\n\n?"));
	parse(row);
}
