/* SPDX-License-Identifier: Apache-2.0 */
/* Names of a live volume. Each change is the server's first, and then what is remembered here follows. */
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

static struct remote_fs *fs_of(const struct inode *inode)
{
	return remote_inode(inode)->remote;
}

static int64_t ask_entry(struct inode *dir, uint32_t opcode, const void *in, size_t in_size, const char *name, const char *name2, struct inode **found)
{
	struct fuse_entry_out out = { 0 };
	const struct remote_words words = { .in = in, .in_size = in_size, .name = name, .name2 = name2, .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	inode_get(dir);
	int64_t r = remote_ask(fs_of(dir), opcode, remote_inode(dir)->node, &words);
	if (r >= 0)
		r = out.nodeid ? remote_found(fs_of(dir), &out, found) : -ENOENT;
	inode_put(dir);
	return r;
}

/* A name that is not terminated where it comes from. */
static int64_t look_up(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	char text[NAME_MAX + 1];
	memcpy(text, name, len);
	text[len] = 0;
	return ask_entry(dir, FUSE_LOOKUP, NULL, 0, text, NULL, found);
}

static int remote_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	return (int)look_up(dir, name, len, found);
}

/* Does the name still lead where it did? Not if it cannot be asked. */
static bool remote_revalidate(struct dentry *dentry)
{
	struct inode *found = NULL;
	uint64_t now = clock_monotonic();
	if (now < dentry->until)
		return true;
	int64_t r = dentry->parent ? look_up(dentry->parent->inode, dentry->name, dentry->name_len, &found) : -ENOENT;
	bool same = (r == 0 && found == dentry->inode) || (r == -ENOENT && !dentry->inode);
	if (found)
		inode_put(found);
	if (same)
		dentry->until = now + REMOTE_NAME_NS;
	return same;
}

static int64_t remote_readlink(struct inode *link, char *buffer, size_t size)
{
	struct remote_words words = { .out = buffer, .out_size = size };
	inode_get(link);
	int64_t r = remote_ask(fs_of(link), FUSE_READLINK, remote_inode(link)->node, &words);
	inode_put(link);
	return r;
}

/* ---- listings ---- */

#define LIST_ORDER 4 /* 64 KiB at once */
#define LIST_BYTES (4096u << LIST_ORDER)
#define ENTRY_MOST (FUSE_NAME_OFFSET + NAME_MAX + 8) /* an answer with room for one more is the last (virtio-fs servers fill them) */

/* One answer's names (plus: with attributes, which are passed over); *offset: where to go on. */
static int take_names(const char *data, size_t n, bool plus, uint64_t *offset, int (*add)(void *context, const struct vfs_entry *entry), void *context)
{
	const size_t before = plus ? sizeof(struct fuse_entry_out) : 0;
	int err = 0;
	for (size_t at = before; !err && at + FUSE_NAME_OFFSET <= n;) {
		const struct fuse_dirent *entry = (const struct fuse_dirent *)(data + at);
		if (!entry->namelen || entry->namelen > NAME_MAX || FUSE_DIRENT_SIZE(entry) > n - at)
			return -EIO;
		bool dots = entry->name[0] == '.' && (entry->namelen == 1 || (entry->namelen == 2 && entry->name[1] == '.'));
		if (!dots)
			err = add(context, &(struct vfs_entry){ .name = entry->name, .len = entry->namelen, .ino = entry->ino, .type = (uint8_t)entry->type });
		*offset = entry->off;
		at += FUSE_DIRENT_SIZE(entry) + before;
	}
	return err;
}

/* One piece; without a handle (0) the server opens the directory for it. */
static int64_t ask_names(struct inode *dir, uint32_t opcode, uint64_t fh, uint64_t offset, char *page)
{
	const struct ring_buffer buffer = { .data = page, .len = LIST_BYTES, .device_writes = true };
	const struct fuse_read_in in = { .fh = fh, .offset = offset, .size = LIST_BYTES };
	return remote_ask(fs_of(dir), opcode, remote_inode(dir)->node, &(struct remote_words){ .in = &in, .in_size = sizeof(in), .pages = &buffer, .page_count = 1 });
}

