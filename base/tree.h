/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file or a directory with all that is in it, as a stream of bytes: what "lightvm cp" sends through the agent. Names in it
 * are single components, so a receiver never walks a path that the sender made, and it never follows a link: nothing
 * is written outside of the directory that it was given. Owners are not sent; the receiver owns what it makes. Hard links
 * arrive as files of their own, holes as holes.
 */
#ifndef LV_BASE_TREE_H
#define LV_BASE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_DEPTH 128 /* directories within each other */
#define TREE_NAME_MAX 255
#define TREE_TEXT_MAX 4095 /* of a link's target or a note */

enum tree_type {
	TREE_DIR = 1,   /* name; what follows up to its TREE_UP is in it */
	TREE_UP = 2,
	TREE_FILE = 3,  /* name, then size bytes */
	TREE_LINK = 4,  /* name, then size bytes: where the symbolic link leads */
	TREE_NOTE = 5,  /* size bytes of text: something that was left out, and why */
	TREE_END = 6,
	/*
	 * name, then pieces: a file with holes (size is its size), or one whose size nobody knows before it was read, as /proc's are
	 * (size is 0). struct tree_piece, then its bytes; one of size 0 ends them, at is the size of the whole.
	 */
	TREE_PIECES = 7,
};

struct tree_piece { /* little-endian; in rising order */
	uint64_t at, size;
};

struct tree_entry { /* little-endian; name_size bytes of name follow, not terminated */
	uint8_t type; /* enum tree_type */
	uint8_t reserved;
	uint16_t name_size; /* at most 255; 0 for the top, UP, NOTE and END */
	uint32_t mode;      /* permissions */
	uint64_t size;
	int64_t mtime_ns;   /* since 1970; years before 1678 and after 2262 become those */
};

struct tree_report {
	void (*note)(void *context, const char *text); /* a file that was left out, here or by the other side; printable */
	void *context;
	uint64_t limit; /* receiving: no more bytes than these; 0: any number */
	uint64_t most;  /* receiving: no more files, links, directories and notes than these; 0: any number */
	uint64_t room;  /* receiving: no more than these bytes of a disk, which gives each entry a block and each piece the blocks that it touches; 0: any number */
	uint64_t files, bytes, entries, taken;
	char error[512]; /* what failed, with its name; after a negative result */
};

/* Sends what `name` in directory dir is (a link at the top is followed). 0 or a negative errno with report->error. */
int tree_send(int fd, int dir, const char *name, struct tree_report *report);
/*
 * Receives one tree as `name` in directory dir: files replace files once they are whole, directories are filled. Of the modes only those in
 * mode_mask are taken, and a directory that was there keeps its mode and time. The stream is hostile. 0 or a negative errno with report->error; what came before it stays.
 */
int tree_receive(int fd, int dir, const char *name, mode_t mode_mask, struct tree_report *report);

/* report->error; err. */
int tree_fail(struct tree_report *report, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A stream, entry by entry, for who makes something else of it than files. Hostile as above; each call: 0 or a negative errno with report->error. */
struct tree_reader {
	int fd;
	struct tree_report *report;
	int depth; /* directories that are open, with the one that tree_next has told of */
	bool have_top;
};
/*
 * The next entry that is no note (those go to the report), and its name (TREE_NAME_MAX + 1 bytes), which is that of the sender at the top; TREE_END is the last one.
 * What belongs to it has to be read before the next.
 */
int tree_next(struct tree_reader *reader, struct tree_entry *entry, char *name);
int tree_get(struct tree_reader *reader, void *data, size_t size);
/* Terminated; TREE_TEXT_MAX + 1 bytes. target: of a link, which is not empty. */
int tree_get_text(struct tree_reader *reader, const struct tree_entry *entry, char *text);
int tree_get_target(struct tree_reader *reader, const struct tree_entry *entry, const char *name, char *target);
/* The next piece of a TREE_PIECES, not before end, which is where the last one ended. Its bytes have to be read then. */
int tree_next_piece(struct tree_reader *reader, const char *name, uint64_t end, struct tree_piece *piece);
/* So many bytes come: -EFBIG if that is more than the report allows. */
int tree_count(struct tree_reader *reader, const char *name, uint64_t size);

#endif
