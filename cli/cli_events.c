/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm events: what happens to VMs, as lightvmd sees it. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "node/daemon_client.h"

#define LINE_MAX_SIZE (64u << 10) /* of one event; lightvmd makes them shorter */

struct events_options {
	bool once;
	const char *since, *until, *format;
	struct strings filter;
};

#define AT(field) offsetof(struct events_options, field)
static const struct option_spec options[] = {
	{ "since", 0, OPTION_STRING, AT(since), "WHEN", "also those that were seen before: in the last 90s, 10m, 2h, 1d; or behind the event with this id" },
	{ "until", 0, OPTION_STRING, AT(until), "WHEN", "only those from before 90s, 10m, 2h, 1d ago (0s: now), all that are known without --since; print them and end" },
	{ "filter", 'f', OPTION_LIST, AT(filter), "KEY=VALUE", "only these: vm=NAME or id or its beginning (container= means the same), type=die (or event=), label=tier=web; may be repeated: of those with the same key one must be true, and each key" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table, or json: one object a line", .words = "table json" },
	{ "no-stream", 0, OPTION_FLAG, AT(once), NULL, "print those that there are (of the last hour without --since) and end" },
	{ 0 },
};

/* ---- what is asked for ---- */

/* "10m": that long ago. A number alone is an id. */
static int put_since(json_t *wish, const char *word, struct error *error)
{
	uint64_t number;
	if (!number_parse(word, &number) && number <= INT64_MAX)
		return json_object_set_new(wish, "after", json_integer((json_int_t)number)) ? -ENOMEM : 0;
	if (duration_parse(word, &number))
		return error_set(error, -EINVAL, "--since: \"%.60s\" is neither a time like 90s, 10m, 2h, 1d nor the id of an event", word);
	uint64_t now = clock_wall();
	return json_object_set_new(wish, "since_ns", json_integer((json_int_t)(number < now ? now - number : 1))) ? -ENOMEM : 0;
}

/* *ns: since 1970; UINT64_MAX where nothing is said. */
static int until_of(const char *word, uint64_t *ns, struct error *error)
{
	uint64_t ago = 0, now = clock_wall();
	*ns = UINT64_MAX;
	if (!word)
		return 0;
	if (duration_parse(word, &ago))
		return error_set(error, -EINVAL, "--until: \"%.60s\" is not a time like 0s, 90s, 10m, 2h, 1d", word);
	*ns = ago < now ? now - ago : 0;
	return 0;
}

static json_t *wish_of(const struct events_options *given, struct error *error)
{
	json_t *wish = json_object(), *filter = json_array();
	for (size_t i = 0; i < given->filter.count; i++)
		json_array_append_new(filter, json_string(given->filter.item[i]));
	json_object_set_new(wish, "filter", filter);
	bool once = given->once || given->until;
	json_object_set_new(wish, "follow", json_boolean(!once));
	if (json_array_size(filter) != given->filter.count)
		error_set(error, -EINVAL, "--filter: not UTF-8");
	else if (!given->since && !once)
		return wish;
	else if (!put_since(wish, given->since ? given->since : given->until ? "36500d" : "1h", error))
		return wish;
	json_decref(wish);
	return NULL;
}

/* The descriptor from which events come. */
static int follow(const json_t *wish, struct error *error)
{
	int fd = daemon_open(), from = -1;
	unsigned count = 1;
	struct text said = { 0 };
	char *body = json_dumps(wish, JSON_COMPACT);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return free(body), error_set(error, fd, "events are what lightvmd sees, and none runs: \"systemctl start lightvmd.socket\" or \"lightvmd\" starts it");
	if (fd < 0)
		return free(body), error_set(error, fd, "lightvmd's socket: %s", strerror(-fd));
	int err = daemon_call(fd, LV_DMN_EVENTS, body, strlen(body), NULL, 0, &said, &from, &count, error);
	if (!err && !count)
		err = error_set(error, -EPROTO, "lightvmd's answer has no descriptor");
	close(fd);
	free(body);
	text_free(&said);
	return err ? err : from;
}

/* ---- how they are printed ---- */

static void put_shown(struct text *out, const char *word)
{
	size_t start = out->size;
	text_put(out, word);
	shown_from(out, start, 0);
}

/* "latency=1.52ms" for "latency_ns": 1520000. */
static void put_attribute(struct text *out, const char *key, const json_t *value)
{
	size_t n = strlen(key);
	bool time = n > 3 && !strcmp(key + n - 3, "_ns") && json_is_integer(value);
	text_put(out, " ");
	text_add(out, key, time ? n - 3 : n);
	text_put(out, "=");
	if (time)
		text_format(out, "%.2fms", (double)json_integer_value(value) / NS_PER_MS);
	else if (json_is_string(value))
		put_shown(out, json_string_value(value));
	else if (json_is_integer(value))
		text_format(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		text_put(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "unknown");
}

static void put_time(struct text *out, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_S);
	struct tm local;
	char text[32];
	localtime_r(&seconds, &local);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &local);
	text_format(out, "%s.%03u", text, (unsigned)(ns % NS_PER_S / NS_PER_MS));
}

