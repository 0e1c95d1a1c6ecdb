/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of memory: checks of arguments as Linux makes them; the work is done in mm.c. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"
#include "libos/proc/proc.h"

#include <linux/personality.h>

#define X(name) SYSCALL(name);
#include "libos/mm/syscalls.list"
#undef X

/* What every kernel knew: MAP_SHARED_VALIDATE asks that all else be refused. */
#define OLD_FLAGS                                                                                                                         \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_UNINITIALIZED | MAP_GROWSDOWN | \
	 MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_32BIT)

/* What is asked for, as the personality has it. */
static uint32_t implied(uint32_t prot)
{
	return prot & PROT_READ && current->process->personality & READ_IMPLIES_EXEC ? prot | PROT_EXEC : prot;
}

/* The end of a range given by page-aligned start and a length; 0: it is not one. */
static uint64_t range_end(uint64_t start, uint64_t len)
{
	uint64_t end = start + ALIGN_UP(len, LV_PAGE);

	return start % LV_PAGE || len > SPACE_END || end > SPACE_END || end < start ? 0 : end;
}

/* May this descriptor be mapped so? */
static int check_file(const struct file *file, uint32_t prot, uint32_t flags)
{
	uint32_t mode = file->flags & O_ACCMODE;

	if (flags & MAP_HUGETLB) /* that is for files of a file system of huge pages */
		return -EINVAL;
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && flags & ~OLD_FLAGS)
		return -EOPNOTSUPP;
	if (mode == O_WRONLY)
		return -EACCES;
	if (!(flags & MAP_SHARED)) /* a bit of MAP_SHARED_VALIDATE, too */
		return 0;
	if (prot & PROT_WRITE && mode != O_RDWR)
		return -EACCES;
	return file->inode ? inode_check_shared_map(file->inode, prot) : 0;
}

/* Anonymous memory: nobody has set huge pages aside. */
static int check_anonymous(uint32_t flags)
{
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		return -EINVAL;
	return flags & MAP_HUGETLB ? -ENOMEM : 0;
}

SYSCALL(mmap)
{
	uint64_t addr = a[0], len = a[1], offset = a[5];
	uint32_t prot = implied(a[2]), flags = a[3];
	struct file *file = NULL;
	int err;

	if (offset % LV_PAGE)
		return -EINVAL;
	if (!(flags & MAP_ANONYMOUS)) {
		file = fd_get((int)a[4]);
		if (!file || file->flags & O_PATH)
			return -EBADF;
		err = check_file(file, prot, flags);
	} else {
		err = check_anonymous(flags);
	}
	return err ? err : mm_map(addr, len, prot, flags, file, offset, NULL);
}


/* With PROT_GROWSDOWN all of the region below, too, if it is one that grows so; none grows up. */
static long protect_growing(uint64_t start, uint64_t len, uint32_t prot)
{
	const struct vma *vma = mm_find(start);

	if (start % LV_PAGE || prot & PROT_GROWSUP)
		return -EINVAL;
	if (!vma)
		return -ENOMEM;
	return vma->flags & MAP_GROWSDOWN ? mm_protect(vma->start, start - vma->start + len, prot) : -EINVAL;
}

SYSCALL(mprotect)
{
	if (a[2] & ~(long)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (a[1] && a[2] & (PROT_GROWSDOWN | PROT_GROWSUP))
		return protect_growing(a[0], a[1], implied(a[2]));
	return mm_protect(a[0], a[1], implied(a[2]));
}

SYSCALL(pkey_mprotect)
{
	return (int)a[3] == -1 ? sys_mprotect(a) : -EINVAL;
}

SYSCALL(mremap)
{
	return mm_remap(a[0], a[1], a[2], a[3], a[4]);
}

/* Other pages of the file that a shared mapping shows, by a mapping of their own. */
SYSCALL(remap_file_pages)
{
	uint64_t start = ALIGN_DOWN(a[0], LV_PAGE), end = start + ALIGN_DOWN(a[1], LV_PAGE), offset = (uint64_t)a[3] * LV_PAGE;
	const struct vma *vma = mm_find(start);

	if (a[2] || end <= start || offset / LV_PAGE != (uint64_t)a[3] || offset + (end - start) < offset)
		return -EINVAL;
	if (!vma || !vma->file || !(vma->flags & MAP_SHARED) || end > vma->end)
		return -EINVAL;
	struct file *file = vma->file;

	file_get(file);
	int64_t at = mm_map(start, end - start, vma->prot, MAP_SHARED | MAP_FIXED | (vma->flags & MAP_LOCKED), file, offset, NULL);

	file_put(file);
	return at < 0 ? at : 0;
}

SYSCALL(brk)
{
	return mm_brk(a[0]);
}

static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL: case MADV_RANDOM: case MADV_SEQUENTIAL: case MADV_WILLNEED: case MADV_COLD: case MADV_PAGEOUT:
	case MADV_DONTFORK: case MADV_DOFORK: case MADV_MERGEABLE: case MADV_UNMERGEABLE: case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE: case MADV_DONTDUMP: case MADV_DODUMP:
		return true;
	default:
		return false;
	}
}

