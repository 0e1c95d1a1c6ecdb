/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm service: VMs that lightvmd starts when somebody connects. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/daemon_client.h"
#include "node/json_rows.h"
#include "node/template_wish.h"
#include "node/vm_config.h"
#include "node/vm_wish.h"
#include "tinyx/pack.h"

static int call(enum lv_daemon_op op, const char *body, struct text *said, struct error *error)
{
	int fd = daemon_open();
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(error, fd, "services are lightvmd's, and none runs: \"systemctl start lightvmd\" or \"lightvmd\" starts it");
	if (fd < 0)
		return error_set(error, fd, "lightvmd's socket: %s", strerror(-fd));
	int err = daemon_call(fd, op, body, strlen(body), NULL, 0, said, NULL, NULL, error);
	close(fd);
	return err;
}

static json_t *ask(const char *name, struct error *error)
{
	struct text said = { 0 };
	json_t *answer = call(LV_DMN_SERVICES, name, &said, error) ? NULL : json_loadb(said.data, said.size, 0, NULL);
	if (!answer && !error->code)
		error_set(error, -EPROTO, "lightvmd's answer is no JSON");
	text_free(&said);
	return answer;
}

/* ---- add ---- */

struct add_options {
	const char *port, *image, *idle, *wait, *kernel, *workdir, *net, *ip, *gateway, *template_at;
	uint64_t max, share, memory;
	bool per_connection, dry, accept_shared_random;
	struct strings env, volumes, preload;
};

#define AT(field) offsetof(struct add_options, field)
static const struct option_spec add_options[] = {
	{ "port", 'p', OPTION_STRING, AT(port), "[ADDR:]PORT[:GUEST]", "where the service listens, and on which port its program does (the same if GUEST is left out); without ADDR on all IPv4 addresses of the host. Left out, with --net and --ip: packets to the VM's address start it", .complete = "none" },
	{ "image", 0, OPTION_STRING, AT(image), "PROGRAM|IMAGE.lvm", "what is run, as with \"lightvm run\"; in place of the second operand", .complete = "file" },
	{ "idle", 0, OPTION_STRING, AT(idle), "TIME", "a VM that has had no connection (by address: has sent nothing) for so long is stopped: 30s (the default), 500ms, 5m", .complete = "none" },
	{ "wait", 0, OPTION_STRING, AT(wait), "TIME", "how long a new VM may take to listen (default 30s)", .complete = "none" },
	{ "max", 0, OPTION_NUMBER, AT(max), "N", "VMs at once, at most (default 1; with --per-connection 32, further connections wait)", .low = 1, .high = 10000 },
	{ "share", 0, OPTION_NUMBER, AT(share), "N", "with --max: each VM has so many connections before there is another one (default 100)", .low = 1, .high = 10000 },
	{ "per-connection", 0, OPTION_FLAG, AT(per_connection), NULL, "each connection gets a VM of its own, whose standard input and output it is, as with inetd" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "as with \"lightvm run\"", .low = 4u << 20, .high = 64ull << 30 },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "a variable of the program's environment; may be repeated" },
	{ "volume", 'v', OPTION_LIST, AT(volumes), "HOST:/PATH", "a copy of a file or directory, packed into the image; may be repeated", .complete = "file" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "working directory in the VM (default /)", .complete = "none" },
	{ "kernel", 0, OPTION_STRING, AT(kernel), "KERNEL", "as with \"lightvm run\"", .complete = "kernel" },
	{ "net", 0, OPTION_STRING, AT(net), "KIND", "passt (the default), none (with --per-connection), tap:NAME or bridge:NAME", .words = "none passt tap: bridge:" },
	{ "ip", 0, OPTION_STRING, AT(ip), "A.B.C.D/BITS", "address of the VM, with tap or bridge", .complete = "none" },
	{ "gateway", 0, OPTION_STRING, AT(gateway), "A.B.C.D", "with --ip: the way to other networks", .complete = "none" },
	{ "template-at", 0, OPTION_STRING, AT(template_at), "WHEN", "each VM is a copy of one whose program has started already: call, listen or SECONDS, as with \"lightvm run\"", .complete = "none" },
	{ "preload", 0, OPTION_LIST, AT(preload), "WORD", "with --template-at call: as with \"lightvm run\"; may be repeated", .complete = "none" },
	{ "accept-shared-random", 0, OPTION_FLAG, AT(accept_shared_random), NULL, "with --template-at: as with \"lightvm run\"" },
	{ "dry-run", 0, OPTION_FLAG, AT(dry), NULL, "only check, and print the service as JSON" },
	{ 0 },
};

