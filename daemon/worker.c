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
	char group[PLACE_GROUP]; /* and their control group; "": not known */
	uint64_t sent; /* connections, ever */
};

struct workers {
	struct daemon *daemon;
	void (*up)(struct daemon *daemon, uid_t uid, int fd);
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
 * the socket is closed here first, so that none can be lost. Or it has one that is for its user's keeper.
 */
static void on_word(void *context, uint32_t events)
{
	struct worker *worker = context;
	uint32_t received;
	int fd, got = passing_receive(worker->watch.fd, &received, &fd);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got == 1 && fd >= 0)
		worker->workers->up(worker->workers->daemon, worker->uid, fd);
	else if (got != 1 || received == (uint32_t)worker->sent)
		forget(worker);
}

static int spawn(int theirs, const char *rights, int group, bool keeper, pid_t *pid, struct error *error)
{
	/* What root chose of where our parts lie, and where we are reached; nothing of root's own directories. */
	static const char *const passed[] = { "LIGHTVM_RUN", "LIGHTVM_VMM", "LIGHTVM_LIBOS", "LIGHTVM_INIT", "LIGHTVM_LOG", "JOURNAL_STREAM", "PATH" };
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
	const char *const argv[] = { "lightvmd", "--worker", word, keeper ? "--keeper" : NULL, NULL };
	struct spawn start = { SPAWN_INIT, .argv = (char *const *)argv, .env = env, .keep = &theirs, .keep_count = 1, .session = true };
	start.cgroup = group;
	int err = spawn_start(&start, self, &child, error);
	while (n)
		free(env[--n]);
	free(word);
	if (!err) {
		*pid = child.pid;
		spawned_leave(&child); /* taken away with our other children */
	}
	return err;
}

int worker_spawn(const char *rights, const char *group, bool keeper, pid_t *pid, struct error *error)
{
	int pair[2], dir = group[0] ? place_group_open(group) : -1;
	int err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) ? error_set(error, -errno, "a worker's socket: %s", strerror(errno)) : 0;
	if (!err) {
		err = spawn(pair[1], rights, dir, keeper, pid, error);
		close(pair[1]);
		if (err)
			close(pair[0]);
	}
	if (dir >= 0)
		close(dir);
	return err ? err : pair[0];
}

/* Takes rights. */
static struct worker *start(struct workers *workers, const struct peer *peer, char *rights, const char *group, struct error *error)
{
	pid_t pid;
	struct worker *worker = alloc_zero(sizeof(*worker));
	int fd = worker ? worker_spawn(rights, group, false, &pid, error) : error_set(error, -ENOMEM, "out of memory");
	if (fd >= 0) {
		*worker = (struct worker){ .rights = rights, .workers = workers, .uid = peer->caller.uid, .next = workers->first, .before = &workers->first,
			.watch = { .fd = fd, .ready = on_word, .context = worker } };
		memcpy(worker->group, group, sizeof(worker->group));
	}
	int err = fd < 0 ? fd : loop_update(&workers->daemon->loop, &worker->watch, EPOLLIN);
	if (err) {
		if (fd >= 0) {
			error_set(error, err, "a worker's socket: %s", strerror(-err));
			close(fd);
		}
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

char *worker_rights(const struct peer *peer)
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
	char group[PLACE_GROUP] = "", *rights = worker_rights(peer);
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

struct workers *workers_new(struct daemon *daemon, void (*up)(struct daemon *daemon, uid_t uid, int fd))
{
	struct workers *workers = alloc_zero(sizeof(*workers));
	if (workers)
		*workers = (struct workers){ .daemon = daemon, .up = up };
	return workers;
}

void workers_free(struct workers *workers)
{
	while (workers && workers->first)
		forget(workers->first);
	free(workers);
}
