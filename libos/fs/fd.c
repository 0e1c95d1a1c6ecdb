/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: small numbers for open files. */
#include "libos/fs/async.h"
#include "libos/fs/inotify.h"
#include "libos/fs/lock.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/proc/proc.h"

#define FD_MOST (1 << 20) /* RLIMIT_NOFILE */
#define FIRST_SLOTS 64

struct fd_table {
	int refs;
	struct fd_info *slot;
	int slots;
	int free_hint; /* no free descriptor below this one */
	int highest;   /* one more than the highest open descriptor */
};

static struct fd_info first_slots[FIRST_SLOTS];

struct fd_table *fd_table_first(void)
{
	static struct fd_table first = { .refs = 1, .slot = first_slots, .slots = FIRST_SLOTS };

	return &first;
}

static struct fd_table *own(void)
{
	return current->process->files;
}

static struct fd_info *slots(void)
{
	return own()->slot;
}

static int slot_count(void)
{
	return own()->slots;
}

struct file *fd_table_at(const struct fd_table *table, int fd)
{
	return table && fd >= 0 && fd < table->slots ? table->slot[fd].file : NULL;
}

int fd_table_count(const struct fd_table *table)
{
	return table ? table->highest : 0;
}

bool fd_table_opens(const struct fd_table *table, const struct inode *inode, const struct file *but, bool writing)
{
	for (int fd = 0; fd < fd_table_count(table); fd++) {
		const struct file *file = table->slot[fd].file;

		if (file && file != but && file->inode == inode && !(file->flags & O_PATH) && (!writing || (file->flags & O_ACCMODE) != O_RDONLY))
			return true;
	}
	return false;
}

bool fd_table_is_cloexec(const struct fd_table *table, int fd)
{
	return fd_table_at(table, fd) && table->slot[fd].cloexec;
}

struct fd_table *fd_table_get(struct fd_table *table)
{
	table->refs++;
	return table;
}

struct fd_table *fd_table_new(void)
{
	const struct fd_table empty = { .slots = FIRST_SLOTS };

	return fd_table_copy(&empty);
}

struct fd_table *fd_table_copy(const struct fd_table *from)
{
	struct fd_table *table = kzalloc(sizeof(*table));

	if (table)
		table->slot = kzalloc((size_t)from->slots * sizeof(*table->slot));
	if (!table || !table->slot) {
		kfree(table);
		return NULL;
	}
	table->refs = 1;
	table->slots = from->slots;
	table->free_hint = from->free_hint;
	table->highest = from->highest;
	memcpy(table->slot, from->slot, (size_t)from->highest * sizeof(*table->slot));
	for (int fd = 0; fd < table->highest; fd++)
		if (table->slot[fd].file)
			file_get(table->slot[fd].file);
	return table;
}

static void close_in(struct fd_table *table, int fd)
{
	struct file *file = table->slot[fd].file;

	/* The slot is empty first: what releasing a file does may look at the own()-> */
	table->slot[fd] = (struct fd_info){ 0 };
	if (fd < table->free_hint)
		table->free_hint = fd;
	while (table->highest && !table->slot[table->highest - 1].file)
		table->highest--;
	locks_descriptor_closed(file, table);
	file_put(file);
}

void fd_table_put(struct fd_table *table)
{
	if (--table->refs)
		return;
	table->refs = 1; /* closing a file may wait, and somebody look at it meanwhile */
	while (table->highest)
		close_in(table, table->highest - 1);
	if (table->slot != first_slots)
		kfree(table->slot);
	if (table != fd_table_first())
		kfree(table);
}

int fd_table_own(struct fd_table **table)
{
	struct fd_table *old = *table, *copy = old->refs > 1 ? fd_table_copy(old) : old;

	if (!copy)
		return -ENOMEM;
	if (copy != old)
		fd_table_put(old);
	*table = copy;
	return 0;
}

void fd_table_close_on_exec(struct fd_table *table)
{
	for (int fd = table->highest; fd-- > 0;)
		if (fd < table->highest && table->slot[fd].file && table->slot[fd].cloexec)
			close_in(table, fd);
}

static int table_grow(int need)
{
	if (need > FD_MOST)
		return -EMFILE;
	int count = slot_count();
	while (count < need)
		count *= 2;
	struct fd_info *new = kzalloc((size_t)count * sizeof(*new));
	if (!new)
		return -ENOMEM;
	memcpy(new, slots(), (size_t)slot_count() * sizeof(*new));
	if (slots() != first_slots)
		kfree(slots());
	own()->slot = new;
	own()->slots = count;
	return 0;
}

struct file *file_new(const struct file_ops *ops, uint32_t flags, void *private)
{
	struct file *file = kzalloc(sizeof(*file));
	if (!file)
		return NULL;
	file->ops = ops;
	file->refs = 1;
	file->flags = flags;
	file->private = private;
	return file;
}

void file_get(struct file *file)
{
	file->refs++;
}

