/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive as a stream of entries, read by libarchive (ustar, GNU and pax headers, not compressed), and a file for the contents of
 * what goes into an image: nothing is unpacked under a name. The archive is hostile.
 */
#ifndef LV_TINYX_TAR_H
#define LV_TINYX_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "tinyx/plan.h"

struct tar_entry { /* valid until the next one is asked for */
	const char *path;   /* as a guest path: absolute, without "." and ".."; "/" is the root */
	const char *target; /* of a symbolic link, or the guest path of what this is another name of; NULL: neither */
	bool is_name;       /* another name of target */
	mode_t mode;        /* with the file's type */
	uint32_t uid, gid;
	dev_t rdev; /* of a device */
	uint64_t size;
	int64_t mtime;
	uint32_t mtime_ns;
};

struct tar;

struct tar_feed { /* where an archive comes from, if it is no file */
	/* At least one byte more, valid until the next call; how many, 0 at the end, or a negative errno with a message. */
	ssize_t (*read)(void *context, const void **data, struct error *error);
	void *context;
};

/* fd is the caller's, and open as long as the tar is. what: the archive's name, for messages. -EINVAL: it is no tar archive. Close in any case. */
int tar_open(struct tar **tar, int fd, const char *what, struct error *error);
/* The same from a feed, which has to last as long. */
int tar_open_feed(struct tar **tar, const struct tar_feed *feed, const char *what, struct error *error);
void tar_close(struct tar *tar);
/* The next entry: 1; 0 at the end; -EINVAL, -EIO with a message that names archive and entry: it is damaged, or a path leads out of it. */
int tar_next(struct tar *tar, struct tar_entry *entry, struct error *error);
/* The contents of the entry that tar_next told of, all of size bytes, into out. -EFBIG, with a message: it has more than limit. The caller's, terminated by a zero byte. */
int tar_read(struct tar *tar, const struct tar_entry *entry, size_t limit, char **out, struct error *error);

/* The extended attributes of that entry but those that belong to an overlay; *list (NULL: none) and what is in it are the caller's. How many. */
size_t tar_xattrs(struct tar *tar, struct plan_xattr **list);
/* Where in a file that is not compressed the contents of that entry begin. */
uint64_t tar_offset(struct tar *tar);

struct spool { /* contents, one behind the other, each on a page of its own. fd -1: none */
	int fd;         /* the caller's */
	char path[40];  /* under which this process opens it */
	uint64_t end;
	uint64_t limit; /* bytes that it may grow to */
	uint32_t origin; /* of the entries that are planned; the caller's */
};

void spool_init(struct spool *spool, int fd, uint64_t limit);
/* Puts the contents of the entry that tar_next told of at the spool's end, which then is the next page; *at: where. -ENOSPC, -EFBIG: no room, or more than limit; with a message. */
int spool_take(struct tar *tar, const struct tar_entry *entry, struct spool *spool, uint64_t *at, struct error *error);
/*
 * Plans the entry that tar_next told of, its contents put into the spool. What is neither file, directory nor link is left out and counted,
 * as in plan_add_as. Another name of a file gets its contents, mode and owner; it must be planned before. -ENOSPC, -EFBIG: no room, or more than
 * limit; with a message.
 */
int tar_plan(struct tar *tar, const struct tar_entry *entry, struct spool *spool, struct plan *plan, struct error *error);

#endif
