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
	uint64_t until; /* of a live volume: monotonic, until when the name is believed */
	bool hashed; /* found by look-ups; false: deleted, or never remembered */
	bool dirty;  /* not as the backing has it */
	bool backed; /* the backing has this name */
	uint8_t name_len;
	char *name;  /* terminated; inline_name, or allocated after a rename */
	char inline_name[];
};

/* ---- file systems whose names and attributes are elsewhere: who changes them has it done there. All may wait; 0 or -errno ---- */
#define CHANGE_MODE 1u
#define CHANGE_UID 2u
#define CHANGE_GID 4u
#define CHANGE_SIZE 8u
#define CHANGE_ATIME 16u
#define CHANGE_MTIME 32u
#define CHANGE_ATIME_NOW 64u
#define CHANGE_MTIME_NOW 128u
struct attr_change {
	uint32_t what, mode, uid, gid;
	uint64_t size;
	struct { uint64_t tv_sec; int64_t tv_nsec; } atime, mtime;
};
enum attribute_verb { ATTRIBUTE_GET, ATTRIBUTE_SET, ATTRIBUTE_REMOVE, ATTRIBUTE_LIST };
struct remote_ops {
	bool (*revalidate)(struct dentry *dentry); /* the name still leads where it did */
	void (*ahead)(struct dentry *dir);         /* a name of it is about to be asked for: many may be learnt at once (dentry_learn) */
	int (*refresh)(struct inode *inode);       /* attributes, if they are too old */
	int (*change)(struct inode *inode, const struct attr_change *change);
	int (*list)(struct dentry *dir, int (*add)(void *context, const struct vfs_entry *entry), void *context);
	int (*make)(struct dentry *at, uint32_t mode, uint64_t rdev, const char *target, struct inode **inode); /* a reference; the caller attaches it */
	int (*create)(struct dentry *at, uint32_t flags, uint32_t mode, struct file **file); /* a regular file, opened and attached */
	int (*temporary)(struct dentry *dir, uint32_t flags, uint32_t mode, struct file **file); /* one without a name, opened */
	int (*remove)(struct dentry *what);
	int (*rename)(struct dentry *from, struct dentry *to, uint32_t flags);
	int (*link)(struct inode *inode, struct dentry *at); /* attaches it */
	int (*statfs)(struct inode *inode, struct statfs *out);
	/* value: libos' own, size bytes (0: how many there are); bytes of the value or of the list. name: not of a list */
	int64_t (*attribute)(struct inode *inode, enum attribute_verb verb, const char *name, void *value, size_t size, int flags);
};
static inline const struct remote_ops *remote_of(const struct inode *inode)
{
	return inode && inode->ops ? inode->ops->remote : NULL;
}
static inline int inode_refresh(struct inode *inode)
{
	return remote_of(inode) ? remote_of(inode)->refresh(inode) : 0;
}
int inode_change(struct inode *inode, const struct attr_change *change); /* vfs.c: remote->change, with a reference meanwhile */

/* ---- erofs_fs.c: the image as a backing ---- */
struct inode *image_root(void); /* the root directory of the image, or an empty one when there is no (valid) image */
int image_map(const struct erofs_inode *lower, uint64_t offset, const uint8_t **data, size_t *len); /* as erofs_map */
bool image_inode_drop(struct inode *inode); /* the last reference went: true if it may be freed */

/* ---- used.c: what is said of the image's files, where the monitor asks for it ---- */
void used_found(const struct dentry *dentry); /* was looked up in the image just now: inode NULL: it is not there */
void used_opened(const struct inode *inode);
void used_listed(const struct dentry *dir);
static inline bool used_wanted(void)
{
	return device_page->record;
}

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
/* Of a live volume, after the server did it: a file is at this name, whose reference it takes; the name leads nowhere any more; it moved. */
void dentry_found(struct dentry *dentry, struct inode *inode);
void dentry_lost(struct dentry *dentry);
void dentry_learn(struct dentry *parent, const char *name, size_t len, struct inode *inode); /* a name is known to lead there now */
int dentry_moved(struct dentry *from, struct dentry *to, bool exchange);
bool dentry_is_below(const struct dentry *dentry, const struct dentry *above); /* or the same */
/* Writes the path from root; the start within buffer, or NULL: too long. Names that are gone end in " (deleted)". */
char *dentry_path(const struct dentry *dentry, const struct dentry *root, char *buffer, size_t size);

