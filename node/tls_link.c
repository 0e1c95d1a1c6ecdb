/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tls_link.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/file.h"
#include "node/node_paths.h"

#define REPORT_MAX 512
#define PEM_MAX 65536
#define END_MS 2000 /* for what was sent to go out */
#define BUFFER (1 << 20) /* bytes on their way between us and the helper */

/* ---- what lightvm-tls is told ---- */

struct order {
	int socket, plain, report;
	char word[4][SPAWN_PID_WORD];
	char **argv;
};

static int start_helper(const char *way, const struct tls_terms *terms, struct order *order, struct spawned *helper, struct error *error)
{
	const int keep[] = { order->socket, order->plain, order->report, terms->own };
	size_t known = terms->trusted->count;
	char *program = paths_tls(error);
	char **argv = order->argv = program ? alloc_zero((known + 8) * sizeof(*argv)) : NULL;
	int err = !program ? error->code : !argv ? error_set(error, -ENOMEM, "out of memory") : 0;
	for (size_t i = 0; i < 4; i++)
		snprintf(order->word[i], sizeof(order->word[i]), "%d", keep[i]);
	if (!err) {
		char *fixed[] = { program, (char *)way, order->word[0], order->word[1], order->word[2], order->word[3], terms->relay ? "relay" : "kernel" };
		memcpy(argv, fixed, sizeof(fixed));
		memcpy(argv + 7, terms->trusted->item, known * sizeof(*argv));
		err = lseek(terms->own, 0, SEEK_SET) < 0 ? error_set(error, -errno, "this host's key: %s", strerror(errno)) : 0;
	}
	const struct spawn spawn = { SPAWN_INIT, .argv = argv, .keep = keep, .keep_count = 4, .session = true };
	if (!err)
		err = spawn_start(&spawn, program, helper, error);
	free(argv);
	free(program);
	return err;
}

/* ---- what it says ---- */

static int read_line(int fd, char *line, size_t room, uint64_t deadline)
{
	size_t n = 0;
	for (;;) {
		int err = deadline_readable(fd, deadline);
		ssize_t got = err ? err : read(fd, line + n, room - 1 - n);
		if (got < 0)
			return err ? err : -errno;
		n += (size_t)got;
		line[n] = 0;
		char *end = strchr(line, '\n');
		if (end)
			*end = 0;
		if (end)
			return 0;
		if (!got || n == room - 1)
			return -EPROTO;
	}
}

static bool is_fingerprint(const char *word)
{
	return strspn(word, "0123456789abcdef") == TLS_FINGERPRINT && !word[TLS_FINGERPRINT];
}

/* "ok PEER kernel|relay CIPHER", "error PEER|- TEXT" */
static int take_report(const char *line, struct tls_link *link, struct error *error)
{
	char peer[TLS_FINGERPRINT + 2] = "", way[8] = "";
	int text = 0;
	if (sscanf(line, "error %65s %n", peer, &text) == 1 && text) {
		if (is_fingerprint(peer))
			strcpy(link->peer, peer);
		bool trust = strstr(line + text, "know") != NULL;
		return error_set(error, trust ? -EACCES : -EPROTO, "%.200s", line + text);
	}
	if (sscanf(line, "ok %65s %7s %39s", peer, way, link->cipher) != 3 || !is_fingerprint(peer))
		return error_set(error, -EPROTO, "lightvm-tls speaks another language: install lightvm again");
	strcpy(link->peer, peer);
	link->kernel_sends = !strcmp(way, "kernel");
	return 0;
}

static int await_report(int fd, uint64_t deadline, struct tls_link *link, struct error *error)
{
	char line[REPORT_MAX];
	int err = read_line(fd, line, sizeof(line), deadline);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "the other side did not secure the connection in time");
	return err ? error_set(error, err, "the process that secures the connection has ended: %s", strerror(-err)) : take_report(line, link, error);
}

/* ---- a connection ---- */

