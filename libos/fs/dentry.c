/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered names: the part of the tree that was looked at or changed. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"

#define FIRST_BUCKETS 256
#define CLEAN_LEAST 4096 /* names that are only remembered to save look-ups, and as many as take a sixtieth of memory, up to the second number */
#define CLEAN_MOST 16384
#define CLEAN_COST 32768 /* bytes of memory for each of them: sixty times what one takes */
#define EVICT_TRIES 16

static struct dentry *first_buckets[FIRST_BUCKETS];
static struct {
	struct dentry **bucket; /* NULL: first_buckets */
	uint32_t buckets, used;
	unsigned order;
	struct dentry *lru_first, *lru_last; /* names that may be forgotten */
	uint32_t clean;
} names;

static struct dentry **bucket_of(uint32_t hash)
{
	return names.bucket ? &names.bucket[hash & (names.buckets - 1)] : &first_buckets[hash & (FIRST_BUCKETS - 1)];
}

uint32_t dentry_hash(const struct dentry *parent, const char *name, size_t len)
{
	uint64_t h = (uint64_t)parent >> 4;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

/* Called when the table is full; without memory it only becomes slower. */
static void table_grow(void)
{
	uint32_t old = names.bucket ? names.buckets : FIRST_BUCKETS;
	struct dentry **from = names.bucket ? names.bucket : first_buckets;
	unsigned order = names.bucket ? names.order + 1 : 1;
	struct dentry **to = order <= 9 ? page_alloc_zeroed(order) : NULL;
	if (!to)
		return;
	uint32_t count = (uint32_t)((4096ull << order) / sizeof(*to));
	for (uint32_t i = 0; i < old; i++) {
		for (struct dentry *dentry = from[i], *next; dentry; dentry = next) {
			next = dentry->hash_next;
			dentry->hash_next = to[dentry->hash & (count - 1)];
			to[dentry->hash & (count - 1)] = dentry;
		}
	}
	if (names.bucket)
		page_free(names.bucket, names.order);
	names.bucket = to;
	names.buckets = count;
	names.order = order;
}

static void hash_insert(struct dentry *dentry)
{
	if (names.used++ >= 2 * (names.bucket ? names.buckets : FIRST_BUCKETS))
		table_grow();
	dentry->hash = dentry_hash(dentry->parent, dentry->name, dentry->name_len);
	struct dentry **bucket = bucket_of(dentry->hash);
	dentry->hash_next = *bucket;
	*bucket = dentry;
	dentry->hashed = true;
	dentry->prev = NULL;
	dentry->next = dentry->parent->children;
	if (dentry->next)
		dentry->next->prev = dentry;
	dentry->parent->children = dentry;
}

static void hash_remove(struct dentry *dentry)
{
	if (!dentry->hashed)
		return;
	struct dentry **link = bucket_of(dentry->hash);
	while (*link != dentry)
		link = &(*link)->hash_next;
	*link = dentry->hash_next;
	dentry->hashed = false;
	names.used--;
	if (dentry->prev)
		dentry->prev->next = dentry->next;
	else
		dentry->parent->children = dentry->next;
	if (dentry->next)
		dentry->next->prev = dentry->prev;
}

static void lru_add(struct dentry *dentry)
{
	dentry->lru_prev = NULL;
	dentry->lru_next = names.lru_first;
	if (names.lru_first)
		names.lru_first->lru_prev = dentry;
	else
		names.lru_last = dentry;
	names.lru_first = dentry;
	names.clean++;
}

static void lru_remove(struct dentry *dentry)
{
	if (!dentry->lru_prev && names.lru_first != dentry)
		return;
	if (dentry->lru_prev)
		dentry->lru_prev->lru_next = dentry->lru_next;
	else
		names.lru_first = dentry->lru_next;
	if (dentry->lru_next)
		dentry->lru_next->lru_prev = dentry->lru_prev;
	else
		names.lru_last = dentry->lru_prev;
	dentry->lru_next = dentry->lru_prev = NULL;
	names.clean--;
}

static void mark_dirty(struct dentry *dentry)
{
	dentry->dirty = true;
	lru_remove(dentry);
}

static struct dentry *dentry_new(struct dentry *parent, const char *name, size_t len)
{
	struct dentry *dentry = kzalloc(sizeof(*dentry) + len + 1);
	if (!dentry)
		return NULL;
	dentry->refs = 1;
	dentry->name = dentry->inline_name;
	dentry->name_len = (uint8_t)len;
	memcpy(dentry->name, name, len);
	dentry->parent = parent;
	if (parent)
		dentry_get(parent);
	return dentry;
}

struct dentry *dentry_root(struct inode *inode)
{
	struct dentry *dentry = dentry_new(NULL, "", 0);
	if (dentry)
		dentry->inode = inode;
	return dentry;
}

void dentry_get(struct dentry *dentry)
{
	dentry->refs++;
}

/* Worth keeping without references: a file or a deletion of the RAM layer, or a look-up that cost something. */
static bool worth_keeping(const struct dentry *dentry)
{
	return dentry->hashed && (dentry->inode || dentry->dirty || dentry->parent->inode->ops);
}

static struct dentry *dentry_free(struct dentry *dentry)
{
	struct dentry *parent = dentry->parent;
	hash_remove(dentry);
	lru_remove(dentry);
	if (dentry->inode)
		inode_put(dentry->inode);
	if (dentry->name != dentry->inline_name)
		kfree(dentry->name);
	kfree(dentry);
	return parent;
}

void dentry_put(struct dentry *dentry)
{
	while (dentry && --dentry->refs == 0 && dentry->parent && !worth_keeping(dentry))
		dentry = dentry_free(dentry);
}

/* Forgets names that nobody uses and that the backing knows as well. */
static void evict(void)
{
	uint64_t most = MAX(CLEAN_LEAST, MIN(CLEAN_MOST, page_total_bytes() / CLEAN_COST));
	for (int tries = 0; tries < EVICT_TRIES && names.clean > most; tries++) {
		struct dentry *dentry = names.lru_last;
		lru_remove(dentry);
		if (dentry->refs || dentry->children || (dentry->inode && dentry->inode->dirty))
			lru_add(dentry);
		else
			dentry_put(dentry_free(dentry));
	}
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len)
{
	uint32_t hash = dentry_hash(parent, name, len);
	for (struct dentry *dentry = *bucket_of(hash); dentry; dentry = dentry->hash_next)
		if (dentry->hash == hash && dentry->parent == parent && dentry->name_len == len && !memcmp(dentry->name, name, len))
			return dentry;
	return NULL;
}

/* The same with a reference, if the name leads there still. Otherwise it is forgotten; who uses it keeps it. */
static struct dentry *revalidated(struct dentry *dentry)
{
	const struct remote_ops *remote = remote_of(dentry->parent->inode);
	dentry_get(dentry);
	if ((dentry->inode && dentry->inode->fs != dentry->parent->inode->fs) || clock_monotonic() < dentry->until) /* something is mounted there, or it is believed */
		return dentry;
	remote->ahead(dentry->parent);
	if (dentry->hashed && remote->revalidate(dentry))
		return dentry;
	dentry_lost(dentry);
	dentry_put(dentry);
	return NULL;
}

/*
 * Another thread looked up the same name meanwhile, and may be making something there, or below it: true: its dentry stays the one for all, with a reference, and
 * takes inode, which the server told us. False: it leads elsewhere.
 */
static bool quicker(struct dentry *dentry, struct inode *inode)
{
	if (dentry->inode && dentry->inode != inode && clock_monotonic() >= dentry->until)
		return false;
	dentry_get(dentry);
	if (inode && !dentry->inode)
		dentry_found(dentry, inode);
	else if (inode)
		inode_put(inode);
	return true;
}

int dentry_lookup(struct dentry *parent, const char *name, size_t len, struct dentry **found)
{
	struct inode *dir = parent->inode;
	bool remembered = dir->fs->remembered;
	struct dentry *dentry = remembered ? dentry_find(parent, name, len) : NULL;
	if (dentry && remote_of(dir))
		dentry = revalidated(dentry);
	if (dentry) {
		if (!remote_of(dir))
			dentry_get(dentry);
		*found = dentry;
		return 0;
	}
	if (!dentry && remote_of(dir)) {
		remote_of(dir)->ahead(parent);
		dentry = dentry_find(parent, name, len);
		if (dentry && dentry->inode && clock_monotonic() < dentry->until) {
			dentry_get(dentry);
			*found = dentry;
			return 0;
		}
	}
	struct inode *inode = NULL;
	int err = dir->ops && dir->ops->lookup ? dir->ops->lookup(dir, name, len, &inode) : -ENOENT;
	if (err && err != -ENOENT)
		return err;
	dentry = remote_of(dir) ? dentry_find(parent, name, len) : NULL;
	if (dentry && quicker(dentry, inode)) {
		*found = dentry;
		return 0;
	}
	if (dentry)
		dentry_lost(dentry);
	dentry = dentry_new(parent, name, len);
	if (!dentry) {
		if (inode)
			inode_put(inode);
		return -ENOMEM;
	}
	dentry->inode = inode;
	dentry->backed = inode;
	if (used_wanted() && dir->lower)
		used_found(dentry);
	dentry->until = remote_of(dir) && inode ? clock_monotonic() + NS_PER_S : 0;
	if (remembered) {
		hash_insert(dentry);
		if (dir->ops) {
			lru_add(dentry);
			evict();
		}
	}
	*found = dentry;
	return 0;
}

void dentry_attach(struct dentry *dentry, struct inode *inode)
{
	dentry->inode = inode;
	mark_dirty(dentry);
}

/* Where the backing has this name, a dirty one without an inode must hide it. */
static int leave_whiteout(struct dentry *dentry)
{
	if (!dentry->backed)
		return 0;
	struct dentry *hole = dentry_new(dentry->parent, dentry->name, dentry->name_len);
	if (!hole)
		return -ENOMEM;
	hash_remove(dentry);
	hole->backed = hole->dirty = true;
	hash_insert(hole);
	dentry_put(hole);
	return 0;
}

int dentry_detach(struct dentry *dentry)
{
	int err = leave_whiteout(dentry);
	if (err)
		return err;
	hash_remove(dentry);
	mark_dirty(dentry);
	return 0;
}

void dentry_forget_children(struct dentry *dir)
{
	for (struct dentry *child = dir->children, *next; child; child = next) {
		next = child->next;
		if (!child->refs && !child->inode)
			dentry_put(dentry_free(child));
	}
}

/* Puts a detached dentry at another name. */
static int rename_to(struct dentry *dentry, struct dentry *parent, const char *name, size_t len)
{
	char *copy = kmalloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, name, len);
	copy[len] = 0;
	if (dentry->name != dentry->inline_name)
		kfree(dentry->name);
	dentry->name = copy;
	dentry->name_len = (uint8_t)len;
	struct dentry *old = dentry->parent;
	dentry_get(parent);
	dentry->parent = parent;
	dentry_put(old);
	return 0;
}

