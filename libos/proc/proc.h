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
		struct { int32_t pid; uint32_t uid; int32_t status, pad; int64_t utime, stime; } child; /* of SIGCHLD */
		struct { int32_t timer_id, overrun; uint64_t value; } timer;
		struct { int64_t band; int32_t fd; } poll;
		uint8_t raw[112];
	};
};

#define SIG_BIT(n) (1ull << ((n) - 1))
/* Those whose codes tell of a fault; SIGCHLD and SIGIO have codes of their own, too. */
#define SIG_OF_FAULTS (SIG_BIT(SIGILL) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGSYS))
#define SIG_MAX 64

struct credentials { /* credentials.c */
	uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	uint64_t inheritable, permitted, effective, bounding, ambient; /* capabilities: bit n for capability n */
	uint32_t *groups; /* supplementary ones, in rising order */
	uint32_t group_count;
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
	struct process *process;
	void (*begin)(void *with); /* in libos, before it goes to its program; NULL: nothing */
	void *begin_with;
	struct space *space;        /* what mm_... works on for it; kept while it does not run */
	uint64_t set_child_tid;     /* address in the program: its tid goes there before it starts */
	enum thread_state state;
	int tid;
	uint64_t sp;                /* saved kernel stack pointer while not running */
	uint64_t stack_top;         /* of the kernel stack */
	struct regs *regs;          /* the program's registers: at stack_top - sizeof(struct regs) */
	uint64_t fs_base, gs_base;
	void *xsave;                /* vector state while not running: a page; the first thread has it since there was a second one */
	bool stepped;               /* entered libos by a patched call site with the trap flag set */
	bool last;                  /* of its process, which is over with it */
	bool restore_all;           /* go back by IRETQ: RCX and R11 count too (after traps, upcalls and rt_sigreturn) */
	/* waiting */
	struct timer timeout;
	bool timed_out, woken;
	/* threads */
	uint64_t clear_child_tid; /* address in the program: set to 0 and futex-woken at exit */
	uint64_t robust_list;
	uint64_t rseq;            /* address in the program of its struct rseq; 0: none */
	uint32_t rseq_signature;
	bool rseq_left;           /* others may have run since it was in the program last */
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
	/* Files that were sent and that nobody took, which this thread closes; net/unix_flight.c */
	struct flight *landed;
	bool closes_landed;
};

/* ---- process.c: what the threads of a process have in common. The first one is the VM's program: it is always there, and the VM ends with it. ---- */
struct space;
struct fd_table;
struct whereabouts;

struct posix_timer {
	struct posix_timer *next;
	struct process *process;
	struct timer timer; /* monotonic */
	int id;             /* 0: of setitimer */
	int clock;
	int counts;         /* the clock by which it goes, as it is armed */
	uint64_t expires;   /* on that; 0: disarmed */
	uint64_t interval;
	int notify, signo, tid;
	uint64_t value;
	int overrun;        /* of the signal that was taken last */
};

struct signals { /* signal.c */
	struct sigaction_k action[SIG_MAX + 1];
	uint64_t pending;
	struct sig_entry *queue; /* oldest first */
	bool stopped;            /* until SIGCONT */
	struct waitq stop_queue;
};

struct exec_layout { /* addresses in the program, as Linux tells them in /proc/self/stat */
	uint64_t code_start, code_end, data_start, data_end;
	uint64_t stack; /* at its first instruction */
	/* The strings of argv and envp, end to end; programs write their titles over them. */
	uint64_t args_start, args_end, env_start, env_end;
	uint64_t auxv_start, auxv_end;
};

struct process_io { /* bytes and calls of read(2), write(2) and their like, for /proc */
	uint64_t read, written, reads, writes;
};

