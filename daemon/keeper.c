/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "daemon/passing.h"
#include "daemon/worker.h"
#include "node/kept.h"

#define AGAIN_MOST_MS 60000

struct keeper {
	struct keepers *keepers;
	struct keeper *next, **before;
	struct loop_watch watch; /* its socket; fd -1: it has died */
	struct loop_timer again;
	uint64_t delay_ms, begun_ns;
	uid_t uid;
	uint64_t sent; /* connections, of this process */
};

struct keepers {
	struct daemon *daemon;
	struct keeper *first;
	unsigned count;
	int kept; /* which users have one; -1: nowhere */
};

static void let_go(struct keeper *keeper)
{
	struct loop *loop = &keeper->keepers->daemon->loop;
	loop_timer_set(loop, &keeper->again, 0);
	if (keeper->watch.fd < 0)
		return;
	loop_update(loop, &keeper->watch, 0);
	close(keeper->watch.fd);
	keeper->watch.fd = -1;
}

static void forget(struct keeper *keeper)
{
	let_go(keeper);
	*keeper->before = keeper->next;
	if (keeper->next)
		keeper->next->before = keeper->before;
	keeper->keepers->count--;
	free(keeper);
}

/* ---- on disk ---- */

static void mark(struct keepers *keepers, uid_t uid, bool has)
{
	char name[16];
	struct error error = { 0 };
	json_t *json = json_pack("{s:i}", "version", 1);
	snprintf(name, sizeof(name), "%u", uid);
	if (keepers->kept >= 0 && !has)
		kept_remove(keepers->kept, name);
	else if (keepers->kept >= 0 && !kept_has(keepers->kept, name) && kept_write(keepers->kept, name, json, &error))
		log_warn("user %u: what this user has will not come back with the daemon: %s", uid, error.text);
	json_decref(json);
}

/* ---- its life ---- */

static void died(struct keeper *keeper)
{
	struct loop *loop = &keeper->keepers->daemon->loop;
	let_go(keeper);
	if (clock_now() - keeper->begun_ns > AGAIN_MOST_MS * NS_PER_MS)
		keeper->delay_ms = KEEPER_AGAIN_MS;
	log_warn("user %u: the process that minds services and restart policies has ended; it starts again in %llu ms", keeper->uid, (unsigned long long)keeper->delay_ms);
	loop_timer_set(loop, &keeper->again, clock_now() + keeper->delay_ms * NS_PER_MS);
	keeper->delay_ms = keeper->delay_ms * 2 < AGAIN_MOST_MS ? keeper->delay_ms * 2 : AGAIN_MOST_MS;
}

/* It has nothing to keep any more, unless it says so of a time before the last connection that we have sent. */
static void on_word(void *context, uint32_t events)
{
	struct keeper *keeper = context;
	uint32_t received;
	int fd, got = passing_receive(keeper->watch.fd, &received, &fd);
	if (got == -EAGAIN || got == -EINTR)
		return;
	if (fd >= 0)
		close(fd);
	if (got != 1) {
		died(keeper);
	} else if (fd < 0 && received == (uint32_t)keeper->sent) {
		mark(keeper->keepers, keeper->uid, false);
		forget(keeper);
	}
}

/* caller: whose limits it gets; pid 0: nobody's. */
static int run(struct keeper *keeper, const struct caller *caller, const char *rights, const char *group, struct error *error)
{
	pid_t pid;
	int fd = worker_spawn(rights, group, true, &pid, error);
	if (fd < 0)
		return fd;
	caller_lend_limits(caller, pid);
	keeper->watch = (struct loop_watch){ .fd = fd, .ready = on_word, .context = keeper };
	keeper->sent = 0;
	keeper->begun_ns = clock_now();
	int err = loop_update(&keeper->keepers->daemon->loop, &keeper->watch, EPOLLIN);
	if (err)
		let_go(keeper);
	return err ? error_set(error, err, "a keeper's socket: %s", strerror(-err)) : 0;
}

/* What the machine's books give this user. */
static int books(uid_t uid, struct peer *peer, struct error *error)
{
	const struct passwd *user = getpwuid(uid);
	int count = PEER_GROUPS;
	if (!user)
		return error_set(error, -ENOENT, "there is no such user any more");
	*peer = (struct peer){ .caller = { .uid = uid }, .gid = user->pw_gid };
	if (getgrouplist(user->pw_name, user->pw_gid, peer->groups, &count) < 0)
		return error_set(error, -E2BIG, "has more than %d groups", PEER_GROUPS);
	peer->group_count = (unsigned)count;
	return 0;
}

static int run_by_books(struct keeper *keeper, struct error *error)
{
	struct peer peer;
	char group[64];
	int err = books(keeper->uid, &peer, error);
	char *rights = err ? NULL : worker_rights(&peer);
	snprintf(group, sizeof(group), "/user.slice/user-%u.slice", keeper->uid); /* of systemd, once the user has logged in */
	if (!err)
		err = rights ? run(keeper, &peer.caller, rights, group, error) : error_set(error, -ENOMEM, "out of memory");
	free(rights);
	return err;
}

