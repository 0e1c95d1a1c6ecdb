/* SPDX-License-Identifier: Apache-2.0 */
/* /proc and /sys as file systems: names are looked up anew each time, contents are written when reading starts. */
#include "libos/dev/dev.h"
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

struct place { /* what an inode stands for */
	const struct node *node;
	int key;
	int pid; /* of the directory /proc/PID that it is in; 0: in none */
};

static const struct fs proc_fs = { .name = "proc", .dev = LINUX_DEV(0, 20), .magic = 0x9fa0, .read_only = true };
static const struct fs sys_fs = { .name = "sysfs", .dev = LINUX_DEV(0, 19), .magic = 0x62656572, .read_only = true };

static const struct inode_ops proc_ops, link_ops;
static const struct node_more nothing_more;

static const struct node_more *more_of(const struct node *node)
{
	return node->more ? node->more : &nothing_more;
}

static const struct node proc_root = { .name = "proc", .mode = S_IFDIR | 0555, .children = proc_tree,
	PROC_MORE_(.numbered = &proc_process, .next = proc_next_process) };
static const struct node sys_root = { .name = "sys", .mode = S_IFDIR | 0555, .children = sys_tree };

/* ---- about whom ---- */

static struct process *subject;

struct process *proc_subject(void)
{
	return subject ? subject : current->process;
}

struct visit {
	struct process *process, *before;
	struct space *space, *back;
};

static struct process *process_of(const struct place *place)
{
	return place->pid ? process_find(place->pid) : current->process;
}

/* 0, or what is said to who may not look into the process: asked each time, as that may have executed a program with other rights. */
static int may_look(const struct place *place, const struct process *process)
{
	return process && place->node->refusal && !process_lets_read(process) ? -place->node->refusal : 0;
}

/*
 * What is told now is about the process of this place, and of its memory. 0, gone if it is not there any more, or what may_look() says. Until the end
 * no other thread runs, also where a live volume is asked about a file that is mapped: there is one subject, and its regions are gone through.
 */
static int visit_begin(struct visit *visit, const struct place *place, int gone)
{
	*visit = (struct visit){ .process = process_of(place), .before = subject };
	if (!visit->process)
		return gone;
	int err = may_look(place, visit->process);
	if (err)
		return err;
	process_get(visit->process);
	fs_links_stay(true);
	subject = visit->process;
	if (subject->space && subject != current->process) {
		visit->space = space_get(subject->space);
		visit->back = space_use(visit->space);
	}
	return 0;
}

static void visit_end(struct visit *visit)
{
	subject = visit->before;
	if (visit->back)
		space_use(visit->back);
	fs_links_stay(false);
	space_put(visit->space);
	process_put(visit->process);
}

/* ---- text ---- */

static bool text_room(struct text *text, size_t more)
{
	if (text->used + more <= text->room)
		return true;
	size_t room = MAX(text->room * 2, ALIGN_UP(text->used + more, 1024));
	char *data = krealloc(text->data, room);
	if (!data)
		return false;
	text->data = data;
	text->room = room;
	return true;
}

void text_bytes(struct text *text, const void *bytes, size_t n)
{
	if (!text_room(text, n))
		return;
	memcpy(text->data + text->used, bytes, n);
	text->used += n;
}

void text_add(struct text *text, const char *format, ...)
{
	char line[512];
	__builtin_va_list args;
	__builtin_va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	__builtin_va_end(args);
	text_bytes(text, line, MIN((size_t)n, sizeof(line) - 1));
}

/* ---- files ---- */

#define WRITE_MOST 128 /* what is written here is a word or a number; the rest is ignored */

struct reading { /* of one open file */
	struct place place;
	struct text text;
};

/* Of another process' memory, which is looked at while the reader's is not there. */
static int64_t read_pieces(const struct reading *reading, uaddr_t to, size_t n, int64_t *position)
{
	char piece[512];
	size_t done = 0;
	while (done < n) {
		struct visit visit;
		int err = visit_begin(&visit, &reading->place, -ESRCH);
		if (err)
			return err;
		int64_t r = reading->place.node->more->read(reading->place.key, piece, MIN(n - done, sizeof(piece)), *position);
		visit_end(&visit);
		if (r <= 0)
			return done ? (int64_t)done : r;
		if (buffer_put(to + done, piece, (size_t)r) < (size_t)r)
			return done ? (int64_t)done : -EFAULT;
		done += (size_t)r;
		*position += r;
	}
	return (int64_t)done;
}

