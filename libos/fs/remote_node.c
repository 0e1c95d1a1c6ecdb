/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes of a live volume: one for each file that the server told of, by its number there. */
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

/* Both halves of our server's numbers count up, at the same pace: no simple mix of them spreads. */
static struct remote_inode **bucket_of(struct remote_fs *remote, uint64_t node)
{
	return &remote->bucket[(node * 0x9e3779b97f4a7c15ull >> 40) % REMOTE_BUCKETS];
}

static void add(struct remote_fs *remote, struct remote_inode *inode)
{
	struct remote_inode **bucket = bucket_of(remote, inode->node);
	inode->bucket_next = *bucket;
	*bucket = inode;
}

static bool make_table(struct remote_fs *remote)
{
	if (!remote->bucket && (remote->bucket = page_alloc_zeroed(REMOTE_ORDER)))
		add(remote, remote->root);
	return remote->bucket;
}

static int start(struct remote_fs *remote)
{
	const struct fuse_init_in in = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_readahead = REMOTE_PIECE,
		.flags = FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_MAX_PAGES };
	struct fuse_init_out out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	int64_t r = make_table(remote) ? remote_ask(remote, FUSE_INIT, 0, &words) : -ENOMEM;
	if (r < 0)
		return (int)r;
	return out.major == FUSE_KERNEL_VERSION && out.max_write >= REMOTE_PIECE ? 0 : -EPROTO;
}

int remote_start(struct remote_fs *remote)
{
	if (remote->state == REMOTE_READY)
		return 0;
	while (remote->state == REMOTE_STARTS)
		if (wait_on(&remote->started, 0) && signal_pending())
			return -EINTR;
	if (remote->state == REMOTE_READY)
		return 0;
	remote->state = REMOTE_STARTS;
	int err = start(remote);
	remote->state = err ? REMOTE_NEW : REMOTE_READY;
	wake_all(&remote->started, 0);
	return err;
}

static struct remote_inode *find(struct remote_fs *remote, uint64_t node)
{
	struct remote_inode *inode = *bucket_of(remote, node);
	while (inode && inode->node != node)
		inode = inode->bucket_next;
	return inode;
}

static uint64_t nanoseconds(uint64_t seconds, uint32_t ns)
{
	return (uint64_t)((int64_t)seconds * (int64_t)NS_PER_S + ns);
}

void remote_attributes(struct remote_inode *remote, const struct fuse_attr *attr, uint64_t seconds)
{
	struct inode *inode = &remote->inode;
	uint64_t mtime = nanoseconds(attr->mtime, attr->mtimensec);
	/* What a file is never changes; who says otherwise is not believed. */
	inode->mode = remote->attr_until || inode->mode ? (inode->mode & S_IFMT) | (attr->mode & 07777) : attr->mode;
	inode->ino = attr->ino;
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->nlink = attr->nlink;
	inode->rdev = LINUX_DEV(attr->rdev >> 8 & 0xfff, (attr->rdev & 0xff) | (attr->rdev >> 12 & 0xfff00));
	inode->lower_size = attr->blocks * 512;
	inode->atime = nanoseconds(attr->atime, attr->atimensec);
	inode->ctime = nanoseconds(attr->ctime, attr->ctimensec);
	inode->mtime = mtime;
	if ((mtime != remote->data_mtime && !remote->wrote) || attr->size != inode->size)
		remote_drop_pages(remote);
	remote->data_mtime = mtime;
	remote->wrote = false;
	inode->size = attr->size;
	remote->attr_until = clock_monotonic() + MIN(seconds, 3600) * NS_PER_S;
}

static int take_entry(struct remote_fs *remote, const struct fuse_entry_out *entry, struct inode **out)
{
	struct remote_inode *inode = find(remote, entry->nodeid);
	if (inode && inode->inode.mode && ((inode->inode.mode ^ entry->attr.mode) & S_IFMT))
		return -EIO;
	if (inode) {
		inode_get(&inode->inode);
	} else {
		inode = kzalloc(sizeof(*inode));
		if (!inode)
			return -ENOMEM;
		inode->inode.fs = &remote->fs;
		inode->inode.ops = &remote_inode_ops;
		inode->inode.refs = 1;
		inode->remote = remote;
		inode->node = entry->nodeid;
		add(remote, inode);
	}
	inode->told++;
	remote_attributes(inode, &entry->attr, entry->attr_valid);
	*out = &inode->inode;
	return 0;
}