static void on_again(void *context)
{
	struct keeper *keeper = context;
	struct error error = { 0 };
	int err = run_by_books(keeper, &error);
	if (!err)
		return;
	log_warn("user %u: services and restart policies are not minded: %s", keeper->uid, error.text);
	if (err == -ENOENT)
		forget(keeper);
	else
		died(keeper);
}

static struct keeper *add(struct keepers *keepers, uid_t uid)
{
	struct keeper *keeper = keepers->count < KEEPERS_MOST ? alloc_zero(sizeof(*keeper)) : NULL;
	if (!keeper)
		return NULL;
	*keeper = (struct keeper){ .keepers = keepers, .uid = uid, .next = keepers->first, .before = &keepers->first, .watch = { .fd = -1 },
		.again = { .fire = on_again, .context = keeper }, .delay_ms = KEEPER_AGAIN_MS };
	if (keeper->next)
		keeper->next->before = &keeper->next;
	keepers->first = keeper;
	keepers->count++;
	return keeper;
}

/* ---- connections ---- */

static int start_for(struct keeper *keeper, const struct peer *peer, struct error *error)
{
	char group[PLACE_GROUP] = "", *rights = worker_rights(peer);
	if (caller_group(&peer->caller, group))
		group[0] = 0;
	loop_timer_set(&keeper->keepers->daemon->loop, &keeper->again, 0);
	int err = rights ? run(keeper, &peer->caller, rights, group, error) : error_set(error, -ENOMEM, "out of memory");
	free(rights);
	return err;
}

static int take(struct keepers *keepers, uid_t uid, int fd, struct error *error)
{
	struct peer peer;
	enum peer_right right;
	struct keeper *keeper = keepers->first;
	int err = peer_of(keepers->daemon, fd, &peer, &right);
	if (err || peer.caller.uid != uid)
		return error_set(error, err ? err : -EPERM, "its worker hands up a connection that is not this user's");
	while (keeper && keeper->uid != uid)
		keeper = keeper->next;
	if (!keeper && !(keeper = add(keepers, uid)))
		return error_set(error, -EAGAIN, "%u users have services or restart policies", keepers->count);
	if (keeper->watch.fd < 0 && (err = start_for(keeper, &peer, error))) {
		forget(keeper);
		return err;
	}
	mark(keepers, uid, true);
	err = passing_send(keeper->watch.fd, CONNECTION_LOCAL, fd);
	if (err)
		return error_set(error, err, "its keeper takes no connection: %s", strerror(-err));
	keeper->sent++;
	return 0;
}

void keepers_take(struct keepers *keepers, uid_t uid, int fd)
{
	struct error error = { 0 };
	if (take(keepers, uid, fd, &error))
		log_warn("user %u: %s", uid, error.text);
	close(fd);
}

/* ---- all of them ---- */

static int find_one(void *context, const char *name)
{
	struct keepers *keepers = context;
	uint64_t uid;
	struct keeper *keeper = number_parse(name, &uid) || !uid || uid >= (uid_t)-1 ? NULL : add(keepers, (uid_t)uid);
	if (keeper)
		on_again(keeper);
	return 0;
}

struct keepers *keepers_new(struct daemon *daemon)
{
	struct error error = { 0 };
	struct keepers *keepers = alloc_zero(sizeof(*keepers));
	if (!keepers)
		return NULL;
	*keepers = (struct keepers){ .daemon = daemon, .kept = kept_open(KEPT_USER, true, &error) };
	if (keepers->kept >= 0)
		kept_each(keepers->kept, find_one, keepers);
	else
		log_warn("services and restart policies of other users do not come back: %s", error.text);
	return keepers;
}

void keepers_free(struct keepers *keepers)
{
	while (keepers && keepers->first)
		forget(keepers->first);
	if (keepers && keepers->kept >= 0)
		close(keepers->kept);
	free(keepers);
}

/* ---- in a keeper ---- */

static bool has(const gid_t *groups, int count, gid_t group)
{
	while (count-- > 0)
		if (groups[count] == group)
			return true;
	return group == getegid();
}

bool keeper_is_strange(const struct daemon *daemon, int fd)
{
	struct peer peer;
	enum peer_right right;
	gid_t groups[PEER_GROUPS];
	int count = getgroups(PEER_GROUPS, groups);
	if (count < 0 || peer_of(daemon, fd, &peer, &right) || peer.caller.uid != daemon->uid || peer.gid != getegid())
		return true;
	for (unsigned i = 0; i < peer.group_count; i++)
		if (!has(groups, count, peer.groups[i]))
			return true;
	for (int i = 0; i < count; i++)
		if (!has(peer.groups, (int)peer.group_count, groups[i]))
			return true;
	return false;
}
