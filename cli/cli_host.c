/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm host: who this host is, and which others may exchange VMs with it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/host_serve.h"
#include "node/host_store.h"
#include "node/migrate_receive.h"

/* ---- init ---- */

struct init_options {
	bool renew;
};

static const struct option_spec init_options[] = {
	{ "renew", 0, OPTION_FLAG, offsetof(struct init_options, renew), NULL, "replace a key that is there; hosts that know the old one trust the new one no more" },
	{ 0 },
};

static int init(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct init_options *given = opaque;
	char name[64 + 1] = "lightvm", print[TLS_FINGERPRINT + 1];
	struct text out = { 0 };
	gethostname(name, sizeof(name) - 1);
	int err = host_init(name[0] ? name : "lightvm", given->renew, error);
	if (!err)
		err = host_own(print, NULL, error);
	if (err)
		return err;
	text_format(&out, "%s\n", print);
	return text_print(&out);
}

static const struct verb verb_host_init = {
	.name = "init",
	.summary = "Make this host's key and certificate",
	.text = "Prints the fingerprint of the certificate, which \"lightvm host add\" on other hosts is given. The key is a file that only its user can\n"
		"read; each user has hosts of their own. It is used by no other program.",
	.options = init_options,
	.options_size = sizeof(struct init_options),
	.run = init,
};

/* ---- add ---- */

/* A fingerprint, or a file that holds a certificate. */
static int take_trust(const char *word, char *out, struct error *error)
{
	if (!tls_fingerprint_parse(word, out))
		return 0;
	int fd = file_open_regular(word);
	if (fd < 0)
		return error_set(error, -EINVAL, "\"%.100s\" is neither a fingerprint (64 hexadecimal digits) nor a file: %s", word, strerror(-fd));
	int err = tls_fingerprint(fd, out, error);
	close(fd);
	return err ? error_set(error, err, "%s: no certificate in PEM", word) : 0;
}

static int add(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct host host = { .name = operands.argv[0], .address = operands.argv[1] };
	int err = take_trust(operands.argv[2], host.fingerprint, error);
	return err ? err : host_add(&host, error);
}

static const struct verb verb_host_add = {
	.name = "add",
	.operands = "NAME ADDRESS[:PORT] FINGERPRINT|CERTIFICATE.pem",
	.summary = "Trust another host: VMs may be moved to it, and from it to here",
	.text = "ADDRESS is where \"lightvm host serve\" listens there, in numbers, port " "7433 unless told otherwise. The fingerprint is what \"lightvm host init\" or\n"
		"\"lightvm host show\" printed there: bring it over a way that you trust, since it is all that a host is known by. Both sides have to be\n"
		"told of each other.",
	.examples = "lightvm host add big 192.0.2.7 3b0c...e1\nlightvm host add v6 '[2001:db8::7]:9000' big.pem",
	.min = 3,
	.max = 3,
	.run = add,
};

/* ---- ls, show, rm ---- */

static int ls(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	static const char *const heads[] = { "HOST", "ADDRESS", "FINGERPRINT", NULL };
	struct strings cells = { 0 };
	struct text out = { 0 };
	const json_t *host;
	size_t i;
	json_t *list = hosts_list(error);
	if (!list)
		return error->code;
	if (format_is_json(opaque))
		return json_print(list);
	json_array_foreach(list, i, host) {
		strings_add(&cells, json_string_value(json_object_get(host, "name")));
		strings_add(&cells, json_string_value(json_object_get(host, "address")));
		strings_add(&cells, json_string_value(json_object_get(host, "fingerprint")));
	}
	table_print(heads, &cells, &out);
	strings_free(&cells);
	json_decref(list);
	return text_print(&out);
}

static const struct verb verb_host_ls = {
	.name = "ls",
	.summary = "List the hosts that are trusted",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = ls,
};

static int show_other(const char *name, bool json, struct error *error)
{
	struct host host;
	struct text out = { 0 };
	int err = host_find(name, &host, error);
	if (err)
		return err;
	if (json) {
		err = json_print(json_pack("{s:s, s:s, s:s}", "name", host.name, "address", host.address, "fingerprint", host.fingerprint));
	} else {
		text_format(&out, "name:        %s\naddress:     %s\nfingerprint: %s\n", host.name, host.address, host.fingerprint);
		err = text_print(&out);
	}
	host_free(&host);
	return err;
}

static int show(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	char print[TLS_FINGERPRINT + 1], *certificate = NULL;
	struct text out = { 0 };
	if (operands.argc)
		return show_other(operands.argv[0], format_is_json(opaque), error);
	int err = host_own(print, &certificate, error);
	if (err)
		return err;
	if (format_is_json(opaque)) {
		err = json_print(json_pack("{s:s, s:s}", "fingerprint", print, "certificate", certificate));
	} else {
		text_format(&out, "fingerprint: %s\n%s", print, certificate);
		err = text_print(&out);
	}
	free(certificate);
	return err;
}

