/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that a program can do without and that have no meaning here: answered as a Linux that was built or set up
 * without them answers, so that they are not reported as missing.
 */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#include <linux/sched.h>

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
REFUSED(fanotify_init, EPERM)
REFUSED(seccomp, EINVAL)
REFUSED(fsopen, EPERM)
REFUSED(fsconfig, EPERM)
REFUSED(fsmount, EPERM)
REFUSED(fspick, EPERM)
REFUSED(open_tree, EPERM)
REFUSED(move_mount, EPERM)
REFUSED(mount_setattr, EPERM)
REFUSED(quotactl_fd, EPERM)
REFUSED(fanotify_mark, EPERM)
REFUSED(kexec_file_load, EPERM)
REFUSED(restart_syscall, EINTR)
REFUSED(lookup_dcookie, EPERM)

/* Not built in */
REFUSED(io_uring_setup, ENOSYS)
REFUSED(io_uring_enter, ENOSYS)
REFUSED(io_uring_register, ENOSYS)
REFUSED(add_key, ENOSYS)
REFUSED(request_key, ENOSYS)
REFUSED(keyctl, ENOSYS)
REFUSED(pkey_free, EINVAL)
REFUSED(memfd_secret, ENOSYS)
REFUSED(process_mrelease, ENOSYS)
REFUSED(set_mempolicy_home_node, ENOSYS)
REFUSED(modify_ldt, ENOSYS)
REFUSED(landlock_create_ruleset, ENOSYS)
REFUSED(landlock_add_rule, ENOSYS)
REFUSED(landlock_restrict_self, ENOSYS)
REFUSED(mbind, ENOSYS)
REFUSED(set_mempolicy, ENOSYS)
REFUSED(get_mempolicy, ENOSYS)
REFUSED(migrate_pages, ENOSYS)
REFUSED(move_pages, ENOSYS)

/* Protection keys: the processor is one without them. */
SYSCALL(pkey_alloc)
{
	return a[0] || ((unsigned long)a[1] & ~3ul) ? -EINVAL : -ENOSPC;
}

/* Namespaces: there is one of each kind, and no descriptor of one. What threads alone could share with others is not split. */
SYSCALL(setns)
{
	const struct file *file = fd_get((int)a[0]);

	return file && !(file->flags & O_PATH) ? -EINVAL : -EBADF;
}

#define SHARED_BY_THREADS ((unsigned long)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
#define NAMESPACES ((unsigned long)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME))

SYSCALL(unshare)
{
	unsigned long flags = (unsigned long)a[0];

	if (flags & ~(SHARED_BY_THREADS | NAMESPACES | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM))
		return -EINVAL;
	if (flags & ~SHARED_BY_THREADS)
		return -EPERM;
	if (flags && current->process->thread_count > 1)
		return -EPERM;
	struct whereabouts *where = flags & CLONE_FS ? where_copy(current->process->where) : NULL;

	if (flags & CLONE_FS && !where)
		return -ENOMEM;
	if (flags & CLONE_FILES && fd_table_own(&current->process->files)) {
		if (where)
			where_put(where);
		return -ENOMEM;
	}
	if (where) {
		where_put(current->process->where);
		current->process->where = where;
	}
	return 0;
}