static int64_t proc_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct reading *reading = file->private;
	if (more_of(reading->place.node)->read)
		return read_pieces(reading, to, n, position);
	if (*position == 0) {
		reading->text.used = 0;
		struct visit visit;
		int err = visit_begin(&visit, &reading->place, -ESRCH);
		if (err)
			return err;
		if (reading->place.node->never_changes)
			text_add(&reading->text, "%s\n", reading->place.node->fixed);
		else if (reading->place.node->show)
			reading->place.node->show(&reading->text, reading->place.key);
		visit_end(&visit);
	}
	if ((uint64_t)*position >= reading->text.used)
		return 0;
	size_t take = MIN(n, reading->text.used - (size_t)*position);
	size_t done = buffer_put(to, reading->text.data + *position, take);
	*position += (int64_t)done;
	return done || !take ? (int64_t)done : -EFAULT;
}

static int64_t proc_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct reading *reading = file->private;
	char text[WRITE_MOST];
	size_t take = MIN(n, sizeof(text));
	if (!more_of(reading->place.node)->write)
		return -EIO;
	if (buffer_get(text, from, take) < take)
		return -EFAULT;
	struct visit visit;
	int err = visit_begin(&visit, &reading->place, -ESRCH);
	if (err)
		return err;
	int64_t r = reading->place.node->more->write(reading->place.key, text, take);
	visit_end(&visit);
	return r < 0 ? r : (int64_t)n;
}

static int64_t proc_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == SEEK_CUR)
		offset += file->position;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	return file->position = offset;
}

static void proc_release(struct file *file)
{
	struct reading *reading = file->private;
	kfree(reading->text.data);
	kfree(reading);
}

static const struct file_ops proc_file_ops = { .kind = "proc", .read = proc_read, .write = proc_write, .seek = proc_seek,
	.release = proc_release };

static int proc_open(struct inode *inode, struct file *file)
{
	const struct place *place = inode->private;
	if (may_look(place, process_of(place)) == -EACCES) /* EPERM: when it is read */
		return -EACCES;
	if (S_ISDIR(inode->mode)) {
		file->ops = &dir_ops;
		return 0;
	}
	if ((file->flags & O_ACCMODE) != O_RDONLY && !more_of(place->node)->write)
		return -EACCES;
	struct reading *reading = kzalloc(sizeof(*reading));
	if (!reading)
		return -ENOMEM;
	reading->place = *place;
	file->ops = &proc_file_ops;
	file->private = reading;
	return 0;
}

/* ---- names ---- */

static uint64_t ino_of(const struct node *node, int key, int pid)
{
	return ((uint64_t)node & 0xfffff) << 44 | ((uint64_t)pid & 0xffffff) << 20 | ((uint64_t)key & 0xfffff);
}

static struct inode *place_inode(const struct fs *fs, const struct node *node, int key, int pid)
{
	struct place *place = kmalloc(sizeof(*place));
	struct inode *inode = place ? inode_new(fs, node->mode) : NULL;
	if (!inode) {
		kfree(place);
		return NULL;
	}
	*place = (struct place){ .node = node, .key = key, .pid = pid };
	inode->private = place;
	inode->ops = more_of(node)->follow ? &link_ops : &proc_ops;
	inode->ino = ino_of(node, key, pid);
	const struct process *process = pid ? process_find(pid) : NULL;
	if (process) {
		inode->uid = process->credentials.euid;
		inode->gid = process->credentials.egid;
	}
	return inode;
}

int proc_directory_of(const struct inode *inode)
{
	const struct place *place = inode->fs == &proc_fs ? inode->private : NULL;
	return place && place->node == &proc_process ? place->pid : 0;
}

static int parse_number(const char *name, size_t len)
{
	int value = 0;
	if (!len || len > 7 || (name[0] == '0' && len > 1))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		value = value * 10 + name[i] - '0';
	}
	return value;
}

static int next_number(const struct place *place, int from)
{
	struct visit visit;
	if (visit_begin(&visit, place, -ESRCH))
		return -1;
	int number = place->node->more->next(from);
	visit_end(&visit);
	return number;
}

