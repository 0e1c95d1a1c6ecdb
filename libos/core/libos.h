/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of libos offer each other. One vCPU, no interrupts: code in here is never preempted, it gives up the
 * processor only in wait_on() and what calls it. So there are no locks; state may change across any call that can wait.
 * Compiled freestanding without SSE: the program's vector registers are live while libos runs.
 */
#ifndef LV_LIBOS_H
#define LV_LIBOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/device_page.h"
#include "abi/layout.h"
#include "abi/shared.h"

#ifdef LV_UNIT_TEST /* host-compiled tests bring their own pages */
extern struct lv_device_page test_device_page;
extern struct lv_shared test_shared_page;
#define device_page ((const struct lv_device_page *)&test_device_page)
#define shared_page ((volatile struct lv_shared *)&test_shared_page)
#else
#define device_page ((const struct lv_device_page *)LV_DEVICE)
#define shared_page ((volatile struct lv_shared *)LV_SHARED)
#endif

#if !__STDC_HOSTED__
/* Nothing of libos is ever looked up by a dynamic linker: its own symbols are reached directly. */
#pragma GCC visibility push(hidden)
#endif

#include "libos/core/user.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((uint64_t)(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((uint64_t)(a) - 1))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
/* Zeroed data that short programs never touch: away from what they all do (libos.ld). */
#define SELDOM_USED __attribute__((section(".bss..seldom")))
#define NS_PER_S 1000000000ull

/* ---- lib.c: what a freestanding program lacks ---- */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
/* %s %.*s %c %d %u %x %p %% with l, ll, z, 0 and width; returns what the whole text needs, as snprintf does. */
int snprintf(char *buffer, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buffer, size_t size, const char *format, __builtin_va_list args);

/* ---- panic.c ---- */
/* Ends the VM with a crash report that blames libos. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define ASSERT(x) ((x) ? (void)0 : panic("%s:%d: %s", __FILE__, __LINE__, #x))

/* ---- time.c ---- */
uint64_t clock_monotonic(void); /* ns */
uint64_t clock_realtime(void);  /* ns since the epoch */
void clock_set(int64_t ahead);  /* puts that ahead by so many ns, for this VM; what waits for a time on it is told */
uint64_t clock_show(enum lv_clock clock); /* ns on any of the VM's clocks */
uint64_t clock_uptime(void);    /* ns since the VM got its configuration, the time that it stood still included */
struct timer {
	struct timer *next; /* in the sorted list; managed by timer_set and timer_cancel */
	bool armed;
	enum lv_clock clock;
	uint64_t at;       /* ns on the clock */
	uint64_t deadline; /* the same, monotonic, as the clocks are set now */
	void (*fire)(struct timer *timer); /* called by the scheduler, must not wait */
};
void timer_set(struct timer *timer, uint64_t deadline); /* monotonic; moves it if it is armed */
void timer_set_on(struct timer *timer, enum lv_clock clock, uint64_t at);
void timer_cancel(struct timer *timer);                /* no-op if it is not armed */
void timers_run(void);      /* fires what is due; the scheduler calls it */
uint64_t timers_next(void); /* deadline of the first timer, 0: none */

/* ---- sched.c: threads, waiting, the idle loop ---- */
struct waiter { /* one interest in a wait queue; on the waiter's stack or in its object */
	struct waiter *next, *prev;
	struct waitq *queue; /* NULL: not queued */
	/* Called when the queue is woken, with what it was woken with; must not wait. Returns true if this counts as one wake-up of wake_one. */
	bool (*wake)(struct waiter *waiter, uint32_t events);
	struct thread *thread;
};
struct waitq {
	struct waiter *first, *last; /* all zero is a valid, empty queue */
};
void waitq_add(struct waitq *queue, struct waiter *waiter);
void waitq_remove(struct waiter *waiter); /* no-op if not queued */
/* Wake with poll events (EPOLLIN ...); 0 means "look again". */
int wake_many(struct waitq *queue, int most, uint32_t events); /* number woken */
#define wake_all(queue, events) wake_many(queue, 0x7fffffff, events)
#define wake_one(queue, events) wake_many(queue, 1, events)
/*
 * Sleeps until the queue is woken, the monotonic deadline (0: none) has passed, or a signal must be handled:
 * 0, -ETIMEDOUT or -EINTR. The caller looks at its condition again: while (!ready) { r = wait_on(..); if (r) return r; }
 */
