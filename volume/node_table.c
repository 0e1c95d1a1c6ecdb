/* SPDX-License-Identifier: Apache-2.0 */
#include "volume/node_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS 8192u
#define FIRST_NODES 64u
#define SPARE_FDS 64u /* for what is open besides nodes, handles and lockers, and for moments */

/* Number in the table, and above it what tells one that has the number from the one before. */
static uint32_t number_of(uint64_t id)
{
	return (uint32_t)id;
}

static uint64_t new_id(struct volume *volume, uint32_t number)
{
	return ++volume->generation << 32 | number;
}

static uint32_t *bucket_of(const struct volume *volume, dev_t dev, ino_t ino)
{
	uint64_t hash = (ino ^ (uint64_t)dev << 32) * 0x9e3779b97f4a7c15ull;
	return &volume->bucket[hash >> 32 & (BUCKETS - 1)];
}

static void put_in_bucket(struct volume *volume, struct node *node, uint32_t number)
{
	uint32_t *bucket = bucket_of(volume, node->dev, node->ino);
	node->next = *bucket;
	*bucket = number;
}

/* The root is number 1 (FUSE_ROOT_ID), for ever; number 0 is none. */
static int add_root(struct volume *volume)
{
	struct stat st;
	struct node *root = calloc(1, sizeof(*root));
	if (!root)
		return -ENOMEM;
	if (fstat(volume->root, &st)) {
		free(root);
		return -errno;
	}
	*root = (struct node){ .fd = volume->root, .dev = st.st_dev, .ino = st.st_ino, .type = S_IFDIR, .known = 1, .id = FUSE_ROOT_ID };
	volume->node[FUSE_ROOT_ID] = root;
	volume->nodes = FUSE_ROOT_ID + 1;
	put_in_bucket(volume, root, FUSE_ROOT_ID);
	return 0;
}

/* As many as descriptors allow. */
static uint32_t most_nodes(uint32_t descriptors)
{
	uint32_t others = VOLUME_HANDLES + VOLUME_LOCKERS + SPARE_FDS, most = descriptors > 2 * others ? descriptors - others : descriptors / 2;
	return most < VOLUME_NODES ? most : VOLUME_NODES;
}

int nodes_init(struct volume *volume)
{
	volume->nodes_most = most_nodes(volume->descriptors);
	volume->node = calloc(FIRST_NODES, sizeof(struct node *));
	volume->bucket = calloc(BUCKETS, sizeof(*volume->bucket));
	return volume->node && volume->bucket ? add_root(volume) : -ENOMEM;
}

void lock_file_free(struct volume *volume, struct lock_file *file)
{
	volume->ranges -= file->ranges;
	volume->lockers--;
	close(file->fd);
	free(file->range);
	free(file);
}

static void drop_locks(struct volume *volume, struct node *node)
{
	while (node->locks) {
		struct lock_file *lock = node->locks;
		node->locks = lock->next;
		lock_file_free(volume, lock);
	}
}

static void node_free(struct volume *volume, struct node *node)
{
	drop_locks(volume, node);
	close(node->fd);
	free(node);
}

void nodes_fini(struct volume *volume)
{
	for (uint32_t i = 0; volume->handle && i < volume->handles; i++)
		if (volume->handle[i].fd >= 0)
			close(volume->handle[i].fd);
	for (uint32_t i = FUSE_ROOT_ID; volume->node && i < volume->nodes; i++)
		if (!((uintptr_t)volume->node[i] & 1) && volume->node[i])
			node_free(volume, volume->node[i]);
	free(volume->handle);
	free(volume->node);
	free(volume->bucket);
}

/* A free place holds the number of the next free one, and is odd, which no address is. */
static bool is_free(const struct node *place)
{
	return !place || (uintptr_t)place & 1;
}

struct node *node_find(const struct volume *volume, uint64_t id)
{
	uint32_t number = number_of(id);
	struct node *node = number && number < volume->nodes ? volume->node[number] : NULL;
	return is_free(node) || node->id != id ? NULL : node;
}

static struct node *find_file(const struct volume *volume, dev_t dev, ino_t ino)
{
	for (uint32_t number = *bucket_of(volume, dev, ino); number; number = volume->node[number]->next)
		if (volume->node[number]->dev == dev && volume->node[number]->ino == ino)
			return volume->node[number];
	return NULL;
}

