/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: what a descriptor refers to. Files, directories, pipes, sockets, event and timer descriptors are all one of these. */
#ifndef LV_LIBOS_FILE_H
#define LV_LIBOS_FILE_H

#include "libos/core/libos.h"

struct stat;  /* the kernel's struct stat of x86-64, see libos/core/linux.h */
struct inode; /* libos/fs/vfs.h */
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
	/* Ready events now; *queue is set to what is woken when they change (NULL: they never do). */
	uint32_t (*poll)(struct file *file, struct waitq **queue);
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	long (*ioctl)(struct file *file, unsigned request, unsigned long arg);
	int (*stat)(struct file *file, struct stat *st);
	int64_t (*readdir)(struct file *file, uaddr_t to, size_t n); /* getdents64 records */
	int (*truncate)(struct file *file, uint64_t size);
	int (*sync)(struct file *file); /* fsync; NULL: there is nothing to do */
	/* The page of the file at offset, for mmap: its physical (identity) address, or 0 if it has none there (past the end);
	   may be in the read-only image (then a private mapping copies it at its first write). */
	uint64_t (*map_page)(struct file *file, uint64_t offset, bool for_write);
	/* The same without making a page that is not there yet, only of those in RAM; 0: none. NULL: never asked. */
	uint64_t (*present_page)(struct file *file, uint64_t offset);
	void (*release)(struct file *file); /* the last reference went away */
};

struct file *file_new(const struct file_ops *ops, uint32_t flags, void *private); /* refs = 1; NULL: out of memory */
void file_get(struct file *file);
void file_put(struct file *file);

/* The table of the process. */
struct file *fd_get(int fd); /* borrowed, NULL: not open. Take a reference before waiting. */
int fd_install(struct file *file, int lowest, bool cloexec); /* takes the reference; -EMFILE: it was put */
int fd_close(int fd);

/* The path of a file that has a name, else "kind:"; in buffer. */
const char *file_path(const struct file *file, char *buffer, size_t size);

void vfs_init(void); /* the image and the RAM layer over it, /dev, /proc */

/* Kernel-side access, used by the loader: whole path look-up from the root, following links. */
int file_open_kernel(const char *path, struct file **file); /* 0 or -errno */

#endif
