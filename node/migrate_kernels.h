/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel and initial RAM disk of a Linux guest that moves: they are not sent, but found at the destination by what is in them, whatever their path was. */
#ifndef LV_NODE_MIGRATE_KERNELS_H
#define LV_NODE_MIGRATE_KERNELS_H

#include <jansson.h>

#include "node/save_manifest.h"

/* The source tells of a Linux guest how large its kernel is, "kernel_size" in the offer, whose digest the manifest has; and of its initial RAM disk, if it has one, "initrd_sha256" and "initrd_size". */
int migrate_kernels_tell(const json_t *config, json_t *offer, struct error *error);
/*
 * The destination puts the paths that they have here into the manifest's configuration. Kernels are looked for among those of the user's cache; they, and initial RAM disks, among the files
 * of the directory place (NULL: there is none). offer: what the source told; only files of the size that it told are read. *initrd: the initial RAM disk, which is the caller's to close, or -1. -ENOENT with a message: one is
 * not here.
 */
int migrate_kernels_place(struct save_manifest *manifest, const json_t *offer, const char *place, int *initrd, struct error *error);

#endif
