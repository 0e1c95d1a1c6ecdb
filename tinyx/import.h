/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a container image, a root directory or a tar of one to an image of ours, without any rights: layers are applied in memory (tinyx/layers.h), contents go
 * through a file without a name into the image.
 *
 * As with packing (tinyx/pack.h), on_out_of_memory has to end the process.
 */
#ifndef LV_TINYX_IMPORT_H
#define LV_TINYX_IMPORT_H

#include <stdbool.h>

#include "base/error.h"
#include "tinyx/cache.h"
#include "tinyx/manifest.h"

struct import_request {
	const char *word; /* "oci:DIR[:NAME][@sha256:...]" and the like; import_is (import_source.h) has said so */
	const struct pack_watch *watch;
	char **called; /* gets what an archive of "docker save" calls it, if it is made anew; the caller's. NULL: nobody asks */
	bool fresh; /* as if the cache did not have it: it may have changed where it comes from */
	const struct manifest *manifest; /* what counts before the image's own configuration; its env is added. NULL: nothing */
};

/* The cached image of it, made now if it is not there or its source has changed. Fills fd and path of packed. */
int import_cached(const struct import_request *request, struct packed *packed, struct error *error);
/* Into the file output, which is replaced, whatever the cache holds. */
int import_to(const struct import_request *request, const char *output, struct error *error);

#endif
