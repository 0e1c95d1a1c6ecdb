/* SPDX-License-Identifier: Apache-2.0 */
/* /proc: a fixed tree of generated files. procfs.c walks it, proc_self.c and proc_system.c write what is in them. */
#ifndef LV_LIBOS_PROCFS_H
#define LV_LIBOS_PROCFS_H

#include "libos/fs/vfs.h"

#define AIO_MOST 65536 /* requests of all contexts */

struct text { /* grows as it is written; out of memory: it ends early */
	char *data;
	size_t used, room;
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_bytes(struct text *text, const void *bytes, size_t n);

/* A name in /proc. key is the thread or descriptor that the nearest numbered directory stands for. There are many: they are small. */
struct node {
	const char *name; /* NULL ends a list */
	uint32_t mode;
	bool never_changes; /* a file: fixed, not show */
	uint8_t refusal; /* to who may not look into the process, EACCES or EPERM; 0: it is for all */
	union {
		void (*show)(struct text *text, int key);              /* of a file */
		const char *fixed;                                     /* its line */
		const struct node *children;                           /* of a directory */
		int64_t (*target)(int key, char *buffer, size_t size); /* of a link */
	};
	const struct node_more *more; /* NULL: nothing of it */
};
struct node_more {
	int64_t (*read)(int key, char *to, size_t n, int64_t position); /* in place of show: not a text; into at most 512 bytes of libos */
	int64_t (*write)(int key, const char *bytes, size_t n);
	struct dentry *(*follow)(int key, struct file **file);       /* of a link to what is open, see inode_ops */
	const struct node *numbered; /* what each number in this directory is */
	int (*next)(int from);       /* the first number >= from, or -1 */
	bool (*number_name)(int number, char name[16]); /* the names are not the numbers themselves */
};
#define PROC_MORE_(...) .more = &(const struct node_more){ __VA_ARGS__ }

#define PROC_DIR(name_, children_) { .name = name_, .mode = S_IFDIR | 0555, .children = children_ }
#define PROC_FILE(name_, show_) { .name = name_, .mode = S_IFREG | 0444, .show = show_ }
#define PROC_PRIVATE(name_, mode_, show_) { .name = name_, .mode = S_IFREG | mode_, .refusal = EACCES, .show = show_ }
#define PROC_FIXED(name_, text_) { .name = name_, .mode = S_IFREG | 0444, .never_changes = true, .fixed = text_ }

/* proc_memory.c, proc_net.c: what belongs to each process and thread beside proc_self.c's */
#define PROC_MORE                                                                                                                        \
	PROC_PRIVATE("auxv", 0400, proc_show_auxv), PROC_PRIVATE("io", 0400, proc_show_io), PROC_PRIVATE("smaps", 0444, proc_show_smaps),                          \
	PROC_PRIVATE("smaps_rollup", 0444, proc_show_smaps_rollup), { .name = "mem", .mode = S_IFREG | 0400, .refusal = EACCES, PROC_MORE_(.read = proc_read_mem) },            \
	{ .name = "pagemap", .mode = S_IFREG | 0400, .refusal = EACCES, PROC_MORE_(.read = proc_read_pagemap) }, PROC_FILE("schedstat", proc_show_schedstat),          \
	PROC_FIXED("wchan", "0"), PROC_FIXED("coredump_filter", "00000033"), PROC_FIXED("uid_map", "         0          0 4294967295"), \
	PROC_FIXED("gid_map", "         0          0 4294967295"), PROC_FIXED("setgroups", "allow"), PROC_FIXED("loginuid", "4294967295"), \
	PROC_FIXED("sessionid", "4294967295"), { .name = "personality", .mode = S_IFREG | 0400, .refusal = EPERM, .show = proc_show_personality }, PROC_DIR("ns", proc_namespaces),        \
	PROC_FILE("timerslack_ns", proc_show_slack), PROC_FIXED("cpuset", "/")
void proc_show_auxv(struct text *text, int key);
void proc_show_io(struct text *text, int key);
void proc_show_smaps(struct text *text, int key);
void proc_show_smaps_rollup(struct text *text, int key);
int64_t proc_read_mem(int key, char *to, size_t n, int64_t position);
int64_t proc_read_pagemap(int key, char *to, size_t n, int64_t position);
void proc_show_schedstat(struct text *text, int key);
void proc_show_personality(struct text *text, int key);
void proc_show_slack(struct text *text, int key);
extern const struct node proc_namespaces[], proc_net_files[];
void proc_show_region(struct text *text, const struct vma *vma); /* proc_self.c: its line of maps */

/* proc_sysvipc.c, proc_sysctl.c, proc_net.c */
extern const struct node proc_sysvipc[];
extern const struct node sysctl_fs[], sysctl_vm[], sysctl_net[], sys_class[], sys_kernel[];

/* The process that is told about, while one of these functions runs: the running one where the directory is of none. Perhaps it has ended. */
struct process *proc_subject(void);

extern const struct node proc_tree[], sys_tree[]; /* the children of the roots */

/* proc_self.c */
extern const struct node proc_process; /* /proc/PID */
int proc_next_process(int from);
int64_t proc_self_target(int key, char *buffer, size_t size);
int64_t proc_task_target(int key, char *buffer, size_t size);
int64_t proc_mounts_target(int key, char *buffer, size_t size);
int64_t proc_net_target(int key, char *buffer, size_t size);

#endif
