/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting other programs: sharing our memory until they execute, since a copied address space would cost more than all the
 * rest of a start. They get no environment and no descriptor but what is said.
 */
#ifndef LV_BASE_SPAWN_H
#define LV_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct spawn {
	char *const *argv; /* ended by NULL, as is env */
	char *const *env;  /* NULL: empty */
	const int *keep; /* descriptors that the program gets, under the same numbers; all others are close-on-exec */
	size_t keep_count;
	int in, out, err; /* become 0, 1, 2; -1: /dev/null for in, unchanged for the others */
	int cgroup;       /* directory of the version-2 control group it starts in; -1: ours */
	unsigned namespaces; /* CLONE_NEW*: new ones. With CLONE_NEWUSER the program has in them what a jail needs: CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP */
	char *pid_word; /* of argv, with room for SPAWN_PID_WORD bytes: gets the program's number, as the caller knows it. NULL: none */
	bool inherit_in;  /* 0 stays as it is */
	bool session;     /* a session of its own: the terminal's signals do not reach it */
	bool die_with_us; /* SIGKILL when the caller's process ends; main thread only, as the kernel watches the thread */
	bool ignore_keys; /* SIGINT, SIGQUIT, SIGHUP are ignored: the caller forwards them */
};
#define SPAWN_PID_WORD 12
#define SPAWN_INIT .in = -1, .out = -1, .err = -1, .cgroup = -1

struct spawned { /* a child of ours; pid 0: none */
	pid_t pid;
	int pidfd; /* close-on-exec; readable when the child has ended; -1: none */
};
#define SPAWNED_NONE ((struct spawned){ .pidfd = -1 })

/* The path of a program in the usual directories, in buffer; a name with a slash is its own path. NULL: nowhere. */
const char *spawn_find(const char *program, char *buffer, size_t room);
/*
 * program: a path, or a name that is looked for in the usual directories. 0 and *child, which the caller owns; or a negative
 * errno with a message, also when the program cannot be executed: -ENOENT where it is not installed.
 */
int spawn_start(const struct spawn *spawn, const char *program, struct spawned *child, struct error *error);
/* True when it has ended within so many milliseconds (-1: any). */
bool spawned_ends(const struct spawned *child, int milliseconds);
/* Waits for its end and takes it away: the wait status. *child becomes SPAWNED_NONE. */
int spawned_wait(struct spawned *child);
/* Stops to be responsible: what is left of it is taken by whoever comes after us. */
void spawned_leave(struct spawned *child);

#endif