/* A number that nobody has, or 0. */
static uint32_t free_number(struct volume *volume)
{
	uint32_t number = volume->free_node;
	if (volume->known >= volume->nodes_most)
		return 0;
	if (number) {
		volume->free_node = (uint32_t)((uintptr_t)volume->node[number] >> 1);
		return number;
	}
	/* The table doubles when it is full, and it is when the number is a power of two. */
	if (volume->nodes >= FIRST_NODES && !(volume->nodes & (volume->nodes - 1))) {
		struct node **more = realloc(volume->node, 2ul * volume->nodes * sizeof(*more));
		if (!more)
			return 0;
		volume->node = more;
	}
	return volume->nodes++;
}

int node_add(struct volume *volume, int fd, struct node **node, struct stat *st)
{
	if (fstat(fd, st)) {
		close(fd);
		return -EIO;
	}
	struct node *found = find_file(volume, st->st_dev, st->st_ino);
	if (found) {
		close(fd);
		found->known++;
		*node = found;
		return 0;
	}
	struct node *new = malloc(sizeof(*new));
	uint32_t number = new ? free_number(volume) : 0;
	if (!number) {
		free(new);
		close(fd);
		return -ENFILE;
	}
	*new = (struct node){ .fd = fd, .dev = st->st_dev, .ino = st->st_ino, .type = st->st_mode & S_IFMT, .known = 1, .id = new_id(volume, number) };
	volume->node[number] = new;
	volume->known++;
	put_in_bucket(volume, new, number);
	*node = new;
	return 0;
}

/* As long as we have it open nobody else gets its number. */
struct node *node_again(struct volume *volume, dev_t dev, ino_t ino)
{
	struct node *node = find_file(volume, dev, ino);
	if (node)
		node->known++;
	return node;
}

void node_forget(struct volume *volume, uint64_t id, uint64_t times)
{
	struct node *node = node_find(volume, id);
	if (!node || id == FUSE_ROOT_ID)
		return;
	if (times < node->known) {
		node->known -= times;
		return;
	}
	uint32_t number = number_of(id), *link = bucket_of(volume, node->dev, node->ino);
	while (*link != number)
		link = &volume->node[*link]->next;
	*link = node->next;
	node_free(volume, node);
	volume->node[number] = (struct node *)((uintptr_t)volume->free_node << 1 | 1);
	volume->free_node = number;
	volume->known--;
}

void nodes_forget_all(struct volume *volume)
{
	for (uint32_t i = 0; i < volume->handles; i++)
		if (volume->handle[i].fd >= 0)
			handle_close(volume, &volume->handle[i]);
	for (uint32_t i = FUSE_ROOT_ID + 1; i < volume->nodes; i++)
		if (!is_free(volume->node[i]))
			node_forget(volume, volume->node[i]->id, UINT64_MAX);
}

/* ---- open files ---- */

/* A free one holds the number of the next, plus one. */
int handle_add(struct volume *volume, int fd, uint64_t node, bool directory, bool writable, uint64_t *id)
{
	uint32_t number = volume->free_handle;
	if (number) {
		volume->free_handle = (uint32_t)volume->handle[number - 1].id;
	} else {
		uint32_t room = volume->handles ? 2 * volume->handles : 16;
		bool full = !(volume->handles & (volume->handles - 1)) && (volume->handles == 0 || volume->handles >= 16);
		struct handle *more = volume->handles < VOLUME_HANDLES ? full ? realloc(volume->handle, room * sizeof(*more)) : volume->handle : NULL;
		if (!more) {
			close(fd);
			return -ENFILE;
		}
		volume->handle = more;
		number = ++volume->handles;
	}
	*id = new_id(volume, number);
	volume->handle[number - 1] = (struct handle){ .fd = fd, .id = *id, .node = node, .directory = directory, .writable = writable };
	return 0;
}

struct handle *handle_find(const struct volume *volume, uint64_t id, uint64_t node, bool directory)
{
	uint32_t number = number_of(id);
	struct handle *handle = number && number <= volume->handles ? &volume->handle[number - 1] : NULL;
	bool fits = handle && handle->fd >= 0 && handle->id == id && handle->node == node && handle->directory == directory;
	return fits ? handle : NULL;
}

void handle_close(struct volume *volume, struct handle *handle)
{
	uint32_t number = (uint32_t)(handle - volume->handle) + 1;
	close(handle->fd);
	*handle = (struct handle){ .fd = -1, .id = volume->free_handle };
	volume->free_handle = number;
}
