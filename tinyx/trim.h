/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an image and what was seen of its use to a smaller one: what was used, what that needs, and what rules keep (packages/trim.rules). Each file is there for a reason, which
 * the new image tells (tinyx/reasons.h). The image is hostile.
 *
 * As with packing (tinyx/pack.h), on_out_of_memory has to end the process.
 */
#ifndef LV_TINYX_TRIM_H
#define LV_TINYX_TRIM_H

#include "base/error.h"
#include "tinyx/image_file.h"
#include "tinyx/packages/rules.h"
#include "tinyx/plan.h"

struct trim_run { /* one that used the image */
	const char *what; /* the command, for people */
	unsigned (*mark)(const void *context, uint64_t nid); /* LV_USED_* (abi/used_files.h) of an inode */
	const void *context;
};

struct trim_request {
	const struct image *image; /* open for as long as the plan is used */
	const char *name;          /* what messages call it */
	const struct trim_run *run;
	size_t runs;
	const struct rules *rules;
	const struct strings *keep;   /* globs and paths that stay, whatever rules say */
	const struct strings *looked; /* paths that were looked for in vain when it had been trimmed */
	const char *command;          /* that makes the image again, to which options can be added */
};

struct trim_facts {
	size_t files, files_before; /* regular ones */
	uint64_t bytes, bytes_before; /* of their contents */
};

/* Fills the empty plan, which rests on nothing of the host. -EINVAL: it was trimmed before, or --keep matches nothing; -EIO: it is damaged; with a message. */
int trim_plan(const struct trim_request *request, struct plan *plan, struct trim_facts *facts, struct error *error);

#endif
