/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel a VM gets: the library OS, a Linux kernel from the cache, or one that the user brings. */
#ifndef LV_NODE_CHOOSE_H
#define LV_NODE_CHOOSE_H

#include "node/vm_config.h"

struct choose { /* what the user said; NULL, 0: nothing */
	const char *kernel; /* "auto", "libos", "linux", a name or a path */
	const char *initrd, *append;
	uint64_t cpus;
	bool known_on_libos; /* the image is */
	bool bare;	     /* there is no image: nothing but a kernel, disks and an initial RAM disk */
};

/* Fills config->guest; opens nothing. Messages name the option and what to use instead. */
int choose_kernel(struct vm_config *config, const struct choose *choose, struct error *error);
/* --disk FILE[,ro][,overlay][,serial=S] (or FILE:ro): added to config. */
int choose_disk(struct vm_config *config, const char *word, struct error *error);

#endif
