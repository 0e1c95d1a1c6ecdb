/* SPDX-License-Identifier: Apache-2.0 */
/* Why a kernel of the cache has an option or a source file, or has it not: from its configuration, and from its source's Kconfig files and Makefiles. */
#ifndef LV_TINYX_EXPLAIN_H
#define LV_TINYX_EXPLAIN_H

#include "base/error.h"
#include "base/text.h"
#include "tinyx/kernel.h"
#include "tinyx/specialise/dot_config.h"
#include "tinyx/specialise/kbuild.h"
#include "tinyx/specialise/kconfig.h"

struct explain { /* what answers are taken from */
	const char *kernel;	 /* its name */
	const char *asked;	 /* its configuration as it was written, with comments; NULL: not known */
	const struct dot_config *built;
	const struct kernel_source *source;
};

/* Lines into out. A word: "CONFIG_NAME" or "NAME", or a file of the source ("net/ipv4/tcp.c"). -ENOENT, or another negative errno, with a message. */
int explain_words(const struct explain *explain, char *const *words, size_t count, struct text *out, struct error *error);
/* The same for a kernel of the cache, whose source has to be unpacked there. */
int explain_kernel(const struct kernel *kernel, char *const *words, size_t count, struct text *out, struct error *error);

#endif
