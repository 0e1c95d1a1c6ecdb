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
#include "tinyx/commands.h"
#include "tinyx/packages/debs.h"
#include "tinyx/plan.h"
#include "tinyx/manifest.h"

struct pack_request {
	const char *program;    /* absolute path: of the host, or where a volume has it; with packages a path or name in them, NULL: what they start */
	const struct strings *packages; /* Debian packages, NAME or NAME=VERSION, in place of the host's files; NULL, or empty: none */
	const char *rules;      /* with packages: the file that says what of them goes in; NULL: the default */
	const struct debs_watch *steps; /* with packages: is told what is being done; NULL: nobody */
	struct text *said;      /* with packages: gets what was done by rule, a line for each, fit for a terminal; NULL: nobody wants it */
	const struct strings *words; /* the program's arguments, which tell what a shell will start; NULL: none */
	const struct strings *volumes; /* "HOST:GUEST[:ro]", absolute or relative to the working directory; with VOLUME_LIVE only where a program comes from */
	const char *timezone;   /* "Area/City": zones are packed too; NULL: none */
	const char *locale;     /* "de_DE.UTF-8": locales are packed too, and without UTF-8 converters; NULL: none but C.UTF-8 */
	bool no_companions;     /* leave out the other files of the program's package */
	const struct pack_watch *watch; /* is told while files are looked for and copied; NULL: nobody */
	const struct manifest *manifest; /* its defaults; args without argv[0]. NULL: none but the program */
};

/* The cached image of the request, packed now if it is not there or stale. Messages name the file that is wrong. */
int pack_cached(const struct pack_request *request, struct packed *packed, struct error *error);
/*
 * Why path, one of the image that the request would make, is in it, or why it is not and what adds it: a line into out. Nothing is written. -EINVAL: it
 * is no absolute path.
 */
int pack_explain(const struct pack_request *request, const char *path, struct text *out, struct error *error);
/* Packs into the file output (which is replaced), whatever the cache holds. */
int pack_to(const struct pack_request *request, const char *output, struct error *error);

#endif
