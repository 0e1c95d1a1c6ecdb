/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about processes, signals and time share with each other; what others may call is in libos.h and thread.h. */
#ifndef LV_LIBOS_PROC_H
#define LV_LIBOS_PROC_H

#include "libos/core/libos.h"
#include "libos/core/linux.h"
#include "libos/proc/thread.h"

#include <linux/capability.h>
#include <linux/signal.h>

/* ---- user_time.c ---- */
/* A timespec of the program as ns: 0, -EFAULT, or -EINVAL if it is not normalised or negative. Far times are clamped. */
int user_read_time(const void *user, uint64_t *ns);
int user_write_time(void *user, uint64_t ns);
struct timespec time_from_ns(uint64_t ns);
/* Adds without wrapping; never 0, which means "no deadline". */
uint64_t deadline_after(uint64_t start, uint64_t ns);
/* The monotonic time at which the clock (CLOCK_REALTIME or any monotonic one) shows ns. */
uint64_t deadline_at(int clock, uint64_t ns);

/* ---- sys_time.c ---- */
/* The time on a clock of clock_gettime(2): 0 or -EINVAL. */
int clock_read(int clock, uint64_t *ns);
bool clock_counts_cpu(int clock);
uint64_t thread_cpu_ns(const struct thread *thread);
uint64_t process_cpu_ns(void);
void cpu_time_thread_ends(const struct thread *thread);

/* ---- signal.c ---- */
#define SIG_BIT(n) (1ull << ((n) - 1))
#define SIG_MAX 64
#define SIG_QUEUE_MAX 4096 /* infos that wait: RLIMIT_SIGPENDING at the start */
/* Restart rules beside ERESTARTSYS: the kernel's numbers. */
#define ERESTARTNOINTR 513        /* always restarts */
#define ERESTARTNOHAND 514        /* EINTR if a handler ran, else restarts */
#define ERESTART_RESTARTBLOCK 516 /* the same */

struct sig_entry { /* a signal that waits */
	struct sig_entry *next;
	struct siginfo_k info;
};
uint32_t signal_queued(void); /* infos that wait now, of all threads */
/* As signal_send, but says -EAGAIN when the queue of a real-time signal is full. */
int signal_post(struct thread *thread, int signo, const struct siginfo_k *info);
struct sigaction_k signal_action_get(int signo);
void signal_action_set(int signo, const struct sigaction_k *action);
void signal_block(uint64_t mask); /* the new mask of the current thread */
/* The queued signal of a POSIX timer that was not taken yet, or NULL. */
struct sig_entry *signal_find_timer(int timer_id);

/* ---- sigframe.c ---- */
/* Makes the program enter the handler when it goes on; mask is what rt_sigreturn restores. False: its stack is unusable. */
bool sigframe_push(struct regs *regs, const struct sigaction_k *action, const struct siginfo_k *info, uint64_t mask);
int altstack_set(const stack_t *stack); /* 0, -EPERM, -EINVAL, -ENOMEM */
stack_t altstack_get(uint64_t sp);

/* ---- posix_timer.c ---- */
void posix_timer_delivered(struct siginfo_k *info); /* a signal of SI_TIMER was taken: fills its overrun count */

/* ---- credentials.c: the user and the rights of the process ---- */
struct credentials {
	uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	uint64_t inheritable, permitted, effective, bounding, ambient; /* capabilities: bit n for capability n */
	uint32_t *groups; /* supplementary ones, in rising order */
	uint32_t group_count;
};
const struct credentials *credentials(void);
bool capable(int capability);     /* CAP_...: is it in the effective set? */
bool in_group(uint32_t gid);      /* as files see it: the group of the file system, or a supplementary one */
long capability_prctl(const long *a); /* the options of prctl(2) that are about capabilities */

/* ---- sys_misc.c ---- */
#define LV_UNAME_RELEASE "6.1.0-lightvm"
#define LV_UNAME_VERSION "#1 LightVM library OS"
const char *process_hostname(void);
extern int process_oom_score_adj; /* kept for the program: nobody else could be killed in its place */
bool process_no_new_privs(void); /* kept for prctl: there is no set-id program to be started */

/* ---- sys_limits.c ---- */
uint64_t process_limit_hard(int resource);

#endif
