/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of this host whose files VMs that come from others may have. */
#ifndef LV_NODE_MIGRATE_PLACES_H
#define LV_NODE_MIGRATE_PLACES_H

struct migrate_places { /* absolute paths, not owned; NULL: they may have none */
	const char *disks;   /* below it; the same files as at the source */
	const char *kernels; /* right in it, besides those of the user's cache: kernels and initial RAM disks */
};

#endif
