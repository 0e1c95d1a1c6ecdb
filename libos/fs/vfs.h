/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file tree. Every directory is a set of remembered names (dentries) in front of an optional backing: the EROFS
 * image, the device list, /proc. A name that was made, renamed or deleted here is "dirty" and hides the backing's; so
 * nothing is ever copied to change a directory, and of a file only the pages that are written are.
 *
 * References: a dentry holds its parent and its inode; open files hold both. "get" answers a new reference.
 */
#ifndef LV_LIBOS_VFS_H
#define LV_LIBOS_VFS_H

#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"

struct erofs_inode;

struct dentry {
	struct dentry *hash_next;
	struct dentry *parent; /* NULL: the root */
	struct dentry *children, *next, *prev; /* remembered names of a directory */
	struct dentry *lru_next, *lru_prev;
	struct inode *inode;   /* NULL: there is no such file */
	uint32_t refs, hash;
	bool hashed; /* found by look-ups; false: deleted, or never remembered */
	bool dirty;  /* not as the backing has it */
	bool backed; /* the backing has this name */
	uint8_t name_len;
	char *name;  /* terminated; inline_name, or allocated after a rename */
	char inline_name[];
};

/* ---- erofs_fs.c: the image as a backing ---- */
struct inode *image_root(void); /* the root directory of the image, or an empty one when there is no (valid) image */
int image_map(const struct erofs_inode *lower, uint64_t offset, const uint8_t **data, size_t *len); /* as erofs_map */
bool image_inode_drop(struct inode *inode); /* the last reference went: true if it may be freed */

/* ---- mount.c ---- */
void mounts_make(void); /* directories in memory, over what the image has there */
struct mounted {
	const char *path, *type;
	bool read_only;
	uint64_t size; /* bytes; 0: no bound */
};
void mounts_each(void (*tell)(void *context, const struct mounted *mounted), void *context); /* the root, and what is below besides /dev, /proc and /sys */
/* Nothing of it can be changed: EROFS, for files and directories. */
static inline bool inode_is_frozen(const struct inode *inode)
{
	return inode->fs->read_only && inode->fs->remembered;
}

/* ---- dentry.c ---- */
uint32_t dentry_hash(const struct dentry *parent, const char *name, size_t len);
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len); /* remembered only; borrowed */
int dentry_lookup(struct dentry *parent, const char *name, size_t len, struct dentry **found); /* may be one without an inode; get */
struct dentry *dentry_root(struct inode *inode); /* takes the reference */
void dentry_get(struct dentry *dentry);
void dentry_put(struct dentry *dentry);
void dentry_attach(struct dentry *dentry, struct inode *inode); /* a file appears at an empty name; takes the reference */
int dentry_detach(struct dentry *dentry); /* the name disappears; its inode stays with the dentry until the last put. -ENOMEM */
void dentry_forget_children(struct dentry *dir); /* of a directory that was removed: the deletions inside */
int dentry_move(struct dentry *from, struct dentry *to); /* from takes the place of to (which must have been detached, or be empty) */
int dentry_exchange(struct dentry *a, struct dentry *b);
bool dentry_is_below(const struct dentry *dentry, const struct dentry *above); /* or the same */
/* Writes the path from root; the start within buffer, or NULL: too long. Names that are gone end in " (deleted)". */
char *dentry_path(const struct dentry *dentry, const struct dentry *root, char *buffer, size_t size);

/* ---- path.c ---- */
#define WALK_FOLLOW 1u  /* a symbolic link at the end, too */
#define WALK_CREATE 2u  /* the last name need not exist: then the dentry has no inode */
#define WALK_EMPTY 4u   /* AT_EMPTY_PATH */
struct walk {
	struct dentry *dentry; /* get; NULL when file is set */
	struct file *file;     /* get: the path named an open thing without a name, by /proc/self/fd */
	bool slash;            /* the path ended in a slash */
	uint8_t dots;          /* its last name, as it was given, is so many dots and nothing else (1 or 2) */
};
int path_walk(struct dentry *start, const char *path, size_t len, unsigned flags, struct walk *walk);
int path_at(int dirfd, const char *path, unsigned flags, struct walk *walk); /* path in the program's memory */
void walk_done(struct walk *walk);
void path_set_cwd(struct dentry *dentry);  /* get */
void path_set_root(struct dentry *dentry);

/* ---- open.c ---- */
int vfs_open(struct dentry *dentry, uint32_t flags, struct file **file);
int vfs_open_inode(struct inode *inode, struct dentry *dentry, uint32_t flags, struct file **file);
int vfs_create(struct dentry *dentry, uint32_t mode, uint64_t rdev, struct inode **inode); /* at an empty name; borrowed */
/* Makes an inode of this type at a path of the program: 0 and a reference to it, or -errno. */
int vfs_mknod_at(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct inode **inode);

/* ---- store.c ---- */
void **store_slot(struct page_store *store, uint64_t index, bool make); /* NULL: absent, or no memory */
uint64_t store_next(const struct page_store *store, uint64_t index);    /* the first page present from index on, or UINT64_MAX */
void store_cut(struct page_store *store, uint64_t from, uint64_t to);   /* frees pages [from, to); of an inode: inode_cut */

/* ---- regular.c: files with contents ---- */
extern const struct file_ops regular_ops;
/* The longest run of bytes at offset that lie together: data NULL for a hole; len 0 at the end. */
int inode_run(struct inode *inode, uint64_t offset, const uint8_t **data, size_t *len);
void inode_cut(struct inode *inode, uint64_t from, uint64_t to); /* as store_cut */
int inode_truncate(struct inode *inode, uint64_t size);
int inode_fallocate(struct inode *inode, int mode, uint64_t offset, uint64_t len);
/* May the program make a file so big (RLIMIT_FSIZE)? 0, or -EFBIG after SIGXFSZ. */
int file_size_allowed(uint64_t size);
int inode_seal(struct inode *inode, uint32_t add); /* F_ADD_SEALS: 0 or -errno */

/* ---- dir.c ---- */
extern const struct file_ops dir_ops;
int dir_is_empty(struct dentry *dir); /* 1, 0 or -errno */

/* ---- procfs.c ---- */
struct inode *procfs_root(void);
struct inode *sysfs_root(void);

/* ---- pipe.c ---- */
int pipe_open_fifo(struct inode *inode, struct file *file);
/* F_SETPIPE_SZ and F_GETPIPE_SZ: the size in bytes, or -errno: -EBADF if file is no pipe. */
bool is_pipe(const struct file *file); /* a FIFO, too */
long pipe_set_size(struct file *file, unsigned long size);
long pipe_size(const struct file *file);
/* One more open file of a pipe without a name: 0, -ENXIO if pipe_file is none, -ENOMEM. */
int pipe_open_again(const struct file *pipe_file, uint32_t flags, struct file **file);

/* ---- epoll.c ---- */
void epoll_forget(struct file *file); /* the file is about to go */

/* ---- fd.c ---- */
struct fd_info { struct file *file; bool cloexec; };
int fd_count(void); /* one more than the highest open descriptor */
bool fd_is_cloexec(int fd);
int fd_take(int dirfd, struct file **file); /* -EBADF or 0 and a reference */

#endif