static const struct verb verb_host_show = {
	.name = "show",
	.complete = "host",
	.operands = "[NAME]",
	.summary = "Show this host's fingerprint and certificate, or another host",
	.text = "The certificate is no secret. Its text can be given to \"lightvm host add\" elsewhere as a file.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.max = 1,
	.run = show,
};

static int rm(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	return word_for_each(operands, host_remove);
}

static const struct verb verb_host_rm = {
	.name = "rm",
	.complete = "host",
	.no_guess = true,
	.operands = "NAME...",
	.summary = "Trust hosts no more",
	.min = 1,
	.max = -1,
	.run = rm,
};

/* ---- serve ---- */

struct serve_options {
	const char *listen;
	struct migrate_places places;
};

static const struct option_spec serve_options[] = {
	{ "listen", 0, OPTION_STRING, offsetof(struct serve_options, listen), "ADDRESS[:PORT]", "where; without it, port 7433 on all IPv4 addresses", .complete = "none" },
	{ "disks", 0, OPTION_STRING, offsetof(struct serve_options, places.disks), "DIR", "VMs that come may have disks that are files below this directory, which both hosts share; without it, they may have none", .complete = "file" },
	{ "kernels", 0, OPTION_STRING, offsetof(struct serve_options, places.kernels), "DIR", "VMs that come may have kernels and initial RAM disks that lie right in this directory, and are the same by their SHA-256; without it, only kernels of \"lightvm kernel ls\"", .complete = "file" },
	{ 0 },
};

/* Readable when this process is to end. */
static int catch_end(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int check_place(const char *option, const char *place, struct error *error)
{
	struct stat st;
	if (!place)
		return 0;
	if (place[0] != '/')
		return error_set(error, -EINVAL, "%s %s: no absolute path, which is what files of VMs have", option, place);
	if (stat(place, &st))
		return error_set(error, -errno, "%s %s: %s", option, place, strerror(errno));
	return S_ISDIR(st.st_mode) ? 0 : error_set(error, -ENOTDIR, "%s %s: no directory", option, place);
}

static int serve(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct serve_options *given = opaque;
	struct state state = STATE_NONE;
	struct serving serving;
	int stop = catch_end(), err = check_place("--disks", given->places.disks, error);
	if (!err)
		err = check_place("--kernels", given->places.kernels, error);
	if (!err)
		err = state_open(&state, true, error);
	if (err)
		return err;
	err = serve_open(&serving, &state, given->listen ? given->listen : "0.0.0.0", &given->places, error);
	if (!err)
		log_info("listening on %s", given->listen ? given->listen : "0.0.0.0");
	while (!err) {
		err = serve_once(&serving, stop, error);
		if (err && err != -ECANCELED) { /* one connection is not all of them */
			log_error("%s", error->text);
			err = 0;
		}
	}
	serve_close(&serving);
	state_close(&state);
	return err == -ECANCELED ? 0 : err;
}

static const struct verb verb_host_serve = {
	.name = "serve",
	.summary = "Take VMs that other hosts move to this one, in the foreground",
	.text = "Only hosts that \"lightvm host add\" has named can connect. Each connection has a process of its own, at most 16 at once. It tells what comes,\n"
		"a line each, on standard error. A VM with disks comes only with --disks, and if they are the same files at both hosts, which share their locks; a Linux guest where\n"
		"its kernel is here, too.",
	.examples = "lightvm host serve --listen 192.0.2.7\nlightvm host serve --disks /srv/disks",
	.options = serve_options,
	.options_size = sizeof(struct serve_options),
	.run = serve,
};

static void report_arrival(const struct migrate_arrival *arrival, int err, const struct error *error)
{
	const char *host = arrival->host ? arrival->host : "a host that is not known", *name = arrival->name ? arrival->name : "";
	if (err)
		log_warn("from %s: %s%s%s", host, arrival->id, arrival->id[0] ? " has not come: " : "", error->text);
	else if (arrival->asked)
		log_line(LOG_LEVEL_INFO, "from %s: what became of a migration was told", host);
	else
		log_tell("from %s: %s %s has come", host, arrival->id, name);
}

/* Started by serve: the connection is standard input. */
static int receive(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct state state = STATE_NONE;
	struct migrate_arrival arrival;
	int socket = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (socket < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0)
		return error_set(error, -errno, "standard input: %s", strerror(errno));
	close(null);
	int err = state_open(&state, true, error);
	if (err)
		return err;
	err = migrate_receive(&state, socket, &((const struct serve_options *)opaque)->places, &arrival, error);
	report_arrival(&arrival, err, error);
	migrate_arrival_free(&arrival);
	state_close(&state);
	return err ? 1 : 0;
}

static const struct verb verb_host_receive = {
	.name = "receive",
	.hidden = true,
	.summary = "One connection of \"lightvm host serve\"",
	.options = serve_options,
	.options_size = sizeof(struct serve_options),
	.run = receive,
};

static const struct verb *const subs[] = { &verb_host_init, &verb_host_add, &verb_host_ls, &verb_host_show, &verb_host_rm, &verb_host_serve, &verb_host_receive, NULL };

const struct verb verb_host = {
	.name = "host",
	.summary = "Other hosts, to which VMs can be moved",
	.sub = subs,
};
