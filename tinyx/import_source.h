/* SPDX-License-Identifier: Apache-2.0 */
/* What a word of "lightvm image build --from" names. */
#ifndef LV_TINYX_IMPORT_SOURCE_H
#define LV_TINYX_IMPORT_SOURCE_H

#include <stdbool.h>

#include "base/error.h"

enum import_kind {
	IMPORT_OCI,            /* a layout: a directory */
	IMPORT_OCI_ARCHIVE,    /* a tar of one */
	IMPORT_DOCKER_ARCHIVE, /* what "docker save" writes */
	IMPORT_DIR,            /* a root directory */
	IMPORT_TAR,            /* a tar of one */
	IMPORT_FETCH,          /* anything else that skopeo can get */
};

struct import_source { /* zero-initialised: none; all strings are owned */
	enum import_kind kind;
	char *path;      /* absolute; FETCH: the whole word */
	char *reference; /* the image's name there; NULL: the only one */
	char *digest;    /* "sha256:...", which it must have; NULL: any */
};

/* Whether a word begins like the name of something that can be imported: a transport, as skopeo calls it. */
bool import_is(const char *word);
/* -EINVAL with a message. Free in any case. */
int import_source_parse(struct import_source *source, const char *word, struct error *error);
void import_source_free(struct import_source *source);
/* A file's name that the word suggests, without a suffix: "busybox"; the caller's. */
char *import_name(const char *word);
/* What the image is called in the end, with its tag if the word has one: "quay.io/x/app:1"; the caller's. */
char *import_whole_name(const char *word);

#endif