void file_put(struct file *file)
{
	if (--file->refs) {
		if (net_sockets_flying)
			net_file_left(file);
		return;
	}
	if (!(file->flags & O_PATH))
		fs_event_file(file, (file->flags & O_ACCMODE) == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE);
	if (file->watchers)
		epoll_forget(file);
	if (file->async)
		async_forget(file);
	locks_file_closed(file);
	lease_file_closed(file);
	if (file->ops->release)
		file->ops->release(file);
	if (file->dentry)
		dentry_put(file->dentry);
	if (file->inode)
		inode_put(file->inode);
	kfree(file);
}

struct file *fd_get(int fd)
{
	return fd >= 0 && fd < slot_count() ? slots()[fd].file : NULL;
}

int fd_take(int fd, struct file **file)
{
	*file = fd_get(fd);
	if (!*file)
		return -EBADF;
	file_get(*file);
	return 0;
}

bool fd_is_cloexec(int fd)
{
	return fd_get(fd) && slots()[fd].cloexec;
}

int fd_count(void)
{
	return own()->highest;
}

static void slot_set(int fd, struct file *file, bool cloexec)
{
	slots()[fd] = (struct fd_info){ .file = file, .cloexec = cloexec };
	if (fd >= own()->highest)
		own()->highest = fd + 1;
}

int fd_install(struct file *file, int lowest, bool cloexec)
{
	int fd = MAX(lowest, own()->free_hint);
	while (fd < own()->highest && slots()[fd].file)
		fd++;
	int err = (uint64_t)fd >= process_limit(RLIMIT_NOFILE) ? -EMFILE : fd >= slot_count() ? table_grow(fd + 1) : 0;
	if (err) {
		file_put(file);
		return err;
	}
	slot_set(fd, file, cloexec);
	if (lowest <= own()->free_hint)
		own()->free_hint = fd + 1;
	return fd;
}

/* What was written is with the server of a live volume, or close(2) says why not. */
static int flush(int fd, struct file *file)
{
	file_get(file);
	int err = file->ops->flush(file);
	bool ours = fd_get(fd) == file;
	file_put(file);
	return ours ? err : -EBADF;
}

int fd_close(int fd)
{
	struct file *file = fd_get(fd);
	if (!file)
		return -EBADF;
	int err = file->ops->flush ? flush(fd, file) : 0;
	if (fd_get(fd) != file)
		return -EBADF; /* closed by another thread meanwhile */
	close_in(own(), fd);
	return err;
}

/* ---- system calls ---- */

SYSCALL(close)
{
	return fd_close((int)a[0]);
}

SYSCALL(close_range)
{
	uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1], flags = (uint32_t)a[2];
	if (first > last || (flags & ~(LINUX_CLOSE_RANGE_UNSHARE | LINUX_CLOSE_RANGE_CLOEXEC)))
		return -EINVAL;
	int err = flags & LINUX_CLOSE_RANGE_UNSHARE ? fd_table_own(&current->process->files) : 0;
	if (err)
		return err;
	for (uint32_t fd = first; fd <= last && fd < (uint32_t)own()->highest; fd++) {
		if (!(flags & LINUX_CLOSE_RANGE_CLOEXEC))
			fd_close((int)fd);
		else if (fd_get((int)fd))
			slots()[fd].cloexec = true;
	}
	return 0;
}

SYSCALL(dup)
{
	struct file *file = fd_get((int)a[0]);
	if (!file)
		return -EBADF;
	file_get(file);
	return fd_install(file, 0, false);
}

static long dup_to(int old, int new, bool cloexec)
{
	struct file *file = fd_get(old);
	if (!file || new < 0 || new >= FD_MOST || (uint64_t)new >= process_limit(RLIMIT_NOFILE))
		return -EBADF;
	if (new >= slot_count()) {
		int err = table_grow(new + 1);
		if (err)
			return err == -EMFILE ? -EBADF : err;
	}
	file_get(file);
	while (fd_get(new)) /* which may wait, and another thread open something there meanwhile */
		fd_close(new);
	slot_set(new, file, cloexec);
	return new;
}

SYSCALL(dup2)
{
	int old = (int)a[0], new = (int)a[1];
	if (old == new)
		return fd_get(old) ? new : -EBADF;
	return dup_to(old, new, false);
}

SYSCALL(dup3)
{
	if (a[0] == a[1] || (a[2] & ~(long)O_CLOEXEC))
		return -EINVAL;
	return dup_to((int)a[0], (int)a[1], a[2] & O_CLOEXEC);
}

/* ---- fcntl ---- */

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

static long seals(struct file *file, int command, uint32_t add)
{
	struct inode *inode = file->inode;
	if (command == F_ADD_SEALS && (file->flags & O_ACCMODE) == O_RDONLY)
		return -EPERM;
	if (!inode || inode->fs != &memory_fs)
		return -EINVAL;
	if (command == F_GET_SEALS)
		return inode->seals & 0xffff;
	return inode_seal(inode, add);
}

static long switch_async(struct file *file, int fd, bool on)
{
	int err = async_possible(file) ? async_switch(file, fd, on) : 0;
	if (!err && async_possible(file))
		file->flags = on ? file->flags | FASYNC : file->flags & ~(uint32_t)FASYNC;
	return err;
}