struct process {
	struct process *next; /* of all */
	uint32_t refs;        /* one while it can be found, one for each pidfd and for who waits in vfork */
	struct process *parent; /* NULL: of the first */
	int exit_signal;
	bool ending;          /* its threads end when they come by; exit_status says with what */
	bool dead;            /* they have; its parent has not asked yet */
	bool adopted;         /* by the first program, which is not troubled with it: nobody will ask */
	bool executed;        /* another program since it was made: its parent moves it to no other group any more */
	bool holds_parent;    /* until it executes another program or ends: made by vfork */
	int stop_report, continue_report; /* what wait(2) has to tell: the signal that stopped it, SIGCONT; 0: nothing */
	struct thread *alone; /* executes a program: all others end; NULL: nobody does */
	struct waitq children_changed, changed; /* woken: for who waits for its children; for who waits for it (vfork, exec, pidfd) */
	uint64_t children_ns; /* processor time of the children that were waited for, and theirs */
	int pid;              /* its first thread's tid */
	int group, session;   /* the pids of those who made them */
	int thread_count;     /* that have not ended */
	int exit_status;      /* wait status: of its first thread, which is the process' if it ends thread by thread */
	uint64_t ended_threads_ns;
	struct process_io io;
	/* What it may share with others. */
	struct space *space;
	struct fd_table *files;
	struct whereabouts *where;
	struct signals signals;
	struct posix_timer *timers; /* of timer_create */
	int timer_count, last_timer;
	struct posix_timer interval_timers[3]; /* by ITIMER_... */
	struct credentials credentials;
	bool keep_capabilities;
	struct rlimit64 limits[RLIM_NLIMITS];
	struct timer cpu_watch; /* RLIMIT_CPU */
	/* exec.c */
	struct exec_layout layout;
	char path[512];
	struct inode *program; /* its file, which nobody may write meanwhile; a reference */
	char name[16];        /* of its last thread, when that has ended */
	/* prctl(2) and others */
	uint32_t personality;
	int death_signal, oom_score_adj;
	bool subreaper, undumpable, no_huge_pages, no_new_privs;
	uint64_t timer_slack;
};
extern struct process *processes; /* all; the first program's is the last in the list */

void process_start_first(void); /* of the thread that boots */
#define DEFAULT_TIMER_SLACK 50000 /* ns, as Linux has it */
struct process *process_find(int pid);
struct process *process_first(void);
bool process_runs(const struct inode *inode); /* is that the program of any? */
bool process_group_exists(int group); /* is there a process in it? */
/* A copy of the running one without threads, in the list, with these parts of it shared (CLONE_VM, CLONE_FILES, CLONE_FS). NULL: no memory. */
struct process *process_copy(uint64_t clone_flags);
void process_get(struct process *process);
void process_put(struct process *process);
void process_abandon(struct process *process); /* as process_copy made it: it got no thread */
/*
 * One that nobody has made: root's, in a session of its own, without descriptors, reaped by libos. Its thread begins in this function, which executes a
 * program, or ends it. Its pid; without memory 0.
 */
int process_start(void (*begin)(void *with), void *with);
/* Ends a process, perhaps the running one, whose thread goes on as far as its way back to the program. The first one's end is the VM's. */
void process_end(struct process *process, int wait_status);
/* Memory is used up, and the first program needs some: takes that of the largest other process, which ends. False: there is none, or it is not the first. */
bool process_make_room(void);
void process_finish(void);       /* by the last thread, which then only leaves: all is given back, the parent is told */
void process_release_parent(struct process *process); /* who waits in vfork goes on */
bool thread_must_end(const struct thread *thread);
void process_reap(struct process *child); /* it was waited for */
/* child_wait.c */
void process_tell_parent(struct process *child, int code, int status); /* CLD_... */
void process_stop(int signo);    /* the running one */
void process_continue(struct process *process);
/* Are all of this group where no shell can wake them: has none of them a parent in another group of its session? */
bool process_group_is_orphaned(int group);
long wait_for_child(int kind, int id, int options, struct siginfo_k *info, int *status, struct rusage *usage); /* as waitid; the pid */
/* pidfd.c */
int pidfd_new(struct process *process, uint32_t flags); /* a descriptor, or -errno */
struct process *pidfd_process(int fd); /* borrowed; NULL: it is none */
int pidfd_or_directory(int fd, struct process **process); /* also of a directory /proc/PID that is open: 0, -ESRCH or -EBADF */


void timers_start(struct process *process); /* posix_timer.c: none is armed */
void limits_start(struct process *process); /* sys_limits.c: Linux' own */
void credentials_execute(uint32_t euid, uint32_t egid); /* execve of a program that runs with these */
void credentials_start(struct process *process); /* credentials.c: as the configuration says */
void credentials_root(struct process *process); /* all rights */

extern struct thread *threads; /* the list of all */
extern int thread_count; /* of all processes */

void sched_init(void);
/* A new thread of the program that starts with these registers; runnable. NULL: out of memory. */
/* A new thread of the process (the running one, or a copy) that starts with these registers; runnable. */
struct thread *thread_new(struct process *process, const struct regs *regs, uint64_t fs_base);
void thread_exit(void) __attribute__((noreturn)); /* the calling thread only */
int tid_new(void); /* 0: all are in use */
struct thread *thread_find(int tid);
void threads_tell(void);    /* tells the monitor of all threads, which it has asked for (lv_shared.ask_threads) */
void thread_reap(void); /* frees the thread that ended last, if nobody runs on its stack any more */
/* Ends the running process: exit_group, or death by signal. */
void process_exit(int wait_status) __attribute__((noreturn));
void process_exit_first(void (*hook)(void)); /* called by process_exit before the VM ends; one */