static int put_port(json_t *json, const char *word, struct error *error)
{
	char *copy = alloc_copy(word), *save = NULL, *part[4] = { NULL };
	int parts = 0, err = 0;
	uint64_t port = 0, guest = 0;
	uint32_t ip = 0;
	for (char *at = strtok_r(copy, ":", &save); at && parts < 4; at = strtok_r(NULL, ":", &save))
		part[parts++] = at;
	bool address = parts > 1 && strchr(part[0], '.');
	const char *first = parts ? part[address] : NULL, *second = address ? part[2] : parts > 1 ? part[1] : NULL;
	if (!first || parts > 2 + address || (address && ip_parse(part[0], &ip)) || number_parse(first, &port) || !port || port > 65535 ||
	    (second && (number_parse(second, &guest) || !guest || guest > 65535)))
		err = error_set(error, -EINVAL, "--port: \"%s\" is not [ADDR:]PORT[:GUEST]", word);
	if (!err) {
		json_object_set_new(json, "port", json_integer((json_int_t)port));
		json_object_set_new(json, "guest_port", json_integer((json_int_t)(guest ? guest : port)));
		if (address)
			json_object_set_new(json, "address", json_string(part[0]));
	}
	free(copy);
	return err;
}

static int put_time(json_t *json, const char *key, const char *option, const char *word, struct error *error)
{
	uint64_t ns = 0;
	if (!word)
		return 0;
	int err = duration_parse(word, &ns);
	uint64_t milliseconds = ns / 1000000;
	if (err || !milliseconds || milliseconds > 86400000)
		return error_set(error, err ? err : -ERANGE, "%s: \"%s\" is not a time from 1ms to 24h (examples: 500ms, 30s, 5m)", option, word);
	json_object_set_new(json, key, json_integer((json_int_t)milliseconds));
	return 0;
}

static char *absolute(const char *word, struct error *error)
{
	char cwd[PATH_MAX];
	if (!strchr(word, '/') && access(word, F_OK)) {
		char *found = program_find(word);
		if (!found)
			error_set(error, -ENOENT, "there is no program \"%s\" in PATH; give a path, as in ./%s", word, word);
		return found;
	}
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", word);
}

static json_t *list_of(const struct strings *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_text(list->item[i]));
	return array;
}

/* HOST is relative to here, and not to wherever lightvmd is. */
static int put_volumes(json_t *vm, const struct strings *volumes, struct error *error)
{
	struct strings whole = { 0 };
	int err = 0;
	for (size_t i = 0; i < volumes->count && !err; i++) {
		const char *word = volumes->item[i], *colon = strchr(word, ':');
		char cwd[PATH_MAX], *host = alloc_format("%.*s", colon ? (int)(colon - word) : (int)strlen(word), word);
		char *path = path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", host);
		strings_take(&whole, alloc_format("%s%s", path, colon ? colon : ""));
		free(host);
		free(path);
	}
	if (whole.count)
		json_object_set_new(vm, "volumes", list_of(&whole));
	strings_free(&whole);
	return err;
}

/* An address is one of a tap or bridge, and has a mask, which JSON says apart. */
static int put_address(json_t *net, const struct add_options *given, struct error *error)
{
	char mask_word[INET_ADDRSTRLEN], ip_word[INET_ADDRSTRLEN];
	uint32_t ip, mask, gateway;
	if (given->ip && cidr_parse(given->ip, &ip, &mask))
		return error_set(error, -EINVAL, "--ip: \"%s\" is not A.B.C.D/BITS", given->ip);
	if (given->gateway && ip_parse(given->gateway, &gateway))
		return error_set(error, -EINVAL, "--gateway: \"%s\" is not an IPv4 address", given->gateway);
	if (given->gateway && !given->ip)
		return error_set(error, -EINVAL, "--gateway needs --ip");
	if (given->ip) {
		json_object_set_new(net, "ip", json_string(inet_ntop(AF_INET, &ip, ip_word, sizeof(ip_word))));
		json_object_set_new(net, "netmask", json_string(inet_ntop(AF_INET, &mask, mask_word, sizeof(mask_word))));
	}
	if (given->gateway)
		json_object_set_new(net, "gateway", json_string(given->gateway));
	return 0;
}

static int put_net(json_t *vm, const struct add_options *given, struct error *error)
{
	const char *net = given->net ? given->net : given->per_connection ? "none" : "passt", *colon = strchr(net, ':');
	char *kind = alloc_format("%.*s", colon ? (int)(colon - net) : (int)strlen(net), net);
	json_t *json = json_pack("{s:s}", "kind", kind);
	if (colon)
		json_object_set_new(json, "name", json_string(colon + 1));
	free(kind);
	json_object_set_new(vm, "net", json);
	return put_address(json, given, error);
}

