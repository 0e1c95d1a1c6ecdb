/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases (F_SETLEASE of fcntl(2)): who has one gets a signal before somebody else opens the file against it, who waits until it is given up or lowered, at
 * most a while. What is open is looked for in the descriptors of all processes.
 */
#include "libos/fs/async.h"
#include "libos/fs/lock.h"
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define BREAK_NS (45 * NS_PER_S) /* /proc/sys/fs/lease-break-time */

struct lease {
	struct lease *next;
	struct file *file; /* which takes it along when it goes */
	int type;          /* F_RDLCK: nobody writes; F_WRLCK: nobody else has it open */
	int becomes;       /* what it must be lowered to; type: nobody asks for that */
	uint64_t until;    /* monotonic; then it is so */
};

static struct lease *leases;
static struct waitq changed;

static struct lease **find(const struct file *file)
{
	struct lease **at = &leases;

	while (*at && (*at)->file != file)
		at = &(*at)->next;
	return at;
}

static void lower(struct lease **at, int type)
{
	struct lease *lease = *at;

	lease->type = lease->becomes = type;
	if (type == F_UNLCK) {
		*at = lease->next;
		kfree(lease);
	}
	wake_all(&changed, 0);
}

void lease_file_closed(const struct file *file)
{
	struct lease **at = find(file);

	if (*at)
		lower(at, F_UNLCK);
}

static bool is_open_against(const struct file *file, int type)
{
	if (type == F_RDLCK && (file->flags & O_ACCMODE) != O_RDONLY)
		return true;
	for (const struct process *process = processes; process; process = process->next)
		if (fd_table_opens(process->files, file->inode, file, type == F_RDLCK))
			return true;
	for (const struct lease *lease = leases; lease; lease = lease->next)
		if (lease->file != file && lease->file->inode == file->inode && (type == F_WRLCK || lease->becomes != lease->type))
			return true;
	return false;
}

static long set(struct file *file, int fd, int type)
{
	struct lease **at = find(file), *lease = *at;

	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	if (!file->inode || !S_ISREG(file->inode->mode) || remote_of(file->inode))
		return -EINVAL;
	if (file->inode->uid != credentials()->fsuid && !capable(CAP_LEASE))
		return -EACCES;
	if (type == F_UNLCK ? !lease : is_open_against(file, type))
		return -EAGAIN;
	if (type != F_UNLCK && async_own(file, fd))
		return -ENOMEM;
	if (!lease) {
		*at = lease = kzalloc(sizeof(*lease));
		if (!lease)
			return -ENOMEM;
		lease->file = file;
	}
	lower(at, type);
	return 0;
}

long lease_fcntl(struct file *file, int fd, int command, long arg)
{
	const struct lease *lease = *find(file);

	if (command == F_GETLEASE)
		return lease ? lease->becomes : F_UNLCK;
	return set(file, fd, (int)arg);
}

/* One that is in the way of an opener: its holder is told, or has had time enough. When that is over; 0: it is no longer in the way. */
static uint64_t ask(struct lease **at, int becomes)
{
	struct lease *lease = *at;

	if (lease->becomes == lease->type || (lease->becomes == F_RDLCK && becomes == F_UNLCK)) {
		lease->becomes = becomes;
		lease->until = clock_monotonic() + BREAK_NS;
		async_lease_breaks(lease->file);
	}
	if (clock_monotonic() < lease->until)
		return lease->until;
	lower(at, lease->becomes);
	return 0;
}

int lease_break(const struct inode *inode, uint32_t flags)
{
	bool write = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

	for (;;) {
		uint64_t until = 0;
		struct lease **at = &leases;

		while (*at) {
			struct lease *lease = *at;
			uint64_t end = lease->file->inode == inode && (write || lease->type == F_WRLCK) ? ask(at, write ? F_UNLCK : F_RDLCK) : 0;

			until = end ? end : until;
			if (*at == lease)
				at = &lease->next;
		}
		if (!until)
			return 0;
		if (flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_on(&changed, until) == -EINTR)
			return -ERESTARTSYS;
	}
}
