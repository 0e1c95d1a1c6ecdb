/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/lightvmd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/local.h"
#include "daemon/http.h"
#include "daemon/keeper.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "daemon/task.h"
#include "daemon/tls.h"
#include "daemon/worker.h"

#define GROUP "lightvm"
#define END_MS 10000 /* for what is under way when we are told to end */

/* ---- children and signals ---- */

/* Monitors' helpers, tasks, workers: nobody waits for one of them but here. */
static void reap(struct daemon *daemon)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		tasks_child_ended(daemon->tasks, pid, status);
		for (size_t i = 0; daemon_parts[i]; i++)
			if (daemon_parts[i]->child_ended)
				daemon_parts[i]->child_ended(daemon, daemon->part[i], pid, status);
	}
}

static void on_signal(void *context, uint32_t events)
{
	struct daemon *daemon = context;
	struct signalfd_siginfo info;
	while (read(daemon->signals.fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(daemon);
		else
			daemon_end(daemon);
	}
}

static int watch_signals(struct daemon *daemon)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	daemon->signals = (struct loop_watch){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_signal, .context = daemon };
	return daemon->signals.fd < 0 ? -errno : loop_update(&daemon->loop, &daemon->signals, EPOLLIN);
}

/* ---- its life ---- */

static void too_late(void *context)
{
	struct daemon *daemon = context;
	log_warn("%u requests are left without an answer", http_requests(daemon->http));
	daemon->ended = true;
}

/* As many descriptors as may be: each client and each VM that is watched has one. What we start gets what we were given. */
static void raise_files(struct daemon *daemon)
{
	getrlimit(RLIMIT_NOFILE, &daemon->files);
	struct rlimit most = { daemon->files.rlim_max, daemon->files.rlim_max };
	setrlimit(RLIMIT_NOFILE, &most);
}

static void find_group(struct daemon *daemon)
{
	const struct group *group = daemon->system ? getgrnam(GROUP) : NULL;
	daemon->has_group = group != NULL;
	daemon->group = group ? group->gr_gid : 0;
}

static int start_parts(struct daemon *daemon, struct error *error)
{
	int err = 0;
	for (size_t i = 0; daemon_parts[i] && !err; i++)
		if (daemon_parts[i]->start && (err = daemon_parts[i]->start(daemon, &daemon->part[i], error)))
			error_prefix(error, "%s", daemon_parts[i]->name);
	return err;
}

static void to_keeper(struct daemon *daemon, uid_t uid, int fd)
{
	keepers_take(daemon->keepers, uid, fd);
}

int daemon_init(struct daemon *daemon, enum daemon_kind kind, struct error *error)
{
	bool worker = kind != DAEMON_OWN;
	*daemon = (struct daemon){ .uid = geteuid(), .worker = worker, .keeper = kind == DAEMON_KEEPER, .system = !worker && !geteuid(), .started_ns = clock_wall(), .lock = -1, .spare = -1,
		.listener = { { .watch = { .fd = -1 } }, { .watch = { .fd = -1 } } }, .signals = { .fd = -1 }, .source = { .fd = -1 } };
	daemon->patience = (struct loop_timer){ .fire = too_late, .context = daemon };
	int err = loop_init(&daemon->loop);
	if (!err)
		err = watch_signals(daemon);
	if (err)
		return error_set(error, err, "the loop: %s", strerror(-err));
	raise_files(daemon);
	find_group(daemon);
	daemon->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	daemon->tasks = tasks_new(daemon);
	daemon->local = local_new(daemon);
	daemon->workers = daemon->system ? workers_new(daemon, to_keeper) : NULL;
	if (!daemon->tasks || !daemon->local || (daemon->system && !daemon->workers))
		return error_set(error, -ENOMEM, "out of memory");
	daemon->http = http_new(daemon, error);
	int failed = daemon->http ? start_parts(daemon, error) : error->code;
	if (!failed && daemon->system && !(daemon->keepers = keepers_new(daemon)))
		failed = error_set(error, -ENOMEM, "out of memory");
	return failed;
}

int daemon_listen(struct daemon *daemon, struct error *error)
{
	int err = listen_open(daemon, error);
	if (!err)
		notify_manager("READY=1");
	return err;
}

int daemon_serve(struct daemon *daemon, int fd, struct error *error)
{
	int err = worker_attach(daemon, fd);
	daemon_settle(daemon);
	return err ? error_set(error, err, "the daemon's socket: %s", strerror(-err)) : 0;
}

void daemon_run(struct daemon *daemon)
{
	while (!daemon->ended)
		loop_once(&daemon->loop, -1);
}

void daemon_connect(struct daemon *daemon, enum connection_kind kind, int fd)
{
	if (kind == CONNECTION_API)
		http_connect(daemon->http, fd);
	else
		local_connect(daemon->local, fd);
}

static bool parts_busy(struct daemon *daemon)
{
	bool busy = false;
	for (size_t i = 0; daemon_parts[i]; i++)
		busy |= daemon_parts[i]->busy && daemon_parts[i]->busy(daemon, daemon->part[i]);
	return busy;
}

bool daemon_is_busy(struct daemon *daemon)
{
	return tasks_count(daemon->tasks) || http_connections(daemon->http) || local_connections(daemon->local) || parts_busy(daemon);
}

void daemon_settle(struct daemon *daemon)
{
	bool tasks = daemon->tasks && tasks_count(daemon->tasks);
	if (daemon->ending && !tasks && !http_requests(daemon->http))
		daemon->ended = true;
	else if (daemon->worker && daemon->http)
		worker_idle(daemon, !daemon_is_busy(daemon));
}

void daemon_end(struct daemon *daemon)
{
	if (daemon->ending)
		return;
	daemon->ending = true;
	notify_manager("STOPPING=1");
	listen_close(daemon);
	loop_timer_set(&daemon->loop, &daemon->patience, clock_now() + END_MS * NS_PER_MS);
	daemon_settle(daemon);
}

void daemon_fini(struct daemon *daemon)
{
	for (size_t i = 0; daemon_parts[i]; i++)
		if (daemon_parts[i]->stop && daemon->part[i])
			daemon_parts[i]->stop(daemon, daemon->part[i]);
	listen_close(daemon);
	http_free(daemon->http);
	tls_close(daemon);
	local_free(daemon->local);
	workers_free(daemon->workers);
	keepers_free(daemon->keepers);
	tasks_free(daemon->tasks);
	int *fds[] = { &daemon->signals.fd, &daemon->source.fd, &daemon->lock, &daemon->spare };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	loop_fini(&daemon->loop);
}
