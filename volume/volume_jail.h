/* SPDX-License-Identifier: Apache-2.0 */
/* What is left to the server of a volume: two directories, its socket, and the system calls of seccomp-volume.list. */
#ifndef LV_VOLUME_JAIL_H
#define LV_VOLUME_JAIL_H

#include "volume/volume.h"

/*
 * Before anything of the guest is read, and in the process that will serve: directory is open, for the volume to be, and becomes the only one that can
 * be reached, together with that of the process' own descriptors. Where the machine has no namespaces for this user, these steps are left out: the rest
 * holds by itself. Sets root and proc of the volume, takes directory. 0, or a negative errno, and *step says which step it was.
 */
int volume_jail(struct volume *volume, int directory, const char **step);

#endif