int wait_on(struct waitq *queue, uint64_t deadline);
/* Sleeps until the queue is woken, or something else wakes the thread: signals wait. For what a device has, and must give back before anything else. */
void wait_deaf(struct waitq *queue);
/* Sleeps until thread_wake(thread), deadline or signal; for those that sit in several queues at once (poll). */
int wait_here(uint64_t deadline);
struct deadline { /* a time on any clock; at 0: none */
	enum lv_clock clock;
	uint64_t at;
};
int wait_till(struct deadline deadline); /* as wait_here */
extern struct waitq clocks_set; /* time.c; woken when the clocks were set: the VM stood still */
void thread_wake(struct thread *thread);
/* Who waits now expects an answer until then (monotonic): if nobody else can run, the vCPU looks for it instead of leaving to the monitor. */
void sched_expect(uint64_t until);
void sched_yield_now(void);
/* For proc/thread.c: a new thread may run; the current one never will again. */
void sched_add(struct thread *thread);
void sched_leave(void) __attribute__((noreturn));
/*
 * The vector registers of the program, which libos does not use, to and from a page (aligned to 64, its XSAVE header zero or saved before).
 * Of the device page's components alone: XCR0 may have more, since page-table KVM leaves the host's in place, and all of a processor
 * with AMX are 11 KiB.
 */
static inline void vectors_save(void *area)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)device_page->xcr0), "d"((uint32_t)(device_page->xcr0 >> 32)) : "memory");
}
static inline void vectors_load(const void *area)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)device_page->xcr0), "d"((uint32_t)(device_page->xcr0 >> 32)) : "memory");
}
/* Drivers that must look at their rings when the vCPU enters the scheduler; poll returns true if it did something. */
struct poller {
	struct poller *next;
	bool (*poll)(struct poller *poller);
	uint64_t (*deadline)(struct poller *poller); /* monotonic ns at which poll wants to be called again; 0: never; may be NULL */
};
void poller_add(struct poller *poller);
bool pollers_run(void); /* once round; true if anything was done */

/* ---- proc/proc.h has struct thread; here is what everybody needs of it ---- */
extern struct thread *current;
int current_tid(void);
bool signal_pending(void); /* a signal that is not blocked waits for the current thread */

/* ---- entry.S ---- */
/* The program's registers at a system call, trap or upcall: entry.S builds it at the top of the thread's kernel stack. */
struct regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t orig_rax; /* system call number, or -1: trap or upcall */
	uint64_t rip, cs, rflags, rsp, ss; /* in the order of IRETQ */
};
extern uint64_t kstack_top; /* of the running thread's kernel stack, which begins with its struct regs */
extern char boot_stack_top[];
void thread_start(void);         /* where the first switch to a new thread returns to: RSP is 8 below its struct regs */
void syscall_entry_direct(void); /* where a patched call site comes in */
void cpuid_entry(void);          /* and a patched CPUID */

/* ---- hypercall.c ---- */
void bell_ring(unsigned bell); /* a doorbell: LV_BELL + bell */
int64_t hypercall(enum lv_hypercall number, uint64_t a0);
void ledger_mark(enum lv_ledger_slot slot); /* keeps the first */
void ledger_listens(uint16_t port);         /* the same, and tells who waits outside */
void vm_exit(int wait_status) __attribute__((noreturn));

/* ---- generation.c: a VM that was restored or cloned is another one ---- */
struct generation_hook {
	struct generation_hook *next;
	void (*changed)(void); /* makes anew what must differ between twins; must not wait */
};
void generation_add(struct generation_hook *hook);
void generation_look(void); /* calls them if the device page has another generation than at the last look; cheap */

/* ---- random.c ---- */
void random_bytes(void *buffer, size_t n); /* ChaCha20, keyed from the device page */
size_t random_put(uaddr_t to, size_t n);    /* the same into a buffer (buffer_put): bytes written */
/* One block of the cipher: counter_nonce is words 12 to 15 of its input. For the tests. */
void chacha20_block(const uint32_t key[8], const uint32_t counter_nonce[4], uint32_t out[16]);

/* ---- system calls: each takes its six arguments and answers as Linux does, -errno for errors ---- */
#define SYSCALL(name)                   \
	long sys_##name(const long *a); \
	long sys_##name(const long *a)

#endif
