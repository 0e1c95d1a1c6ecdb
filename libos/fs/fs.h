/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, for the other rooms. An open file is what a descriptor refers to: files, directories, pipes, sockets, event and timer descriptors
 * are all one of these. An inode is a thing that has or had a name; what a directory remembers of names is vfs.h, for fs/ alone.
 */
#ifndef LV_LIBOS_FS_H
#define LV_LIBOS_FS_H

#include "libos/core/libos.h"

struct stat;  /* the kernel's struct stat of x86-64, see linux_fs.h */
struct inode;
struct dentry;
struct epoll_item;
struct async;
struct vma;
struct iovec;

struct file {
	const struct file_ops *ops;
	int refs;
	uint32_t flags; /* O_RDWR, O_APPEND, O_NONBLOCK ...: the status flags of open(2) */
	int64_t position;
	struct inode *inode; /* of files that have a name; else NULL */
	struct dentry *dentry; /* where it was opened; NULL: it has no name */
	struct epoll_item *watchers; /* epoll's interests in this file */
	struct async *async;         /* who gets signals of it; NULL: nobody asked */
	void *private;
};

/* A NULL operation answers what Linux answers for such a file (EINVAL, ESPIPE, ENOTTY ...). 
   Reads and writes take addresses of buffers, which belong to the program or to libos (user.h: buffer_get, buffer_put). */
struct file_ops {
	const char *kind; /* for /proc/self/fd: "pipe", "socket", "eventfd" ... */
	int64_t (*read)(struct file *file, uaddr_t to, size_t n, int64_t *position);
	int64_t (*write)(struct file *file, uaddr_t from, size_t n, int64_t *position);
	/* The whole vector in one step, for files to which its pieces are not the same as the whole (sockets); NULL: read and
	   write are called for each piece. The vector was copied from the program. */
	int64_t (*readv)(struct file *file, const struct iovec *vector, int count);
	int64_t (*writev)(struct file *file, const struct iovec *vector, int count);
	/* The same of files with a position, to which a write is dear; NULL: piece by piece. */
	int64_t (*gather)(struct file *file, const struct iovec *vector, int count, int64_t *position);
	/* Ready events now; *queue is set to what is woken when they change (NULL: they never do). */
	uint32_t (*poll)(struct file *file, struct waitq **queue);
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	long (*ioctl)(struct file *file, unsigned request, unsigned long arg);
	int (*stat)(struct file *file, struct stat *st);
	int64_t (*readdir)(struct file *file, uaddr_t to, size_t n); /* getdents64 records */
	int (*truncate)(struct file *file, uint64_t size);
	int (*sync)(struct file *file); /* fsync; NULL: there is nothing to do */
	/* For files whose contents are elsewhere (remote.h); all may wait. */
	int (*allocate)(struct file *file, int mode, uint64_t offset, uint64_t len); /* fallocate */
	int (*write_back)(struct file *file); /* what was written through mappings goes there */
	int (*flush)(struct file *file);      /* a descriptor of it is closed */
	/* A lock that this VM's programs leave free is taken, or given back, where others see it: type F_RDLCK, F_WRLCK, F_UNLCK; 0, -EAGAIN or -errno. */
	int (*lock)(struct file *file, uint64_t owner, bool whole, int type, int64_t first, int64_t last);
	int (*fetch_page)(struct file *file, uint64_t offset); /* so that map_page has it: 0 it has, 1 it may have come, or -errno */
	/* The page of the file at offset, for mmap: its physical (identity) address, or 0 if it has none there (past the end);
	   may be in the read-only image (then a private mapping copies it at its first write). */
	uint64_t (*map_page)(struct file *file, uint64_t offset, bool for_write);
	/* The same without making a page that is not there yet, only of those in RAM; 0: none. NULL: never asked. */
	uint64_t (*present_page)(struct file *file, uint64_t offset);
	void (*regions_changed)(struct file *file, bool more); /* one that maps it came, or went, in the running process */
	void (*release)(struct file *file); /* the last reference went away */
};

struct file *file_new(const struct file_ops *ops, uint32_t flags, void *private); /* refs = 1; NULL: out of memory */
void file_get(struct file *file);
void file_put(struct file *file);
void file_urgent(struct file *file); /* SIGURG to who owns it (F_SETOWN), O_ASYNC or not */

