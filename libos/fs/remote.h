/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live volumes: directories of the host, whose server (volume/) answers FUSE messages (linux/fuse.h). Names and attributes are believed for as
 * long as the server says, a second; what is written goes to the host before the call returns; pages that were read are kept as long as the file's
 * time and size stay what they were, at which is looked as often.
 */
#ifndef LV_LIBOS_REMOTE_H
#define LV_LIBOS_REMOTE_H

#include "libos/dev/dev.h"
#include "libos/fs/vfs.h"

#include <linux/fuse.h>

#define REMOTE_PAGE 4096ull
#define REMOTE_SPARES 256 /* files that are open at the server and no more here */
#define REMOTE_PIECE (128u << 10) /* bytes of one read or write */
#define REMOTE_NAME_NS NS_PER_S   /* for which a name is believed */
#define REMOTE_ORDER 3 /* pages of the table of inodes, by which they are found */
#define REMOTE_BUCKETS ((4096u << REMOTE_ORDER) / sizeof(void *))
#define REMOTE_FORGETS 64         /* files at once of which the server is told that they are not known any more */

struct remote_fs {
	struct fs fs; /* the first member: an inode's fs is this */
	struct remote_fs *next; /* of all */
	struct fs_link *link;
	enum { REMOTE_NEW, REMOTE_STARTS, REMOTE_READY } state;
	struct waitq started;
	struct remote_inode *root, **bucket; /* REMOTE_BUCKETS of them; made with the first message */
	bool ahead_used;   /* some of the names that came unasked were asked for */
	uint64_t ahead_at; /* when the last ones came */
	uint64_t last_unique;
	struct { /* one message; files that are no longer known here, of which the server is to hear some time */
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[REMOTE_FORGETS];
	} forgets;
	struct remote_inode *spare[REMOTE_SPARES]; /* those that have one */
	unsigned next_spare;
	char tag[16];
};

struct remote_inode {
	struct inode inode; /* the first member */
	struct remote_fs *remote;
	uint64_t node, told;       /* the server's name for it, and how often it has said it */
	uint64_t attr_until;       /* monotonic: attributes are believed until then */
	uint64_t data_mtime;       /* what the file's time was when its pages were read */
	struct remote_inode *bucket_next;
	struct remote_inode *newer, *older; /* of those that have pages, by when they were last read */
	uint32_t held;             /* somebody uses a page, and may wait or fault meanwhile: they stay, and go when nobody does */
	bool drop;                 /* then */
	uint64_t spare, spare_until; /* a file that was opened for reading and closed: who opens it until then, as the server would let him, has it. 0: none */
	uint8_t spare_place;
	bool unasked;              /* came with others of its directory, and was not used yet */
	bool removed;              /* by this VM: what the server holds of it is space on the disk */
	uint32_t changes;          /* by this VM, or seen: what was read before one of them, and comes after it, is not kept */
	bool wrote;                /* since its attributes were asked for: then its time is another one, and its pages are good */
	uint64_t ahead_until, ahead_offset; /* of a directory: names are learnt from there on, until then */
	uint32_t misses;           /* names of it that were asked for since */
	bool ahead_done;
	bool locked;               /* has had record locks: any close lets go of those of the process, so the server is told */
	uint64_t *dirty, dirty_words, dirty_count; /* bit for each page that was written through a mapping, and not to the host yet */
	struct file *writer;       /* with which they can be written; a reference while there are any */
	bool writing;              /* they are on their way to the host, */
	struct waitq written;      /* and then there */
	int write_error;           /* of some that did not get there: fsync(2) and close(2) say so, whoever wrote them back */
};

static inline struct remote_inode *remote_inode(const struct inode *inode)
{
	return (struct remote_inode *)inode;
}

struct remote_file { /* an open one */
	uint64_t fh;
	uint64_t next; /* where a read would go on that goes through the file */
	uint64_t believed_until; /* the server would open it in the same way */
	bool wrote; /* the server is told when a descriptor is closed */
	bool locked; /* by this one: closing it lets go of the lock */
};

static inline struct remote_file *remote_file(const struct file *file)
{
	return file->private;
}

/* Who is told of it asked for it, or would have. */
static inline void remote_used(struct remote_inode *inode)
{
	inode->remote->ahead_used |= inode->unasked;
	inode->unasked = false;
}

