/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/number.h"
#include "node/node_paths.h"

#define FIRST 0x7f000000u
#define COUNT 0x00800000u
#define TRIES 64
#define STEP 0x9e3779b1u /* odd, large: the tries after a collision lie far apart */

int jail_users_read(struct jail_users *users, struct error *error)
{
	const char *given = getenv("LIGHTVM_UIDS");
	char first[12];
	uint64_t from, to;
	*users = (struct jail_users){ FIRST, COUNT };
	if (!given || !*given)
		return 0;
	*users = (struct jail_users){ 0 };
	if (!strcmp(given, "off"))
		return 0;
	size_t len = strcspn(given, "-");
	snprintf(first, sizeof(first), "%.*s", (int)len, given);
	if (!given[len] || len >= sizeof(first) || number_parse(first, &from) || number_parse(given + len + 1, &to) || !from || from > to || to >= UINT32_MAX)
		return error_set(error, -EINVAL, "LIGHTVM_UIDS=%s: neither FIRST-LAST, of users other than root, nor off", given);
	*users = (struct jail_users){ from, to - from + 1 };
	return 0;
}

/* The kernel knows its users by their processes. */
static bool is_free(uint32_t uid)
{
	errno = 0;
	return getpriority(PRIO_USER, uid) == -1 && errno == ESRCH;
}

int jail_users_hold(int dir, const char *path)
{
	int fd = geteuid() ? -1 : openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -1 : fd;
}

/* A byte of the file for each of them, that need not be there. What cannot be locked at all is as if nobody did. */
static bool hold(int held, uint32_t uid, bool on)
{
	struct flock lock = { .l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = uid, .l_len = 1 };
	return held < 0 || !fcntl(held, F_OFD_SETLK, &lock) || (errno != EAGAIN && errno != EACCES);
}

/* Held first: who had it before us may have become it since. */
static bool take(int held, uint32_t uid)
{
	if (!hold(held, uid, true))
		return false;
	if (is_free(uid))
		return true;
	hold(held, uid, false);
	return false;
}

uint32_t jail_user_find(const struct jail_users *users, const char *id, int held)
{
	if (geteuid() || !users->count)
		return 0;
	char digits[9];
	size_t len = strlen(id);
	snprintf(digits, sizeof(digits), "%s", len > 8 ? id + len - 8 : id);
	uint32_t at = strtoul(digits, NULL, 16);
	for (int i = 0; i < TRIES; i++, at += STEP)
		if (take(held, users->first + at % users->count))
			return users->first + at % users->count;
	return 0;
}

/* From birth: cheaper than to be moved there, and the only way into a namespace of processes. */
int vm_jail_spawn(struct spawn *spawn, const char *monitor, struct spawned *child, struct error *error)
{
	int err = -EPERM;
	spawn->namespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID;
	if (!geteuid())
		err = spawn_start(spawn, monitor, child, error);
	if (!err)
		return 0;
	spawn->namespaces |= CLONE_NEWUSER;
	return spawn_start(spawn, monitor, child, error);
}

int vm_jail_try(struct error *error)
{
	struct jail_users users;
	struct spawned child = SPAWNED_NONE;
	int err = jail_users_read(&users, error), out[2];
	char *monitor = err ? NULL : paths_monitor(error);
	if (!monitor)
		return err ? err : -ENOENT;
	char user[16], pid[SPAWN_PID_WORD] = "", said[256] = "";
	snprintf(user, sizeof(user), "%u", jail_user_find(&users, "0", -1));
	const char *argv[] = { "lightvm-vmm", "--jail", "full", "--try-jail", "--jail-uid", user, "--outer-pid", pid, NULL };
	if (pipe2(out, O_CLOEXEC)) {
		free(monitor);
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	}
	struct spawn spawn = { SPAWN_INIT, .argv = (char *const *)argv, .pid_word = pid };
	spawn.err = out[1];
	err = vm_jail_spawn(&spawn, monitor, &child, error);
	close(out[1]);
	free(monitor);
	if (err)
		error_set(error, err, "namespaces: %s", strerror(-err));
	else if (spawned_wait(&child)) {
		ssize_t n = read(out[0], said, sizeof(said) - 1);
		said[n > 0 ? n : 0] = 0;
		said[strcspn(said, "\n")] = 0;
		err = error_set(error, -EPERM, "%s", said);
	}
	close(out[0]);
	return err;
}
