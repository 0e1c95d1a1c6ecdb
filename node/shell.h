/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor before its configuration. One of the library OS makes all that no configuration changes and has libos boot; then it is a shell, which
 * whoever holds its socket can configure. It is a child of who made it, ends when that socket does before it was configured, and outlives its maker
 * afterwards.
 */
#ifndef LV_NODE_SHELL_H
#define LV_NODE_SHELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/spawn.h"

struct shell_ahead { /* descriptors for reading, borrowed: what it will be a clone of, and nothing else */
	int image, state, memory;
};

struct shell_order { /* SHELL_ORDER: of nothing */
	const char *name; /* for whoever lists processes */
	bool is_linux;    /* no shell: what a Linux guest's machine is says its configuration */
	uint64_t memory;  /* bytes that the VM may have, at most */
	uint64_t room;    /* bytes of an image that needs no memory slot of its own */
	uint64_t ram;     /* the same of RAM; what is less than the monitor's own measure, as 0, is that */
	int libos, cpuid; /* borrowed; cpuid -1: no cache */
	const struct shell_ahead *ahead; /* NULL: it can become any VM */
	int messages;     /* borrowed: where the monitor says what is wrong; -1: where we do */
	uint32_t user;    /* that it becomes; 0: it stays ours */
	int held;         /* jail_users_hold: the shell's from then on, whatever comes of it; -1: nothing */
	bool foreground;  /* it dies with us, and leaves the keys of the terminal to us; otherwise it has a session of its own. A child of the main thread */
};
#define SHELL_ORDER .libos = -1, .cpuid = -1, .messages = -1, .held = -1

struct shell { /* SHELL_NONE */
	struct spawned monitor;
	int socket; /* connected: takes the configuration; -1: none */
	uint32_t user;
	int held; /* keeps its user from being another's until it has become it; -1: nothing does */
};
#define SHELL_NONE ((struct shell){ .monitor = SPAWNED_NONE, .socket = -1, .held = -1 })

/*
 * Starts it. *theirs, the monitor's end of the socket, is the caller's: as long as it is open, a configuration can be sent to a monitor that ends
 * instead. 0 or a negative errno with a message.
 */
int shell_start(const struct shell_order *order, struct shell *shell, int *theirs, struct error *error);
/* A descriptor of the library OS' file; -ENOENT and others with a message. */
int shell_libos(struct error *error);

/* Asks it to say when it is ready; the answer makes shell->socket readable. */
int shell_ask(const struct shell *shell);
/* Takes that answer, without waiting. 0: it is ready; -EAGAIN: not yet; another: it never will be. */
int shell_answer(const struct shell *shell);
/* Both, waiting at most so long: -ETIMEDOUT. */
int shell_wait(const struct shell *shell, int milliseconds, struct error *error);
/* It has become its user, or has ended. */
void shell_let_go(struct shell *shell);
/* Ends one that was not configured, and waits for its end, which is soon. Accepts SHELL_NONE. */
void shell_end(struct shell *shell);

/* What makes two shells of one order the same: the files that they were made of, and which users monitors become. */
struct shell_build {
	uint64_t libos[4], monitor[4]; /* device, inode, size, time of change */
	uint32_t first_user, users;
	uint64_t ahead[2]; /* device and inode of the memory that it is to be a clone of; 0: none. Not by shell_build() */
};
int shell_build(struct shell_build *build, struct error *error);

#endif
