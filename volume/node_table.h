/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest knows of a volume: files it has looked up (nodes), and those that it has open (handles). */
#ifndef LV_VOLUME_NODE_TABLE_H
#define LV_VOLUME_NODE_TABLE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "volume/volume.h"

struct lock_range {
	uint64_t start, end; /* both in it */
	uint32_t type;
};

struct lock_file { /* record locks belong to an open file of the host's; one for each owner that the guest names */
	struct lock_file *next;
	uint64_t owner;
	int fd;
	uint32_t ranges;
	struct lock_range *range; /* as the kernel has them for it: apart from each other, none beside another of its type */
};

struct node {
	int fd; /* O_PATH */
	dev_t dev;
	ino_t ino;
	mode_t type; /* S_IFMT */
	uint64_t known; /* how often the guest was told of it */
	uint64_t id;
	uint32_t next;  /* in its bucket: number of the next one, 0: none */
	struct lock_file *locks;
};

struct handle {
	int fd; /* -1: free */
	uint64_t id, node;
	bool directory, writable;
};

int nodes_init(struct volume *volume);
void nodes_fini(struct volume *volume);
struct node *node_find(const struct volume *volume, uint64_t id); /* NULL: the guest was told of no such one */
/* A descriptor (O_PATH, taken in every case) becomes a node, or that which it is already; told once more. -ENFILE: too many; -EIO. */
int node_add(struct volume *volume, int fd, struct node **node, struct stat *st);
/* The same where the guest knows it already: NULL if it does not. */
struct node *node_again(struct volume *volume, dev_t dev, ino_t ino);
void node_forget(struct volume *volume, uint64_t id, uint64_t times);
void nodes_forget_all(struct volume *volume); /* all that the guest knows but the root, and what it has open */
void lock_file_free(struct volume *volume, struct lock_file *file);

/* Takes fd. The number, or -ENFILE. */
int handle_add(struct volume *volume, int fd, uint64_t node, bool directory, bool writable, uint64_t *id);
struct handle *handle_find(const struct volume *volume, uint64_t id, uint64_t node, bool directory);
void handle_close(struct volume *volume, struct handle *handle);

#endif