/* Of a directory with more names than one answer holds: it is open until the end, so that none is missed that was there all the time. */
static int list_large(struct inode *dir, char *page, int (*add)(void *context, const struct vfs_entry *entry), void *context)
{
	const struct fuse_open_in in = { 0 };
	struct fuse_open_out out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	uint64_t offset = 0, before;
	int64_t n;
	int err = (int)remote_ask_handle(fs_of(dir), FUSE_OPENDIR, remote_inode(dir)->node, &words);
	if (err < 0)
		return err;
	do {
		before = offset;
		n = ask_names(dir, FUSE_READDIR, out.fh, offset, page);
		err = n < 0 ? (int)n : take_names(page, (size_t)n, false, &offset, add, context);
	} while (!err && n && offset != before); /* a server that tells of the same place for ever is not to be followed */
	const struct fuse_release_in release = { .fh = out.fh };
	remote_tell(fs_of(dir), FUSE_RELEASEDIR, remote_inode(dir)->node, &release, sizeof(release));
	return !err && n ? -EIO : err;
}

/* ---- many names at once, with their attributes ---- */

/* What one answer tells, each name as a look-up would have. *offset: where to go on. */
static void learn(struct dentry *dir, const char *data, size_t n, uint64_t *offset)
{
	for (size_t at = 0; at + FUSE_NAME_OFFSET_DIRENTPLUS <= n;) {
		const struct fuse_direntplus *entry = (const struct fuse_direntplus *)(data + at);
		struct inode *inode;
		if (!entry->dirent.namelen || entry->dirent.namelen > NAME_MAX || FUSE_DIRENTPLUS_SIZE(entry) > n - at)
			return;
		if (entry->entry_out.nodeid && !remote_found(fs_of(dir->inode), &entry->entry_out, &inode)) {
			remote_inode(inode)->unasked = true;
			dentry_learn(dir, entry->dirent.name, entry->dirent.namelen, inode);
		}
		*offset = entry->dirent.off;
		at += FUSE_DIRENTPLUS_SIZE(entry);
	}
}

/* Bytes of the answer, or -errno. */
static int64_t learn_piece(struct dentry *dir, char *page)
{
	struct remote_inode *remote = remote_inode(dir->inode);
	remote->ahead_done = true; /* nobody else meanwhile */
	dentry_get(dir);
	int64_t n = ask_names(dir->inode, FUSE_READDIRPLUS, 0, remote->ahead_offset, page);
	fs_of(dir->inode)->ahead_used = false;
	fs_of(dir->inode)->ahead_at = clock_monotonic();
	if (n > 0)
		learn(dir, page, (size_t)n, &remote->ahead_offset);
	remote->ahead_done = n <= 0;
	dentry_put(dir);
	return n;
}

static void begin_ahead(struct remote_inode *remote, uint64_t now)
{
	if (now < remote->ahead_until)
		return;
	remote->misses = 0;
	remote->ahead_offset = 0;
	remote->ahead_done = false;
	remote->ahead_until = now + REMOTE_NAME_NS;
}

/* Somebody goes from directory to directory: what came of the last one was of use to him. */
static bool goes_through(const struct remote_fs *remote, uint64_t now)
{
	return remote->ahead_used && now < remote->ahead_at + REMOTE_NAME_NS;
}

/*
 * Who asks for a second name of a directory within a second will ask for more (find, git status): then names are learnt some hundred at once, which costs one
 * message in place of one for each; in the directories after that with the first name.
 */
static void remote_ahead(struct dentry *dir)
{
	struct remote_inode *remote = remote_inode(dir->inode);
	uint64_t now = clock_monotonic();
	begin_ahead(remote, now);
	if (++remote->misses < (goes_through(fs_of(dir->inode), now) ? 1 : 2) || remote->ahead_done)
		return;
	char *page = page_alloc(LIST_ORDER);
	if (!page)
		return;
	learn_piece(dir, page);
	page_free(page, LIST_ORDER);
}

