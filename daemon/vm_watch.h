/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks after the directory of the VMs, by inotify, and tells as events what happens to them, whoever did it: nobody has to ask this daemon
 * for that. A VM costs two watches of one inotify instance, and while it lives a descriptor, so that how it ended can be read when its directory is
 * gone already; above WATCH_DESCRIPTORS of them (or half of those that the daemon may have) others have none.
 */
#ifndef LV_DAEMON_VM_WATCH_H
#define LV_DAEMON_VM_WATCH_H

#include "daemon/lightvmd.h"

#define WATCH_DESCRIPTORS 16384

extern const struct daemon_part watch_part; /* behind events_part */

struct watch_counts {
	unsigned vms, running, descriptors;
	unsigned blind; /* of vms: looked at once a second only, since fs.inotify.max_user_watches is reached */
};
void watch_count(struct daemon *daemon, struct watch_counts *counts);

#endif