int dentry_move(struct dentry *from, struct dentry *to)
{
	struct dentry *parent = to->parent;
	/* What is remembered of the target's name (to itself, or the whiteout that replaced it) gives way. */
	struct dentry *there = dentry_find(parent, to->name, to->name_len);
	bool backed = there ? there->backed : to->backed;
	int err = dentry_detach(from);
	if (err)
		return err;
	if (there) {
		dentry_get(there);
		hash_remove(there);
		mark_dirty(there);
	}
	err = rename_to(from, parent, to->name, to->name_len);
	if (there)
		dentry_put(there);
	from->backed = backed;
	hash_insert(from);
	return err;
}

int dentry_exchange(struct dentry *a, struct dentry *b)
{
	struct dentry *a_parent = a->parent;
	size_t a_len = a->name_len;
	char a_name[256];
	bool a_backed = a->backed;
	memcpy(a_name, a->name, a_len);
	dentry_get(a_parent);
	hash_remove(a);
	hash_remove(b);
	int err = rename_to(a, b->parent, b->name, b->name_len);
	if (!err) {
		err = rename_to(b, a_parent, a_name, a_len);
		a->backed = b->backed;
		b->backed = a_backed;
	}
	mark_dirty(a);
	mark_dirty(b);
	hash_insert(a);
	hash_insert(b);
	dentry_put(a_parent);
	return err;
}

