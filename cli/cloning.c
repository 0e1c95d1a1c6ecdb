/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm clone: one VM that runs becomes many. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/clone_verify.h"
#include "node/vm_clone.h"

struct clone_options {
	uint64_t count;
	const char *name, *net, *ip, *ip6, *gateway, *gateway6, *dns, *mac;
	struct strings ports;
	bool accept, remove, paused, verify, whole;
};

#define AT(field) offsetof(struct clone_options, field)
static const struct option_spec options[] = {
	{ "number", 'n', OPTION_NUMBER, AT(count), "N", "how many (default 1)", .low = 1, .high = CLONES_MAX },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "what one is called, or the beginning of what each of many is called: NAME-1, NAME-2 (default: the VM's name as the beginning)", .complete = "none" },
	{ "ip", 0, OPTION_STRING, AT(ip), "ADDR[/BITS]", "address of the first; each has one higher than the one before" },
	{ "gateway", 0, OPTION_STRING, AT(gateway), "ADDR", "another default gateway" },
	{ "ip6", 0, OPTION_STRING, AT(ip6), "ADDR[/64]", "IPv6 address of the first; each has one higher than the one before", .complete = "none" },
	{ "gateway6", 0, OPTION_STRING, AT(gateway6), "ADDR", "another default gateway of IPv6", .complete = "none" },
	{ "dns", 0, OPTION_STRING, AT(dns), "ADDR", "another name server" },
	{ "mac", 0, OPTION_STRING, AT(mac), "MAC", "hardware address of the first; the others' are made from their address or id, as all are without it" },
	{ "net", 0, OPTION_STRING, AT(net), "KIND", "another end of their network: bridge:NAME, or for one tap:NAME; passt for one that has passt", .words = "passt passt,host tap: bridge:" },
	{ "network", 0, OPTION_STRING, AT(net), "KIND", "as --net", .words = "passt passt,host tap: bridge:" },
	{ "publish", 'p', OPTION_LIST, AT(ports), "[IP:]HOST[:GUEST][/udp]", "forward a port of the host to the first, the next higher one to the second, and so on; without it none is; may be repeated" },
	{ "rm", 0, OPTION_FLAG, AT(remove), NULL, "leave nothing of a clone behind when it has ended" },
	{ "paused", 0, OPTION_FLAG, AT(paused), NULL, "they wait for \"lightvm resume\"" },
	{ "prefetch-all", 0, OPTION_FLAG, AT(whole), NULL, "each has a copy of all memory before it runs, in place of one page at a time: quicker for a program that uses most of it; nothing is shared" },
	{ "verify", 0, OPTION_FLAG, AT(verify), NULL, "read from the memory of each what it is, the VM's too, and fail if two share a random seed (of which boot id and machine-id are drawn), a generation, a host name, a hardware address, or an address" },
	{ "accept-shared-random", 0, OPTION_FLAG, AT(accept), NULL, "although the program has random numbers of its own that all would share: OpenSSL's, for one" },
	{ 0 },
};
#undef AT

static void defaults(void *given)
{
	((struct clone_options *)given)->count = 1;
}

struct cloning {
	const struct clone_options *given;
	uint64_t start_ns;
};

/* Those that run are printed; what went wrong with the others is said, each thing once. */
static int tell(const struct clone *clones, unsigned count)
{
	struct text out = { 0 };
	const char *said = "";
	int err = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct error *error = &clones[i].error;
		if (!error->code)
			text_format(&out, "%s\n", clones[i].id);
		else if (error->text[0] && strcmp(error->text, said))
			log_error("clone %u: %s", i + 1, said = error->text);
		err = err ? err : error->code;
	}
	int printed = text_print(&out);
	return err ? err : printed ? -EIO : 0;
}

static int verify(const struct state *state, const struct vm_info *info, const struct clone *clones, unsigned count, struct error *error)
{
	const char **ids = alloc_zero((count + 1) * sizeof(*ids));
	for (unsigned i = 0; i < count; i++)
		ids[i] = clones[i].id;
	ids[count] = info->dir.id;
	int err = clones_verify(state, ids, count + 1, error);
	free(ids);
	return err ? error_prefix(error, "--verify") : 0;
}

static int clone_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct cloning *cloning = context;
	const struct clone_options *given = cloning->given;
	const struct clone_wish wish = { .count = (unsigned)given->count, .name = given->name, .accept_shared_random = given->accept, .remove = given->remove, .paused = given->paused, .whole = given->whole,
		.net = { given->net, given->ip, given->gateway, given->dns, given->mac, &given->ports, NULL, given->ip6, given->gateway6 } };
	struct clone *clones = alloc_zero(wish.count * sizeof(*clones));
	int err = vm_clone(state, info, &wish, cloning->start_ns, clones, error);
	bool begun = clones[0].id[0] != 0;
	if (begun)
		err = tell(clones, wish.count) && !err ? -EIO : err;
	if (!err && given->verify)
		err = verify(state, info, clones, wish.count, error);
	else if (begun && err)
		error_set(error, err, "not all clones of VM %s run", info->dir.id);
	free(clones);
	return err;
}

static int run(const struct context *context, void *given, struct operands operands, struct error *error)
{
	struct cloning cloning = { given, context->start_ns };
	return vm_for_each(operands, clone_one, &cloning);
}

const struct verb verb_clone = {
	.name = "clone",
	.no_guess = true,
	.operands = "VM",
	.summary = "Make virtual machines from one that runs, which go on from where it is",
	.text = "The VM stands still for some milliseconds and goes on; the clones share with it every page that none of them changes. Each has a name, an id, a host name, a\n"
		"hardware address, an address where they have some, and random numbers of its own before its first instruction; connections that the VM had are reset in them, and\n"
		"what listens goes on listening. Their ids are printed.\n\n"
		"A program that draws random numbers in its own memory does not know that it was cloned. The kernel's (getrandom, /dev/urandom) differ, and memory that was\n"
		"marked with MADV_WIPEONFORK is wiped, by which some generators know; OpenSSL's, GnuTLS' and others do not, and an image that has one of\n"
		"them needs --accept-shared-random.",
	.examples = "lightvm clone -n 100 worker\nlightvm clone --name web2 -p 8081:80 web\nlightvm clone -n 10 --ip 10.0.0.20/24 app",
	.options = options,
	.options_size = sizeof(struct clone_options),
	.defaults = defaults,
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = run,
};
