/* SPDX-License-Identifier: Apache-2.0 */
/* Where the parts of a container image lie: a directory, or a tar archive, also a compressed one. They are hostile. */
#ifndef LV_TINYX_OCI_STORE_H
#define LV_TINYX_OCI_STORE_H

#include <stddef.h>

#include "base/error.h"
#include "tinyx/layer_stream.h"

struct oci_store {
	char *path; /* for messages */
	int dir;    /* of a directory; -1: an archive */
	int file;   /* of an archive, without compression */
	struct oci_member {
		char *path, *target; /* target: what it is another name of; NULL: it lies at */
		uint64_t at, size;
	} *member;
	size_t members;
};
#define OCI_STORE_CLOSED ((struct oci_store){ .dir = -1, .file = -1 })

/* A compressed archive is unpacked to a file without a name in the directory aside, as far as layer_limit allows. Close in any case. */
int oci_store_open(struct oci_store *store, const char *path, const char *aside, struct error *error);
void oci_store_close(struct oci_store *store);
/* The file of this name in it; span->fd is the caller's to close. -ENOENT, without a message; links of a directory are not followed. */
int oci_store_find(const struct oci_store *store, const char *name, struct layer_span *span);
/* A small file, its bytes the caller's and ended by a zero byte; digest: what it must have, NULL: not known. With a message. */
int oci_store_read(const struct oci_store *store, const char *name, const char *digest, size_t limit, char **data, size_t *size, struct error *error);

#endif
