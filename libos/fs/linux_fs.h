/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in the x86-64 system-call ABI: structures and constants. Layouts come from the kernel's own UAPI headers wherever those
 * compile freestanding; what they lack or spoil is defined here. Never include a libc header that defines the same
 * structures (<sys/stat.h>, <poll.h>, <time.h> ...) beside this one.
 */
#ifndef LV_LIBOS_LINUX_FS_H
#define LV_LIBOS_LINUX_FS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/errno.h>
#include <asm/poll.h>        /* struct pollfd, POLLIN ... */
#include <asm/stat.h>        /* struct stat */
#include <asm/statfs.h>      /* struct statfs */
#include <asm/unistd_64.h>   /* __NR_... */
#include <linux/falloc.h>    /* FALLOC_FL_... */
#include <linux/fcntl.h>     /* O_..., F_..., AT_... */
#include <linux/limits.h>    /* PATH_MAX, NAME_MAX */
#include <linux/memfd.h>     /* MFD_... */
#include <linux/mman.h>      /* PROT_..., MAP_... */
#include <linux/stat.h>      /* struct statx, STATX_... */
#include <linux/time.h>      /* struct timespec, timeval, itimerspec, itimerval, CLOCK_... */
#include <linux/uio.h>       /* struct iovec, UIO_MAXIOV */

#ifndef S_IFMT /* <linux/stat.h> leaves these to the C library where one was seen */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISUID 0004000
#define S_ISGID 0002000
#define S_ISVTX 0001000
#define S_IXGRP 0000010
#define S_ISLNK(m) (((m) & S_IFMT) == S_IFLNK)
#define S_ISREG(m) (((m) & S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m) & S_IFMT) == S_IFDIR)
#define S_ISCHR(m) (((m) & S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m) & S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m) & S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m) & S_IFMT) == S_IFSOCK)
#endif

#ifndef SEEK_SET
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#endif
#ifndef SEEK_DATA
#define SEEK_DATA 3
#define SEEK_HOLE 4
#endif

enum { LINUX_DT_UNKNOWN = 0, LINUX_DT_FIFO = 1, LINUX_DT_CHR = 2, LINUX_DT_DIR = 4, LINUX_DT_BLK = 6, LINUX_DT_REG = 8,
	LINUX_DT_LNK = 10, LINUX_DT_SOCK = 12 };

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen; /* multiple of 8 */
	uint8_t d_type;
	char d_name[];
};
static_assert(offsetof(struct linux_dirent64, d_name) == 19, "dirent layout");
static_assert(sizeof(struct stat) == 144, "stat layout");
static_assert(sizeof(struct statfs) == 120, "statfs layout");
static_assert(sizeof(struct statx) == 256, "statx layout");

#define LINUX_R_OK 4
#define LINUX_W_OK 2
#define LINUX_X_OK 1

#define LINUX_RENAME_NOREPLACE 1u
#define LINUX_RENAME_EXCHANGE 2u
#define LINUX_RENAME_WHITEOUT 4u

#define LINUX_RWF_NOWAIT 8u
#define LINUX_RWF_APPEND 16u
#define LINUX_RWF_SUPPORTED 31u

#ifndef LOCK_SH
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
#endif

#define LINUX_UTIME_NOW 0x3fffffffl
#define LINUX_UTIME_OMIT 0x3ffffffel

#define LINUX_CLOSE_RANGE_UNSHARE 2u
#define LINUX_CLOSE_RANGE_CLOEXEC 4u

#define LINUX_MAJOR(dev) ((uint32_t)((((dev) >> 8) & 0xfff) | (((dev) >> 32) & 0xfffff000)))
#define LINUX_MINOR(dev) ((uint32_t)(((dev) & 0xff) | (((dev) >> 12) & 0xffffff00)))
#define LINUX_DEV(major, minor) \
	(((uint64_t)((major) & 0xfffff000) << 32) | (((uint64_t)(major) & 0xfff) << 8) | (((uint64_t)(minor) & 0xffffff00) << 12) | \
	 ((minor) & 0xff))

/* <linux/eventpoll.h> needs sparse macros that are not exported. */
#ifndef EPOLLIN
#define EPOLLIN 0x001u
#define EPOLLPRI 0x002u
#define EPOLLOUT 0x004u
#define EPOLLERR 0x008u
#define EPOLLHUP 0x010u
#define EPOLLNVAL 0x020u
#define EPOLLRDNORM 0x040u
#define EPOLLRDBAND 0x080u
#define EPOLLWRNORM 0x100u
#define EPOLLWRBAND 0x200u
#define EPOLLMSG 0x400u
#define EPOLLRDHUP 0x2000u
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP (1u << 29)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)
#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLL_CLOEXEC O_CLOEXEC
struct epoll_event {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));
#endif
static_assert(sizeof(struct epoll_event) == 12, "epoll_event layout");

#define LINUX_EFD_SEMAPHORE 1u
#define LINUX_TFD_TIMER_ABSTIME 1u
#define LINUX_TFD_TIMER_CANCEL_ON_SET 2u

struct linux_fd_set {
	uint64_t bits[1024 / 64];
};

struct signalfd_siginfo_k {
	uint32_t signo;
	int32_t error, code;
	uint32_t pid, uid;
	int32_t fd;
	uint32_t tid, band, overrun, trapno;
	int32_t status, value;
	uint64_t pointer, utime, stime, addr;
	uint16_t addr_lsb, pad2;
	int32_t syscall;
	uint64_t call_addr;
	uint32_t arch;
	uint8_t pad[28];
};
static_assert(sizeof(struct signalfd_siginfo_k) == 128, "signalfd_siginfo layout");

/* ioctl numbers that all files know */
#define LINUX_FIONREAD 0x541b
#define LINUX_SIOCOUTQ 0x5411
#define LINUX_SIOCATMARK 0x8905
/* what fcntl(2) does, as BSD had it; the owner for sockets only */
#define LINUX_FIOASYNC 0x5452
#define LINUX_FIOSETOWN 0x8901
#define LINUX_SIOCSPGRP 0x8902
#define LINUX_FIOGETOWN 0x8903
#define LINUX_SIOCGPGRP 0x8904
#define LINUX_FIONBIO 0x5421
#define LINUX_FIONCLEX 0x5450
#define LINUX_FIOCLEX 0x5451
#define LINUX_FIOASYNC 0x5452

#endif