void dentry_found(struct dentry *dentry, struct inode *inode)
{
	if (dentry->inode)
		inode_put(dentry->inode);
	dentry->inode = inode;
	dentry->until = clock_monotonic() + NS_PER_S;
}

/* Without references nobody would ever find it again. */
void dentry_lost(struct dentry *dentry)
{
	dentry_get(dentry);
	hash_remove(dentry);
	lru_remove(dentry);
	dentry_put(dentry);
}

void dentry_learn(struct dentry *parent, const char *name, size_t len, struct inode *inode)
{
	struct dentry *dentry = dentry_find(parent, name, len);
	if (dentry && dentry->inode && dentry->inode->fs != inode->fs) { /* something is mounted there */
		inode_put(inode);
		return;
	}
	if (dentry && dentry->inode != inode) {
		dentry_lost(dentry);
		dentry = NULL;
	}
	if (dentry) {
		inode_put(inode);
		dentry->until = clock_monotonic() + NS_PER_S;
		return;
	}
	dentry = dentry_new(parent, name, len);
	if (!dentry) {
		inode_put(inode);
		return;
	}
	dentry->backed = true;
	dentry_found(dentry, inode);
	hash_insert(dentry);
	lru_add(dentry);
	dentry_put(dentry);
	evict();
}

int dentry_moved(struct dentry *from, struct dentry *to, bool exchange)
{
	int err;
	if (exchange) {
		err = dentry_exchange(from, to);
	} else {
		struct dentry *there = dentry_find(to->parent, to->name, to->name_len);
		if (there)
			dentry_lost(there);
		from->backed = false;
		err = dentry_move(from, to);
	}
	struct dentry *both[] = { from, exchange ? to : NULL };
	for (int i = 0; i < 2 && both[i]; i++) { /* not a change of ours that would have to be kept */
		both[i]->dirty = false;
		both[i]->backed = true;
		lru_add(both[i]);
	}
	return err;
}

bool dentry_is_below(const struct dentry *dentry, const struct dentry *above)
{
	for (; dentry; dentry = dentry->parent)
		if (dentry == above)
			return true;
	return false;
}

char *dentry_path(const struct dentry *dentry, const struct dentry *root, char *buffer, size_t size)
{
	static const char deleted[] = " (deleted)";
	char *p = buffer + size;
	if (size < sizeof(deleted) + 1)
		return NULL;
	*--p = 0;
	bool gone = dentry->parent && !dentry->hashed && dentry->inode && dentry->inode->fs->remembered;
	if (gone)
		p = memcpy(p - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1);
	if (dentry == root || !dentry->parent)
		*--p = '/';
	for (; dentry != root && dentry->parent; dentry = dentry->parent) {
		if ((size_t)(p - buffer) < (size_t)dentry->name_len + 1)
			return NULL;
		p -= dentry->name_len;
		memcpy(p, dentry->name, dentry->name_len);
		*--p = '/';
	}
	return p;
}
