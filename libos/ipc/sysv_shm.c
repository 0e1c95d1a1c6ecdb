/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory (shmget(2), shmop(2), shmctl(2)). A segment is a file without a name, and its attachments are shared mappings
 * of it: so how many there are is how often the file is referred to, whatever unmaps, splits or copies them.
 */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/ipc/ipc.h"
#include "libos/ipc/sysv_ids.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/shm.h>

#ifndef SHM_RDONLY
#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#endif
#ifndef SHM_HUGETLB
#define SHM_HUGETLB 04000
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#endif
#define SIZE_MOST (UINT64_MAX - (1ull << 24)) /* shmmax */

struct segment {
	struct sysv sysv;
	uint64_t size, atime, dtime, ctime;
	int creator, last; /* processes */
	struct file *writable, *read_only; /* what attachments map; the second when it is wanted */
};

struct sysv_kind sysv_segments = { .most = IPC_SHM_SEGMENTS, .last = -1 };
static const struct fs segment_fs = { .name = "tmpfs", .dev = LINUX_DEV(0, 1), .magic = 0x01021994, .remembered = true };
static struct file_ops segment_ops SELDOM_USED; /* those of regular files, but for the end */

static struct segment *find(int id)
{
	return (struct segment *)sysv_find(&sysv_segments, id);
}

/* A segment that was removed lives until nobody has it. */
static void segment_release(struct file *file)
{
	struct segment *segment = file->private;

	if (segment->writable == file)
		segment->writable = NULL;
	if (segment->read_only == file)
		segment->read_only = NULL;
	if (segment->writable || segment->read_only)
		return;
	sysv_remove(&sysv_segments, &segment->sysv);
	kfree(segment);
}

/* As on Linux each part of an attachment counts, and forks, execve and the end of a process do. */
static void segment_attachments_changed(struct file *file, bool more)
{
	struct segment *segment = file->private;

	*(more ? &segment->atime : &segment->dtime) = sysv_seconds();
	segment->last = process_id();
}

static struct file *segment_file(struct segment *segment, struct inode *inode, uint32_t mode)
{
	struct file *file = file_new(&segment_ops, mode | O_LARGEFILE, segment);

	if (!file)
		return NULL;
	segment_ops = regular_ops;
	segment_ops.release = segment_release;
	segment_ops.regions_changed = segment_attachments_changed;
	inode_get(inode);
	file->inode = inode;
	return file;
}

static int segment_new(int key, uint64_t size, int flags)
{
	char name[16];
	struct segment *segment = kzalloc(sizeof(*segment));
	struct inode *inode = segment ? inode_new(&segment_fs, S_IFREG | 0777) : NULL;
	int err = -ENOMEM;

	snprintf(name, sizeof(name), "/SYSV%08x", key);
	if (inode) {
		inode->nlink = 0;
		inode->size = size;
		inode->target = kstrdup(name);
		segment->size = size;
		segment->ctime = sysv_seconds();
		segment->creator = process_id();
		segment->writable = segment_file(segment, inode, O_RDWR);
		inode_put(inode);
		err = segment->writable ? sysv_add(&sysv_segments, &segment->sysv, key, flags) : -ENOMEM;
	}
	if (!err)
		return segment->sysv.id;
	if (segment && segment->writable) {
		inode_put(segment->writable->inode);
		kfree(segment->writable);
	}
	kfree(segment);
	return err;
}

SYSCALL(shmget)
{
	uint64_t size = (uint64_t)a[1];
	int flags = (int)a[2];
	struct sysv *found;
	int err = sysv_get(&sysv_segments, (int)a[0], flags, &found);

	if (err)
		return err;
	if (found) {
		err = ((struct segment *)found)->size < size ? -EINVAL : sysv_permission(found, flags);
		return err ? err : found->id;
	}
	if (!size || size > SIZE_MOST)
		return -EINVAL;
	if (flags & SHM_HUGETLB)
		return -ENOMEM; /* there are none */
	return ALIGN_UP(size, LV_PAGE) > page_total_bytes() && !(flags & 010000) ? -ENOMEM : segment_new((int)a[0], size, flags);
}

