/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration for one program: base, and what recorded evidence shows that it used of general, each option with its reason beside it. */
#ifndef LV_TINYX_SPECIALISE_H
#define LV_TINYX_SPECIALISE_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/kernel.h"

#define SPECIALISE_TRACED "trace" /* the configuration that is made for recording */

struct specialise {
	const char *name;		/* of the kernel */
	const struct strings *evidence; /* files, of one run each; one at least */
	const char *traced;		/* the kernel that those with addresses were recorded on */
	const char *baseline;		/* a file, of a run of a program that does nothing; NULL: none */
	const struct strings *with;	/* options that are wanted besides, with CONFIG_ or without */
	const char *(*call_name)(uint32_t number, char *buffer, size_t room); /* node/record.h */
};

struct specialised { /* zero-initialised: none */
	struct kernel_config config;
	char *lines;	       /* of which it is made: "#include base" and the options */
	char *evidence;	       /* all that was given as one, with object files in the place of addresses */
	size_t objects, options;
	uint64_t lost;	       /* calls of functions that were not noted */
	struct strings unknown; /* object files that no Makefile names: of their options nothing is known */
};

/* Needs kernel general in the cache, with its source; and of evidence that has addresses the kernel that it was recorded on, with its map. 0, or a negative errno with a message. Free in any case. */
int specialise(const struct specialise *request, struct specialised *done, struct error *error);
void specialised_free(struct specialised *done);

#endif
