/* SPDX-License-Identifier: Apache-2.0 */
/* What the file system has besides the image: directories in memory with a bound, and parts that cannot be changed (parse/mount_word.h). */
#include "libos/dev/dev.h"
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"
#include "parse/mount_word.h"

/* The root as it is, when nothing of it can be changed; and parts that are apart from it, either way. */
static const struct fs frozen_root = { .name = "overlay", .dev = LINUX_DEV(0, 21), .magic = 0x794c7630, .remembered = true, .read_only = true };
static const struct fs frozen_part = { .name = "overlay", .dev = LINUX_DEV(0, 22), .magic = 0x794c7630, .remembered = true, .read_only = true };
static const struct fs open_part = { .name = "overlay", .dev = LINUX_DEV(0, 23), .magic = 0x794c7630, .remembered = true };

struct tmpfs {
	struct fs fs;
	struct fs_room room;
};

static const struct fs *root_now = &root_fs;

/* The words stand behind arguments and environment. */
static const char *first_word(void)
{
	const char *s = (const char *)device_page->args, *end = s + device_page->args_size;
	for (uint32_t skip = device_page->argc + device_page->envc; skip && s < end; skip--)
		s += strlen(s) + 1;
	return s;
}

/* Calls each() for every word; the monitor and who started it have looked at them. */
static void each_word(void (*each)(const struct mount_word *mount, void *context), void *context)
{
	const char *s = first_word();
	for (uint32_t i = 0; i < device_page->mountc; i++, s += strlen(s) + 1) {
		struct mount_word mount;
		if (mount_word_read(s, &mount))
			panic("the configuration has \"%s\" where a mount should be", s);
		each(&mount, context);
	}
}

/* What the directories of the host do not let us do is told as what is wrong with a configuration. Nothing else can fail, or before there is somebody to tell. */
static void __attribute__((noreturn)) refuse(const char *path, int err)
{
	char text[MOUNT_PATH_MAX + 96];
	snprintf(text, sizeof(text), "lightvm: %s: there is no place for what shall be mounted (error %d): make it a directory of the host\n", path, -err);
	if (!console_file(2))
		panic("%s", text);
	console_note(text);
	vm_exit(125 << 8);
}

static struct dentry *place_of(const char *path, unsigned flags)
{
	struct walk walk;
	int err = path_walk(path_root(), path, strlen(path), WALK_FOLLOW | flags, &walk);
	if (err || !walk.dentry)
		refuse(path, err ? err : -ENOTDIR);
	return walk.dentry;
}

/* ---- directories in memory ---- */

/* A directory of root's, if there is nothing: whoever the program's user is, it is not he who mounts. 0, or what a directory of the host says. */
static int make_directory(const char *path)
{
	struct dentry *place = place_of(path, WALK_CREATE);
	struct inode *made;
	if (!place->inode && place->parent && remote_of(place->parent->inode)) {
		int err = vfs_create(place, S_IFDIR | 0755, 0, &made);
		dentry_put(place);
		return err == -EEXIST ? 0 : err; /* another VM's was quicker */
	}
	struct inode *inode = place->inode || !place->parent ? NULL : inode_new(place->parent->inode->fs, S_IFDIR | 0755);
	if (inode) {
		inode->uid = inode->gid = 0;
		dentry_attach(place, inode);
		place->parent->inode->nlink++;
	}
	dentry_put(place);
	return 0;
}

/* The directories that lead to it, as far as they are missing. */
static void make_way(const char *path)
{
	char above[MOUNT_PATH_MAX + 1];
	for (size_t n = 1; path[n]; n++) {
		if (path[n] != '/')
			continue;
		memcpy(above, path, n);
		above[n] = 0;
		int err = make_directory(above);
		if (err)
			refuse(above, err);
	}
}

static void make_tmpfs(const struct mount_word *mount)
{
	static uint64_t made;
	struct tmpfs *tmpfs = kzalloc(sizeof(*tmpfs));
	struct dentry *place = place_of(mount->path, WALK_CREATE), *parent = place->parent;
	struct inode *root = tmpfs ? inode_new(&tmpfs->fs, S_IFDIR | mount->mode) : NULL;
	if (!root || !parent)
		panic("no memory for %s", mount->path);
	if (place->inode && !S_ISDIR(place->inode->mode))
		refuse(mount->path, -ENOTDIR);
	tmpfs->fs = (struct fs){ .name = "tmpfs", .dev = LINUX_DEV(0, 32 + made), .magic = 0x01021994, .remembered = true };
	made++;
	tmpfs->room.most = mount->size / 4096;
	tmpfs->fs.room = mount->size ? &tmpfs->room : NULL;
	if (!place->inode)
		parent->inode->nlink++;
	/* Over what is there, which stays hidden. */
	if (place->inode && (dentry_detach(place) || dentry_lookup(parent, place->name, place->name_len, &place)))
		panic("no memory for %s", mount->path);
	dentry_attach(place, root);
}

/* ---- directories of the host ---- */

struct above { /* whether a volume lies there */
	const char *path;
	bool found;
};

static void look_above(const struct mount_word *mount, void *context)
{
	struct above *above = context;
	size_t n = strlen(mount->path);
	above->found |= mount->kind == MOUNT_VOLUME && !memcmp(above->path, mount->path, MIN(n, strlen(above->path) + 1)) && above->path[n] == '/';
}

