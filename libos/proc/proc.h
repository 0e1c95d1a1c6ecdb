/* SPDX-License-Identifier: Apache-2.0 */
/* The process: its threads and their registers, signals, time, credentials, limits. */
#ifndef LV_LIBOS_PROC_H
#define LV_LIBOS_PROC_H

#include "libos/core/libos.h"

#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/resource.h> /* struct rlimit, rlimit64, rusage, RLIMIT_..., struct timeval */
#include <linux/signal.h>
#include <linux/time.h>     /* struct timespec, timeval, itimerspec, itimerval, CLOCK_... */

struct sigaction_k { /* the kernel's struct sigaction of x86-64 */
	uint64_t handler, flags, restorer, mask;
};
struct siginfo_k { /* the kernel's siginfo_t: 128 bytes */
	int32_t signo, error, code, pad;
	union {
		struct { int32_t pid; uint32_t uid; uint64_t value; } kill; /* also sigqueue, with value */
		struct { uint64_t addr; } fault;
		struct { int32_t timer_id, overrun; uint64_t value; } timer;
		uint8_t raw[112];
	};
};

enum thread_state { THREAD_RUNNABLE, THREAD_WAITING, THREAD_DEAD };

struct scheduling { /* what the program asked for; sys_sched.c */
	uint8_t policy, priority; /* SCHED_...; 1 to 99 of the real-time ones */
	int8_t nice;
	bool reset_on_fork;
	uint16_t io_priority;
};

struct thread {
	struct thread *next, *prev; /* all threads */
	struct thread *run_next;    /* run queue */
	enum thread_state state;
	int tid;
	uint64_t sp;                /* saved kernel stack pointer while not running */
	uint64_t stack_top;         /* of the kernel stack */
	struct regs *regs;          /* the program's registers: at stack_top - sizeof(struct regs) */
	uint64_t fs_base, gs_base;
	void *xsave;                /* vector state while not running: a page; the first thread has it since there was a second one */
	bool stepped;               /* entered libos by a patched call site with the trap flag set */
	bool restore_all;           /* go back by IRETQ: RCX and R11 count too (after traps, upcalls and rt_sigreturn) */
	/* waiting */
	struct timer timeout;
	bool timed_out, woken;
	/* threads */
	uint64_t clear_child_tid; /* address in the program: set to 0 and futex-woken at exit */
	uint64_t robust_list;
	char name[16];
	struct scheduling scheduling;
	uint64_t cpu_ns, last_start; /* processor time, for clocks and rusage */
	uint64_t virtual_ns;         /* the same by weight: who has least runs next (sched.c) */
	/* signals; signal.c */
	uint64_t sig_blocked, sig_pending;
	uint64_t sig_saved_mask; /* to restore after sigsuspend, ppoll, epoll_pwait ... */
	bool sig_restore_mask;
	struct sig_entry *sig_queue; /* information of pending signals, oldest first */
	bool sig_parked;             /* waits for SIGCONT */
	uint64_t trap_vector, trap_error, trap_cr2; /* of the last fault, for the handler's context */
	uint64_t altstack_sp, altstack_size;
	uint32_t altstack_flags;
};

extern struct thread *threads; /* the list of all */
extern int thread_count;

void sched_init(void);
/* A new thread of the program that starts with these registers; runnable. NULL: out of memory. */
struct thread *thread_new(const struct regs *regs, uint64_t fs_base);
void thread_exit(void) __attribute__((noreturn)); /* the calling thread only */
struct thread *thread_find(int tid);
void threads_tell(void);    /* tells the monitor of all threads, which it has asked for (lv_shared.ask_threads) */
void thread_reap(void); /* frees the thread that ended last, if nobody runs on its stack any more */
/* Ends the process: exit_group, or death by signal. */
void process_exit(int wait_status) __attribute__((noreturn));
void process_exit_first(void (*hook)(void)); /* called by process_exit before the VM ends; one */

/* signal.c. Called on every way back to the program when something may be pending: builds a handler frame, or ends the process. */
void signal_deliver(struct regs *regs);
/* To one thread, or NULL: to the process (a thread that does not block it is chosen). Wakes it if it waits. Info NULL: as kill(2). */
void signal_send(struct thread *thread, int signo, const struct siginfo_k *info);
/* A fault of the program: as signal_send, but cannot be blocked or ignored. If nothing handles it: crash report with the trap's facts. */
void signal_fault(struct regs *regs, int signo, int code, uint64_t addr, uint64_t vector, uint64_t error, uint64_t cr2);
/* Signals that came from outside (lv_shared.signals). */
void signal_poll_outside(void);
/* Removes a waiting signal of the set (bit n-1: signal n) and gives its information: its number, or 0. */
int signal_take(uint64_t set, struct siginfo_k *info);
uint64_t signal_pending_set(void); /* all that wait for the current thread, blocked or not */
extern struct waitq signal_queue;  /* woken (EPOLLIN) when a signal was sent; of signalfd and sigtimedwait */
/* A mask for the time of one system call (ppoll, epoll_pwait ...): a handler that runs at its end runs with it. */
void signal_mask_temporarily(uint64_t mask);
int signal_mask_from(uaddr_t from, size_t size); /* the same, from the program's memory; 0: none. 0, -EINVAL or -EFAULT */
void signal_thread_exit(struct thread *thread);
/* crash.c: fills the crash record from these registers and ends the VM. */
void crash_program(const struct regs *regs, int signo, uint64_t vector, uint64_t error, uint64_t cr2) __attribute__((noreturn));

/* Restart rules: a call that a signal interrupted returns this; signal_deliver turns it into EINTR or a restart (SA_RESTART). */
#define ERESTARTSYS 512
/* A result that signal_deliver must see even if another thread took the signal meanwhile. */
#define wants_restart(rax) (-(uint64_t)(rax) - ERESTARTSYS < 5)

/* sys_misc.c: the process' id, which is its first thread's id */
int process_id(void);
uint64_t process_limit(int resource); /* the soft limit RLIMIT_... */
/* sys_sched.c: a new thread has its parent's policy and nice, but for SCHED_RESET_ON_FORK */
void scheduling_inherit(struct thread *child, const struct thread *parent);
/* sys_thread.c: the status that exit(2) of the last thread leaves for the process */
int process_exit_status(void);

/* futex.c */
void futex_thread_exit(struct thread *thread); /* robust list, clear_child_tid */
long futex_wake_addr(uint64_t addr, int most);

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

/* exec.c: loads the program that the device page names, builds its stack; *entry and *stack are for the first return to level 3. Panics never: -errno and a text. */
const char *exec_path(void); /* the program's absolute path, for /proc/self/exe */
struct exec_layout { /* addresses in the program, as Linux tells them in /proc/self/stat */
	uint64_t code_start, code_end, data_start, data_end;
	uint64_t stack; /* at its first instruction */
	/* The strings of argv and envp, end to end; programs write their titles over them. */
	uint64_t args_start, args_end, env_start, env_end;
};
const struct exec_layout *exec_layout(void);
int exec_load(uint64_t *entry, uint64_t *stack, const char **why);

#endif