/* signal.c. Called on every way back to the program when something may be pending: builds a handler frame, or ends the process. */
void signal_deliver(struct regs *regs);
/* rseq.c: the program goes on at the abort address of the section that it is in, if it is in one. May send it a SIGSEGV. */
bool rseq_restart(struct regs *regs);
/* To one thread. Wakes it if it waits. Info NULL: as kill(2). */
void signal_send(struct thread *thread, int signo, const struct siginfo_k *info);
/* To a process: a thread that does not block it is chosen. */
void signal_send_process(struct process *process, int signo, const struct siginfo_k *info);
/* To all processes of a group: 0, -ESRCH if there is none. */
int signal_send_group(int group, int signo, const struct siginfo_k *info);
/* A fault of the program: as signal_send, but cannot be blocked or ignored. If nothing handles it: crash report with the trap's facts. */
void signal_fault(struct regs *regs, int signo, int code, uint64_t addr, uint64_t vector, uint64_t error, uint64_t cr2);
/* Signals that came from outside (lv_shared.signals). */
void signal_poll_outside(void);
/* Removes a waiting signal of the set (bit n-1: signal n) and gives its information: its number, or 0. */
int signal_take(uint64_t set, struct siginfo_k *info);
bool signal_can_act(const struct process *target); /* may the running process send it signals? */
uint64_t signal_pending_set(void); /* all that wait for the current thread, blocked or not */
extern struct waitq signal_queue;  /* of all processes; woken (EPOLLIN) when a signal was sent; of signalfd and sigtimedwait */
/* A mask for the time of one system call (ppoll, epoll_pwait ...): a handler that runs at its end runs with it. */
void signal_mask_temporarily(uint64_t mask);
int signal_mask_from(uaddr_t from, size_t size); /* the same, from the program's memory; 0: none. 0, -EINVAL or -EFAULT */
void signal_thread_exit(struct thread *thread);
void signal_process_ends(struct process *process); /* what it never took goes */
/* crash.c: notes which file lies at a call site, so that it can be named while the program runs. */
void crash_name_site(uint64_t rip);
/* Fills the crash record from these registers and ends the VM. */
void crash_program(const struct regs *regs, int signo, uint64_t vector, uint64_t error, uint64_t cr2) __attribute__((noreturn));

/* Restart rules: a call that a signal interrupted returns this; signal_deliver turns it into EINTR or a restart (SA_RESTART). */
#define ERESTARTSYS 512
/* A result that signal_deliver must see even if another thread took the signal meanwhile. */
#define wants_restart(rax) (-(uint64_t)(rax) - ERESTARTSYS < 5)

/* process.c: the id of the running process, which is its first thread's id */
int process_id(void);
uint64_t process_limit(int resource); /* the soft limit RLIMIT_... */
/* sys_sched.c: a new thread has its parent's policy and nice, but for SCHED_RESET_ON_FORK */
void scheduling_inherit(struct thread *child, const struct thread *parent);

/* futex.c */
void futex_thread_exit(struct thread *thread); /* robust list, clear_child_tid */
void futex_program_exit(struct thread *thread); /* the same at execve: the thread goes on */
long futex_wake_addr(uint64_t addr, int most);

/* ---- user_time.c ---- */
/* A timespec of the program as ns: 0, -EFAULT, or -EINVAL if it is not normalised or negative. Far times are clamped. */
int user_read_time(const void *user, uint64_t *ns);
int user_write_time(void *user, uint64_t ns);
struct timespec time_from_ns(uint64_t ns);
/* Adds without wrapping; never 0, which means "no deadline". */
uint64_t deadline_after(uint64_t start, uint64_t ns);
enum lv_clock clock_of(int clock); /* which of the VM's clocks CLOCK_... is, of those that do not count processor time */
struct deadline deadline_at(int clock, uint64_t ns); /* when CLOCK_... shows ns */
struct deadline deadline_from_now(int clock, uint64_t ns);
int clock_for_spans(int clock); /* by which that goes: a time from now does not change when CLOCK_REALTIME is set */

/* ---- sys_time.c ---- */
/* The time on a clock of clock_gettime(2): 0 or -EINVAL. */
int clock_read(int clock, uint64_t *ns);
bool clock_has_timers(int clock); /* of the clocks that can be read: false for those that no timer and no sleep may count by */
bool clock_counts_cpu(int clock);
uint64_t thread_cpu_ns(const struct thread *thread);
uint64_t process_cpu_ns(const struct process *process);
uint64_t processes_cpu_ns(void); /* of all, those that ended too */
void cpu_time_thread_ends(const struct thread *thread);
void cpu_time_process_ends(const struct process *process); /* it leaves the list */

