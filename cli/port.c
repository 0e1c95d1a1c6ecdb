/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm port: which ports of the host lead to a VM. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/vm_config.h"

struct asked {
	const char *word;  /* NULL: all of them */
	uint64_t port;
	const char *protocol; /* NULL: either */
};

static int parse(const char *word, struct asked *asked, struct error *error)
{
	size_t digits = strcspn(word, "/");
	char *number = alloc_format("%.*s", (int)digits, word);
	asked->word = word;
	asked->protocol = word[digits] ? word + digits + 1 : NULL;
	int err = number_parse(number, &asked->port);
	free(number);
	if (err || !asked->port || asked->port > 65535 || (asked->protocol && strcmp(asked->protocol, "tcp") && strcmp(asked->protocol, "udp")))
		return error_set(error, -EINVAL, "\"%s\" is not a port of the VM (examples: 80, 53/udp)", word);
	return 0;
}

static bool print(const json_t *port, const struct asked *asked, struct text *out)
{
	const char *ip = json_string_value(json_object_get(port, "host_ip")), *protocol = config_string(port, "protocol");
	json_int_t host = json_integer_value(json_object_get(port, "host")), guest = json_integer_value(json_object_get(port, "guest"));
	if (asked->word && ((uint64_t)guest != asked->port || (asked->protocol && strcmp(asked->protocol, protocol))))
		return false;
	if (!asked->word)
		text_format(out, "%lld/%s -> ", (long long)guest, protocol);
	text_format(out, "%s:%lld\n", ip ? ip : "0.0.0.0", (long long)host);
	return true;
}

static int port_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct asked *asked = context;
	const json_t *ports = json_object_get(json_object_get(info->config, "net"), "ports");
	struct text out = { 0 };
	bool any = false;
	for (size_t i = 0; i < json_array_size(ports); i++)
		any |= print(json_array_get(ports, i), asked, &out);
	if (text_print(&out))
		return -EIO;
	return any || !asked->word ? 0 : error_set(error, -ENOENT, "VM %s: its port %s is not published", info->dir.id, asked->word);
}

static int run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct asked asked = { 0 };
	int err = operands.argc > 1 ? parse(operands.argv[1], &asked, error) : 0;
	operands.argc = 1;
	return err ? err : vm_for_each(operands, port_one, &asked);
}

const struct verb verb_port = {
	.name = "port",
	.operands = "VM [PORT[/udp]]",
	.summary = "Print which ports of the host lead to a virtual machine",
	.text = "With PORT, one of the VM's, only addresses and ports of the host that lead there, a line each.",
	.examples = "lightvm port web\nlightvm port web 80",
	.complete = "vm",
	.min = 1,
	.max = 2,
	.run = run,
};
