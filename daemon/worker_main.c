/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's side: becoming the user, and taking what the daemon hands over. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/passing.h"
#include "daemon/worker.h"

/* ---- becoming ---- */

/* Only what names this user: a home that is not there would be a path that nobody meant. */
static void set_environment(const struct passwd *user)
{
	struct stat st;
	unsetenv("HOME");
	if (!user)
		return;
	setenv("USER", user->pw_name, 1);
	setenv("LOGNAME", user->pw_name, 1);
	if (user->pw_dir && user->pw_dir[0] == '/' && !stat(user->pw_dir, &st) && S_ISDIR(st.st_mode))
		setenv("HOME", user->pw_dir, 1);
}

struct rights {
	uid_t uid;
	gid_t gid, groups[PEER_GROUPS];
	size_t count;
};

/* "UID:GID:GROUP,GROUP,...", as worker.c writes it. */
static bool read_rights(const char *words, struct rights *rights)
{
	unsigned uid, gid;
	int used = 0;
	if (sscanf(words, "%u:%u:%n", &uid, &gid, &used) != 2 || !used || !uid || uid == (uid_t)-1)
		return false;
	*rights = (struct rights){ .uid = uid, .gid = gid };
	for (const char *at = words + used; *at; at += *at == ',') {
		char *end;
		if (rights->count == PEER_GROUPS)
			return false;
		rights->groups[rights->count++] = (gid_t)strtoul(at, &end, 10);
		if (end == at || (*end && *end != ','))
			return false;
		at = end;
	}
	return true;
}

/* Those that the peer had when it connected, and not those that its user might have: it may have given some up. */
static int take_ids(const struct rights *rights, struct error *error)
{
	uid_t uid = rights->uid;
	gid_t gid = rights->gid;
	if (setgroups(rights->count, rights->groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return error_set(error, -errno, "becoming user %u: %s", uid, strerror(errno));
	/* From here on nothing can give rights back: neither a capability nor a program with a set-user-id bit. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || getuid() != uid || geteuid() != uid || getegid() != gid || !setuid(0))
		return error_set(error, -EPERM, "becoming user %u: root's rights are still there", uid);
	return 0;
}

int worker_become(const char *words, int *fd, struct error *error)
{
	struct rights rights;
	int used = 0;
	if (sscanf(words, "%d:%n", fd, &used) != 1 || !used || *fd < 3 || !read_rights(words + used, &rights))
		return error_set(error, -EINVAL, "--worker: \"%s\" is not FD:UID:GID:GROUPS of another user than root", words);
	if (geteuid())
		return error_set(error, -EPERM, "--worker is what root's lightvmd starts for another user");
	if (fcntl(*fd, F_SETFD, FD_CLOEXEC))
		return error_set(error, -errno, "--worker: descriptor %d: %s", *fd, strerror(errno));
	const struct passwd *user = getpwuid(rights.uid);
	umask(077);
	set_environment(user);
	int err = take_ids(&rights, error);
	if (!err && chdir("/"))
		err = error_set(error, -errno, "/: %s", strerror(errno));
	return err;
}

/* ---- connections ---- */

static void on_connection(void *context, uint32_t events)
{
	struct daemon *daemon = context;
	uint32_t kind;
	int fd, got = passing_receive(daemon->source.fd, &kind, &fd);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got <= 0) { /* it has ended, or lets us go */
		loop_update(&daemon->loop, &daemon->source, 0);
		close(daemon->source.fd);
		daemon->source.fd = -1;
		daemon_end(daemon);
		return;
	}
	daemon->received++;
	worker_idle(daemon, false);
	if (fd >= 0)
		daemon_connect(daemon, (enum connection_kind)kind, fd);
}

static void on_idle(void *context)
{
	struct daemon *daemon = context;
	uint32_t received = (uint32_t)daemon->received;
	if (daemon_is_busy(daemon)) { /* a keeper looks again: what it keeps may go without its doing */
		worker_idle(daemon, true);
		return;
	}
	/* It answers by closing its end, or has sent us something meanwhile. */
	if (send(daemon->source.fd, &received, sizeof(received), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_warn("the daemon does not listen: %s", strerror(errno));
	worker_idle(daemon, true);
}

void worker_idle(struct daemon *daemon, bool idle)
{
	if (!idle && !daemon->keeper)
		loop_timer_set(&daemon->loop, &daemon->idle, 0);
	else if (!daemon->idle.deadline && daemon->source.fd >= 0)
		loop_timer_set(&daemon->loop, &daemon->idle, clock_now() + WORKER_IDLE_MS * NS_PER_MS);
}

int worker_pass_up(struct daemon *daemon, int fd)
{
	return daemon->source.fd < 0 ? -EPIPE : passing_send(daemon->source.fd, CONNECTION_LOCAL, fd);
}

int worker_attach(struct daemon *daemon, int fd)
{
	daemon->source = (struct loop_watch){ .fd = fd, .ready = on_connection, .context = daemon };
	daemon->idle = (struct loop_timer){ .fire = on_idle, .context = daemon };
	return loop_update(&daemon->loop, &daemon->source, EPOLLIN);
}
