/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restartable sequences, as of Linux 6.1. A thread names a section of code that counts only if nobody else has run meanwhile: when the thread was
 * switched away from, or a signal is delivered, and it stands in there, it goes on at the section's abort address. There is one processor,
 * so that its number is written once.
 */
#include "libos/proc/proc.h"

#include <linux/rseq.h>

#define AREA_SIZE 32 /* of struct rseq, as every kernel since the first takes it */
#define AT(member) (current->rseq + offsetof(struct rseq, member))

static int put_processor(uint32_t start, uint32_t id)
{
	return user_put(AT(cpu_id_start), start) || user_put(AT(cpu_id), id) ? -EFAULT : 0;
}

static bool is_inside(const struct rseq_cs *section, uint64_t at)
{
	return at - section->start_ip < section->post_commit_offset;
}

/* False: nothing that a section could be. */
static bool get_section(struct rseq_cs *section, uint64_t at)
{
	uint32_t signature;

	if (user_get(section, at))
		return false;
	if (section->version || section->start_ip >= USER_END || section->abort_ip >= USER_END || is_inside(section, section->abort_ip))
		return false;
	if (section->post_commit_offset >= USER_END - section->start_ip)
		return false;
	return !user_get(&signature, section->abort_ip - sizeof(signature)) && signature == current->rseq_signature;
}

/* Flags once kept a section from being restarted; Linux takes none any more. */
static bool has_flags(const struct rseq_cs *section)
{
	uint32_t flags;

	return section->flags || user_get(&flags, AT(flags)) || flags;
}

static bool look(struct regs *regs)
{
	const uint64_t none = 0;
	struct rseq_cs section;
	uint64_t at;

	if (user_get(&at, AT(rseq_cs)))
		return false;
	if (!at)
		return true;
	if (!get_section(&section, at))
		return false;
	if (is_inside(&section, regs->rip)) {
		if (has_flags(&section))
			return false;
		regs->rip = section.abort_ip;
	}
	return !user_put(AT(rseq_cs), none);
}

bool rseq_restart(struct regs *regs)
{
	if (!current->rseq)
		return true;
	current->rseq_left = false;
	if (look(regs))
		return true;
	signal_fault(regs, SIGSEGV, SI_KERNEL, 0, 13, 0, 0);
	return false;
}

static long unregister(uint64_t area, size_t size, uint32_t signature)
{
	if (!current->rseq || current->rseq != area || size != AREA_SIZE)
		return -EINVAL;
	if (current->rseq_signature != signature)
		return -EPERM;
	if (put_processor(0, (uint32_t)RSEQ_CPU_ID_UNINITIALIZED))
		return -EFAULT;
	current->rseq = 0;
	return 0;
}

SYSCALL(rseq)
{
	uint64_t area = (uint64_t)a[0];
	uint32_t size = (uint32_t)a[1], signature = (uint32_t)a[3];
	int flags = (int)a[2];

	if (flags & RSEQ_FLAG_UNREGISTER)
		return flags & ~RSEQ_FLAG_UNREGISTER ? -EINVAL : unregister(area, size, signature);
	if (flags)
		return -EINVAL;
	if (current->rseq)
		return current->rseq != area || size != AREA_SIZE ? -EINVAL : current->rseq_signature != signature ? -EPERM : -EBUSY;
	if (area % AREA_SIZE || size != AREA_SIZE)
		return -EINVAL;
	if (!user_range(area, size))
		return -EFAULT;
	if (!area) /* as on Linux, where none is written to */
		return 0;
	current->rseq = area;
	current->rseq_signature = signature;
	current->rseq_left = true; /* what it says of a section is looked at on the way back */
	if (put_processor(0, 0))
		signal_fault(current->regs, SIGSEGV, SI_KERNEL, 0, 13, 0, 0);
	return 0;
}
