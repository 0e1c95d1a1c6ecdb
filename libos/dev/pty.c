/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo terminals: /dev/ptmx makes one, its other end is /dev/pts/N (pty(7)). The master reads what the terminal puts out and
 * writes what is typed. When the master goes, the terminal hangs up and its name is gone; while nobody has the terminal any more,
 * the master reads EIO.
 */
#include "libos/dev/dev.h"
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <asm/ioctls.h>

#define PTY_ROOM 8192 /* bytes of output that the master has not read */
#define PTY_MOST 1024
#define PTMX_INO 2
#define FIRST_INO 3
#define GROUP_TTY 5

struct pty {
	struct tty tty; /* its private is the pty */
	struct pty *next; /* by number */
	unsigned number, holders; /* files of both sides, and the inode */
	struct inode *inode;
	bool locked, master_gone;
	unsigned slaves; /* open files of the terminal */
	bool deserted;   /* nobody has it any more */
	/* what the master has not read: [from, to) */
	char *out;
	uint32_t from, to;
	struct waitq waiting; /* masters */
	bool packet;
	uint8_t events; /* TIOCPKT_... that wait */
};

static struct pty *ptys;

static const struct fs pts_fs = { .name = "devpts", .dev = LINUX_DEV(0, 6), .magic = 0x1cd1, .read_only = true };

static void pty_put(struct pty *pty)
{
	if (--pty->holders)
		return;
	tty_list_remove(&pty->tty);
	tty_fini(&pty->tty);
	kfree(pty->out);
	kfree(pty);
}

/* ---- the driver: the terminal's output is the master's input ---- */

static size_t room_of(const struct pty *pty)
{
	return PTY_ROOM - (pty->to - pty->from);
}

static char *pty_reserve(struct tty *tty, size_t want, size_t *room)
{
	struct pty *pty = tty->private;

	if (!pty->out)
		pty->out = kmalloc(PTY_ROOM);
	if (!pty->out || room_of(pty) < TTY_WIDEST)
		return NULL;
	if (PTY_ROOM - pty->to < MIN(want, room_of(pty)) || PTY_ROOM - pty->to < TTY_WIDEST) {
		memmove(pty->out, pty->out + pty->from, pty->to - pty->from);
		pty->to -= pty->from;
		pty->from = 0;
	}
	*room = PTY_ROOM - pty->to;
	return pty->out + pty->to;
}

static void pty_commit(struct tty *tty, size_t n)
{
	struct pty *pty = tty->private;

	pty->to += (uint32_t)n;
	if (n)
		wake_all(&pty->waiting, EPOLLIN | EPOLLRDNORM);
}

static bool pty_has_room(struct tty *tty)
{
	return room_of(tty->private) >= TTY_WIDEST;
}

static void pty_more(struct tty *tty)
{
	struct pty *pty = tty->private;

	wake_all(&pty->waiting, EPOLLOUT | EPOLLWRNORM);
}

/* What says the opposite of one that waits takes its place. */
static void pty_packet(struct tty *tty, uint8_t events)
{
	struct pty *pty = tty->private;
	uint8_t opposite = events & TIOCPKT_STOP ? TIOCPKT_START : events & TIOCPKT_START ? TIOCPKT_STOP
		: events & TIOCPKT_DOSTOP ? TIOCPKT_NOSTOP : events & TIOCPKT_NOSTOP ? TIOCPKT_DOSTOP : 0;

	if (!pty->packet)
		return;
	pty->events = (uint8_t)((pty->events & ~opposite) | events);
	wake_all(&pty->waiting, EPOLLPRI | EPOLLIN | EPOLLRDNORM);
}

static void pty_drop(struct tty *tty)
{
	struct pty *pty = tty->private;

	pty->from = pty->to = 0;
}

static size_t pty_pending(struct tty *tty)
{
	const struct pty *pty = tty->private;

	return pty->to - pty->from;
}

static const struct tty_driver pty_driver = { .reserve = pty_reserve, .commit = pty_commit, .has_room = pty_has_room, .more = pty_more,
	.packet = pty_packet, .drop = pty_drop, .pending = pty_pending };

/* ---- the master ---- */

static int master_wait(struct file *file, struct pty *pty)
{
	if (file->flags & O_NONBLOCK)
		return -EAGAIN;
	int err = wait_on(&pty->waiting, 0);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static int64_t master_take(struct pty *pty, uaddr_t to, size_t n)
{
	size_t moved = buffer_put(to, pty->out + pty->from, MIN(n, pty->to - pty->from));

	pty->from += (uint32_t)moved;
	if (pty->from == pty->to)
		pty->from = pty->to = 0;
	wake_all(&pty->tty.waiting, EPOLLOUT | EPOLLWRNORM);
	return moved || !n ? (int64_t)moved : -EFAULT;
}

/* With packets, each read begins with a byte: 0 and output, or what happened. */
static int64_t master_take_packet(struct pty *pty, uaddr_t to, size_t n)
{
	uint8_t kind = pty->events;

	if (buffer_put(to, &kind, 1) < 1)
		return -EFAULT;
	pty->events = 0;
	int64_t moved = kind || n == 1 ? 0 : master_take(pty, to + 1, n - 1);
	return moved < 0 ? moved : moved + 1;
}

static int64_t master_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct pty *pty = file->private;

	if (!n)
		return 0;
	while (pty->from == pty->to && !(pty->packet && pty->events)) {
		int err = pty->deserted ? -EIO : master_wait(file, pty);
		if (err)
			return err;
	}
	return pty->packet ? master_take_packet(pty, to, n) : master_take(pty, to, n);
}

