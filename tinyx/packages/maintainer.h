/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the maintainer scripts of packages would do, read from them and not run: users and groups, owners and modes, directories, links,
 * alternatives. Commands with words that are plain or simple variables count, whatever condition they stand under; all else is passed over.
 */
#ifndef LV_TINYX_MAINTAINER_H
#define LV_TINYX_MAINTAINER_H

#include "tinyx/packages/accounts.h"
#include "tinyx/plan.h"

struct maintainer {
	struct plan *all; /* of the packages' files: gets directories, links, owners */
	uint32_t origin;  /* what new entries are marked with */
	int64_t mtime;    /* their time, seconds */
	struct accounts *accounts;
	struct text *said; /* a line for each user or group made, "user redis (100), as redis-server does" */
	const char *package;
};

/* script: the text of a preinst or postinst, for a shell. Hostile. */
void maintainer_read(struct maintainer *maintainer, const char *script);
/* A file of sysusers.d: "u NAME ID ... HOME SHELL", "g NAME ...", "m USER GROUP". Hostile. */
void maintainer_sysusers(struct maintainer *maintainer, const char *text);

#endif
