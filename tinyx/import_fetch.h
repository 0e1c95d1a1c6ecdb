/* SPDX-License-Identifier: Apache-2.0 */
/* Container images that are not files here: skopeo, which knows registries and engines' stores, brings them into a layout of their own. */
#ifndef LV_TINYX_IMPORT_FETCH_H
#define LV_TINYX_IMPORT_FETCH_H

#include "base/error.h"

struct fetched { /* zero-initialised: nothing */
	char *path; /* of the layout, a stage (tinyx/stage.h); it goes with import_fetched_free */
	int dir;    /* holds its lock */
};

/* word: as skopeo takes it, "docker://NAME". -ENOENT: skopeo is not installed; -EIO: it failed; with its words. aside: the directory that it gets one in. */
int import_fetch(struct fetched *fetched, const char *word, const char *aside, struct error *error);
void import_fetched_free(struct fetched *fetched);

#endif
