/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function an operation. It gets what follows the header of the message, of a length that was checked, and writes its answer behind the
 * header of the reply: bytes written, or a negative errno.
 */
#ifndef LV_VOLUME_OPERATIONS_H
#define LV_VOLUME_OPERATIONS_H

#include "volume/node_table.h"

struct request {
	struct volume *volume;
	const struct fuse_in_header *header;
	struct node *node;  /* whom the message is about; NULL only where an operation does without */
	const void *in;     /* its structure, copied so that it is aligned */
	const char *rest;   /* what follows the structure: rest_size bytes */
	size_t rest_size;
	const char *name, *name2; /* of operations that have names: checked, ended by a zero byte */
	void *out;          /* VOLUME_DATA_MAX bytes */
};

typedef int (*operation)(struct request *request);

#define PROC_NAME 16
/* The name of a descriptor of ours in volume->proc, which leads to what it is open for, whatever that is called now. */
const char *proc_name(int fd, char name[PROC_NAME]);

/* ---- fuse_attr.c ---- */
void attr_fill(const struct volume *volume, const struct stat *st, struct fuse_attr *attr);
/* The owner that a new file gets; what cannot be is left. dir_mode: of the directory it is made in. */
void give_owner(const struct request *request, int fd, mode_t dir_mode);
/*
 * Before a regular file is changed: it no longer runs with the rights of its owner or group. Linux does that by itself but for who may give such rights, as a server that is
 * root can. fd: open for writing. 0 or a negative errno.
 */
int drop_rights(const struct volume *volume, int fd);
int op_getattr(struct request *request), op_setattr(struct request *request), op_statfs(struct request *request);
int op_getxattr(struct request *request), op_setxattr(struct request *request), op_listxattr(struct request *request), op_removexattr(struct request *request);

/* ---- fuse_tree.c ---- */
/* A name in a directory becomes a node, of which the guest is told in *entry. */
int tell_entry(struct volume *volume, const struct node *dir, const char *name, struct fuse_entry_out *entry, struct node **node);
int op_lookup(struct request *request), op_readlink(struct request *request), op_symlink(struct request *request), op_mknod(struct request *request);
int op_mkdir(struct request *request), op_unlink(struct request *request), op_rmdir(struct request *request), op_rename(struct request *request);
int op_rename2(struct request *request), op_link(struct request *request), op_create(struct request *request), op_tmpfile(struct request *request);

/* ---- fuse_io.c ---- */
int op_open(struct request *request), op_release(struct request *request), op_read(struct request *request), op_write(struct request *request);
int op_flush(struct request *request), op_fsync(struct request *request), op_fallocate(struct request *request), op_lseek(struct request *request);
int op_copy(struct request *request), op_opendir(struct request *request), op_releasedir(struct request *request), op_readdir(struct request *request);
int op_readdirplus(struct request *request), op_fsyncdir(struct request *request), op_syncfs(struct request *request);

/* ---- fuse_lock.c ---- */
#define LOCK_WAITS 1 /* answered later */
int op_getlk(struct request *request), op_setlk(struct request *request), op_setlkw(struct request *request);
int lock_try(struct volume *volume, const struct lock_wait *wait);
void lock_drop(struct volume *volume, struct node *node, uint64_t owner);
/* The guest does not want to wait any more: true if it did. */
bool lock_interrupt(struct volume *volume, uint64_t unique);

#endif
