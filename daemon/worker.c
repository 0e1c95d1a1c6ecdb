/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "daemon/passing.h"

struct worker {
	struct workers *workers;
	struct worker *next, **before;
	struct loop_watch watch; /* its socket */
	uid_t uid;
	char *rights;		  /* of those that it serves: user, groups */
	char group[CALLER_GROUP]; /* and their control group; "": not known */
	uint64_t sent; /* connections, ever */
};

struct workers {
	struct daemon *daemon;
	struct worker *first;
	unsigned count;
};

static void forget(struct worker *worker)
{
	loop_update(&worker->workers->daemon->loop, &worker->watch, 0);
	close(worker->watch.fd);
	*worker->before = worker->next;
	if (worker->next)
		worker->next->before = worker->before;
	worker->workers->count--;
	free(worker->rights);
	free(worker);
}

/*
 * It says how many connections it has had when it has nothing to do. If we have sent more, they are on their way, and it stays; otherwise
 * the socket is closed here first, so that none can be lost.
 */
static void on_word(void *context, uint32_t events)
{
	struct worker *worker = context;
	uint64_t received;
	ssize_t n = recv(worker->watch.fd, &received, sizeof(received), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(received) || received == worker->sent)
		forget(worker);
}

/* rights: as rights_of made them. */
static int spawn(int theirs, const char *rights, int group, struct error *error)
{
	/* What root chose of where our parts lie; nothing of root's own directories. */
	static const char *const passed[] = { "LIGHTVM_VMM", "LIGHTVM_LIBOS", "LIGHTVM_INIT", "LIGHTVM_LOG", "PATH" };
	char self[4096], *word = alloc_format("%d:%s", theirs, rights), *env[sizeof(passed) / sizeof(*passed) + 1];
	size_t n = 0;
	struct spawned child;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0 || !word) {
		free(word);
		return error_set(error, len <= 0 ? -errno : -ENOMEM, "/proc/self/exe: %s", strerror(len <= 0 ? errno : ENOMEM));
	}
	self[len] = 0;
	for (size_t i = 0; i < sizeof(passed) / sizeof(*passed); i++)
		if (getenv(passed[i]))
			env[n++] = alloc_format("%s=%s", passed[i], getenv(passed[i]));
	env[n] = NULL;
	const char *const argv[] = { "lightvmd", "--worker", word, NULL };
	struct spawn start = { SPAWN_INIT, .argv = (char *const *)argv, .env = env, .keep = &theirs, .keep_count = 1, .session = true };
	start.cgroup = group;
	int err = spawn_start(&start, self, &child, error);
	while (n)
		free(env[--n]);
	free(word);
	if (!err)
		spawned_leave(&child); /* taken away with our other children */
	return err;
}

static int spawn_in(int theirs, const char *rights, const char *group, struct error *error)
{
	int dir = group[0] ? caller_group_open(group) : -1, err = spawn(theirs, rights, dir, error);
	if (dir >= 0)
		close(dir);
	return err;
}

/* Takes rights. */
static struct worker *start(struct workers *workers, const struct peer *peer, char *rights, const char *group, struct error *error)
{
	int pair[2];
	struct worker *worker = alloc_zero(sizeof(*worker));
	if (!worker || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		error_set(error, worker ? -errno : -ENOMEM, "a worker's socket: %s", strerror(worker ? errno : ENOMEM));
		free(rights);
		free(worker);
		return NULL;
	}
	*worker = (struct worker){ .rights = rights, .workers = workers, .uid = peer->caller.uid, .next = workers->first, .before = &workers->first,
		.watch = { .fd = pair[0], .ready = on_word, .context = worker } };
	memcpy(worker->group, group, sizeof(worker->group));
	int err = spawn_in(pair[1], rights, group, error);
	close(pair[1]);
	if (!err)
		err = loop_update(&workers->daemon->loop, &worker->watch, EPOLLIN);
	if (err) {
		close(pair[0]);
		free(rights);
		free(worker);
		return NULL;
	}
	if (worker->next)
		worker->next->before = &worker->next;
	workers->first = worker;
	workers->count++;
	return worker;
}

/* "UID:GID:GROUP,GROUP,...": the caller's. NULL: out of memory. */
static char *rights_of(const struct peer *peer)
{
	struct text out = { 0 };
	text_format(&out, "%u:%u:", peer->caller.uid, peer->gid);
	for (unsigned i = 0; i < peer->group_count; i++)
		text_format(&out, "%s%u", i ? "," : "", peer->groups[i]);
	if (!text_error(&out))
		return out.data;
	text_free(&out);
	return NULL;
}

/* One that serves connections with the very same rights, out of this control group: what it starts is in there. */
static struct worker *find(struct workers *workers, const struct peer *peer, struct error *error)
{
	char group[CALLER_GROUP] = "", *rights = rights_of(peer);
	unsigned his = 0;
	if (!rights) {
		error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	if (caller_group(&peer->caller, group))
		group[0] = 0;
	for (struct worker *worker = workers->first; worker; worker = worker->next) {
		if (!strcmp(worker->rights, rights) && !strcmp(worker->group, group)) {
			free(rights);
			return worker;
		}
		his += worker->uid == peer->caller.uid;
	}
	if (workers->count < WORKERS_MOST && his < WORKERS_OF_ONE)
		return start(workers, peer, rights, group, error);
	free(rights);
	error_set(error, -EAGAIN, "%u workers serve this user, %u all of them", his, workers->count);
	return NULL;
}

void workers_take(struct workers *workers, const struct peer *peer, enum connection_kind kind, int fd)
{
	struct error error = { 0 };
	struct worker *worker = find(workers, peer, &error);
	int err = worker ? passing_send(worker->watch.fd, (uint32_t)kind, fd) : error.code;
	if (worker && err)
		error_set(&error, err, "its worker takes no connection: %s", strerror(-err));
	if (worker && !err)
		worker->sent++;
	if (err)
		log_warn("user %u: %s", peer->caller.uid, error.text);
	if (err == -EPIPE || err == -ECONNRESET)
		forget(worker);
	close(fd);
}

unsigned workers_count(const struct workers *workers)
{
	return workers ? workers->count : 0;
}

struct workers *workers_new(struct daemon *daemon)
{
	struct workers *workers = alloc_zero(sizeof(*workers));
	if (workers)
		workers->daemon = daemon;
	return workers;
}

void workers_free(struct workers *workers)
{
	while (workers && workers->first)
		forget(workers->first);
	free(workers);
}
