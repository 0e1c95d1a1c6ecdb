/* SPDX-License-Identifier: Apache-2.0 */
/* From a system-call number to the function that does it; what is missing is counted by number. */
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#define X(name) SYSCALL(name);
#include "libos/fs/syscalls.list"
#include "libos/mm/syscalls.list"
#include "libos/ipc/syscalls.list"
#include "libos/net/syscalls.list"
#include "libos/proc/syscalls.list"
#undef X

#define X(name) [__NR_##name] = sys_##name,
static long (*const table[])(const long *) = {
#include "libos/fs/syscalls.list"
#include "libos/mm/syscalls.list"
#include "libos/ipc/syscalls.list"
#include "libos/net/syscalls.list"
#include "libos/proc/syscalls.list"
};
#undef X

static long missing(uint64_t nr)
{
	for (int i = 0; i < LV_MISSING_SLOTS; i++) {
		volatile struct lv_missing *slot = &shared_page->missing[i];
		if (slot->count && slot->nr != nr)
			continue;
		slot->nr = nr;
		slot->count++;
		break;
	}
	return -ENOSYS;
}

/* A program that finds nothing ready may ask again at once and never sleep: look at the rings for it. */
static bool found_nothing(uint64_t nr, long result)
{
	if (result == -EAGAIN)
		return nr != __NR_futex;
	return result == 0 && (nr == __NR_epoll_wait || nr == __NR_poll || nr == __NR_epoll_pwait || nr == __NR_select ||
			       nr == __NR_ppoll || nr == __NR_pselect6);
}

void step_goes_on(struct regs *regs)
{
	if (current->stepped) /* trap.c took the flag away at the entry */
		regs->rflags |= RFLAGS_TRAP;
	current->stepped = false;
}

int syscall_dispatch(struct regs *regs)
{
	uint64_t nr = regs->orig_rax;
	shared_page->calls.made++;
	step_goes_on(regs);
	const long args[6] = { regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9 };
	current->restore_all = false;
	long result = nr < ARRAY_SIZE(table) && table[nr] ? table[nr](args) : missing(nr);
	if (!current->restore_all)
		regs->rax = result;
	if (found_nothing(nr, result))
		events_poll();
	return_work(regs);
	/* Flags that let each instruction trap must not come back before the last one of libos. */
	return current->restore_all || (regs->rflags & RFLAGS_TRAP);
}

int syscall_trapped(struct regs *regs)
{
	calls_trapped(regs->rip, regs->orig_rax);
	/* Whoever steps counts instructions: a call site is replaced when it is used at full speed. */
	if (!(regs->rflags & RFLAGS_TRAP))
		mm_syscall_trapped(regs->rip, regs->orig_rax);
	return syscall_dispatch(regs);
}