/* ---- remote_call.c ---- */
struct remote_words { /* of one message, besides its header; addresses are libos' own */
	const void *in;
	size_t in_size;
	const char *name, *name2;
	const void *send; /* identity-mapped */
	size_t send_size;
	void *out; /* gets the answer, at most so much; a shorter one leaves zeroes, unless it is shorter than out_least */
	size_t out_size, out_least;
	const struct ring_buffer *pages; /* instead of out: where data goes */
	unsigned page_count;
};
/* Bytes of the answer, or -errno. May wait. */
int64_t remote_ask(struct remote_fs *remote, uint32_t opcode, uint64_t node, const struct remote_words *words);
/* The same without waiting, and nobody hears of the answer. */
bool remote_tell(struct remote_fs *remote, uint32_t opcode, uint64_t node, const void *in, size_t in_size);

/* ---- remote_node.c ---- */
int remote_start(struct remote_fs *remote); /* the first message of all, once; 0 or -errno */
struct inode *remote_root(const char *tag, bool read_only, uint64_t dev); /* NULL: no device of that name */
/* The inode of what the server told: a reference that takes over what it said once. */
int remote_found(struct remote_fs *remote, const struct fuse_entry_out *entry, struct inode **inode);
void remote_attributes(struct remote_inode *inode, const struct fuse_attr *attr, uint64_t seconds);
int remote_refresh(struct inode *inode); /* if they are no longer believed; 0 or -errno */
int remote_setattr(struct inode *inode, const struct fuse_setattr_in *in);
void remote_free(struct inode *inode);
void remote_gone(struct inode *inode);  /* a name of it was taken away by this VM: its space is not to be held for nothing */
void remote_stale(struct inode *inode); /* attributes are asked for anew */

/* ---- remote_tree.c ---- */
extern const struct inode_ops remote_inode_ops;

/* ---- remote_open.c ---- */
int remote_open(struct inode *inode, struct file *file);
/* Room for what is open, before the server opens it: nothing that it has opened is lost for want of it. NULL: no memory */
struct remote_file *remote_file_new(void);
/* As remote_ask, of a message whose answer is a handle: where the server has room for no more, what is open for nobody goes. */
int64_t remote_ask_handle(struct remote_fs *remote, uint32_t opcode, uint64_t node, const struct remote_words *words);
/* A file that is open at the server: private->fh. Takes private. */
void remote_opened(struct file *file, struct remote_file *private);
void remote_release(struct file *file);
void remote_tell_release(struct remote_inode *inode, uint64_t fh, uint32_t flags, uint64_t owner);
void remote_drop_spare(struct remote_inode *inode); /* the server closes it, and is asked by who opens it next */

/* ---- remote_file.c ---- */
extern const struct file_ops remote_file_ops;
/* What was written through mappings of the inode goes to the host. May wait; 0 or the first negative errno. */
int remote_write_inode(struct inode *inode);
/* What was written through mappings, of files of that volume (NULL: of all), goes to the host. The first error. */
int remote_write_all(const struct remote_fs *only);

/* ---- remote_pages.c ---- */
void *remote_page(struct inode *inode, uint64_t index); /* NULL: it is not kept */
/* Takes the page; false: it stays the caller's, since there is one already, or no memory. */
bool remote_keep_page(struct remote_inode *remote, uint64_t index, char *page);
/* The same for the answer to a read (n: bytes, or -errno) into count pages from the first one on; takes all of them. How many came, or -errno. */
struct remote_answer {
	uint64_t first, count;
	char *pages;
	int64_t n;
	uint32_t changes; /* of the inode, when it was asked for */
};
int64_t remote_keep_answer(struct inode *inode, const struct remote_answer *answer);
void remote_was_read(struct remote_inode *inode); /* just now: of those that have pages it is the last to lose them */
/* For so many pages, but not of keep's, if there are others'. May wait. */
void remote_make_room(uint64_t pages, const struct remote_inode *keep);
void remote_drop_pages(struct remote_inode *inode); /* those that the host has; they are read again */
/* Between the two the pages of the inode stay where they are. */
void remote_hold(struct remote_inode *inode);
void remote_let_go(struct remote_inode *inode);
bool remote_is_dirty(const struct remote_inode *inode, uint64_t index);
bool remote_mark_dirty(struct file *file, uint64_t index); /* file: with which it can be written; false: no memory */

#endif