/* Who lists one directory after the other and asks for what is in there gets both at once. True: names were told, all of them. */
static bool list_and_learn(struct dentry *dir, char *page, int (*add)(void *context, const struct vfs_entry *entry), void *context, int *err)
{
	struct remote_inode *remote = remote_inode(dir->inode);
	uint64_t now = clock_monotonic(), offset;
	if (!goes_through(fs_of(dir->inode), now))
		return false;
	remote->ahead_until = 0;
	begin_ahead(remote, now);
	int64_t n = learn_piece(dir, page);
	if (n < 0 || LIST_BYTES - (size_t)n < ENTRY_MOST + sizeof(struct fuse_entry_out))
		return false;
	remote->ahead_done = true;
	*err = take_names(page, (size_t)n, true, &offset, add, context);
	return true;
}

static int list_names(struct inode *dir, char *page, int (*add)(void *context, const struct vfs_entry *entry), void *context)
{
	uint64_t offset = 0;
	int64_t n = ask_names(dir, FUSE_READDIR, 0, 0, page);
	if (n < 0)
		return (int)n;
	return LIST_BYTES - (size_t)n < ENTRY_MOST ? list_large(dir, page, add, context) : take_names(page, (size_t)n, false, &offset, add, context);
}

static int remote_list(struct dentry *dir, int (*add)(void *context, const struct vfs_entry *entry), void *context)
{
	char *page = page_alloc(LIST_ORDER);
	int err = 0;
	if (!page)
		return -ENOMEM;
	dentry_get(dir);
	if (!list_and_learn(dir, page, add, context, &err))
		err = list_names(dir->inode, page, add, context);
	dentry_put(dir);
	page_free(page, LIST_ORDER);
	return err;
}

/* ---- changes ---- */

/* The directory's own times and counts are others now. */
static void changed(struct dentry *dir)
{
	remote_stale(dir->inode);
}

static int remote_make(struct dentry *at, uint32_t mode, uint64_t rdev, const char *target, struct inode **made)
{
	const struct fuse_mkdir_in mkdir = { .mode = mode & 07777 };
	const struct fuse_mknod_in mknod = { .mode = mode, .rdev = (uint32_t)rdev };
	struct inode *dir = at->parent->inode;
	int64_t r;
	if (S_ISLNK(mode))
		r = ask_entry(dir, FUSE_SYMLINK, NULL, 0, at->name, target, made);
	else if (S_ISDIR(mode))
		r = ask_entry(dir, FUSE_MKDIR, &mkdir, sizeof(mkdir), at->name, NULL, made);
	else
		r = ask_entry(dir, FUSE_MKNOD, &mknod, sizeof(mknod), at->name, NULL, made);
	if (r >= 0)
		changed(at->parent);
	return (int)r;
}

/* What a server made and opened. at: its name; NULL: it has none. */
static int64_t take_created(struct inode *inode, struct dentry *at, uint32_t flags, struct remote_file *private, struct file **file)
{
	if (at)
		dentry_found(at, inode);
	int64_t r = vfs_open_inode(inode, at, flags | O_PATH, file); /* it is open at the server already */
	if (r >= 0) {
		(*file)->flags &= ~(uint32_t)O_PATH;
		remote_opened(*file, private);
	} else {
		remote_tell_release(remote_inode(inode), private->fh, flags, 0);
		kfree(private);
	}
	return r;
}

