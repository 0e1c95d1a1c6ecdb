/* SPDX-License-Identifier: Apache-2.0 */
#include "node/host_serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "node/host_store.h"
#include "node/migrate_sweep.h"
#include "node/node_paths.h"

#define END_MS 5000

int serve_open(struct serving *serving, const struct state *state, const char *address, const struct migrate_places *places, struct error *error)
{
	*serving = (struct serving){ .state = state, .listening = -1, .places = *places };
	for (size_t i = 0; i < SERVE_AT_ONCE; i++)
		serving->child[i] = SPAWNED_NONE;
	int own = host_own_open(error);
	if (own < 0)
		return own;
	close(own);
	migrate_sweep(state);
	serving->listening = address_tcp_listen(address, HOST_PORT, error);
	return serving->listening < 0 ? serving->listening : 0;
}

static struct spawned *free_place(struct serving *serving)
{
	for (size_t i = 0; i < SERVE_AT_ONCE; i++)
		if (!serving->child[i].pid)
			return &serving->child[i];
	return NULL;
}

/* It is "lightvm host receive", whose standard input is the connection. */
static int start_child(const struct serving *serving, struct spawned *place, int connection, struct error *error)
{
	char *program = paths_command(error);
	char *argv[3 + 4 + 1] = { "lightvm", "host", "receive" };
	const struct { const char *option, *directory; } given[] = { { "--disks", serving->places.disks }, { "--kernels", serving->places.kernels } };
	for (size_t i = 0, n = 3; i < sizeof(given) / sizeof(*given); i++) {
		if (!given[i].directory)
			continue;
		argv[n++] = (char *)given[i].option;
		argv[n++] = (char *)given[i].directory;
	}
	const struct spawn spawn = { .argv = argv, .env = environ, .in = connection, .out = -1, .err = -1, .cgroup = -1, .session = true };
	int err = program ? spawn_start(&spawn, program, place, error) : error->code;
	free(program);
	return err;
}

static int take_connection(struct serving *serving, struct error *error)
{
	struct spawned *place = free_place(serving);
	int connection = place ? accept4(serving->listening, NULL, NULL, SOCK_CLOEXEC) : -1;
	if (connection < 0)
		return 0; /* it has gone again; or descriptors have run out, and it stays in the backlog */
	int err = start_child(serving, place, connection, error);
	close(connection);
	return err;
}

static void end_child(struct serving *serving, struct spawned *child)
{
	int status = spawned_wait(child);
	if (status) /* it may not have cleared up itself */
		migrate_sweep(serving->state);
}

int serve_once(struct serving *serving, int stop, struct error *error)
{
	struct pollfd fds[SERVE_AT_ONCE + 2] = { { .fd = stop, .events = POLLIN }, { .fd = free_place(serving) ? serving->listening : -1, .events = POLLIN } };
	for (size_t i = 0; i < SERVE_AT_ONCE; i++)
		fds[i + 2] = (struct pollfd){ .fd = serving->child[i].pidfd, .events = POLLIN };
	if (poll(fds, SERVE_AT_ONCE + 2, -1) < 0)
		return errno == EINTR ? 0 : error_set(error, -errno, "poll: %s", strerror(errno));
	for (size_t i = 0; i < SERVE_AT_ONCE; i++)
		if (fds[i + 2].revents)
			end_child(serving, &serving->child[i]);
	if (fds[0].revents)
		return -ECANCELED;
	return fds[1].revents ? take_connection(serving, error) : 0;
}

void serve_close(struct serving *serving)
{
	for (size_t i = 0; i < SERVE_AT_ONCE; i++) {
		struct spawned *child = &serving->child[i];
		if (child->pid)
			kill(child->pid, SIGTERM);
		if (child->pid && !spawned_ends(child, END_MS))
			kill(child->pid, SIGKILL);
		if (child->pid)
			end_child(serving, child);
	}
	if (serving->listening >= 0)
		close(serving->listening);
	serving->listening = -1;
}
