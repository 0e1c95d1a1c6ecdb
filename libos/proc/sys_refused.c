/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that a program can do without and that have no meaning here: answered as a Linux that was built or set up
 * without them answers, so that they are not reported as missing.
 */
#include "libos/proc/proc.h"

#define REFUSED(name, error) \
	SYSCALL(name) \
	{ \
		return -(error); \
	}

/* Without the right */
REFUSED(ptrace, EPERM)
REFUSED(mount, EPERM)
REFUSED(umount2, EPERM)
REFUSED(pivot_root, EPERM)
REFUSED(swapon, EPERM)
REFUSED(swapoff, EPERM)
REFUSED(reboot, EPERM)
REFUSED(unshare, EPERM)
REFUSED(setns, EPERM)
REFUSED(init_module, EPERM)
REFUSED(finit_module, EPERM)
REFUSED(delete_module, EPERM)
REFUSED(kexec_load, EPERM)
REFUSED(iopl, EPERM)
REFUSED(ioperm, EPERM)
REFUSED(acct, EPERM)
REFUSED(quotactl, EPERM)
REFUSED(vhangup, EPERM)
REFUSED(bpf, EPERM)
REFUSED(perf_event_open, EACCES)
REFUSED(userfaultfd, EPERM)
REFUSED(open_by_handle_at, EPERM)
REFUSED(fanotify_init, EPERM)
REFUSED(syslog, EPERM)
REFUSED(process_vm_readv, EPERM)
REFUSED(process_vm_writev, EPERM)
REFUSED(kcmp, EPERM)
REFUSED(pidfd_getfd, EPERM)
REFUSED(seccomp, EINVAL)

/* Not built in */
REFUSED(rseq, ENOSYS) /* one processor and no forced migration: the C library does without */
REFUSED(io_uring_setup, ENOSYS)
REFUSED(io_uring_enter, ENOSYS)
REFUSED(io_uring_register, ENOSYS)
REFUSED(add_key, ENOSYS)
REFUSED(request_key, ENOSYS)
REFUSED(keyctl, ENOSYS)
REFUSED(futex_waitv, ENOSYS)
REFUSED(modify_ldt, ENOSYS)
REFUSED(landlock_create_ruleset, ENOSYS)
REFUSED(landlock_add_rule, ENOSYS)
REFUSED(landlock_restrict_self, ENOSYS)
REFUSED(mbind, ENOSYS)
REFUSED(set_mempolicy, ENOSYS)
REFUSED(get_mempolicy, ENOSYS)
REFUSED(migrate_pages, ENOSYS)
REFUSED(move_pages, ENOSYS)
REFUSED(pidfd_open, ENOSYS)
REFUSED(pidfd_send_signal, ENOSYS)