static int64_t master_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct pty *pty = file->private;
	char chunk[256];
	size_t done = 0;

	while (done < n) {
		size_t got = buffer_get(chunk, from + done, MIN(n - done, sizeof(chunk)));
		if (!got)
			return done ? (int64_t)done : -EFAULT;
		size_t took = tty_receive(&pty->tty, chunk, got);
		done += took;
		if (took)
			continue;
		int err = done ? -EAGAIN : !pty->tty.input ? -ENOMEM : master_wait(file, pty); /* without memory for input, no reader would end the wait */
		if (err)
			return done ? (int64_t)done : err;
	}
	return (int64_t)done;
}

static uint32_t master_poll(struct file *file, struct waitq **queue)
{
	struct pty *pty = file->private;
	uint32_t events = 0;

	*queue = &pty->waiting;
	if (pty->packet && pty->events)
		events |= EPOLLPRI | EPOLLIN | EPOLLRDNORM;
	if (pty->from < pty->to)
		events |= EPOLLIN | EPOLLRDNORM;
	if (pty->deserted)
		events |= EPOLLHUP;
	if (pty->tty.head - pty->tty.tail < TTY_LINE - 1 || (pty->tty.termios.c_lflag & ICANON && pty->tty.canon == pty->tty.tail))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

static long signal_group(struct pty *pty, int signo)
{
	if (signo < 1 || signo > SIG_MAX)
		return -EINVAL;
	tty_signal(&pty->tty, signo);
	return 0;
}

static long open_peer(struct pty *pty, uint32_t flags)
{
	struct file *file;
	char path[32];

	if (pty->locked)
		return -EIO;
	snprintf(path, sizeof(path), "/dev/pts/%u", pty->number);
	int err = file_open_flags(path, flags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK), &file);
	return err ? err : fd_install(file, 0, flags & O_CLOEXEC);
}

static long master_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct pty *pty = file->private;
	int value;

	switch (request) {
	case TIOCGPTN:
		value = (int)pty->number;
		return user_put(arg, value);
	case TIOCSPTLCK:
	case TIOCPKT:
		if (user_get(&value, arg))
			return -EFAULT;
		if (request == TIOCSPTLCK)
			pty->locked = value;
		else if ((pty->packet = value))
			pty->events = 0;
		return 0;
	case TIOCGPTLCK:
	case TIOCGPKT:
		value = request == TIOCGPTLCK ? pty->locked : pty->packet;
		return user_put(arg, value);
	case TIOCGPTPEER:
		return open_peer(pty, (uint32_t)arg);
	case TIOCSIG:
		return signal_group(pty, (int)arg);
	case FIONREAD:
		value = (int)pty_pending(&pty->tty);
		return user_put(arg, value);
	case TIOCOUTQ:
		value = 0;
		return user_put(arg, value);
	case TCFLSH: /* its input is the terminal's output */
		if (arg > TCIOFLUSH)
			return -EINVAL;
		tty_flush(&pty->tty, arg != TCIFLUSH, arg != TCOFLUSH);
		return 0;
	}
	return tty_ioctl(&pty->tty, true, request, arg);
}

static void forget_inode(struct pty *pty)
{
	for (struct pty **at = &ptys; *at; at = &(*at)->next) {
		if (*at != pty)
			continue;
		*at = pty->next;
		break;
	}
	inode_put(pty->inode);
}

static void master_release(struct file *file)
{
	struct pty *pty = file->private;

	pty->master_gone = true;
	tty_hangup(&pty->tty);
	forget_inode(pty);
	pty_put(pty);
}

static const struct file_ops ptmx_ops = { .kind = "tty", .read = master_read, .write = master_write, .poll = master_poll, .ioctl = master_ioctl,
	.release = master_release };

/* ---- the terminal ---- */

static int64_t slave_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	return tty_read(file->private, file, to, n);
}

static int64_t slave_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	return tty_write(file->private, file, from, n);
}

static uint32_t slave_poll(struct file *file, struct waitq **queue)
{
	return tty_poll(file->private, queue);
}

static long slave_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	return tty_ioctl(file->private, false, request, arg);
}

static struct pty *pty_of(struct tty *tty)
{
	return tty->driver == &pty_driver ? tty->private : NULL;
}

static void slave_release(struct file *file)
{
	struct pty *pty = pty_of(file->private);

	if (!pty)
		return;
	if (!--pty->slaves && !pty->master_gone) {
		pty->deserted = true;
		pty->packet = false;
		wake_all(&pty->waiting, EPOLLIN | EPOLLHUP);
	}
	pty_put(pty);
}