static void put_line(struct text *out, const json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type")), *vm = json_string_value(json_object_get(event, "vm")), *key;
	const char *name = json_string_value(json_object_get(event, "name"));
	json_t *attributes = json_object_get(event, "attributes"), *value;
	put_time(out, (uint64_t)json_integer_value(json_object_get(event, "time_ns")));
	text_format(out, "  %-8s %-12s", type ? type : "?", vm ? vm : "-");
	if (name) {
		text_put(out, " ");
		put_shown(out, name);
	}
	json_object_foreach(attributes, key, value)
		put_attribute(out, key, value);
	text_put(out, "\n");
}

static int print_event(const char *line, bool json, uint64_t until)
{
	struct text out = { 0 };
	json_t *event = json && until == UINT64_MAX ? NULL : json_loads(line, 0, NULL);
	if (event && (uint64_t)json_integer_value(json_object_get(event, "time_ns")) > until)
		return json_decref(event), 0;
	if (event && !json)
		put_line(&out, event);
	else
		text_format(&out, "%s\n", line);
	json_decref(event);
	return text_print(&out);
}

static int events(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct events_options *given = opaque;
	uint64_t until;
	int err = until_of(given->until, &until, error);
	if (err)
		return err;
	json_t *wish = wish_of(given, error);
	int fd = wish ? follow(wish, error) : error->code, status = 0;
	json_decref(wish);
	if (fd < 0)
		return fd;
	FILE *from = fdopen(fd, "r");
	char *line = alloc_zero(LINE_MAX_SIZE);
	while (!status && fgets(line, LINE_MAX_SIZE, from)) {
		line[strcspn(line, "\n")] = 0;
		status = print_event(line, given->format && !strcmp(given->format, "json"), until);
	}
	free(line);
	fclose(from);
	if (!status && !given->once && !given->until)
		return error_set(error, -EPIPE, "lightvmd has ended, or this command did not read for so long that events were lost");
	return status;
}

const struct verb verb_events = {
	.name = "events",
	.summary = "Follow what happens to VMs: create, start, listen, pause, die, ...",
	.text = "Prints events as lightvmd sees them, whoever caused them: create, start, listen, pause, resume, oom, crash, die, rename and destroy of VMs; restart, "
		"service and pool for what lightvmd does by itself; daemon for its own start. lightvmd keeps the last 4096. If events between the id that was "
		"given and the first that follows are not known any more, an event \"lost\" says so.\n\n"
		"Needs lightvmd; there is nobody else who would watch.",
	.examples = "lightvm events --since 10m --filter type=die\nlightvm events --format json --filter label=tier=web | jq .type",
	.options = options,
	.options_size = sizeof(struct events_options),
	.run = events,
};
