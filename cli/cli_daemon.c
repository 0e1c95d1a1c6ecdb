/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm daemon: what lightvmd says of itself. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/daemon_client.h"

static int print(const json_t *json)
{
	struct text out = { 0 };
	const char *version = json_string_value(json_object_get(json, "version")), *state = json_string_value(json_object_get(json, "status"));
	text_format(&out, "lightvmd %s, process %lld, serves %s\n", version ? version : "?", json_number(json, "pid"),
		    json_is_true(json_object_get(json, "system")) ? "this machine" : "its user");
	text_format(&out, "state        %s\n", state ? state : "?");
	text_format(&out, "runs for     %lld s\n", ((long long)clock_wall() - json_number(json, "started_ns")) / (long long)NS_PER_S);
	text_format(&out, "connections  %lld\n", json_number(json, "connections"));
	text_format(&out, "requests     %lld under way\n", json_number(json, "requests"));
	text_format(&out, "workers      %lld\n", json_number(json, "workers"));
	return text_print(&out);
}

static int ask(struct text *said, struct error *error)
{
	int fd = daemon_open();
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(error, fd, "no lightvmd runs; everything works without it. \"systemctl start lightvmd.socket\" or \"lightvmd\" starts it");
	if (fd < 0)
		return error_set(error, fd, "lightvmd's socket: %s", strerror(-fd));
	int err = daemon_call(fd, LV_DMN_STATUS, NULL, 0, NULL, 0, said, NULL, NULL, error);
	close(fd);
	return err;
}

static int status(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct format_options *given = opaque;
	struct text said = { 0 };
	int err = ask(&said, error);
	json_t *json = err ? NULL : json_loadb(said.data, said.size, 0, NULL);
	text_free(&said);
	if (!err && !json)
		err = error_set(error, -EPROTO, "lightvmd's answer is no JSON");
	if (err)
		return err;
	if (format_is_json(given))
		return json_print(json);
	int printed = print(json);
	json_decref(json);
	return printed;
}

static const struct verb verb_status = {
	.name = "status",
	.summary = "Say whether lightvmd runs and what it does",
	.text = "Asks the lightvmd of this user, or that of the system. The exit status is 0 if one answers.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = status,
};

static const struct verb *const subs[] = { &verb_status, &verb_daemon_page, NULL };

const struct verb verb_daemon = {
	.name = "daemon",
	.summary = "Ask the daemon lightvmd, which is optional",
	.sub = subs,
};
