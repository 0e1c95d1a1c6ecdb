/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor's jail needs from who starts it: namespaces, and a user of its own where root does. */
#ifndef LV_NODE_VM_JAIL_H
#define LV_NODE_VM_JAIL_H

#include <stdint.h>

#include "base/error.h"
#include "base/spawn.h"

struct jail_users { /* the range; count 0: monitors stay root's */
	uint32_t first, count;
};

/*
 * The range that LIGHTVM_UIDS names, "FIRST-LAST" or "off"; without it 2130706432 to 2139095039 (0x7f000000, 2^23 of them), which
 * distributions and container engines leave alone. 0; -EINVAL with a message.
 */
int jail_users_read(struct jail_users *users, struct error *error);
/*
 * A descriptor, the caller's, that holds one of them from when it is found until it is closed: the kernel knows a user by its processes, and a monitor that starts
 * becomes it only then. dir: the state directory, path: as seen from there, of the file "users". -1: we are not root, or none can be held.
 */
int jail_users_hold(int dir, const char *path);
/*
 * One of them of whom no process lives, and that nobody else holds; the same for the same id (hexadecimal) if it is free; 0: we are not root, or there is none.
 * held: holds it, and no other any more; -1: two that ask at once may find the same.
 */
uint32_t jail_user_find(const struct jail_users *users, const char *id, int held);

/*
 * spawn_start in mount, IPC, UTS and PID namespaces, for root his own, for others by way of a user namespace; spawn->namespaces says
 * afterwards which. A machine that refuses: a negative errno; then without is still to be tried.
 */
int vm_jail_spawn(struct spawn *spawn, const char *monitor, struct spawned *child, struct error *error);
/* Could a VM have the full jail? 0, or a negative errno with what is refused. */
int vm_jail_try(struct error *error);

#endif