/* Which of the numbered ones the name is, or -1. */
static int number_of(const struct node *node, const char *name, size_t len)
{
	char own[16];
	const struct node_more *more = more_of(node);
	if (!more->numbered || !more->number_name)
		return more->numbered ? parse_number(name, len) : -1;
	for (int number = more->next(0); number >= 0; number = more->next(number + 1))
		if (more->number_name(number, own) && strlen(own) == len && !memcmp(own, name, len))
			return number;
	return -1;
}

static int proc_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	const struct place *place = dir->private;
	const struct node *node = place->node->children;
	int err = may_look(place, process_of(place));
	if (err)
		return err;
	int key = place->key, number = number_of(place->node, name, len);
	while (node && node->name && (strlen(node->name) != len || memcmp(node->name, name, len)))
		node++;
	int pid = place->pid;
	if (number >= 0 && next_number(place, number) == number) {
		node = place->node->more->numbered;
		key = number;
		if (place->node == &proc_root)
			pid = number;
	}
	if (!node || (!node->name && node != more_of(place->node)->numbered))
		return -ENOENT;
	if (pid && !process_find(pid))
		return -ENOENT;
	*found = place_inode(dir->fs, node, key, pid);
	return *found ? 0 : -ENOMEM;
}

/* The cursor counts the named children first; above 2^32 it is the next number. */
static int proc_list(struct inode *dir, uint64_t *cursor, struct vfs_entry *entry)
{
	static char digits[16];
	const struct place *place = dir->private;
	if (*cursor < 1ull << 32) {
		const struct node *node = place->node->children ? place->node->children + *cursor : NULL;
		if (node && node->name) {
			*entry = (struct vfs_entry){ .name = node->name, .len = strlen(node->name), .ino = ino_of(node, place->key, place->pid),
				.type = (uint8_t)((node->mode & S_IFMT) >> 12) };
			++*cursor;
			return 1;
		}
		*cursor = 1ull << 32;
	}
	const struct node_more *more = more_of(place->node);
	const struct node *node = more->numbered;
	int number = node ? next_number(place, (int)*cursor) : -1;
	if (number < 0)
		return 0;
	if (!more->number_name)
		snprintf(digits, sizeof(digits), "%d", number);
	else if (!more->number_name(number, digits))
		return 0;
	size_t len = strlen(digits);
	*entry = (struct vfs_entry){ .name = digits, .len = len, .ino = ino_of(node, number, place->node == &proc_root ? number : place->pid), .type = (uint8_t)((node->mode & S_IFMT) >> 12) };
	*cursor = (1ull << 32) + (uint64_t)number + 1;
	return 1;
}

static int64_t proc_readlink(struct inode *link, char *buffer, size_t size)
{
	const struct place *place = link->private;
	struct visit visit;
	if (!place->node->target)
		return -EINVAL;
	int err = visit_begin(&visit, place, -ENOENT);
	if (err)
		return err;
	int64_t n = place->node->target(place->key, buffer, size);
	visit_end(&visit);
	return n;
}

static int proc_follow(struct inode *link, struct dentry **dentry, struct file **file)
{
	const struct place *place = link->private;
	struct visit visit;
	int err = visit_begin(&visit, place, -ENOENT);
	if (err)
		return err;
	*dentry = place->node->more->follow(place->key, file);
	visit_end(&visit);
	return *dentry || *file ? 0 : -ENOENT;
}

static void proc_free(struct inode *inode)
{
	kfree(inode->private);
}

static const struct inode_ops proc_ops = { .lookup = proc_lookup, .list = proc_list, .readlink = proc_readlink, .open = proc_open,
	.free = proc_free };
static const struct inode_ops link_ops = { .readlink = proc_readlink, .follow = proc_follow, .open = proc_open, .free = proc_free };

struct inode *procfs_root(void)
{
	struct inode *root = place_inode(&proc_fs, &proc_root, 0, 0);
	if (root)
		root->ino = 1;
	return root;
}

struct inode *sysfs_root(void)
{
	struct inode *root = place_inode(&sys_fs, &sys_root, 0, 0);
	if (root)
		root->ino = 1;
	return root;
}
