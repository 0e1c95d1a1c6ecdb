/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel and initial RAM disk of a Linux guest that moves: they are not sent, but found at the destination by what is in them, whatever their path was. */
#ifndef LV_NODE_MIGRATE_KERNELS_H
#define LV_NODE_MIGRATE_KERNELS_H

#include <jansson.h>

#include "node/save_manifest.h"

/* The source tells of its initial RAM disk, if it has one: "initrd_sha256" in the offer. */
int migrate_kernels_tell(const json_t *config, json_t *offer, struct error *error);
/*
 * The destination puts the paths that they have here into the manifest's configuration. Kernels are looked for among those of the user's cache; they, and initial RAM disks, among the files
 * of the directory place (NULL: there is none). offer: what the source told. -ENOENT with a message: one is not here.
 */
int migrate_kernels_place(struct save_manifest *manifest, const json_t *offer, const char *place, struct error *error);

#endif