/* The tables of processes, which are counted. */
struct fd_table *fd_table_first(void);
struct fd_table *fd_table_new(void); /* empty; NULL: no memory */
struct fd_table *fd_table_get(struct fd_table *table);
struct fd_table *fd_table_copy(const struct fd_table *from); /* NULL: no memory */
void fd_table_put(struct fd_table *table); /* the last reference: all that is open is closed */
int fd_table_own(struct fd_table **table); /* of one that others have, too, a copy in its place: 0 or -ENOMEM */
void fd_table_close_on_exec(struct fd_table *table);
struct file *fd_table_at(const struct fd_table *table, int fd); /* borrowed, NULL: not open; table NULL: nothing is */
int fd_table_count(const struct fd_table *table);               /* one more than the highest open descriptor */
/* Is the inode open there, by another file than this (NULL: any); for writing? */
bool fd_table_opens(const struct fd_table *table, const struct inode *inode, const struct file *but, bool writing);
bool fd_table_is_cloexec(const struct fd_table *table, int fd);
/* The table of the running process. */
struct file *fd_get(int fd); /* borrowed, NULL: not open. Take a reference before waiting. */
int fd_install(struct file *file, int lowest, bool cloexec); /* takes the reference; -EMFILE: it was put */
int fd_close(int fd);
int fd_count(void); /* one more than the highest open descriptor */

/* The path of a file that has a name, else "kind:"; in buffer. */
const char *file_path(const struct file *file, char *buffer, size_t size);

void path_enter(const char *path); /* becomes the working directory, if it is a directory */
void vfs_init(void); /* the image and the RAM layer over it, /dev, /proc, directories in memory */
int remote_sync_volumes(const struct inode *of); /* what was written to that inode's live volume, or to all (NULL), is on the host's disk: 0 or a negative errno */
void remote_end(void);     /* the VM ends: what was written through mappings goes to the host. No other thread runs meanwhile */
void mounts_volumes(void); /* directories of the host, over what is there: the program was loaded from the image by then */
void mounts_freeze(void); /* from here on parts of it cannot be changed, as the configuration says; libos has made its own files by then */

/*
 * The program that execve(2) names: dirfd and path as of the system call, and AT_EMPTY_PATH. 0, the file, and its path for scripts and AT_EXECFN in
 * path; or -errno (-ENAMETOOLONG also if the path does not fit there).
 */
int file_open_program(int dirfd, uaddr_t name, int flags, struct file **file, char *path, size_t size);

/* Kernel-side access, used by the loader: whole path look-up from the root, following links. */
int vfs_open_memory(struct inode *inode, struct file **file); /* a file without a name, for reading */
int file_open_kernel(const char *path, struct file **file); /* 0 or -errno */
int file_open_flags(const char *path, uint32_t flags, struct file **file); /* the same, with O_RDWR and others */

struct fs_room { /* of a file system with a bound, pages */
	uint64_t most, used;
};

struct fs { /* one kind of file system, one st_dev */
	const char *name;  /* as in /proc/mounts */
	uint64_t dev;
	uint32_t magic;    /* statfs.f_type */
	bool remembered;   /* look-ups are kept (not in /proc, where names come and go) */
	bool read_only;    /* no names can be made or removed; if remembered, nothing can be changed */
	struct fs_room *room; /* NULL: as much as there is memory */
};

struct vfs_entry { /* a name in a backing */
	const char *name;
	size_t len;
	uint64_t ino;
	uint8_t type; /* LINUX_DT_* */
};

struct inode_ops { /* NULL members: what the RAM layer does */
	int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **found); /* 0 and a reference, or -ENOENT ... */
	int (*list)(struct inode *dir, uint64_t *cursor, struct vfs_entry *entry); /* 1, 0 at the end, -errno; without . and .. */
	int64_t (*readlink)(struct inode *link, char *buffer, size_t size); /* length */
	int (*follow)(struct inode *link, struct dentry **dentry, struct file **file); /* a link to an open thing: 0 and its dentry, else *file; both get */
	int (*open)(struct inode *inode, struct file *file); /* sets ops and private of the file */
	void (*free)(struct inode *inode);
	const struct remote_ops *remote; /* of a file system whose names and attributes are elsewhere (vfs.h); NULL: they are here */
};

/* Pages by index: the first few directly, the others in a tree of 512-way nodes. Holes are NULL. */
#define STORE_DIRECT 4
struct page_store {
	void *direct[STORE_DIRECT];
	void **root;
	unsigned height;
	uint64_t count; /* pages present */
};