static long fcntl_flags(struct file *file, int fd, long arg)
{
	bool on = arg & FASYNC;
	if ((arg & O_NOATIME) && !(file->flags & O_NOATIME) && file->inode && !inode_is_own(file->inode))
		return -EPERM;
	/* Nothing else could go around a cache; to pipes it means packets. */
	if ((arg & O_DIRECT) && !is_pipe(file) && (!file->inode || !(S_ISREG(file->inode->mode) || S_ISBLK(file->inode->mode))))
		return -EINVAL;
	long err = on != ((file->flags & FASYNC) != 0) ? switch_async(file, fd, on) : 0;
	if (!err)
		file->flags = (file->flags & ~(uint32_t)SETTABLE_FLAGS) | ((uint32_t)arg & SETTABLE_FLAGS);
	return err;
}

static long fcntl_of(struct file *file, int fd, int command, long arg)
{
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (arg < 0 || arg >= FD_MOST || (uint64_t)arg >= process_limit(RLIMIT_NOFILE))
			return -EINVAL;
		file_get(file);
		return fd_install(file, (int)arg, command == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return slots()[fd].cloexec ? FD_CLOEXEC : 0;
	case F_SETFD:
		slots()[fd].cloexec = arg & FD_CLOEXEC;
		return 0;
	case F_GETFL:
		return file->flags;
	case F_SETFL:
		return fcntl_flags(file, fd, arg);
	case F_SETLK:
	case F_SETLKW:
	case F_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
	case F_OFD_GETLK:
		return lock_fcntl(fd, file, command, (void *)arg);
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return seals(file, command, (uint32_t)arg);
	case F_GETPIPE_SZ:
		return pipe_size(file);
	case F_SETPIPE_SZ:
		return pipe_set_size(file, (unsigned long)arg);
	case F_GETOWN:
	case F_SETOWN:
	case F_GETOWN_EX:
	case F_SETOWN_EX:
	case F_SETSIG:
	case F_GETSIG:
		return async_fcntl(file, command, arg);
	case F_GETLEASE:
	case F_SETLEASE:
		return lease_fcntl(file, fd, command, arg);
	}
	return -EINVAL;
}

/* What may be asked of a descriptor that is only a place (O_PATH). */
static bool is_of_descriptor(int command)
{
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD || command == F_SETFD || command == F_GETFL;
}

SYSCALL(fcntl)
{
	struct file *file = fd_get((int)a[0]);
	if (!file || ((file->flags & O_PATH) && !is_of_descriptor((int)a[1])))
		return -EBADF;
	return fcntl_of(file, (int)a[0], (int)a[1], a[2]);
}

/* F_SETOWN and F_GETOWN as requests of ioctl. */
static long ioctl_owner(struct file *file, uint32_t request, uaddr_t to)
{
	int pid;
	if (request == LINUX_FIOGETOWN || request == LINUX_SIOCGPGRP) {
		pid = (int)async_fcntl(file, F_GETOWN, 0);
		return user_put(to, pid);
	}
	return user_get(&pid, to) ? -EFAULT : async_fcntl(file, F_SETOWN, pid);
}

static bool is_socket(const struct file *file)
{
	return file->ops->kind && !strcmp(file->ops->kind, "socket");
}

bool file_is_stream(const struct file *file)
{
	return file->inode || is_pipe(file) || is_socket(file) || (file->ops->kind && !strcmp(file->ops->kind, "console"));
}

SYSCALL(ioctl)
{
	struct file *file = fd_get((int)a[0]);
	uint32_t request = (uint32_t)a[1];
	int value;
	if (!file || (file->flags & O_PATH))
		return -EBADF;
	switch (request) {
	case LINUX_FIOCLEX:
	case LINUX_FIONCLEX:
		slots()[a[0]].cloexec = request == LINUX_FIOCLEX;
		return 0;
	case LINUX_FIONBIO:
		if (user_get(&value, a[2]))
			return -EFAULT;
		file->flags = value ? file->flags | O_NONBLOCK : file->flags & ~(uint32_t)O_NONBLOCK;
		break; /* sockets may want to know */
	case LINUX_FIOASYNC:
		if (user_get(&value, a[2]))
			return -EFAULT;
		return async_possible(file) ? switch_async(file, (int)a[0], value) : -ENOTTY;
	case LINUX_FIOSETOWN:
	case LINUX_SIOCSPGRP:
	case LINUX_FIOGETOWN:
	case LINUX_SIOCGPGRP:
		if (!is_socket(file))
			break;
		return ioctl_owner(file, request, (uaddr_t)a[2]);
	case LINUX_FIONREAD:
		if (!file->inode || !S_ISREG(file->inode->mode) || file->ops->ioctl)
			break;
		value = (int)((int64_t)file->inode->size - file->position);
		return user_put(a[2], value);
	}
	file_get(file);
	long r = file->ops->ioctl ? file->ops->ioctl(file, request, (unsigned long)a[2]) : -ENOTTY;
	file_put(file);
	return request == LINUX_FIONBIO ? 0 : r;
}
