/* SPDX-License-Identifier: Apache-2.0 */
/* /proc: a fixed tree of generated files. procfs.c walks it, proc_self.c and proc_system.c write what is in them. */
#ifndef LV_LIBOS_PROCFS_H
#define LV_LIBOS_PROCFS_H

#include "libos/fs/vfs.h"

struct text { /* grows as it is written; out of memory: it ends early */
	char *data;
	size_t used, room;
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_bytes(struct text *text, const void *bytes, size_t n);

/* A name in /proc. key is the thread or descriptor that the nearest numbered directory stands for. */
struct node {
	const char *name; /* NULL ends a list */
	uint32_t mode;
	void (*show)(struct text *text, int key);
	int64_t (*write)(int key, const char *bytes, size_t n);
	int64_t (*target)(int key, char *buffer, size_t size);       /* of a link */
	struct dentry *(*follow)(int key, struct file **file);       /* of a link to what is open, see inode_ops */
	const struct node *children;
	const struct node *numbered; /* what each number in this directory is */
	int (*next)(int from);       /* the first number >= from, or -1 */
};

extern const struct node proc_tree[], sys_tree[]; /* the children of the roots */

/* proc_self.c */
extern const struct node proc_process; /* /proc/PID */
int proc_next_process(int from);
int64_t proc_self_target(int key, char *buffer, size_t size);
int64_t proc_task_target(int key, char *buffer, size_t size);
int64_t proc_mounts_target(int key, char *buffer, size_t size);
int64_t proc_net_target(int key, char *buffer, size_t size);

#endif