/* What is run: arguments are those of the command line, or those of the image. */
static int put_program(json_t *vm, const struct add_options *given, struct operands operands, struct error *error)
{
	const char *word = given->image ? given->image : operands.argc > 1 ? operands.argv[1] : NULL;
	int first = given->image ? 1 : 2;
	if (!word)
		return error_set(error, -EINVAL, "what does it run? Give --image, or a program after the name");
	char *path = absolute(word, error);
	if (!path)
		return error->code;
	json_object_set_new(vm, "image", json_text(path));
	if (operands.argc > first) {
		json_t *args = json_array();
		json_array_append_new(args, json_text(path));
		for (int i = first; i < operands.argc; i++)
			json_array_append_new(args, json_text(operands.argv[i]));
		json_object_set_new(vm, "args", args);
	}
	free(path);
	return 0;
}

static int put_template(json_t *vm, const struct add_options *given, struct error *error)
{
	struct template_wish wish = { 0 };
	if (!given->template_at && (given->preload.count || given->accept_shared_random))
		return error_set(error, -EINVAL, "%s goes with --template-at", given->preload.count ? "--preload" : "--accept-shared-random");
	if (!given->template_at)
		return 0;
	int err = template_wish_at(&wish, "--template-at", given->template_at, error);
	json_t *at = wish.at == TEMPLATE_SECONDS ? json_integer(wish.seconds) : json_string(given->template_at);
	json_t *json = json_pack("{s:o, s:b}", "at", at, "accept_shared_random", given->accept_shared_random);
	if (given->preload.count)
		json_object_set_new(json, "preload", list_of(&given->preload));
	json_object_set_new(vm, "template", json);
	return err;
}

static int put_vm(json_t *json, const struct add_options *given, struct operands operands, struct error *error)
{
	json_t *vm = json_object();
	json_object_set_new(json, "vm", vm);
	int err = put_program(vm, given, operands, error);
	if (!err)
		err = put_volumes(vm, &given->volumes, error);
	if (!err)
		err = put_net(vm, given, error);
	if (!err)
		err = put_template(vm, given, error);
	if (given->env.count)
		json_object_set_new(vm, "env", list_of(&given->env));
	if (given->memory)
		json_object_set_new(vm, "memory", json_integer((json_int_t)given->memory));
	if (given->kernel)
		json_object_set_new(vm, "kernel", json_string(given->kernel));
	if (given->workdir)
		json_object_set_new(vm, "cwd", json_text(given->workdir));
	return err;
}

/* What a start would say is said now, and what it would pack is packed. */
static int try(const json_t *json, struct error *error)
{
	struct vm_config config;
	config_init(&config);
	int err = wish_config(&config, json_object_get(json, "vm"), NULL, error);
	if (!err && config.guest.bare && json_object_get(json, "port") && !json_is_true(json_object_get(json, "per_connection")))
		err = error_set(error, -EOPNOTSUPP, "a kernel without LightVM's agent in it does not tell when it listens, which a service with a port waits for");
	config_free(&config);
	return err;
}

static int describe_service(json_t *json, const struct add_options *given, struct operands operands, struct error *error)
{
	json_object_set_new(json, "version", json_integer(1));
	json_object_set_new(json, "name", json_text(operands.argv[0]));
	int err = given->port ? put_port(json, given->port, error) : given->ip ? 0 : error_set(error, -EINVAL, "where does it listen? Give --port, or --net bridge:NAME and --ip");
	if (!err)
		err = put_time(json, "idle_ms", "--idle", given->idle, error);
	if (!err)
		err = put_time(json, "wait_ms", "--wait", given->wait, error);
	if (given->max)
		json_object_set_new(json, "max", json_integer((json_int_t)given->max));
	if (given->share)
		json_object_set_new(json, "share", json_integer((json_int_t)given->share));
	if (given->per_connection)
		json_object_set_new(json, "per_connection", json_true());
	return err ? err : put_vm(json, given, operands, error);
}

static int add(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct add_options *given = opaque;
	json_t *json = json_object();
	struct text said = { 0 };
	int err = describe_service(json, given, operands, error);
	if (!err)
		err = try(json, error);
	if (!err && given->dry)
		return json_print(json);
	char *text = err ? NULL : json_dumps(json, JSON_COMPACT);
	if (!err)
		err = text ? call(LV_DMN_SERVICE_ADD, text, &said, error) : error_set(error, -ENOMEM, "out of memory");
	free(text);
	text_free(&said);
	json_decref(json);
	return err;
}

