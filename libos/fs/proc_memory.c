/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of the memory of a process, and small things that proc_self.c has no room for. */
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

static struct vma *first_region(void)
{
	return proc_subject()->space ? mm_first() : NULL;
}

/* ---- smaps ---- */

struct sum {
	uint64_t size, own, shared, locked;
};

static void show_sizes(struct text *text, const struct sum *sum, const struct vma *vma)
{
	bool anonymous = !vma || !vma->file;
	uint64_t own = sum->own / 1024, shared = sum->shared / 1024;
	static const char *const zero[] = { "Shared_Dirty", "Private_Clean", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb",
		"Private_Hugetlb", "Swap", "SwapPss" };

	if (vma)
		text_add(text, "Size:           %8lu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u kB\n", sum->size / 1024, 4, 4);
	text_add(text, "Rss:            %8lu kB\nPss:            %8lu kB\nShared_Clean:   %8lu kB\nPrivate_Dirty:  %8lu kB\nReferenced:     %8lu kB\n", own + shared,
		 own + shared, shared, own, own + shared);
	text_add(text, "Anonymous:      %8lu kB\nLocked:         %8lu kB\n", anonymous ? own + shared : own, sum->locked / 1024);
	for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
		text_add(text, "%s:%*s%8u kB\n", zero[i], (int)(15 - strlen(zero[i])), "", 0u);
}

static struct sum sum_of(const struct vma *vma)
{
	struct sum sum = { .size = vma->end - vma->start };

	mm_resident(vma, &sum.own, &sum.shared);
	sum.locked = vma->flags & MAP_LOCKED ? sum.own + sum.shared : 0;
	return sum;
}

void proc_show_smaps(struct text *text, int key)
{
	for (struct vma *vma = first_region(); vma; vma = mm_next(vma)) {
		struct sum sum = sum_of(vma);

		proc_show_region(text, vma);
		show_sizes(text, &sum, vma);
		text_add(text, "THPeligible:    %8d\nVmFlags:%s%s%s mr mw me%s%s\n", 0, vma->prot & PROT_READ ? " rd" : "", vma->prot & PROT_WRITE ? " wr" : "",
			 vma->prot & PROT_EXEC ? " ex" : "", vma->flags & MAP_SHARED ? " sh ms" : "", vma->flags & MAP_LOCKED ? " lo" : "");
	}
}

void proc_show_smaps_rollup(struct text *text, int key)
{
	struct sum all = { 0 };
	struct vma *vma = first_region();

	text_add(text, "%08lx-", vma ? vma->start : 0);
	for (; vma; vma = mm_next(vma)) {
		struct sum sum = sum_of(vma);

		all.own += sum.own;
		all.shared += sum.shared;
		all.locked += sum.locked;
		all.size = vma->end;
	}
	text_add(text, "%08lx ---p 00000000 00:00 0                          [rollup]\n", all.size);
	show_sizes(text, &all, NULL);
}

/* ---- mem, pagemap ---- */

int64_t proc_read_mem(int key, char *to, size_t n, int64_t position)
{
	struct space *space = proc_subject()->space;

	n = MIN(n, 4096 - (uint64_t)position % 4096);
	if (!space)
		return 0;
	return space_read(space, (uint64_t)position, to, n) < n ? -EIO : (int64_t)n;
}

/* One number a page: whether it is present, and somebody else's; where in memory is not told, as Linux does not tell those without the right. */
int64_t proc_read_pagemap(int key, char *to, size_t n, int64_t position)
{
	size_t done = 0;

	if (n % sizeof(uint64_t) || position % (int64_t)sizeof(uint64_t))
		return -EINVAL;
	for (uint64_t page = (uint64_t)position / sizeof(uint64_t); done < n && page < USER_END / 4096; done += sizeof(uint64_t), page++) {
		bool shared, present = mm_is_present(page * 4096, &shared);
		uint64_t value = (present ? 1ull << 63 : 0) | (present && shared ? 1ull << 61 : 0);

		memcpy(to + done, &value, sizeof(value));
	}
	return (int64_t)done;
}

/* ---- the rest ---- */

void proc_show_auxv(struct text *text, int key)
{
	const struct exec_layout *layout = &proc_subject()->layout;
	struct space *space = proc_subject()->space;
	uint64_t pair[2];

	for (uint64_t at = layout->auxv_start; space && at < layout->auxv_end && space_read(space, at, pair, sizeof(pair)) == sizeof(pair); at += sizeof(pair))
		text_bytes(text, pair, sizeof(pair));
}

void proc_show_io(struct text *text, int key)
{
	const struct process_io *io = &proc_subject()->io;

	text_add(text, "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n", io->read, io->written, io->reads,
		 io->writes);
}

void proc_show_schedstat(struct text *text, int key)
{
	const struct thread *thread = thread_find(key);

	text_add(text, "%lu 0 1\n", thread ? thread_cpu_ns(thread) : 0);
}

void proc_show_personality(struct text *text, int key)
{
	text_add(text, "%08x\n", proc_subject()->personality);
}

void proc_show_slack(struct text *text, int key)
{
	text_add(text, "%lu\n", proc_subject()->timer_slack);
}

/* Namespaces: all are the first ones. They can be compared, not entered. */
#define NAMESPACE(name_, kind, number)                                            \
	static int64_t name_##_target(int key, char *buffer, size_t size)         \
	{                                                                         \
		return snprintf(buffer, size, kind ":[%u]", number);              \
	}
NAMESPACE(cgroup, "cgroup", 4026531835u)
NAMESPACE(ipc, "ipc", 4026531839u)
NAMESPACE(mnt, "mnt", 4026531841u)
NAMESPACE(net, "net", 4026531840u)
NAMESPACE(pid, "pid", 4026531836u)
NAMESPACE(time, "time", 4026531834u)
NAMESPACE(user, "user", 4026531837u)
NAMESPACE(uts, "uts", 4026531838u)

static struct dentry *follow_namespace(int key, struct file **file)
{
	static const struct file_ops namespace_ops = { .kind = "namespace" };

	*file = file_new(&namespace_ops, O_RDONLY, NULL);
	return NULL;
}

#define LINK_(name_, target_) { .name = name_, .mode = S_IFLNK | 0777, .refusal = EACCES, .target = target_, PROC_MORE_(.follow = follow_namespace) }
const struct node proc_namespaces[] = {
	LINK_("cgroup", cgroup_target), LINK_("ipc", ipc_target), LINK_("mnt", mnt_target), LINK_("net", net_target), LINK_("pid", pid_target),
	LINK_("pid_for_children", pid_target), LINK_("time", time_target), LINK_("time_for_children", time_target), LINK_("user", user_target),
	LINK_("uts", uts_target), { 0 },
};
