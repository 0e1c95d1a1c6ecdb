/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 65536 /* bytes, as a pipe holds them */
#define ROUNDS 8      /* before others get their turn */
#define POOL (sizeof(((struct relay_pipes *)0)->fd) / sizeof(((struct relay_pipes *)0)->fd[0]))

/* ---- pipes ---- */

static int pipe_take(struct relay *relay, struct relay_way *way)
{
	if (way->pipe[0] >= 0)
		return 0;
	if (!relay->pipes->count)
		return pipe2(way->pipe, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
	memcpy(way->pipe, relay->pipes->fd[--relay->pipes->count], sizeof(way->pipe));
	return 0;
}

/* One with bytes in it is nobody's any more. */
static void pipe_give(struct relay *relay, struct relay_way *way)
{
	if (way->pipe[0] < 0)
		return;
	if (!way->inside && relay->pipes->count < POOL) {
		memcpy(relay->pipes->fd[relay->pipes->count++], way->pipe, sizeof(way->pipe));
	} else {
		close(way->pipe[0]);
		close(way->pipe[1]);
	}
	way->pipe[0] = way->pipe[1] = -1;
	way->inside = 0;
}

void relay_pipes_free(struct relay_pipes *pipes)
{
	while (pipes->count) {
		close(pipes->fd[--pipes->count][0]);
		close(pipes->fd[pipes->count][1]);
	}
}

/* ---- the end ---- */

static void let_go(struct relay *relay, int side, bool reset)
{
	const struct linger now = { .l_onoff = 1 };
	if (relay->side[side].fd < 0)
		return;
	loop_update(relay->loop, &relay->side[side], 0);
	if (reset) /* what was cut off must not look like an end */
		setsockopt(relay->side[side].fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(relay->side[side].fd);
	relay->side[side].fd = -1;
}

static void close_all(struct relay *relay, bool reset)
{
	for (int i = 0; i < 2; i++) {
		let_go(relay, i, reset);
		pipe_give(relay, &relay->way[i]);
	}
}

void relay_cancel(struct relay *relay)
{
	close_all(relay, true);
}

static void finish(struct relay *relay, bool reset)
{
	close_all(relay, reset);
	relay->done(relay->context, false, -1);
}

static void refuse(struct relay *relay)
{
	int client = relay->side[0].fd;
	loop_update(relay->loop, &relay->side[0], 0);
	relay->side[0].fd = -1;
	close_all(relay, false);
	relay->done(relay->context, true, client);
}

/* ---- moving ---- */

/* One round of a way. 1: something moved; 0: nothing can for now, or ever; a negative errno: it is broken. */
static int move(struct relay *relay, int from)
{
	struct relay_way *way = &relay->way[from];
	ssize_t n;
	if (!way->inside && !way->ended) {
		int err = pipe_take(relay, way);
		if (err)
			return err;
		n = splice(relay->side[from].fd, NULL, way->pipe[1], NULL, AT_ONCE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		way->ended = !n;
		if (from && !relay->heard) {
			relay->heard = true;
			relay->opened(relay->context);
		}
		way->inside = (uint32_t)n;
	}
	if (!way->inside)
		return 0;
	n = splice(way->pipe[0], NULL, relay->side[!from].fd, NULL, way->inside, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	way->inside -= (uint32_t)n;
	relay->bytes += (uint64_t)n;
	return !way->inside;
}

static int pump(struct relay *relay, int from)
{
	struct relay_way *way = &relay->way[from];
	int n = 1;
	for (int round = 0; round < ROUNDS && n > 0; round++)
		n = move(relay, from);
	if (n < 0)
		return n;
	if (!way->inside)
		pipe_give(relay, way);
	if (way->ended && !way->inside && !way->told) {
		way->told = true;
		shutdown(relay->side[!from].fd, SHUT_WR);
	}
	return 0;
}

/* A side is asked for what it has while there is room, and for room while something waits for it. */
static int watch(struct relay *relay)
{
	int err = 0;
	for (int i = 0; i < 2 && !err; i++) {
		uint32_t events = (!relay->way[i].ended && !relay->way[i].inside ? EPOLLIN : 0u) | (relay->way[!i].inside ? EPOLLOUT : 0u);
		err = loop_update(relay->loop, &relay->side[i], events);
	}
	return err;
}

static void carry_on(struct relay *relay)
{
	int err = pump(relay, 0);
	if (!err)
		err = pump(relay, 1);
	if (!err && relay->way[0].told && relay->way[1].told)
		finish(relay, false);
	else if (err || watch(relay))
		finish(relay, true);
}

static void on_ready(void *context, uint32_t events)
{
	struct relay *relay = context;
	int problem = 0;
	socklen_t size = sizeof(problem);
	if (!relay->connecting) {
		carry_on(relay);
		return;
	}
	/* Who waits may go; that is seen once the other side is there. */
	if (getsockopt(relay->side[1].fd, SOL_SOCKET, SO_ERROR, &problem, &size) || problem) {
		refuse(relay);
		return;
	}
	relay->connecting = false;
	carry_on(relay);
}

void relay_start(struct relay *relay, int client, int serving)
{
	const int fds[] = { client, serving };
	for (int i = 0; i < 2; i++) {
		relay->side[i] = (struct loop_watch){ .fd = fds[i], .ready = on_ready, .context = relay };
		relay->way[i] = (struct relay_way){ .pipe = { -1, -1 } };
	}
	relay->connecting = true;
	relay->heard = false;
	relay->bytes = 0;
	if (loop_update(relay->loop, &relay->side[1], EPOLLOUT))
		refuse(relay);
}