/* ---- signal.c ---- */
#define SIG_QUEUE_MAX 4096 /* infos that wait: RLIMIT_SIGPENDING at the start */
/* Restart rules beside ERESTARTSYS: the kernel's numbers. */
#define ERESTARTNOINTR 513        /* always restarts */
#define ERESTARTNOHAND 514        /* EINTR if a handler ran, else restarts */
#define ERESTART_RESTARTBLOCK 516 /* the same */

bool signal_is_deaf(int signo); /* the current thread blocks it, or its process ignores it */
struct sig_entry { /* a signal that waits */
	struct sig_entry *next;
	struct siginfo_k info;
};
uint32_t signal_queued(void); /* infos that wait now, of all threads */
/* As signal_send, or with thread NULL signal_send_process, but says -EAGAIN when the queue of a real-time signal is full. */
int signal_post(struct process *process, struct thread *thread, int signo, const struct siginfo_k *info);
struct sigaction_k signal_action_get(int signo);
void signal_action_set(int signo, const struct sigaction_k *action);
void signal_block(uint64_t mask); /* the new mask of the current thread */
/* The queued signal of a POSIX timer that was not taken yet, or NULL. */
struct sig_entry *signal_find_timer(const struct process *process, int timer_id);

/* ---- sigframe.c ---- */
/* Makes the program enter the handler when it goes on; mask is what rt_sigreturn restores. False: its stack is unusable. */
bool sigframe_push(struct regs *regs, const struct sigaction_k *action, const struct siginfo_k *info, uint64_t mask);
int altstack_set(const stack_t *stack); /* 0, -EPERM, -EINVAL, -ENOMEM */
stack_t altstack_get(uint64_t sp);

/* ---- posix_timer.c ---- */
void posix_timer_delivered(struct siginfo_k *info); /* a signal of SI_TIMER was taken: fills its overrun count */

/* ---- credentials.c: the user and the rights of the process ---- */
const struct credentials *credentials(void);
/*
 * For what libos does with files on its own behalf, whoever runs: root's rights until they are put back, which has to happen before anything waits. What
 * the process had.
 */
struct credentials credentials_of_libos(void);
void credentials_put_back(const struct credentials *had);
/* Do all ids of the process agree with the running one's real ones? Then it may look into it, and change its limits. */
bool has_user_of(const struct process *process);
bool process_lets_look(const struct process *process); /* may the running one look into its memory, as ptrace(2) does? */
bool process_lets_read(const struct process *process); /* the same of its files in /proc, with the rights that the running one has for files */
bool capable(int capability);     /* CAP_...: is it in the effective set? */
bool in_group(uint32_t gid);      /* as files see it: the group of the file system, or a supplementary one */
long capability_prctl(const long *a); /* the options of prctl(2) that are about capabilities */

/* ---- sys_misc.c ---- */
#define LV_UNAME_RELEASE "6.1.0-lightvm"
#define LV_UNAME_VERSION "#1 LightVM library OS"
const char *process_hostname(void);
bool process_no_new_privs(void); /* programs get no rights of their files' (set-id bits) */

/* ---- sys_limits.c ---- */
uint64_t process_limit_hard(int resource);

/* exec.c: loads the program that the device page names, builds its stack; *entry and *stack are for the first return to level 3. Panics never: -errno and a text. */
const char *exec_path(void); /* the program's absolute path, for /proc/self/exe */
const struct exec_layout *exec_layout(void);
int exec_load(uint64_t *entry, uint64_t *stack, const char **why);
#define EXEC_PATH_MAX 1024
struct exec_request { /* of execve(2), in libos' memory */
	char path[EXEC_PATH_MAX];
	struct file *file; /* the program, open; taken */
	char *args;        /* strings of argv and envp, end to end */
	size_t args_size, room;
	uint32_t argc, envc;
};
/*
 * Loads another program into an address space of its own. When nothing can fail any more commit is called, which makes it that of the
 * process; it fails with -EINTR if the process is to end. 0, or -errno: the old program goes on.
 */
int process_execute(struct exec_request *request); /* the running process goes on with that, at its way back; the request is used up. 0 or -errno */
int exec_replace(struct exec_request *request, uint64_t *entry, uint64_t *stack, int (*commit)(struct space *new));
void signals_execute(void);  /* signal.c, posix_timer.c: what does not outlive an execve */
void timers_end(struct process *process, bool all); /* those of timer_create; with all, of setitimer, too */
void vectors_reset(void);    /* sigframe.c: as at the start of a program */

#endif
