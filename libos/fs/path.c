/* SPDX-License-Identifier: Apache-2.0 */
/* From a path to a name in the tree (path_resolution(7)). */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define PATH_FEW 256 /* bytes of a path of the program that go to the stack */
#define LINKS_MOST 40

struct whereabouts {
	int refs;
	struct dentry *root, *cwd;
	uint32_t umask;
};

struct whereabouts *where_first(void)
{
	static struct whereabouts first = { .refs = 1, .umask = 022 };

	return &first;
}

struct dentry *where_root(const struct whereabouts *where)
{
	return where ? where->root : NULL;
}

struct dentry *where_cwd(const struct whereabouts *where)
{
	return where ? where->cwd : NULL;
}

uint32_t where_umask(const struct whereabouts *where)
{
	return where ? where->umask : 0;
}

/* Of a process that ends, and has none any more, that of the first one: what the network does while it waits may look at files. */
static struct whereabouts *here(void)
{
	struct whereabouts *where = current->process->where;

	return where ? where : process_first()->where;
}

struct whereabouts *where_get(struct whereabouts *where)
{
	where->refs++;
	return where;
}

struct whereabouts *where_copy(const struct whereabouts *from)
{
	struct whereabouts *where = kmalloc(sizeof(*where));

	if (!where)
		return NULL;
	*where = *from;
	where->refs = 1;
	dentry_get(where->root);
	dentry_get(where->cwd);
	return where;
}

void where_put(struct whereabouts *where)
{
	if (--where->refs)
		return;
	dentry_put(where->root);
	dentry_put(where->cwd);
	if (where != where_first())
		kfree(where);
}

struct dentry *path_root(void)
{
	return here()->root;
}

struct dentry *path_top(void)
{
	struct dentry *top = path_root();

	while (top->parent)
		top = top->parent;
	return top;
}

struct dentry *path_cwd(void)
{
	return here()->cwd;
}

uint32_t path_umask(void)
{
	return here()->umask;
}

static void replace(struct dentry **place, struct dentry *dentry)
{
	struct dentry *old = *place;
	dentry_get(dentry);
	*place = dentry;
	if (old)
		dentry_put(old);
}

void path_set_cwd(struct dentry *dentry)
{
	replace(&here()->cwd, dentry);
}

void path_set_root(struct dentry *dentry)
{
	replace(&here()->root, dentry);
}

void walk_done(struct walk *walk)
{
	if (walk->dentry)
		dentry_put(walk->dentry);
	if (walk->file)
		file_put(walk->file);
	*walk = (struct walk){ 0 };
}

/* What is left of a path: first the given string, after a symbolic link an allocated one. */
struct rest {
	const char *at, *end;
	char *owned;
	int links;
	unsigned flags;
	struct dentry *root; /* where absolute paths start, and above which there is nothing; held, as others may leave it while the walk waits */
};

static void skip_slashes(struct rest *rest)
{
	while (rest->at < rest->end && *rest->at == '/')
		rest->at++;
}

static int64_t link_target(struct inode *link, char *buffer, size_t size)
{
	if (link->ops && link->ops->readlink)
		return link->ops->readlink(link, buffer, size);
	size_t len = MIN(strlen(link->target), size);
	memcpy(buffer, link->target, len);
	return (int64_t)len;
}

/* Puts the target of a link in front of the rest. */
static int enter_link(struct inode *link, struct rest *rest, bool slash)
{
	if (++rest->links > LINKS_MOST)
		return -ELOOP;
	size_t left = (size_t)(rest->end - rest->at);
	char *text = kmalloc(PATH_MAX + left + 2);
	if (!text)
		return -ENOMEM;
	int64_t len = link_target(link, text, PATH_MAX - 1);
	if (len <= 0 || len >= PATH_MAX - 1) {
		kfree(text);
		return len < 0 ? (int)len : len ? -ENAMETOOLONG : -ENOENT;
	}
	if (left || slash) /* the slashes between, or at the end, were skipped already */
		text[len++] = '/';
	memcpy(text + len, rest->at, left);
	kfree(rest->owned);
	rest->owned = text;
	rest->at = text;
	rest->end = text + len + left;
	return 0;
}

static void step_to(struct walk *walk, struct dentry *dentry)
{
	dentry_put(walk->dentry);
	walk->dentry = dentry;
}

static int step_up(struct walk *walk, const struct rest *rest)
{
	struct dentry *parent = walk->dentry->parent;
	if (walk->dentry == rest->root && rest->flags & WALK_BENEATH)
		return -EXDEV;
	if (walk->dentry == rest->root || !parent)
		return 0;
	dentry_get(parent);
	step_to(walk, parent);
	/* Somebody may have moved the directory out of the root since the walk came into it: whoever called may try again. */
	return rest->flags & WALK_SCOPED && !dentry_is_below(parent, rest->root) ? -EAGAIN : 0;
}

