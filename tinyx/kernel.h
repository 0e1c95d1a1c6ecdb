/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels for Linux guests: built from a source package into the user's cache, and kept there by name. In the cache's
 * directory "kernel": NAME-KEY/ with vmlinux, bzImage, config and meta.json, which never changes after it has appeared;
 * NAME, a link to the newest of that name; .source-*, .objects-*: what a later build can go on with.
 */
#ifndef LV_TINYX_KERNEL_H
#define LV_TINYX_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define KERNEL_DEFAULT "general" /* what "--kernel linux" means */
#define KERNEL_KEY 12		 /* hexadecimal digits that tell builds of one name apart */
#define KERNEL_CONFIG_MAX (1u << 20)

/* ---- configurations ---- */

struct kernel_config { /* zero-initialised: none */
	char *name;	   /* "general", or what a file is called without ".config" */
	char *text;	   /* with what it includes put in front */
};

/*
 * word: the name of a configuration that comes with lightvm, or a file. A line "#include NAME" in it puts that
 * configuration in front. -ENOENT with a suggestion, -EINVAL with file and line.
 */
int kernel_config_load(struct kernel_config *config, const char *word, struct error *error);
/* The same of lines in memory; from is what messages call them. -EINVAL: no kernel can have that name, or a line is wrong. */
int kernel_config_make(struct kernel_config *config, const char *name, const char *lines, const char *from, struct error *error);
void kernel_config_free(struct kernel_config *config);
/* The names that come with lightvm; NULL: no more. */
const char *kernel_config_name(size_t i);
/* What the text asks for, the last line of a name counts, and "result" (a .config) has not: one word each, "CONFIG_X". */
void kernel_config_missing(const char *text, const char *result, struct strings *missing);

/* ---- building ---- */

enum kernel_step { /* of a build, in this order; the first only if another build of this user goes on */
	KERNEL_WAITING,
	KERNEL_UNPACKING,
	KERNEL_CONFIGURING,
	KERNEL_COMPILING,
	KERNEL_COLLECTING,
	KERNEL_STEPS,
};

struct kernel_progress {
	enum kernel_step step;
	const char *detail;	/* what it is about just now; NULL: nothing to tell */
	unsigned done, total;	/* parts of this step; total 0: not known */
	unsigned percent;	/* of the whole build, as such builds usually go */
};

struct kernel_request {
	const struct kernel_config *config;
	const char *source; /* linux-*.tar.xz; NULL: the newest in /usr/src */
	unsigned jobs;
	bool force; /* build although it is there */
	void (*progress)(void *context, const struct kernel_progress *progress); /* called often */
	void *context;
};

/* For people: "compiling". */
const char *kernel_step_name(enum kernel_step step);

/* 1: built; 0: it was there already. *directory (the caller's) holds the result. Waits for another build of this user. */
int kernel_build(const struct kernel_request *request, char **directory, struct error *error);

/* ---- the cache ---- */

struct kernel { /* zero-initialised: none */
	char *name, *directory;
	char key[KERNEL_KEY + 1];
	char *release;		 /* "6.1.192-lightvm" */
	char *source;		 /* file name of the source package */
	char *source_id;	 /* of its unpacked tree; "?": built before that was noted */
	uint64_t vmlinux, bzimage; /* bytes */
	int64_t built;		 /* seconds since 1970 */
	bool newest;		 /* the one that its name means */
};

/* "NAME" or "NAME-KEY". -ENOENT with a suggestion; -ENODATA: it is one of ours, but not built yet, with the command that builds it. */
int kernel_find(const char *word, struct kernel *kernel, struct error *error);
struct file_known;
/* The file of any of them, compressed or not, that is the one (tinyx/file_digest.h); the caller's. NULL: none is, or there are none. */
char *kernel_known(const struct file_known *known);
/* Calls each for every kernel that is there, by name; kernel is freed afterwards. */
int kernel_each(int (*each)(void *context, const struct kernel *kernel), void *context);
/* Removes it; a name that meant it then means the newest one that is left, or nothing. */
int kernel_remove(const struct kernel *kernel, struct error *error);
/* Removes unpacked sources and object files. */
int kernel_remove_trees(struct error *error);
void kernel_free(struct kernel *kernel);
/* The directory "kernel" in the cache; the caller's. */
char *kernel_cache(void);
/* Whether this absolute path leads there: what was built is never written to again, only removed. */
bool kernel_is_kept(const char *path);
/* Whether it leads to a kernel there that was built without an option ("CONFIG_VIRTIO_FS"). Of other kernels nobody knows. */
bool kernel_lacks(const char *path, const char *option);
/* Makes that directory, where only this user can write to it; else an error with a message. */
int kernel_cache_make(struct error *error);

/* ---- files that claim to be kernels ---- */

enum kernel_kind { KERNEL_BZIMAGE, KERNEL_VMLINUX };

/* Looks at the headers only; what is wrong is said with path. fd is not moved. */
int kernel_check(int fd, const char *path, enum kernel_kind *kind, struct error *error);

#endif
