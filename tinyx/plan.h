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
#include "base/text.h"

struct pack_progress {
	size_t files, files_total;   /* regular files of the host; total 0: still being looked for */
	uint64_t bytes, bytes_total; /* of the image */
};

struct pack_watch { /* NULL: nobody looks on */
	/* Called often: after some files, and within large ones after each few megabytes. */
	void (*report)(void *context, const struct pack_progress *progress);
	void *context;
};

enum plan_kind {
	PLAN_DIR,
	PLAN_FILE,    /* of the host */
	PLAN_LINK,    /* symbolic */
	PLAN_DATA,    /* a file whose contents are in memory */
	PLAN_SPECIAL, /* device, pipe, socket: a node without contents */
};

struct plan_xattr { /* an extended attribute, as in "security.capability" */
	char *name;
	void *value;
	size_t size; /* of value; at most 65535 */
};

struct plan_entry {
	char *guest; /* absolute, no "." or "..", no trailing slash; "/": what the root directory is like */
	enum plan_kind kind;
	mode_t mode;          /* permission bits with set-uid, set-gid, sticky; SPECIAL: with the type */
	uint32_t uid, gid;    /* in the image */
	char *source;         /* FILE: host path; LINK: target; DATA: contents */
	uint64_t offset;      /* FILE: where in source the contents begin */
	size_t size;          /* FILE, DATA: bytes */
	dev_t rdev;           /* SPECIAL: of a device */
	uint32_t same;        /* entries of one number are one file with several names (hard links); from plan_same. 0: it has one name */
	struct plan_xattr *xattr;
	size_t xattrs;
	int64_t mtime;        /* seconds */
	uint32_t mtime_ns;    /* and nanoseconds */
	bool dated;           /* the time is its own, though nothing of the host is behind it */
	char *why;            /* the plan's why when it was added; NULL: nobody asks */
	uint32_t origin;      /* what brought it, as whoever plans counts: 1 for the first package; 0: nothing of that kind */
	char *depends;        /* host path whose change makes the plan stale, NULL: none */
	uint64_t fingerprint; /* of depends */
};

struct plan { /* zero-initialised: empty */
	struct plan_entry *entry;
	size_t count, room;
	uint32_t *slot; /* open hash table over guest paths: index + 1 */
	size_t slots;
	uint64_t seed; /* of the table */
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
	uint32_t sames; /* numbers of files with several names, given so far */
	size_t files; /* seen so far, while somebody watches */
	const struct pack_watch *watch; /* is told while trees are walked */
	bool explains;   /* each entry keeps why it is there: what plan_why said last */
	char *why;
	const struct plan *from; /* what is added by its path, and looked for, is looked for here (what packages hold) and not on the host; NULL: the host */
	struct strings owners; /* Debian packages of the host that came along as companions */
	bool lenient; /* a tree's unreadable files, static libraries and tests are passed over */
	bool whole;   /* the latter two are not */
};

/*
 * Owners in the image: as in a container without root, what is the packing user's own is root's there, all else has the number it has on
 * the host; for root that changes nothing.
 *
 * Adds a host file or directory under the same path, with the symbolic links and directories on the way to it. A directory
 * is added with all that is in it if whole is set. -ENOENT, -EACCES, ... with a message that names the path. With plan->from
 * the same of what is planned there.
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
/*
 * Adds what an archive tells of one path: guest, in which links that are planned already are followed, source, mode, owner, size and time are filled in; guest,
 * source and attributes are taken. It replaces what is there, but a directory replaces no link, as when a package is unpacked over /lib -> /usr/lib. The time is kept as its own.
 */
void plan_put(struct plan *plan, struct plan_entry entry);
/* The number (same) of the entry planned as guest, for further names of it. 0: nothing is planned there, or a directory. */
uint32_t plan_same(struct plan *plan, const char *guest);
struct plan_owner { /* NULL, -1: it stays */
	const uint32_t *uid, *gid;
	int mode;
};
/* Changes owner and mode of what is planned at guest, as chown and chmod would; below: and of all that is in it, which keeps its mode. */
void plan_own(struct plan *plan, const char *guest, const struct plan_owner *change, bool below);
/* What is added from here on is there for this reason; nothing unless the plan explains. */
void plan_why(struct plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Counts what cannot be packed, unless the plan is lenient. */
void plan_leave_out(struct plan *plan, const char *path);
/* The file or directory behind fd is never packed. */
void plan_skip(struct plan *plan, int fd);
/* The plan rests on this path of the host, too (itself, not what a link leads to), though it may not be in the image. */
void plan_depend(struct plan *plan, const char *host);
/* Takes out the file, link or node planned as guest; a directory stays. */
void plan_remove(struct plan *plan, const char *guest);
/* NULL: not planned. Valid until the next addition. */
const struct plan_entry *plan_find(const struct plan *plan, const char *guest);
/* The same where links that are planned lead on the way: /bin/x is /usr/bin/x. The last component may be a link. */
const struct plan_entry *plan_find_at(const struct plan *plan, const char *guest);
/* What guest leads to, links followed on the way and at its end; NULL: nothing. */
const struct plan_entry *plan_follow(const struct plan *plan, const char *guest);
/*
 * Opens the regular file at path, links followed, for reading: the host's, or with plan->from the plan's own or that of from. The descriptor, and where
 * in it the contents are and how many bytes; or a negative errno.
 */
int plan_open(const struct plan *plan, const char *path, uint64_t *at, size_t *size);
/* Whether it can be opened so. */
bool plan_has(const struct plan *plan, const char *path);
/* The path without links of what lies at path, on the host or as plan_open finds it; the caller's. NULL: nothing. */
char *plan_real(const struct plan *plan, const char *path);
void plan_free(struct plan *plan);

/* ---- plan.c for plan_host.c ---- */
#define PLAN_LINKS_MAX 40 /* that one path may lead through */
/* Takes the entry, whose path is resolved and has its directories; one that is there already is replaced if asked for, or if it is a directory of unknown origin. */
void plan_enter(struct plan *plan, struct plan_entry entry, bool replace);
/* Plans the directories that lead to the guest path and are not there yet. */
void plan_parents(struct plan *plan, const char *guest);
/* The guest path without links that are planned on its way: /lib/x is /usr/lib/x there too. The last component may be a link. The caller's. */
char *plan_resolve(const struct plan *plan, const char *guest);

/* "/a/b/../c//d" -> "/a/c/d"; relative paths start at base. The caller's; NULL: out of memory. */
char *path_clean(const char *base, const char *path);

#endif