/* The walk goes on at the root, as an absolute path says. */
static int step_to_root(struct walk *walk, const struct rest *rest)
{
	if (rest->flags & WALK_BENEATH)
		return -EXDEV;
	dentry_get(rest->root);
	step_to(walk, rest->root);
	return 0;
}

static int set_out(struct walk *walk, const struct rest *rest)
{
	const struct inode *start = walk->dentry->inode;
	if (rest->at == rest->end)
		return rest->flags & WALK_EMPTY ? 0 : -ENOENT;
	if (start && !S_ISDIR(start->mode))
		return -ENOTDIR;
	return *rest->at == '/' ? step_to_root(walk, rest) : 0;
}

/* May a link be followed, which names a path, or (jumps) an open thing wherever it lies? */
static int link_allowed(const struct rest *rest, bool jumps)
{
	if (rest->flags & WALK_NO_LINKS || (jumps && rest->flags & WALK_NO_JUMPS))
		return -ELOOP;
	return jumps && rest->flags & WALK_SCOPED ? -EXDEV : 0;
}

/* A link was found at child, in the directory where the walk stands. */
static int follow(struct walk *walk, struct dentry *child, struct rest *rest)
{
	struct inode *inode = child->inode;
	bool jumps = inode->ops && inode->ops->follow;
	int err = link_allowed(rest, jumps);
	if (err) {
		dentry_put(child);
		return err;
	}
	if (jumps) {
		struct dentry *target = NULL;
		err = inode->ops->follow(inode, &target, &walk->file);
		if (target)
			step_to(walk, target);
		dentry_put(child);
		if (!err && walk->file && rest->at < rest->end)
			err = -ENOTDIR;
		return err;
	}
	err = enter_link(inode, rest, walk->slash);
	dentry_put(child);
	return !err && *rest->at == '/' ? step_to_root(walk, rest) : err;
}

/* One name: walk->dentry is the directory it is in. */
static int step(struct walk *walk, struct rest *rest)
{
	unsigned flags = rest->flags;
	const char *name = rest->at;
	while (rest->at < rest->end && *rest->at != '/')
		rest->at++;
	size_t len = (size_t)(rest->at - name);
	walk->slash = rest->at < rest->end;
	skip_slashes(rest);
	bool last = rest->at == rest->end;
	if (!rest->links)
		walk->dots = len == 1 && name[0] == '.' ? 1 : len == 2 && name[0] == '.' && name[1] == '.' ? 2 : 0;
	struct inode *dir = walk->dentry->inode;
	if (!dir || !S_ISDIR(dir->mode))
		return dir ? -ENOTDIR : -ENOENT;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	int r = inode_refresh(dir);
	if (!r)
		r = inode_permission(dir, LINUX_X_OK);
	if (r)
		return r;
	if (len == 1 && name[0] == '.')
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return step_up(walk, rest);
	struct dentry *child;
	r = dentry_lookup(walk->dentry, name, len, &child);
	if (r)
		return r;
	if (child->inode && S_ISLNK(child->inode->mode) && (!last || (walk->slash && !(flags & WALK_NAME)) || (flags & WALK_FOLLOW)))
		return follow(walk, child, rest);
	step_to(walk, child);
	return child->inode || (last && (flags & WALK_CREATE)) ? 0 : -ENOENT;
}

/* Did the walk leave the file system, or go where it would have to wait, though it must not? */
static int strayed(const struct walk *walk, const struct fs *fs, unsigned flags)
{
	const struct inode *inode = walk->dentry ? walk->dentry->inode : NULL, *opened = walk->file ? walk->file->inode : NULL;
	if (flags & WALK_NO_WAIT && ((inode && remote_of(inode)) || (opened && remote_of(opened))))
		return -EAGAIN;
	return flags & WALK_ONE_FS && ((inode && inode->fs != fs) || walk->file) ? -EXDEV : 0;
}

