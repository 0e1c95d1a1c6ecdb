/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a file is in an image: a text in the image itself, LV_REASONS_PATH (docs/image.md), which of one that was trimmed also says what was left out, and by which
 * command that comes back. Of an image of other hands it may be anything.
 */
#ifndef LV_TINYX_REASONS_H
#define LV_TINYX_REASONS_H

#include "base/error.h"
#include "tinyx/image_file.h"
#include "tinyx/plan.h"

#define LV_REASONS_PATH "/.lightvm/reasons"

/*
 * Adds the text to a plan that explains. command, left: of a trimmed image what made it, and the paths that are not in it, in order, but none below another; NULL: it is not trimmed.
 */
void reasons_add(struct plan *plan, const char *command, const struct strings *left);

struct reasons { /* zero-initialised: closed */
	char *text;          /* cut into lines */
	char **line;         /* "because ..." or "\t/path" */
	size_t lines;
	const char *command; /* NULL: not trimmed */
	const char **left;   /* in order */
	size_t lefts;
};

/* -ENODATA with a message: the image does not say; -EUCLEAN: it is damaged. Free in any case. */
int reasons_open(struct reasons *reasons, const struct image *image, const char *name, struct error *error);
/* The same from the text itself, of size bytes and a zero byte behind them, which it owns from now on. -EUCLEAN, without a message. */
int reasons_parse(struct reasons *reasons, char *text, size_t size);
/* A line into out: why path, absolute and clean, is in the image, or why it is not and how it comes back. */
void reasons_explain(const struct reasons *reasons, const struct image *image, const char *path, struct text *out);
/* What of the image's trimming holds path: itself, or the directory above it; NULL: it was not left out. */
const char *reasons_left(const struct reasons *reasons, const char *path);
void reasons_free(struct reasons *reasons);

/* As a word of a shell: in quotes where that is needed. Appends it. */
void word_quote(struct text *out, const char *word);

#endif
