/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a program to an image: interpreter, libraries, companions and a minimal /etc around it, one EROFS file, cached.
 *
 * Packing is for short-lived commands: when memory is short, on_out_of_memory (base/text.h) must end the process, as what it is built of does not
 * look at each copy. Who lives longer packs in a process of its own. Images, manifests and paths that are read answer -ENOMEM or NULL.
 */
#ifndef LV_TINYX_PACK_H
#define LV_TINYX_PACK_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/cache.h"
#include "tinyx/plan.h"
#include "tinyx/manifest.h"

struct pack_request {
	const char *program;    /* absolute path: of the host, or where a volume has it */
	const struct strings *volumes; /* "HOST:GUEST[:ro]", absolute or relative to the working directory */
	const char *timezone;   /* "Area/City": zones are packed too; NULL: none */
	const char *locale;     /* "de_DE.UTF-8": locales are packed too, and without UTF-8 converters; NULL: none but C.UTF-8 */
	bool no_companions;     /* leave out the other files of the program's package */
	const struct pack_watch *watch; /* is told while files are looked for and copied; NULL: nobody */
	const struct manifest *manifest; /* its defaults; args without argv[0]. NULL: none but the program */
};

/* Splits "HOST:GUEST[:ro]"; host and guest are the caller's. -EINVAL with message. */
int volume_parse(const char *word, char **host, char **guest, struct error *error);
/* What the VM will have at this path is on the host: there too, or where the last volume over it comes from; the caller's. volumes may be NULL. */
char *volume_host(const struct strings *volumes, const char *path);
/* Where PATH has an executable of this name; the caller's. NULL: nowhere. */
char *pack_find_program(const char *name);
/* The cached image of the request, packed now if it is not there or stale. Messages name the file that is wrong. */
int pack_cached(const struct pack_request *request, struct packed *packed, struct error *error);
/* Packs into the file output (which is replaced), whatever the cache holds. */
int pack_to(const struct pack_request *request, const char *output, struct error *error);

#endif