int path_walk(struct dentry *start, const char *path, size_t len, unsigned flags, struct walk *walk)
{
	struct rest rest = { .at = path, .end = path + len, .flags = flags, .root = flags & WALK_SCOPED ? start : here()->root };
	const struct fs *fs = start->inode ? start->inode->fs : NULL;
	*walk = (struct walk){ .dentry = start };
	dentry_get(start);
	dentry_get(rest.root);
	int err = set_out(walk, &rest);
	if (!err)
		err = strayed(walk, fs, flags); /* the first step may have to wait as well */
	skip_slashes(&rest);
	while (!err && rest.at < rest.end) {
		err = step(walk, &rest);
		if (!err)
			err = strayed(walk, fs, flags);
		if (!err)
			skip_slashes(&rest);
	}
	kfree(rest.owned);
	dentry_put(rest.root);
	bool made = flags & WALK_CREATE && flags & WALK_NAME; /* or replaced: who does that says what is wrong */
	if (!err && !made && walk->slash && !walk->file && walk->dentry->inode && !S_ISDIR(walk->dentry->inode->mode))
		err = -ENOTDIR;
	if (!err && walk->file && walk->dentry) {
		dentry_put(walk->dentry);
		walk->dentry = NULL;
	}
	if (err)
		walk_done(walk);
	return err;
}

/* Where a relative path starts: a directory's dentry, or the open file itself if it has no name. */
static int start_of(int dirfd, struct dentry **start, struct file **file)
{
	*file = NULL;
	if (dirfd == AT_FDCWD) {
		*start = here()->cwd;
		return 0;
	}
	struct file *dir = fd_get(dirfd);
	if (!dir)
		return -EBADF;
	*start = dir->dentry;
	*file = dir;
	return 0;
}

static int walk_from(int dirfd, const char *path, size_t len, unsigned flags, struct walk *walk)
{
	struct dentry *start = here()->root;
	struct file *file = NULL;
	if (!len && !(flags & WALK_EMPTY))
		return -ENOENT;
	bool absolute = len && path[0] == '/';
	if (absolute && flags & WALK_BENEATH)
		return -EXDEV;
	int err = absolute && !(flags & WALK_IN_ROOT) ? 0 : start_of(dirfd, &start, &file);
	if (err)
		return err;
	if (!len && (flags & WALK_EMPTY) && file) {
		file_get(file);
		walk->file = file;
		return 0;
	}
	return start ? path_walk(start, path, len, flags, walk) : len ? -ENOTDIR : -ENOENT;
}

int path_at(int dirfd, const char *path, unsigned flags, struct walk *walk)
{
	char few[PATH_FEW], *text = few;
	*walk = (struct walk){ 0 };
	int64_t len = user_string(text, path, sizeof(few));
	if (len == -ENAMETOOLONG) {
		text = kmalloc(PATH_MAX);
		len = text ? user_string(text, path, PATH_MAX) : -ENOMEM;
	}
	int err = len < 0 ? (int)len : walk_from(dirfd, text, (size_t)len, flags, walk);
	if (text != few)
		kfree(text);
	return err;
}

/* ---- system calls ---- */

static int go_to(struct dentry *dentry)
{
	if (!dentry || !dentry->inode || !S_ISDIR(dentry->inode->mode))
		return -ENOTDIR;
	int err = inode_permission(dentry->inode, LINUX_X_OK);
	if (!err)
		path_set_cwd(dentry);
	return err;
}

SYSCALL(chdir)
{
	struct walk walk;
	int err = path_at(AT_FDCWD, (const char *)a[0], WALK_FOLLOW, &walk);
	if (err)
		return err;
	err = go_to(walk.dentry);
	walk_done(&walk);
	return err;
}

SYSCALL(fchdir)
{
	struct file *file = fd_get((int)a[0]);
	return file ? go_to(file->dentry) : -EBADF;
}

SYSCALL(chroot)
{
	struct walk walk;
	int err = path_at(AT_FDCWD, (const char *)a[0], WALK_FOLLOW, &walk);
	if (err)
		return err;
	if (!walk.dentry || !S_ISDIR(walk.dentry->inode->mode))
		err = -ENOTDIR;
	else if (!capable(CAP_SYS_CHROOT))
		err = -EPERM;
	else
		path_set_root(walk.dentry);
	walk_done(&walk);
	return err;
}

SYSCALL(getcwd)
{
	size_t size = (size_t)a[1];
	char *text = kmalloc(PATH_MAX);
	if (!text)
		return -ENOMEM;
	char *path = dentry_path(here()->cwd, here()->root, text, PATH_MAX);
	long r = path ? text + PATH_MAX - path : -ENAMETOOLONG;
	if (r > 0 && here()->cwd->parent && !here()->cwd->hashed && here()->cwd->inode->fs->remembered)
		r = -ENOENT;
	else if (r > 0 && (size_t)r > size)
		r = -ERANGE;
	else if (r > 0 && user_write(a[0], path, (size_t)r))
		r = -EFAULT;
	kfree(text);
	return r;
}

SYSCALL(umask)
{
	uint32_t old = here()->umask;
	here()->umask = (uint32_t)a[0] & 0777;
	return old;
}