static const struct verb verb_service_add = {
	.name = "add",
	.operands = "NAME [PROGRAM|IMAGE.lvm] [ARG...]",
	.summary = "Have a VM started when somebody connects to a port",
	.text = "lightvmd holds the port. The first connection starts a VM and is held until the VM's program listens; then it, and those that come\n"
		"after it, are handed on. Nothing is refused meanwhile. A VM without connections is stopped after the time of --idle.\n"
		"With --per-connection each connection gets a VM of its own, whose standard input and output it is, with no relay between them.\n"
		"With --ip on a bridge or tap, and without --port, packets to that address start the VM, which answers them itself: a ping or the first\n"
		"segment of a connection, for instance. It is stopped when it has sent nothing for the time of --idle.\n"
		"Services stay over restarts of lightvmd and of the machine. Where systemd has a socket with the name of the service\n"
		"(FileDescriptorName= in a .socket unit of lightvmd.service), that is used. Arguments that begin with a dash come after \"--\".",
	.examples = "lightvm service add web --port 8080:80 --idle 30s -- /usr/sbin/nginx -g 'daemon off; master_process off;'\n"
		    "lightvm service add edge --net bridge:br0 --ip 10.0.0.7/24 --idle 5s --image web.lvm\n"
		    "lightvm service add upper --port 127.0.0.1:7000 --per-connection -- /usr/bin/tr a-z A-Z\n"
		    "lightvm service add sum --port 7001 --per-connection --template-at call --preload json -- /usr/bin/python3 -c 'print(sum(map(int, input().split())))'",
	.options = add_options,
	.options_size = sizeof(struct add_options),
	.min = 1,
	.max = -1,
	.run = add,
};

/* ---- ls, inspect, rm ---- */

static void add_row(const json_t *service, struct strings *cells)
{
	const json_t *now = json_object_get(service, "now");
	const char *address = json_string_value(json_object_get(service, "address"));
	const json_t *net = json_object_get(json_object_get(service, "vm"), "net");
	strings_take(cells, alloc_copy(json_string_value(json_object_get(service, "name"))));
	if (!json_number(service, "port"))
		strings_take(cells, alloc_format("%s on %s", json_string_value(json_object_get(net, "ip")), json_string_value(json_object_get(net, "name"))));
	else
		strings_take(cells, alloc_format("%s%s%lld:%lld", address ? address : "", address ? ":" : "", json_number(service, "port"), json_number(service, "guest_port")));
	strings_take(cells, alloc_format("%zu/%lld", json_array_size(json_object_get(now, "vms")), json_number(service, "max")));
	strings_take(cells, alloc_format("%lld", json_number(now, "connections")));
	strings_take(cells, alloc_format("%lld", json_number(now, "waiting")));
	strings_take(cells, alloc_format("%lld", json_number(now, "accepted")));
	strings_take(cells, alloc_format("%lld", json_number(now, "failed")));
}

static int ls(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	static const char *const heads[] = { "SERVICE", "PORT", ">VMS", ">CONNECTIONS", ">WAITING", ">EVER", ">FAILED", NULL };
	const struct format_options *given = opaque;
	const json_t *service;
	struct strings cells = { 0 };
	struct text out = { 0 };
	size_t i;
	json_t *answer = ask("", error);
	if (!answer)
		return error->code;
	if (format_is_json(given))
		return json_print(answer);
	json_array_foreach(answer, i, service)
		add_row(service, &cells);
	table_print(heads, &cells, &out);
	json_array_foreach(answer, i, service) {
		const char *why = json_string_value(json_object_get(json_object_get(service, "now"), "error"));
		if (why)
			text_format(&out, "%s: %s\n", json_string_value(json_object_get(service, "name")), why);
	}
	strings_free(&cells);
	json_decref(answer);
	return text_print(&out);
}

static const struct verb verb_service_ls = {
	.name = "ls",
	.summary = "List the services",
	.text = "VMS are those that there are, and as many as there may be; WAITING the connections that are held until a VM listens; EVER all that came;\n"
		"FAILED the VMs that did not start, the last one's reason below.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = ls,
};

static int inspect(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	json_t *answer = ask(operands.argv[0], error);
	return answer ? json_print(answer) : error->code;
}

static const struct verb verb_service_inspect = {
	.name = "inspect",
	.complete = "service",
	.operands = "NAME",
	.summary = "Tell all that is known of a service, as JSON",
	.min = 1,
	.max = 1,
	.run = inspect,
};

static int remove_one(const char *name, struct error *error)
{
	struct text said = { 0 };
	int err = call(LV_DMN_SERVICE_REMOVE, name, &said, error);
	text_free(&said);
	return err;
}

static int rm(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	return word_for_each(operands, remove_one);
}

static const struct verb verb_service_rm = {
	.name = "rm",
	.complete = "service",
	.no_guess = true,
	.operands = "NAME...",
	.summary = "Remove services; their connections are cut off and their VMs stopped",
	.min = 1,
	.max = -1,
	.run = rm,
};

static const struct verb *const subs[] = { &verb_service_add, &verb_service_ls, &verb_service_inspect, &verb_service_rm, NULL };

const struct verb verb_service = {
	.name = "service",
	.summary = "VMs that are started when somebody connects",
	.sub = subs,
};