struct inode {
	struct inode *hash_next; /* image inodes by nid */
	const struct fs *fs;
	const struct inode_ops *ops; /* NULL: all in RAM */
	uint32_t refs;
	uint32_t mode, uid, gid, nlink;
	uint32_t seals;
	bool dirty; /* attributes or data differ from the backing: must be kept */
	uint64_t rdev, ino, size;
	uint64_t atime, mtime, ctime; /* ns since the epoch */
	uint64_t btime; /* of birth; 0: the image does not tell */
	struct page_store pages;      /* regular files */
	const struct erofs_inode *lower; /* data under the pages, or NULL */
	uint64_t lower_size;          /* how much of it still counts */
	struct xattr *xattrs;         /* sys_xattr.c */
	char *target;                 /* of a symbolic link in RAM; of a file without a name: what /proc calls it */
	bool linkable;                /* without a name, but may be given one (O_TMPFILE) */
	bool watched;                 /* has had inotify watches */
	void *private;                /* device, pipe of a FIFO, bound socket ... */
};

struct process;
void aio_process_ends(const struct process *process); /* aio.c: its contexts go, as its memory does */

/* ---- vfs.c: inodes ---- */
struct inode *inode_new(const struct fs *fs, uint32_t mode); /* refs 1, nlink 1, this moment, the user of the moment; NULL: no memory */
void inode_get(struct inode *inode);
void inode_put(struct inode *inode);
#define TOUCH_ATIME 1
#define TOUCH_MTIME 2
#define TOUCH_CTIME 4
void inode_touch(struct inode *inode, int what);
void inode_stat(const struct inode *inode, struct stat *st);
int inode_permission(const struct inode *inode, int mask); /* LINUX_R_OK ...: 0 or -EACCES */
int inode_permission_real(const struct inode *inode, int mask); /* the same for the real user and group: access(2) */
bool inode_is_own(const struct inode *inode); /* may the program change the attributes of the file? */
void inode_drop_set_id(struct inode *inode);  /* the data changes: a program that was set-id is another one now */
int file_stat(struct file *file, struct stat *st);
extern const struct fs root_fs, memory_fs; /* the image with RAM over it; memfd */

/* ---- path.c ---- */
/* Where processes are: root, working directory and umask, which are counted together. */
struct whereabouts *where_first(void);
struct whereabouts *where_get(struct whereabouts *where);
struct whereabouts *where_copy(const struct whereabouts *from); /* NULL: no memory */
void where_put(struct whereabouts *where);
struct dentry *where_root(const struct whereabouts *where); /* borrowed; NULL if where is */
struct dentry *where_cwd(const struct whereabouts *where);
uint32_t where_umask(const struct whereabouts *where);
struct dentry *path_root(void); /* borrowed */
struct dentry *path_top(void);  /* the VM's own root, whatever the running process has for one; borrowed */
struct dentry *path_cwd(void);
uint32_t path_umask(void);

/* ---- open.c ---- */
/* A new thing of this type where the path, of libos' own memory, leads from start; 0 and a reference, -EEXIST if there is one. */
int vfs_make(struct dentry *start, const char *path, uint32_t mode, struct inode **inode);
/* What is there, links followed: 0 and a reference, or -ENOENT ... */
int vfs_find(struct dentry *start, const char *path, struct inode **inode);
/*
 * The same for files of libos' own, which whatever process happens to run has nothing to do with: from the VM's own root on, with libos' rights. Neither
 * waits, so that hooks and pollers may call them: -EAGAIN where a live volume would have to be asked.
 */
int vfs_make_own(const char *path, uint32_t mode, struct inode **inode);
int vfs_find_own(const char *path, struct inode **inode);

/* ---- procfs.c ---- */
int proc_directory_of(const struct inode *inode); /* the process whose directory /proc/PID it is; 0: it is none */

/* ---- shared_memory.c ---- */
struct file *shared_memory_new(uint64_t size); /* NULL: no memory */
bool shared_memory_take(struct file *file, uint64_t offset, void *page); /* the page becomes the file's; false: no memory */

/* ---- regular.c: files with contents ---- */
extern const struct file_ops regular_ops;
/* May a shared mapping have these rights (seals)? 0 or -EPERM. */
int inode_check_shared_map(const struct inode *inode, uint32_t prot);
/* Buffers as those of file_ops: bytes moved, or -errno (-EFAULT if it was the first byte's place that is missing). */
int64_t inode_read(struct inode *inode, uint64_t offset, uaddr_t to, size_t n);
int64_t inode_write(struct inode *inode, uint64_t offset, uaddr_t from, size_t n);
int inode_truncate(struct inode *inode, uint64_t size);

#endif
