/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What will be in an image, before anything is written: a set of guest paths, each with where its contents come from. The
 * plan also knows which host files it rests on, so that the cache can tell when it has to be made anew.
 */
#ifndef LV_TINYX_PLAN_H
#define LV_TINYX_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct pack_progress {
	size_t files, files_total;   /* regular files of the host; total 0: still being looked for */
	uint64_t bytes, bytes_total; /* of the image */
};

struct pack_watch { /* NULL: nobody looks on */
	/* Called often: after some files, and within large ones after each few megabytes. */
	void (*report)(void *context, const struct pack_progress *progress);
	void *context;
};

enum plan_kind { PLAN_DIR, PLAN_FILE, PLAN_LINK, PLAN_DATA };

struct plan_entry {
	char *guest; /* absolute, no "." or "..", no trailing slash */
	enum plan_kind kind;
	mode_t mode;          /* permission bits with set-uid, set-gid, sticky */
	uint32_t uid, gid;    /* in the image */
	char *source;         /* FILE: host path; LINK: target; DATA: contents */
	size_t size;          /* FILE, DATA: bytes */
	int64_t mtime;        /* seconds */
	uint32_t mtime_ns;    /* and nanoseconds */
	char *depends;        /* host path whose change makes the plan stale, NULL: none */
	uint64_t fingerprint; /* of depends */
};

struct plan { /* zero-initialised: empty */
	struct plan_entry *entry;
	size_t count, room;
	uint32_t *slot; /* open hash table over guest paths: index + 1 */
	size_t slots;
	struct plan_depends {
		char *path;
		uint64_t fingerprint;
	} *also; /* more host paths whose change makes the plan stale */
	size_t also_count;
	struct plan_skip { /* what is never packed: the image cache, the image that is being made */
		dev_t dev;
		ino_t ino;
	} skip[2];
	size_t skips;
	size_t left_out; /* what cannot be packed, inside of directories: sockets, devices, pipes, /proc and the like */
	char *left_out_first; /* the first of them */
	size_t files; /* seen so far, while somebody watches */
	const struct pack_watch *watch; /* is told while trees are walked */
	bool lenient; /* a tree's unreadable files, static libraries and tests are passed over */
	bool whole;   /* the latter two are not */
};

/*
 * Owners in the image: as in a container without root, what is the packing user's own is root's there, all else has the number it has on
 * the host; for root that changes nothing.
 *
 * Adds a host file or directory under the same path, with the symbolic links and directories on the way to it. A directory
 * is added with all that is in it if whole is set. -ENOENT, -EACCES, ... with a message that names the path.
 */
int plan_add(struct plan *plan, const char *host, bool whole, struct error *error);
/*
 * Adds host file or tree as guest, replacing what is planned there. What cannot be packed is -EINVAL with a message; inside of a
 * directory it is left out, and counted.
 */
int plan_add_as(struct plan *plan, const char *host, const char *guest, struct error *error);
/* Adds what the caller made: an empty directory, a small file; what is there already stays. */
void plan_dir(struct plan *plan, const char *guest, mode_t mode);
void plan_data(struct plan *plan, const char *guest, mode_t mode, const void *data, size_t size);
void plan_link(struct plan *plan, const char *guest, const char *target);
/* The file or directory behind fd is never packed. */
void plan_skip(struct plan *plan, int fd);
/* The plan rests on this path of the host, too (itself, not what a link leads to), though it may not be in the image. */
void plan_depend(struct plan *plan, const char *host);
/* NULL: not planned. Valid until the next addition. */
const struct plan_entry *plan_find(const struct plan *plan, const char *guest);
void plan_free(struct plan *plan);

/* "/a/b/../c//d" -> "/a/c/d"; relative paths start at base. The caller's; NULL: out of memory. */
char *path_clean(const char *base, const char *path);

#endif