static int make_open(struct dentry *dir, struct dentry *at, uint32_t flags, uint32_t mode, struct file **file)
{
	const struct fuse_create_in in = { .flags = flags & (O_ACCMODE | O_APPEND | O_EXCL | O_TRUNC | O_CREAT | O_DSYNC | __O_SYNC), .mode = S_IFREG | mode };
	struct { struct fuse_entry_out entry; struct fuse_open_out open; } out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .name = at ? at->name : "/", .out = &out, .out_size = sizeof(out), .out_least = sizeof(out) };
	struct inode *inode = NULL;
	struct remote_file *private = remote_file_new();
	int64_t r = private ? remote_ask_handle(fs_of(dir->inode), at ? FUSE_CREATE : FUSE_TMPFILE, remote_inode(dir->inode)->node, &words) : -ENOMEM;
	if (r >= 0 && at)
		changed(dir);
	if (r >= 0 && (r = remote_found(fs_of(dir->inode), &out.entry, &inode)) < 0) { /* nor is it open at the server for nobody */
		const struct fuse_release_in release = { .fh = out.open.fh };
		remote_tell(fs_of(dir->inode), FUSE_RELEASE, out.entry.nodeid, &release, sizeof(release));
	}
	if (r < 0) {
		kfree(private);
		return (int)r;
	}
	private->fh = out.open.fh;
	r = take_created(inode, at, flags, private, file);
	if (!at) {
		remote_inode(inode)->removed = true;
		inode_put(inode);
	}
	return (int)r;
}

static int remote_create(struct dentry *at, uint32_t flags, uint32_t mode, struct file **file)
{
	return make_open(at->parent, at, flags, mode, file);
}

static int remote_temporary(struct dentry *dir, uint32_t flags, uint32_t mode, struct file **file)
{
	return make_open(dir, NULL, flags, mode, file);
}

static int remote_remove(struct dentry *what)
{
	struct inode *dir = what->parent->inode, *inode = what->inode;
	const struct remote_words words = { .name = what->name };
	int64_t r = remote_ask(fs_of(dir), S_ISDIR(inode->mode) ? FUSE_RMDIR : FUSE_UNLINK, remote_inode(dir)->node, &words);
	if (r >= 0) {
		changed(what->parent);
		remote_gone(inode);
	}
	return r < 0 ? (int)r : 0;
}

static int remote_rename(struct dentry *from, struct dentry *to, uint32_t flags)
{
	struct inode *dir = from->parent->inode, *to_dir = to->parent->inode;
	const struct fuse_rename2_in in = { .newdir = remote_inode(to_dir)->node, .flags = flags };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .name = from->name, .name2 = to->name };
	int64_t r = remote_ask(fs_of(dir), FUSE_RENAME2, remote_inode(dir)->node, &words);
	if (r < 0)
		return (int)r;
	changed(from->parent);
	changed(to->parent);
	remote_stale(from->inode);
	if (to->inode) {
		if (flags & LINUX_RENAME_EXCHANGE)
			remote_stale(to->inode);
		else
			remote_gone(to->inode);
	}
	return 0;
}

static int remote_link(struct inode *inode, struct dentry *at)
{
	const struct fuse_link_in in = { .oldnodeid = remote_inode(inode)->node };
	struct inode *found = NULL;
	int64_t r = ask_entry(at->parent->inode, FUSE_LINK, &in, sizeof(in), at->name, NULL, &found);
	if (r < 0)
		return (int)r;
	changed(at->parent);
	remote_inode(found)->removed = false;
	dentry_found(at, found);
	return 0;
}

static int remote_statfs(struct inode *inode, struct statfs *out)
{
	struct fuse_statfs_out st = { 0 };
	const struct remote_words words = { .out = &st, .out_size = sizeof(st), .out_least = sizeof(st) };
	int64_t r = remote_ask(fs_of(inode), FUSE_STATFS, remote_inode(inode)->node, &words);
	if (r < 0)
		return (int)r;
	out->f_blocks = (long)st.st.blocks;
	out->f_bfree = (long)st.st.bfree;
	out->f_bavail = (long)st.st.bavail;
	out->f_files = (long)st.st.files;
	out->f_ffree = (long)st.st.ffree;
	out->f_bsize = st.st.bsize;
	out->f_frsize = st.st.frsize;
	out->f_namelen = st.st.namelen;
	return 0;
}

