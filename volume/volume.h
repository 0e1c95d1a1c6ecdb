/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One directory of the host, for one VM: answers FUSE messages (linux/fuse.h, protocol 7.31 and later, as virtio-fs has them; virtio 1.2,
 * section 5.11), which come from the guest as they are. The guest is hostile. What holds it in the directory:
 *
 *  - a name of a message is one name: no slash, not "." or "..", one zero byte, at its end;
 *  - every node that a guest knows is a descriptor (O_PATH) that was reached from the directory by one such name after the other, no link followed
 *    (openat2, RESOLVE_BENEATH); links are followed by the guest, in its own tree;
 *  - only regular files and directories are ever opened; device nodes are neither opened nor made, FIFOs and sockets only seen;
 *  - numbers of nodes and of open files carry a generation, so that a guest which makes them up finds nothing of others';
 *  - nodes, open files and locked ranges are bounded.
 */
#ifndef LV_VOLUME_H
#define LV_VOLUME_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_DATA_MAX (128u << 10)                   /* bytes of one read or write */
#define VOLUME_MESSAGE_MAX (VOLUME_DATA_MAX + 4096u)   /* of a message, either way */
#define VOLUME_HANDLES 4096                            /* open files and directories of a guest */
#define VOLUME_LOCKERS 1024                            /* owners of record locks, one for each file: open files of ours */
#define VOLUME_NODES 32768                             /* files that it knows */
#define VOLUME_WAITING 64                              /* lock requests that wait */
#define VOLUME_RANGES 4096                             /* ranges of files that are locked: memory of the kernel's */

struct node;
struct handle;

struct lock_wait { /* a lock that somebody else holds is tried again until it is free or the guest has had enough */
	uint64_t unique, node, fh, owner;
	struct fuse_file_lock lock;
	uint32_t flags;
};

struct volume {
	int root;       /* the directory: O_PATH. Owned */
	int proc;       /* a directory like /proc/self/fd of this process. Owned */
	bool read_only;
	uint32_t descriptors; /* that the process may have open (RLIMIT_NOFILE) */
	/* The user whom the server runs as is this one to the guest, unless it is root, who gives files to everybody. */
	uint32_t own_uid, own_gid, guest_uid, guest_gid;
	bool any_owner;
	/* private */
	struct node **node; /* by number */
	uint32_t nodes, free_node, nodes_most, known;
	uint32_t *bucket;
	struct handle *handle;
	uint32_t handles, free_handle;
	struct lock_wait waiting[VOLUME_WAITING];
	unsigned waits;
	uint32_t ranges, lockers;
	uint64_t generation;
};

/* root and proc, owned from now on, and what says how, are set. 0 or -ENOMEM. */
int volume_init(struct volume *volume);
void volume_fini(struct volume *volume);
/* Handles one message. reply: VOLUME_MESSAGE_MAX bytes, aligned to 8; bytes of the answer, 0: there is none, or not yet. */
size_t volume_answer(struct volume *volume, const void *message, size_t size, void *reply);
/* Tries the locks that are waited for; the answer to one that has come, or 0. While volume->waits, call it now and then. */
size_t volume_retry(struct volume *volume, void *reply);

#endif
