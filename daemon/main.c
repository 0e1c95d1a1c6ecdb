/* SPDX-License-Identifier: Apache-2.0 */
/* lightvmd: the daemon that makes LightVM's verbs faster and gives them an API. Without it everything works as well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "base/standard.h"
#include "daemon/lightvmd.h"
#include "daemon/routes.h"
#include "daemon/tls.h"
#include "daemon/worker.h"

struct options {
	const char *worker, *level;
	struct tls_options tls;
	bool version, operations, keeper;
};

#define AT(field) offsetof(struct options, field)
static const struct option_spec table[] = {
	{ .name = "log", .kind = OPTION_STRING, .offset = AT(level), .value = "LEVEL", .help = "error, warn, info or debug (default info)", .words = "error warn info debug" },
	{ .name = "worker", .kind = OPTION_STRING, .offset = AT(worker), .value = "FD:UID:GID:GROUPS", .help = "how root's lightvmd starts itself for another user" },
	{ .name = "keeper", .kind = OPTION_FLAG, .offset = AT(keeper), .help = "with --worker: and minds that user's services and restart policies" },
	{ .name = "tls-listen", .kind = OPTION_STRING, .offset = AT(tls.listen), .value = "ADDRESS:PORT", .help = "serve the API over TCP with TLS, too, to clients with a certificate; who has one may do everything" },
	{ .name = "tls-certificate", .kind = OPTION_STRING, .offset = AT(tls.certificate), .value = "FILE", .help = "our certificate (PEM)" },
	{ .name = "tls-key", .kind = OPTION_STRING, .offset = AT(tls.key), .value = "FILE", .help = "its key (PEM), which nobody else may read" },
	{ .name = "tls-clients", .kind = OPTION_STRING, .offset = AT(tls.clients), .value = "FILE", .help = "the certificates (PEM) of who signs the clients' ones" },
	{ .name = "version", .kind = OPTION_FLAG, .offset = AT(version), .help = "print the version" },
	{ .name = "operations", .kind = OPTION_FLAG, .offset = AT(operations), .help = "print the API's operations, a line each: method, path, name, kind of body, query" },
	{ 0 },
};

static int serve(const struct options *given, struct error *error)
{
	struct daemon daemon;
	int fd = -1, err = given->worker ? worker_become(given->worker, &fd, error) : 0;
	if (err)
		return err;
	err = daemon_init(&daemon, !given->worker ? DAEMON_OWN : given->keeper ? DAEMON_KEEPER : DAEMON_WORKER, error);
	if (!err && !given->worker)
		err = tls_open(&daemon, &given->tls, error);
	if (!err)
		err = given->worker ? daemon_serve(&daemon, fd, error) : daemon_listen(&daemon, error);
	if (!err) {
		log_info("lightvmd %s serves %s", LIGHTVM_VERSION, daemon.worker ? "a user" : daemon.system ? "this machine" : "its user");
		daemon_run(&daemon);
	}
	daemon_fini(&daemon);
	return err;
}

/* What a test compares with docs/openapi.json. */
static int print_operations(void)
{
	static const char *const bodies[] = { [API_NO_BODY] = "none", [API_JSON] = "json", [API_JSON_OPTIONAL] = "optional", [API_TAR] = "tar" };
	for (const struct route *const *family = route_tables; *family; family++)
		for (const struct route *route = *family; route->path; route++) {
			printf("%s %s %s %s", route->method, route->path, route->operation, bodies[route->body]);
			for (const char *const *key = route->query; key && *key; key++)
				printf(" %s", *key);
			printf("\n");
		}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int help(void)
{
	struct text out = { 0 };
	text_put(&out, "usage: lightvmd [OPTIONS]\n\nServes the user that starts it; root's serves all. Stays in the foreground. See lightvmd(8).\n\n");
	options_help(table, &out);
	int err = fd_write(1, out.data, out.size);
	text_free(&out);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	standard_hold();
	struct options given = { 0 };
	struct option_result result;
	struct error error = { 0 };
	log_level = LOG_LEVEL_INFO;
	log_know_journal();
	int err = options_parse(table, argc, argv, false, &given, &result, &error);
	if (!err && result.help)
		return help();
	if (!err && result.first < argc)
		err = error_set(&error, -1, "\"%s\": lightvmd takes options only", argv[result.first]);
	if (!err && given.version) {
		printf("lightvmd %s\n", LIGHTVM_VERSION);
		return EXIT_SUCCESS;
	}
	if (!err && given.operations)
		return print_operations();
	const char *level = given.level ? given.level : getenv("LIGHTVM_LOG");
	if (!err && level && log_level_parse(level, &log_level))
		log_warn("LIGHTVM_LOG=%s is none of error, warn, info, debug", level);
	if (!err)
		err = serve(&given, &error);
	if (err)
		log_error("%s", error.text);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
