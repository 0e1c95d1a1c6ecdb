/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers of a container image, applied one over the other in memory: a tree of names, and what each of them is. Nothing is unpacked under a name of
 * the host, so no path, link or device of a layer can touch one. Whiteouts and opaque directories are those of the OCI image
 * specification, "Image Layer Filesystem Changeset". Layers are hostile.
 */
#ifndef LV_TINYX_LAYERS_H
#define LV_TINYX_LAYERS_H

#include "base/error.h"
#include "tinyx/plan.h"
#include "tinyx/tar.h"

#define LAYERS_ENTRIES (1u << 20) /* of all layers together, and directories that they imply */
#define LAYERS_DEPTH 128          /* of directories; what reads images goes no deeper */
#define LAYERS_MOST 256

struct layers;

struct layers *layers_new(void);
void layers_free(struct layers *layers);
/*
 * Applies what tar holds over what is there, contents into the spool. -EINVAL, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -E2BIG, -ENOSPC, -EFBIG with a message that
 * begins with what and names the entry.
 */
int layers_apply(struct layers *layers, struct tar *tar, struct spool *spool, const char *what, struct error *error);
/* Plans all that is there now; the contents stay in the spool. */
void layers_plan(const struct layers *layers, struct plan *plan);

#endif