int mm_advise(uint64_t start, uint64_t len, int advice)
{
	uint64_t end = range_end(start, len);
	int err;

	if (!end && (start || len))
		return -EINVAL;
	switch (advice) {
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		err = len ? mm_wipe_in_clones(start, end, advice == MADV_WIPEONFORK) : 0;
		if (err)
			return err;
		break;
	case MADV_DONTFORK:
	case MADV_DOFORK:
		err = len ? mm_mark(start, end, VMA_NOT_IN_CHILD, advice == MADV_DONTFORK) : 0;
		if (err)
			return err;
		break;
	case MADV_FREE:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		return len ? mm_drop(start, end, advice == MADV_FREE) : 0;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		for (struct vma *vma = mm_find(start); vma && vma->start < end; vma = mm_next(vma)) {
			if (!(vma->prot & (advice == MADV_POPULATE_WRITE ? PROT_WRITE : PROT_READ)))
				return -EINVAL;
			err = vma_populate(vma, MAX(start, vma->start), MIN(end, vma->end));
			if (err)
				return err;
		}
		break;
	default:
		if (!advice_known(advice))
			return -EINVAL;
	}
	return mm_covered(start, end) ? 0 : -ENOMEM;
}

SYSCALL(madvise)
{
	return mm_advise(a[0], a[1], (int)a[2]);
}

/* What was written to shared mappings in the range goes to the files of live volumes; those of other files are the file's own pages. */
static int write_back(uint64_t start, uint64_t end)
{
	int err = 0;

	for (const struct vma *vma = mm_find(start); vma && vma->start < end; vma = mm_find(start)) {
		struct file *file = vma->flags & MAP_SHARED ? vma->file : NULL;

		start = vma->end; /* writing waits, and the regions may be others then */
		if (file && file->ops->write_back && !err)
			err = file->ops->write_back(file);
	}
	return err;
}

SYSCALL(munmap)
{
	uint64_t end = range_end(a[0], a[1]);

	if (end)
		write_back(a[0], end); /* errors are told by msync and fsync */
	return mm_unmap(a[0], a[1]);
}

SYSCALL(msync)
{
	uint64_t end = range_end(a[0], a[1]);
	int flags = a[2];

	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || (flags & MS_ASYNC && flags & MS_SYNC))
		return -EINVAL;
	if (!end && (a[0] || a[1]))
		return -EINVAL;
	for (const struct vma *vma = mm_find(a[0]); flags & MS_INVALIDATE && vma && vma->start < end; vma = mm_next(vma))
		if (vma->flags & MAP_LOCKED)
			return -EBUSY;
	if (!mm_covered(a[0], end))
		return -ENOMEM;
	return write_back(a[0], end);
}

SYSCALL(mincore)
{
	uint64_t start = a[0], end = range_end(start, a[1]);
	uaddr_t to = (uaddr_t)a[2];

	if (start % LV_PAGE)
		return -EINVAL;
	if ((!end && a[1]) || !mm_covered(start, end))
		return -ENOMEM;
	for (uint64_t va = start; va < end; va += LV_PAGE) {
		bool huge;
		const uint64_t *entry = pt_find(va, &huge);

		uint8_t there = entry && *entry != 0;

		if (user_put(to++, there))
			return -EFAULT;
	}
	return 0;
}

/* Memory is never swapped, so locking it is but to count it. */
static long lock(uint64_t start, uint64_t len, bool on)
{
	uint64_t low = ALIGN_DOWN(start, LV_PAGE), end = range_end(low, len + (start - low));
	int err = on && end ? space_may_lock(low, end) : 0;

	if (err)
		return err;
	if (ALIGN_UP(len + (start - low), LV_PAGE) == 0)
		return 0;
	if (low + ALIGN_UP(len + (start - low), LV_PAGE) < low)
		return -EINVAL;
	if (!end || !mm_covered(low, end))
		return -ENOMEM;
	return low < end ? mm_mark(low, end, MAP_LOCKED, on) : 0;
}

SYSCALL(mlock)
{
	return lock(a[0], a[1], true);
}

SYSCALL(mlock2)
{
	return a[2] & ~(long)MLOCK_ONFAULT ? -EINVAL : lock(a[0], a[1], true);
}

SYSCALL(munlock)
{
	return lock(a[0], a[1], false);
}

SYSCALL(mlockall)
{
	const struct vma *vma;
	uint64_t all = 0;
	int err;

	if (a[0] == 0 || a[0] == MCL_ONFAULT || a[0] & ~(long)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		return -EINVAL;
	for (vma = mm_first(); vma && a[0] & MCL_CURRENT; vma = mm_next(vma))
		all += vma->flags & (VMA_YIELDS | MAP_LOCKED) ? 0 : vma->end - vma->start;
	err = space_may_lock(SPACE_END, SPACE_END + all); /* beside what is locked */
	if (err)
		return err;
	space->lock_future = a[0] & MCL_FUTURE;
	return a[0] & MCL_CURRENT ? mm_mark(SPACE_LOW, SPACE_END, MAP_LOCKED, true) : 0;
}

SYSCALL(munlockall)
{
	space->lock_future = false;
	return mm_mark(SPACE_LOW, SPACE_END, MAP_LOCKED, false);
}
