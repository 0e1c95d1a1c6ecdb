/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the name of a container image in a store to its layers and its configuration: OCI layouts (image specification, "Image Layout"; Docker's manifests and
 * lists in them, too), and what "docker save" writes. Everything whose digest is known is compared with it. All of it is hostile.
 */
#ifndef LV_TINYX_OCI_IMAGE_H
#define LV_TINYX_OCI_IMAGE_H

#include "base/error.h"
#include "tinyx/oci_config.h"
#include "tinyx/oci_store.h"

#define OCI_ARCHITECTURE "amd64" /* what can run here, as images call it */

struct oci_layer {
	char *path;   /* in the store */
	char *digest; /* of its bytes there; NULL: not known */
	uint64_t size; /* of them; with a digest only */
};

struct oci_image { /* zero-initialised: empty */
	char *digest; /* of the manifest; NULL: it has none */
	char *name;   /* as the store calls it; NULL: not at all */
	char *json;   /* the configuration as it is */
	size_t json_size;
	struct oci_config config;
	struct oci_layer *layer;
	size_t layers;
};

/*
 * The image of a layout or an archive of one. reference: its name or the part behind the name's colon; NULL: the only one that is there. digest: the one that its
 * manifest, or the index over it, must have; NULL: any. -ENOENT, -EINVAL, -EBADMSG, -EXDEV (another architecture) with a message. Free in any case.
 */
int oci_image_find(struct oci_image *image, const struct oci_store *store, const char *reference, const char *digest, struct error *error);
/* The same of what "docker save" writes. */
int oci_image_find_saved(struct oci_image *image, const struct oci_store *store, const char *reference, struct error *error);
/* What "docker save" calls its images: a list of names for each, empty where it has none; lists and what is in them are the caller's, also after an error. With a message. */
int oci_image_names(const struct oci_store *store, struct strings **names, size_t *count, struct error *error);
void oci_image_free(struct oci_image *image);

#endif