/* ---- attributes ---- */

static int remote_change(struct inode *inode, const struct attr_change *change)
{
	struct fuse_setattr_in in = { .mode = change->mode, .uid = change->uid, .gid = change->gid, .size = change->size };
	if (change->what & CHANGE_MODE)
		in.valid |= FATTR_MODE;
	if (change->what & CHANGE_UID)
		in.valid |= FATTR_UID;
	if (change->what & CHANGE_GID)
		in.valid |= FATTR_GID;
	if (change->what & CHANGE_SIZE)
		in.valid |= FATTR_SIZE;
	if (change->what & CHANGE_ATIME) {
		in.valid |= FATTR_ATIME;
		in.atime = change->atime.tv_sec;
		in.atimensec = (uint32_t)change->atime.tv_nsec;
	}
	if (change->what & CHANGE_MTIME) {
		in.valid |= FATTR_MTIME;
		in.mtime = change->mtime.tv_sec;
		in.mtimensec = (uint32_t)change->mtime.tv_nsec;
	}
	if (change->what & CHANGE_ATIME_NOW)
		in.valid |= FATTR_ATIME | FATTR_ATIME_NOW;
	if (change->what & CHANGE_MTIME_NOW)
		in.valid |= FATTR_MTIME | FATTR_MTIME_NOW;
	return remote_setattr(inode, &in);
}

/* ---- extended attributes ---- */

static int64_t read_attribute(struct inode *inode, uint32_t opcode, const char *name, void *value, size_t size)
{
	const struct ring_buffer buffer = { .data = value, .len = (uint32_t)size, .device_writes = true };
	const struct fuse_getxattr_in in = { .size = (uint32_t)size };
	struct fuse_getxattr_out out = { 0 };
	struct remote_words words = { .in = &in, .in_size = sizeof(in), .name = name };
	if (size)
		words.pages = &buffer, words.page_count = 1;
	else
		words.out = &out, words.out_size = words.out_least = sizeof(out);
	int64_t r = remote_ask(fs_of(inode), opcode, remote_inode(inode)->node, &words);
	return r < 0 || size ? r : (int64_t)out.size;
}

static int64_t remote_attribute(struct inode *inode, enum attribute_verb verb, const char *name, void *value, size_t size, int flags)
{
	const struct fuse_setxattr_in in = { .size = (uint32_t)size, .flags = (uint32_t)flags };
	const struct remote_words set = { .in = &in, .in_size = FUSE_COMPAT_SETXATTR_IN_SIZE, .name = name, .send = value, .send_size = size };
	const struct remote_words remove = { .name = name };
	if (verb == ATTRIBUTE_GET || verb == ATTRIBUTE_LIST)
		return read_attribute(inode, verb == ATTRIBUTE_GET ? FUSE_GETXATTR : FUSE_LISTXATTR, verb == ATTRIBUTE_GET ? name : NULL, value, size);
	int64_t r = verb == ATTRIBUTE_SET ? remote_ask(fs_of(inode), FUSE_SETXATTR, remote_inode(inode)->node, &set)
					  : remote_ask(fs_of(inode), FUSE_REMOVEXATTR, remote_inode(inode)->node, &remove);
	remote_stale(inode); /* its time */
	return r < 0 ? r : 0;
}

static const struct remote_ops remote_ops = {
	.revalidate = remote_revalidate,
	.ahead = remote_ahead,
	.refresh = remote_refresh,
	.change = remote_change,
	.list = remote_list,
	.make = remote_make,
	.create = remote_create,
	.temporary = remote_temporary,
	.remove = remote_remove,
	.rename = remote_rename,
	.link = remote_link,
	.statfs = remote_statfs,
	.attribute = remote_attribute,
};

const struct inode_ops remote_inode_ops = {
	.lookup = remote_lookup,
	.readlink = remote_readlink,
	.open = remote_open,
	.free = remote_free,
	.remote = &remote_ops,
};