/* ---- path.c ---- */
#define WALK_FOLLOW 1u  /* a symbolic link at the end, too */
#define WALK_CREATE 2u  /* the last name need not exist: then the dentry has no inode */
#define WALK_EMPTY 4u   /* AT_EMPTY_PATH */
#define WALK_NAME 8u    /* the last name itself is meant: slashes behind it do not make a link be followed */
/* As openat2 may ask: */
#define WALK_BENEATH 16u   /* nothing outside of the start: EXDEV */
#define WALK_IN_ROOT 32u   /* the start is the root */
#define WALK_NO_LINKS 64u  /* ELOOP at a symbolic link that would be followed ... */
#define WALK_NO_JUMPS 128u /* ... at one of /proc/PID that leads to an open thing */
#define WALK_ONE_FS 256u   /* EXDEV at another file system */
#define WALK_NO_WAIT 512u  /* EAGAIN where a live volume would have to be asked */
#define WALK_SCOPED (WALK_BENEATH | WALK_IN_ROOT)
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
/* What opens alike wherever it lies: by the kind of the inode. */
int vfs_open_special(struct inode *inode, struct file *file);
int vfs_open_inode(struct inode *inode, struct dentry *dentry, uint32_t flags, struct file **file);
int vfs_create(struct dentry *dentry, uint32_t mode, uint64_t rdev, struct inode **inode); /* at an empty name; borrowed */
int vfs_symlink(struct dentry *dentry, const char *target); /* of a live volume, at an empty name */
/* Makes an inode of this type at a path of the program: 0 and a reference to it, or -errno. */
int vfs_mknod_at(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct inode **inode);

/* ---- store.c ---- */
void **store_slot(struct page_store *store, uint64_t index, bool make); /* NULL: absent, or no memory */
uint64_t store_next(const struct page_store *store, uint64_t index);    /* the first page present from index on, or UINT64_MAX */
void store_cut(struct page_store *store, uint64_t from, uint64_t to);   /* frees pages [from, to); of an inode: inode_cut */

/* ---- regular.c: files with contents ---- */
/* The longest run of bytes at offset that lie together: data NULL for a hole; len 0 at the end. */
int inode_run(struct inode *inode, uint64_t offset, const uint8_t **data, size_t *len);
void inode_cut(struct inode *inode, uint64_t from, uint64_t to); /* as store_cut */
int inode_fallocate(struct inode *inode, int mode, uint64_t offset, uint64_t len);
/* May the program make a file so big (RLIMIT_FSIZE)? 0, or -EFBIG after SIGXFSZ. */
int file_size_allowed(uint64_t size);
int inode_seal(struct inode *inode, uint32_t add); /* F_ADD_SEALS: 0 or -errno */

/* ---- sys_file.c: as read(2) and write(2) of an open file that may be read (written); buffers as those of file_ops ---- */
int64_t file_read(struct file *file, uaddr_t to, size_t n, int64_t *position);
int64_t file_write(struct file *file, uaddr_t from, size_t n, int64_t *position);
#define FEW_VECTORS 8
struct vectors { /* what readv(2) and its like are given */
	struct iovec few[FEW_VECTORS], *vector;
	int count;
};
/* A copy, with its lengths checked; own: its addresses, too, which are the running program's. 0, or -errno and nothing to free. */
int vectors_take(struct vectors *v, const void *from, uint64_t count, bool own);
void vectors_free(struct vectors *v);

/* ---- sys_xattr.c ---- */
void xattrs_free(struct inode *inode);

/* ---- dir.c ---- */
extern const struct file_ops dir_ops;
int dir_is_empty(struct dentry *dir); /* 1, 0 or -errno */

/* ---- machine_id.c ---- */
void machine_id_init(void); /* a clone gets another one */

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

/* ---- inotify.c; the rest is in inotify.h ---- */
void inotify_inode_unused(struct inode *inode); /* only watches may refer to it now, and it has no name */

/* ---- fd.c ---- */
struct fd_info { struct file *file; bool cloexec; };
bool fd_is_cloexec(int fd);
int fd_take(int dirfd, struct file **file); /* -EBADF or 0 and a reference */
bool file_is_stream(const struct file *file); /* has bytes; not one that hands out records of its own (eventfd, timerfd ...) */

#endif
