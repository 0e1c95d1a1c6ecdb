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

/* ---- libos/mm/page.c: physical pages, by their identity-mapped address ---- */
/* 2^order pages, aligned to their size, order <= 9; NULL when RAM is used up (after asking the monitor for more). */
void *page_alloc(unsigned order);       /* contents undefined */
void *page_alloc_zeroed(unsigned order);
void page_free(void *page, unsigned order);
uint64_t page_free_bytes(void);         /* of ram_limit, not yet given out */
uint64_t page_total_bytes(void);
bool page_release_idle(void); /* hands much free memory back to the host; true if it did */

/* ---- libos/mm/slab.c: small objects; kmalloc of more than 2 KiB takes whole pages ---- */
void *kmalloc(size_t size); /* NULL when out of memory; 16-byte aligned */
void *kzalloc(size_t size);
void *krealloc(void *p, size_t size);
void kfree(void *p); /* NULL is allowed */
char *kstrdup(const char *s);

/* ---- time.c ---- */
uint64_t clock_monotonic(void); /* ns */
uint64_t clock_realtime(void);  /* ns since the epoch */
struct timer {
	struct timer *next; /* in the sorted list; managed by timer_set and timer_cancel */
	bool armed;
	uint64_t deadline; /* monotonic ns */
	void (*fire)(struct timer *timer); /* called by the scheduler, must not wait */
};
void timer_set(struct timer *timer, uint64_t deadline); /* moves it if it is armed */
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
/* Sleeps until thread_wake(thread), deadline or signal; for those that sit in several queues at once (poll). */
int wait_here(uint64_t deadline);
void thread_wake(struct thread *thread);
void sched_yield_now(void);
/* Drivers that must look at their rings when the vCPU enters the scheduler; poll returns true if it did something. */
struct poller {
	struct poller *next;
	bool (*poll)(struct poller *poller);
	uint64_t (*deadline)(struct poller *poller); /* monotonic ns at which poll wants to be called again; 0: never; may be NULL */
};
void poller_add(struct poller *poller);
bool pollers_run(void); /* once round; true if anything was done */

/* ---- libos/proc/thread.h has struct thread; here is what everybody needs of it ---- */
extern struct thread *current;
int current_tid(void);
bool signal_pending(void); /* a signal that is not blocked waits for the current thread */

/* ---- hypercall.c ---- */
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

/* ---- libos/dev/console.c ---- */
void console_init(void); /* descriptors 0, 1 and 2 */
void console_note(const char *text); /* a line of libos' own to the program's standard error */
struct file *console_file(int number); /* 0, 1 or 2; NULL if there is no console */

/* ---- random.c ---- */
void random_bytes(void *buffer, size_t n); /* ChaCha20, keyed from the device page */
size_t random_put(uaddr_t to, size_t n);    /* the same into a buffer (buffer_put): bytes written */
/* One block of the cipher: counter_nonce is words 12 to 15 of its input. For the tests. */
void chacha20_block(const uint32_t key[8], const uint32_t counter_nonce[4], uint32_t out[16]);

/* ---- libos/dev/block.c ---- */
void block_init(void); /* /dev/vda ... */

/* ---- libos/dev/ring.c: the driver's side of a virtqueue ---- */
struct ring_buffer {
	void *data; /* identity-mapped memory of libos */
	uint32_t len;
	bool device_writes;
};
struct ring {
	const struct lv_device *device;
	const struct lv_queue *queue;
	uint16_t free_head, free_count, last_used, size;
	uint16_t fresh; /* descriptors from here on were never used */
	bool broken;    /* the ring holds what neither we nor the device can have put there */
	void *cookie[256]; /* by head descriptor; NULL: not in the device's hands */
};
void ring_init(struct ring *ring, const struct lv_device *device, unsigned queue);
/*
 * True when the ring is of no more use: the device found a rule broken, or we did (the program can write to rings as
 * libos can). Then nothing is added, nothing comes back, and what the device had is lost; pollers wake those who wait.
 */
bool ring_broken(const struct ring *ring);
/* Puts a chain into the ring; -ENOSPC if there is no room, -EIO if it is broken. Does not ring the doorbell. cookie: not NULL */
int ring_add(struct ring *ring, const struct ring_buffer *buffers, unsigned count, void *cookie);
/*
 * Tells the device of new buffers, unless it asked for no doorbells: at once, or, cheaper, together with the next
 * WAIT (a doorbell costs a trip to the host). What is put off is never put off past the next event of the scheduler.
 */
void ring_kick(struct ring *ring);
void ring_kick_later(struct ring *ring);
void rings_flush(void); /* what ring_kick_later has put off, now */
bool ring_has_used(const struct ring *ring);
void *ring_get_used(struct ring *ring, uint32_t *len); /* the cookie, or NULL; *len: bytes the device wrote */

/* ---- system calls: each takes its six arguments and answers as Linux does, -errno for errors ---- */
#define SYSCALL(name)                   \
	long sys_##name(const long *a); \
	long sys_##name(const long *a)

#endif