static uint64_t attachments(const struct segment *segment)
{
	bool own = !(segment->sysv.perm.mode & SHM_DEST); /* the segment's reference to each */

	return (segment->writable ? (uint64_t)segment->writable->refs - own : 0) + (segment->read_only ? (uint64_t)segment->read_only->refs - own : 0);
}

/* ---- shmat, shmdt ---- */

/* Where it is to be: an address, 0 for anywhere, or -EINVAL. */
static int64_t place(uint64_t at, uint64_t size, int flags)
{
	if (at % LV_PAGE) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		at = ALIGN_DOWN(at, LV_PAGE);
		if (!at && (flags & SHM_REMAP))
			return -EINVAL;
	}
	if (!at)
		return flags & SHM_REMAP ? -EINVAL : 0;
	return at + size < at ? -EINVAL : (int64_t)at;
}

static struct file *file_for(struct segment *segment, bool read_only)
{
	struct file **file = read_only ? &segment->read_only : &segment->writable, *other = read_only ? segment->writable : segment->read_only;

	if (!*file)
		*file = segment_file(segment, other->inode, read_only ? O_RDONLY : O_RDWR);
	return *file;
}

static int64_t attach(struct segment *segment, uint64_t at, int flags)
{
	bool read_only = flags & SHM_RDONLY;
	uint32_t prot = PROT_READ | (read_only ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
	int64_t to = place(at, segment->size, flags);

	if (to < 0)
		return to;
	int err = sysv_permission(&segment->sysv, SYSV_READ | (read_only ? 0 : SYSV_WRITE) | (flags & SHM_EXEC ? 0111 : 0));
	struct file *before = read_only ? segment->read_only : segment->writable, *file = err ? NULL : file_for(segment, read_only);

	if (!file)
		return err ? err : -ENOMEM;
	to = mm_map((uint64_t)to, segment->size, prot, MAP_SHARED | (!to ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE), file, 0, NULL);
	if (!before && (segment->sysv.perm.mode & SHM_DEST)) /* of what was removed only the attachments hold it */
		file_put(file);
	return to == -EEXIST ? -EINVAL : to;
}

SYSCALL(shmat)
{
	struct segment *segment = find((int)a[0]);

	return segment ? attach(segment, (uint64_t)a[1], (int)a[2]) : -EINVAL;
}

/* The first region that begins there and is the beginning of a segment, and all that are left of it behind. */
SYSCALL(shmdt)
{
	uint64_t at = (uint64_t)a[0];
	struct vma *vma = at % LV_PAGE ? NULL : mm_first();

	while (vma && (vma->start < at || !vma->file || vma->file->ops != &segment_ops || vma->start - at != vma->offset))
		vma = mm_next(vma);
	if (!vma)
		return -EINVAL;
	struct file *file = vma->file;
	uint64_t end = at + ALIGN_UP(((struct segment *)file->private)->size, LV_PAGE);

	while (vma && vma->start < end) {
		uint64_t start = vma->start, length = vma->end - vma->start;
		struct vma *next = mm_next(vma);
		uint64_t after = next ? next->start : 0;

		if (vma->file == file && vma->start - at == vma->offset) {
			int err = mm_unmap(start, length);

			if (err)
				return err;
		}
		vma = after ? mm_find(after) : NULL;
	}
	return 0;
}

/* ---- shmctl ---- */

static long segment_stat(const struct segment *segment, uaddr_t to)
{
	struct shmid64_ds ds = { .shm_perm = segment->sysv.perm, .shm_segsz = segment->size, .shm_atime = (long)segment->atime,
				 .shm_dtime = (long)segment->dtime, .shm_ctime = (long)segment->ctime, .shm_cpid = segment->creator,
				 .shm_lpid = segment->last, .shm_nattch = attachments(segment) };

	return user_put(to, ds);
}

void segment_tell(const struct sysv *object, struct sysv_told *told)
{
	const struct segment *segment = (const struct segment *)object;
	const struct file *file = segment->writable ? segment->writable : segment->read_only;

	*told = (struct sysv_told){ .size = segment->size, .count = attachments(segment), .pages = file ? file->inode->pages.count : 0, .first = segment->creator,
				    .last = segment->last, .one = segment->atime, .two = segment->dtime, .changed = segment->ctime };
}

static long limits(uaddr_t to)
{
	struct shminfo64 info = { .shmmax = SIZE_MOST, .shmmin = 1, .shmmni = IPC_SHM_SEGMENTS, .shmseg = IPC_SHM_SEGMENTS, .shmall = SIZE_MOST };

	return user_put(to, info) ? -EFAULT : sysv_highest(&sysv_segments);
}

static long in_use(uaddr_t to)
{
	struct shm_info info = { .used_ids = (int)sysv_segments.used };

	for (uint32_t i = 0; i < sysv_segments.slots; i++) {
		const struct segment *segment = (const struct segment *)sysv_segments.slot[i];
		const struct file *file = !segment ? NULL : segment->writable ? segment->writable : segment->read_only;

		info.shm_tot += segment ? ALIGN_UP(segment->size, LV_PAGE) / LV_PAGE : 0;
		info.shm_rss += file ? file->inode->pages.count : 0;
	}
	return user_put(to, info) ? -EFAULT : sysv_highest(&sysv_segments);
}

static void remove(struct segment *segment)
{
	struct file *writable = segment->writable, *read_only = segment->read_only;

	if (segment->sysv.perm.mode & SHM_DEST)
		return;
	segment->sysv.perm.mode |= SHM_DEST; /* the identifier stays until the last one has gone, the key does not */
	segment->sysv.perm.key = IPC_PRIVATE;
	if (read_only) /* with the last put the segment is gone */
		file_put(read_only);
	file_put(writable);
}

static long change(struct segment *segment, int command, uaddr_t user)
{
	struct shmid64_ds ds;
	int err;

	if (command == IPC_SET && user_get(&ds, user))
		return -EFAULT;
	err = (command == SHM_LOCK || command == SHM_UNLOCK) && capable(CAP_IPC_LOCK) ? 0 : sysv_owner(&segment->sysv);
	if (err)
		return err;
	switch (command) {
	case IPC_SET:
		err = sysv_set(&segment->sysv, &ds.shm_perm);
		segment->ctime = err ? segment->ctime : sysv_seconds();
		return err;
	case IPC_RMID:
		remove(segment);
		return 0;
	case SHM_LOCK: /* memory is never swapped */
		segment->sysv.perm.mode |= SHM_LOCKED;
		return 0;
	}
	segment->sysv.perm.mode &= ~(uint32_t)SHM_LOCKED;
	return 0;
}

SYSCALL(shmctl)
{
	int id = (int)a[0], command = (int)a[1] & ~IPC_64, err;
	bool by_slot = command == SHM_STAT || command == SHM_STAT_ANY;

	if (id < 0 || command < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
		return limits((uaddr_t)a[2]);
	case SHM_INFO:
		return in_use((uaddr_t)a[2]);
	case IPC_SET:
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		break;
	default:
		return -EINVAL;
	}
	struct segment *segment = by_slot ? (struct segment *)sysv_find_slot(&sysv_segments, id) : find(id);

	if (!segment)
		return -EINVAL;
	if (!by_slot && command != IPC_STAT)
		return change(segment, command, (uaddr_t)a[2]);
	err = command == SHM_STAT_ANY ? 0 : sysv_permission(&segment->sysv, SYSV_READ);
	return err ? err : segment_stat(segment, (uaddr_t)a[2]) ? -EFAULT : by_slot ? segment->sysv.id : 0;
}