int remote_found(struct remote_fs *remote, const struct fuse_entry_out *entry, struct inode **out)
{
	const struct fuse_forget_in once = { .nlookup = 1 };
	int err = take_entry(remote, entry, out);
	if (err) /* the server has counted it, and keeps it no longer than we know it */
		remote_tell(remote, FUSE_FORGET, entry->nodeid, &once, sizeof(once));
	return err;
}

/* Each costs a message, and is in no hurry, but for files that are gone, whose space the host has back then. */
static void forget(struct remote_fs *remote, const struct remote_inode *gone)
{
	uint32_t *count = &remote->forgets.in.count;
	if (*count == REMOTE_FORGETS) /* there was no memory to say it: the last one is given up */
		--*count;
	remote->forgets.one[(*count)++] = (struct fuse_forget_one){ .nodeid = gone->node, .nlookup = gone->told };
	if (*count < REMOTE_FORGETS && !gone->removed)
		return;
	if (remote_tell(remote, FUSE_BATCH_FORGET, 0, &remote->forgets, sizeof(remote->forgets.in) + *count * sizeof(remote->forgets.one[0])))
		*count = 0;
}

void remote_free(struct inode *inode)
{
	struct remote_inode *gone = remote_inode(inode), **link = bucket_of(gone->remote, gone->node);
	while (*link != gone)
		link = &(*link)->bucket_next;
	*link = gone->bucket_next;
	remote_drop_spare(gone);
	remote_drop_pages(gone);
	kfree(gone->dirty);
	forget(gone->remote, gone);
}

void remote_stale(struct inode *inode)
{
	remote_inode(inode)->attr_until = 1;
}

void remote_gone(struct inode *inode)
{
	remote_stale(inode);
	remote_inode(inode)->removed = true;
	remote_drop_spare(remote_inode(inode));
}

static int take_attr(struct remote_inode *inode, uint32_t opcode, const void *in, size_t in_size)
{
	struct fuse_attr_out out = { 0 };
	const struct remote_words words = { .in = in, .in_size = in_size, .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	inode_get(&inode->inode); /* who asked may go meanwhile */
	int64_t r = remote_ask(inode->remote, opcode, inode->node, &words);
	if (r >= 0 && inode->inode.mode && ((inode->inode.mode ^ out.attr.mode) & S_IFMT))
		r = -EIO;
	if (r >= 0)
		remote_attributes(inode, &out.attr, out.attr_valid);
	inode_put(&inode->inode);
	return r < 0 ? (int)r : 0;
}

int remote_refresh(struct inode *inode)
{
	const struct fuse_getattr_in in = { 0 };
	struct remote_inode *remote = remote_inode(inode);
	remote_used(remote);
	return clock_monotonic() < remote->attr_until ? 0 : take_attr(remote, FUSE_GETATTR, &in, sizeof(in));
}

int remote_setattr(struct inode *inode, const struct fuse_setattr_in *in)
{
	remote_drop_spare(remote_inode(inode)); /* it may be another one who may open it then */
	return take_attr(remote_inode(inode), FUSE_SETATTR, in, sizeof(*in));
}

static struct remote_fs *volumes;

int remote_sync_volumes(const struct inode *of)
{
	const struct fuse_syncfs_in in = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in) };
	struct remote_fs *only = of ? remote_inode((struct inode *)of)->remote : NULL;
	int err = remote_write_all(only);
	for (struct remote_fs *remote = volumes; remote; remote = remote->next) {
		int64_t r = (only && remote != only) || remote->state != REMOTE_READY ? 0 : remote_ask(remote, FUSE_SYNCFS, FUSE_ROOT_ID, &words);
		err = err || r >= 0 ? err : (int)r;
	}
	return err;
}

/* Nothing is asked of the server yet: a VM that never looks there costs it nothing. */
struct inode *remote_root(const char *tag, bool read_only, uint64_t dev)
{
	struct remote_fs *remote = kzalloc(sizeof(*remote));
	struct remote_inode *root = kzalloc(sizeof(*root));
	if (!remote || !root || !(remote->link = fs_link(tag)))
		return NULL;
	remote->fs = (struct fs){ .name = "virtiofs", .dev = dev, .magic = 0x65735546, .remembered = true, .read_only = read_only };
	snprintf(remote->tag, sizeof(remote->tag), "%s", tag);
	root->inode.fs = &remote->fs;
	root->inode.ops = &remote_inode_ops;
	root->inode.refs = 1;
	root->inode.mode = S_IFDIR | 0755;
	root->inode.nlink = 2;
	root->inode.ino = FUSE_ROOT_ID;
	root->remote = remote;
	root->node = FUSE_ROOT_ID;
	remote->root = root;
	remote->next = volumes;
	volumes = remote;
	return &root->inode;
}