static const struct file_ops tty_file_ops = { .kind = "tty", .read = slave_read, .write = slave_write, .poll = slave_poll, .ioctl = slave_ioctl,
	.release = slave_release };

int tty_file_open(struct tty *tty, struct file *file)
{
	struct pty *pty = pty_of(tty);

	if (tty->exclusive && !capable(CAP_SYS_ADMIN))
		return -EBUSY;
	file->ops = &tty_file_ops;
	file->private = tty;
	if (pty) {
		pty->slaves++;
		pty->holders++;
		pty->deserted = false;
	}
	return 0;
}

static int slave_open(struct inode *inode, struct file *file)
{
	struct pty *pty = inode->private;

	if (pty->locked || pty->master_gone)
		return -EIO;
	int err = tty_file_open(&pty->tty, file);
	if (!err)
		tty_opened(&pty->tty, file->flags);
	return err;
}

static void slave_inode_free(struct inode *inode)
{
	pty_put(inode->private);
}

static const struct inode_ops slave_inode_ops = { .open = slave_open, .free = slave_inode_free };

/* ---- making one ---- */

static struct inode *slave_inode(struct pty *pty)
{
	struct inode *inode = inode_new(&pts_fs, S_IFCHR | 0620);

	if (!inode)
		return NULL;
	inode->gid = GROUP_TTY;
	inode->ino = FIRST_INO + pty->number;
	inode->rdev = pty->tty.rdev;
	inode->ops = &slave_inode_ops;
	inode->private = pty;
	pty->holders++;
	return inode;
}

/* Where it goes among the others: at the first number that is free. */
static struct pty **free_place(unsigned *number)
{
	struct pty **at = &ptys;

	for (*number = 0; *at && (*at)->number == *number; at = &(*at)->next)
		++*number;
	return at;
}

int ptmx_opened(struct file *file)
{
	unsigned number;
	struct pty **place = free_place(&number), *pty = number < PTY_MOST ? kzalloc(sizeof(*pty)) : NULL;

	if (!pty)
		return number < PTY_MOST ? -ENOMEM : -ENOSPC;
	pty->number = number;
	pty->tty.rdev = LINUX_DEV(136, number);
	pty->tty.private = pty;
	pty->locked = true;
	tty_init(&pty->tty, &pty_driver);
	pty->inode = slave_inode(pty);
	if (!pty->inode) {
		kfree(pty);
		return -ENOMEM;
	}
	pty->holders++;
	pty->next = *place;
	*place = pty;
	tty_list_add(&pty->tty);
	file->ops = &ptmx_ops;
	file->private = pty;
	return 0;
}

/* ---- /dev/pts ---- */

static int ptmx_open(struct inode *inode, struct file *file)
{
	return ptmx_opened(file);
}

static const struct inode_ops ptmx_inode_ops = { .open = ptmx_open };

static int ptmx_inode(struct inode **found)
{
	struct inode *inode = inode_new(&pts_fs, S_IFCHR | 0666);

	if (!inode)
		return -ENOMEM;
	inode->uid = inode->gid = 0;
	inode->ino = PTMX_INO;
	inode->rdev = LINUX_DEV(5, 2);
	inode->ops = &ptmx_inode_ops;
	*found = inode;
	return 0;
}

static int pts_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	char own[16];

	if (len == 4 && !memcmp(name, "ptmx", 4))
		return ptmx_inode(found);
	for (struct pty *pty = ptys; pty; pty = pty->next) {
		if ((size_t)snprintf(own, sizeof(own), "%u", pty->number) != len || memcmp(own, name, len))
			continue;
		inode_get(pty->inode);
		*found = pty->inode;
		return 0;
	}
	return -ENOENT;
}

/* The cursor is 1 behind ptmx, and then 2 more than the number that comes last. */
static int pts_list(struct inode *dir, uint64_t *cursor, struct vfs_entry *entry)
{
	static char name[16];

	if (!*cursor) {
		*cursor = 1;
		*entry = (struct vfs_entry){ .name = "ptmx", .len = 4, .ino = PTMX_INO, .type = LINUX_DT_CHR };
		return 1;
	}
	for (struct pty *pty = ptys; pty; pty = pty->next) {
		if (pty->number + 1 < *cursor)
			continue;
		*cursor = pty->number + 2;
		*entry = (struct vfs_entry){ .name = name, .len = (size_t)snprintf(name, sizeof(name), "%u", pty->number),
			.ino = FIRST_INO + pty->number, .type = LINUX_DT_CHR };
		return 1;
	}
	return 0;
}

static const struct inode_ops pts_dir_ops = { .lookup = pts_lookup, .list = pts_list };

struct inode *pts_root(void)
{
	struct inode *root = inode_new(&pts_fs, S_IFDIR | 0755);

	if (root) {
		root->uid = root->gid = 0;
		root->ops = &pts_dir_ops;
		root->ino = 1;
	}
	return root;
}