static int open_pairs(int pair[2], int report[2], struct error *error)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || pipe2(report, O_CLOEXEC))
		return error_set(error, -errno, "securing a connection: %s", strerror(errno));
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &(int){ BUFFER }, sizeof(int));
	return 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_link(const char *way, int socket, const struct tls_terms *terms, struct tls_link *link, struct error *error)
{
	int pair[2] = { -1, -1 }, report[2] = { -1, -1 };
	*link = TLS_LINK_NONE;
	int err = open_pairs(pair, report, error);
	struct order order = { .socket = socket, .plain = pair[1], .report = report[1] };
	if (!err)
		err = start_helper(way, terms, &order, &link->helper, error);
	close_one(&pair[1]);
	close_one(&report[1]);
	if (!err)
		err = await_report(report[0], terms->deadline, link, error);
	close_one(&report[0]);
	link->in = pair[0];
	link->out = !err && link->kernel_sends ? socket : pair[0];
	if (link->out != socket)
		close(socket);
	if (err && link->helper.pid)
		kill(link->helper.pid, SIGKILL);
	if (err) {
		char peer[TLS_FINGERPRINT + 1];
		memcpy(peer, link->peer, sizeof(peer));
		tls_link_close(link);
		memcpy(link->peer, peer, sizeof(peer));
	}
	return err;
}

int tls_link_connect(int socket, const struct tls_terms *terms, struct tls_link *link, struct error *error)
{
	return open_link("connect", socket, terms, link, error);
}

int tls_link_accept(int socket, const struct tls_terms *terms, struct tls_link *link, struct error *error)
{
	return open_link("accept", socket, terms, link, error);
}

void tls_link_close(struct tls_link *link)
{
	if (link->out >= 0 && link->out != link->in)
		close(link->out);
	if (link->in >= 0)
		shutdown(link->in, SHUT_WR);
	/* It relays what is left, and hears the other side's end, unless that side is gone. */
	if (link->helper.pid && link->in >= 0) {
		close(link->in);
		if (!spawned_ends(&link->helper, END_MS))
			kill(link->helper.pid, SIGKILL);
	} else {
		close_one(&link->in);
	}
	if (link->helper.pid)
		spawned_wait(&link->helper);
	*link = TLS_LINK_NONE;
}

/* ---- identities ---- */

static int collect(char *const *argv, int in, char **data, size_t *size, struct error *error)
{
	struct text out = { 0 };
	struct spawned child;
	int pipe[2];
	ssize_t n = 1;
	char *program = paths_tls(error);
	if (!program)
		return error->code;
	if (pipe2(pipe, O_CLOEXEC)) {
		free(program);
		return error_set(error, -errno, "%s: %s", argv[1], strerror(errno));
	}
	const struct spawn spawn = { .argv = argv, .in = in, .out = pipe[1], .err = -1, .cgroup = -1 };
	int err = spawn_start(&spawn, program, &child, error);
	close(pipe[1]);
	while (!err && n > 0 && out.size < PEM_MAX) {
		char *room = text_room(&out, 4096);
		n = room ? read(pipe[0], room, 4096) : -1;
		out.size += n > 0 ? (size_t)n : 0;
	}
	close(pipe[0]);
	free(program);
	if (!err && spawned_wait(&child))
		err = error_set(error, -EINVAL, "lightvm-tls %s failed", argv[1]);
	if (!err && text_error(&out))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		text_add(&out, "", 1);
	*data = out.data;
	*size = out.size;
	return err;
}

int tls_new_identity(const char *name, char **pem, size_t *size, struct error *error)
{
	char *argv[] = { "lightvm-tls", "identity", (char *)name, NULL };
	*pem = NULL;
	int err = collect(argv, -1, pem, size, error);
	if (!err)
		--*size;
	return err;
}

int tls_fingerprint(int fd, char *out, struct error *error)
{
	char *argv[] = { "lightvm-tls", "fingerprint", NULL }, *said = NULL;
	size_t size = 0;
	int err = collect(argv, fd, &said, &size, error);
	if (!err && size > TLS_FINGERPRINT)
		said[TLS_FINGERPRINT] = 0;
	if (!err && (size <= TLS_FINGERPRINT || !is_fingerprint(said)))
		err = error_set(error, -EPROTO, "lightvm-tls speaks another language: install lightvm again");
	if (!err)
		strcpy(out, said);
	free(said);
	return err;
}

int tls_fingerprint_parse(const char *word, char *out)
{
	size_t n = 0;
	for (; *word; word++) {
		if (*word == ':' && n && n % 2 == 0 && word[1])
			continue;
		if (!isxdigit((unsigned char)*word) || n == TLS_FINGERPRINT)
			return -EINVAL;
		out[n++] = (char)tolower((unsigned char)*word);
	}
	out[n] = 0;
	return n == TLS_FINGERPRINT ? 0 : -EINVAL;
}