static bool is_in_volume(const struct mount_word *mount)
{
	struct above above = { .path = mount->path };
	each_word(look_above, &above);
	return above.found;
}

static void make_with_way(const struct mount_word *mount)
{
	make_way(mount->path);
	if (is_in_volume(mount))
		make_directory(mount->path); /* as far as it may be written: memory can lie over what is not there */
	make_tmpfs(mount);
}

static void make_early(const struct mount_word *mount, void *context)
{
	if (mount->kind == MOUNT_TMPFS && !is_in_volume(mount))
		make_with_way(mount);
}

static void make_place(const struct mount_word *mount, void *context)
{
	if (mount->kind != MOUNT_VOLUME)
		return;
	make_way(mount->path);
	make_directory(mount->path);
}

static void mount_volume(const struct mount_word *mount)
{
	static uint64_t made;
	char tag[16];
	snprintf(tag, sizeof(tag), MOUNT_TAG, (unsigned)mount->size);
	if (is_in_volume(mount))
		make_way(mount->path);
	struct dentry *place = place_of(mount->path, WALK_CREATE), *parent = place->parent; /* below another volume it may be nowhere else */
	if (place->inode && !S_ISDIR(place->inode->mode))
		refuse(mount->path, -ENOTDIR);
	struct inode *root = parent ? remote_root(tag, mount->read_only, LINUX_DEV(0, 64 + made)) : NULL;
	if (!root)
		panic("%s: the volume has no device", mount->path);
	made++;
	if (place->inode && (dentry_detach(place) || dentry_lookup(parent, place->name, place->name_len, &place)))
		panic("no memory for %s", mount->path);
	dentry_attach(place, root);
}

/* Those with paths of one length, and the next larger one, 0: there is none. What lies in something else comes after that. */
struct turn {
	size_t length, next;
};

static void mount_in_turn(const struct mount_word *mount, void *context)
{
	struct turn *turn = context;
	size_t length = strlen(mount->path);
	if (mount->kind != MOUNT_VOLUME && (mount->kind != MOUNT_TMPFS || !is_in_volume(mount)))
		return;
	if (length > turn->length && (!turn->next || length < turn->next))
		turn->next = length;
	if (length == turn->length)
		(mount->kind == MOUNT_VOLUME ? mount_volume : make_with_way)(mount);
}

void mounts_make(void)
{
	each_word(make_early, NULL);
	each_word(make_place, NULL);
}

void mounts_volumes(void)
{
	struct turn turn = { .next = 1 };
	const struct credentials had = credentials_of_libos();
	while (turn.next) {
		turn = (struct turn){ .length = turn.next };
		each_word(mount_in_turn, &turn);
	}
	credentials_put_back(&had);
	path_enter(device_page->cwd);
}

/* ---- parts that cannot be changed ---- */

static struct dentry *after(struct dentry *dentry, const struct dentry *top, bool below)
{
	if (below && dentry->children)
		return dentry->children;
	while (dentry != top && !dentry->next)
		dentry = dentry->parent;
	return dentry == top ? NULL : dentry->next;
}

/* Of what is remembered below; what is looked up later is as its directory. */
static void set_fs(struct dentry *top, const struct fs *from, const struct fs *to)
{
	for (struct dentry *dentry = top; dentry;) {
		bool ours = dentry->inode && dentry->inode->fs == from;
		if (ours)
			dentry->inode->fs = to;
		dentry = after(dentry, top, ours);
	}
}

static void freeze_root(const struct mount_word *mount, void *context)
{
	if (mount->kind != MOUNT_READ_ONLY || mount->path[1])
		return;
	set_fs(path_root(), &root_fs, &frozen_root);
	root_now = &frozen_root;
}

static void set_part(const struct mount_word *mount, void *context)
{
	if (mount->kind == MOUNT_TMPFS || mount->kind == MOUNT_VOLUME || !mount->path[1])
		return;
	struct dentry *place = place_of(mount->path, 0);
	set_fs(place, place->inode->fs, mount->kind == MOUNT_READ_ONLY ? &frozen_part : &open_part);
	dentry_get(place); /* for good: what is forgotten would be looked up as its directory is */
}

void mounts_freeze(void)
{
	each_word(freeze_root, NULL);
	each_word(set_part, NULL);
}

/* ---- /proc/self/mounts ---- */

struct telling {
	void (*tell)(void *context, const struct mounted *mounted);
	void *context;
};

static void tell_word(const struct mount_word *mount, void *context)
{
	const struct telling *telling = context;
	if (mount->path[1])
		telling->tell(telling->context, &(struct mounted){ .path = mount->path, .type = mount->kind == MOUNT_TMPFS ? "tmpfs" : mount->kind == MOUNT_VOLUME ? "virtiofs" : "overlay",
			.read_only = mount->kind == MOUNT_READ_ONLY || mount->read_only, .size = mount->kind == MOUNT_TMPFS ? mount->size : 0 });
}

void mounts_each(void (*tell)(void *context, const struct mounted *mounted), void *context)
{
	struct telling telling = { tell, context };
	tell(context, &(struct mounted){ .path = "/", .type = "overlay", .read_only = root_now->read_only });
	each_word(tell_word, &telling);
}
