/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux' Makefiles, read for which options have an object compiled in (Documentation/kbuild/makefiles.rst): "obj-$(CONFIG_X) += a.o dir/", composite objects
 * ("a-$(CONFIG_Y) += b.o"), lists that name lists ("$(a-y)"), and ifdef and ifeq around them. What make computes by functions is not followed.
 */
#ifndef LV_TINYX_KBUILD_H
#define LV_TINYX_KBUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/specialise/kernel_source.h"

struct kbuild_rule {
	char *list;	/* "obj", or the object or list of which the word is a part */
	char *word;	/* "tcp.o", "ipv4/", or "$name": another list */
	char *option;	/* without CONFIG_; NULL: always */
	struct strings around; /* options that an ifdef or ifeq asks for */
	unsigned line;
};

struct kbuild_file { /* zero-initialised: none */
	char *path;	 /* "net/ipv4/Makefile"; NULL: there is no such file */
	char *directory; /* what it was read for; NULL: parsed by itself */
	struct kbuild_rule *rule;
	size_t count;
};

/* Reads a Makefile; text is cut up. -EINVAL with a message that names path and line. Free in any case. */
int kbuild_parse(struct kbuild_file *file, const char *path, char *text, size_t size, struct error *error);
void kbuild_free(struct kbuild_file *file);

/* Makefiles that were read once are kept. */
struct kbuild { /* zero-initialised, with source set: nothing read */
	const struct kernel_source *source;
	struct kbuild_file *file;
	size_t count, room;
};
void kbuild_close(struct kbuild *kbuild);

struct kbuild_need { /* an option on which an object depends, and the line that says so */
	const char *option;
	const char *path;
	unsigned line;
};

struct kbuild_needs { /* zero-initialised: none */
	struct kbuild_need *item;
	size_t count;
};

/*
 * Adds what an object ("net/ipv4/tcp.o", from the source's top) depends on: its own option and those of the directories above it. Where several lines name it, the
 * first counts whose option is set. -ENOENT with a message: no Makefile names it. Strings in needs live as long as kbuild is open; free() needs->item.
 */
int kbuild_find(struct kbuild *kbuild, const char *object, bool (*set)(void *context, const char *option), void *context,
		struct kbuild_needs *needs, struct error *error);

#endif
