/* SPDX-License-Identifier: Apache-2.0 */
/* The shared page: hypercalls, wake-ups, upcalls, the guest's part of the boot ledger. Both sides write, grouped by writer. */
#ifndef LV_ABI_SHARED_H
#define LV_ABI_SHARED_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* A hypercall: fill lv_shared.arg, then write its number (32 bits) to LV_BELL + LV_BELL_HYPERCALL; the answer is in lv_shared.result. */
#define LV_BELL_HYPERCALL 0x800
enum lv_hypercall {
	LV_HC_WAIT = 1,  /* arg[0]: deadline on the monotonic clock in ns, or 0 for none. Returns at once if need_wake is 0.
	                    arg[1]: doorbells to ring first, bit n for LV_BELL + 4 * n. */
	LV_HC_EXIT = 2,  /* arg[0]: a wait status as of waitpid(2): code << 8, or signal. Output is drained first. Does not return. */
	LV_HC_CRASH = 3, /* as EXIT, with struct lv_shared.crash filled: the VM ends with a report */
	LV_HC_GROW = 4,  /* arg[0]: bytes wanted beyond ram_size; result: 0 or -ENOMEM; device page ram_size is updated */
	LV_HC_RELEASE = 5, /* arg[0] ranges of RAM in lv_shared.release: their contents are no longer needed. Result 0: all of them read as zero
	                      afterwards, also where RAM was restored from a file; negative: some may hold their old bytes still. */
	LV_HC_FETCH = 7, /* arg[0]: RAM, arg[2]: bytes (pages, at most LV_FETCH_MAX): will be written soon, so the host should have them there.
	                    arg[1]: where in the image to copy them from, or 0: as they are. One exit instead of a fault per page. */
	LV_HC_READY = 8, /* libos has booted. Result 0, when the device page says what the VM is; -EALREADY: it has said so before */
	LV_HC_THREADS = 9, /* answers lv_shared.ask_threads. arg[0]: an array of struct lv_thread, arg[1]: how many are in it (LV_THREADS_MAX at most),
	                      arg[2]: how many there are */
	LV_HC_TEMPLATE = 10, /* arg[0]: 1: the program has come as far as it is to be copied, and waits for that; 0: it waits no more */
	LV_HC_REQUEST = 11, /* what a copy is to do, as its configuration says: "arg=...", "env=NAME=VALUE", "cwd=...", each ended by a zero byte, in their order.
	                       arg[0]: RAM, arg[1]: bytes of room there. Result: how many bytes it is, of which those were written for which there is room */
	LV_HC_TOUCHED = 12, /* of libos' touch_entry, which only the monitor enters: all pages are read. Does not return */
	LV_HC_USED = 13,    /* of the image, where the device page asks for it (abi/used_files.h): arg[0]: the inode's number, arg[1]: LV_USED_*. Result 0 */
	LV_HC_LACKS = 14,   /* likewise, a path that was looked for and is not there, or, with a slash behind it, a directory that was listed. arg[0]: RAM, arg[1]: its bytes, none of them zero. Result 0 or -EINVAL */
	LV_HC_AGENT = 15, /* a line to who asks for something (LV_CTL_AGENT). arg[0]: LV_LINE_* | line << 8, arg[1]: RAM, arg[2]: bytes. Result: a line, bytes,
	                     0 at the end of what comes, -EAGAIN: not now, lv_shared.lines will say when; -EBADF: there is no such line */
	LV_HC_LISTEN = 6,  /* arg[0]: TCP port on which the program listens, the first one; the ledger has the step by then */
};

#define LV_FETCH_MAX (2ull << 20)

#define LV_AGENT_LINES 8
#define LV_LINE_NEW 0u   /* the next one that nobody has taken */
#define LV_LINE_READ 1u
#define LV_LINE_WRITE 2u
#define LV_LINE_CLOSE 3u
#define LV_LINE_COMES (1u << 31) /* in lv_shared.lines: there is a new one */
#define LV_LINE_MOST 65536 /* bytes at once */

#define LV_LEDGER_SLOTS 8
enum lv_ledger_slot { /* index into lv_shared.ledger */
	LV_LEDGER_LIBOS = 0, /* first instruction of libos */
	LV_LEDGER_READY = 1, /* libos initialised */
	LV_LEDGER_PROGRAM = 2, /* program entry (of its dynamic linker, if it has one) */
	LV_LEDGER_LISTEN = 3, /* first listen(2) */
	LV_LEDGER_EXIT = 4,
	LV_LEDGER_BOOTED = 5, /* libos waits for its configuration */
};

struct lv_ledger_mark {
	uint64_t tsc; /* 0: not reached */
	uint64_t exits; /* lv_shared.exits at that time */
};

#define LV_MISSING_SLOTS 32
struct lv_missing { /* a system call that libos does not have */
	uint32_t nr;
	uint32_t count;
};

#define LV_CALL_SITES 32
struct lv_call_site { /* where system calls trapped */
	uint64_t rip;   /* behind the instruction */
	uint32_t nr;
	uint32_t count; /* of calls with this number; 0: an empty slot */
};
struct lv_calls { /* the program's system calls */
	uint64_t made;
	uint64_t trapped; /* of them: by an instruction that has not become a jump */
	uint32_t most;    /* of those in one second */
	uint32_t bells;   /* doorbells that libos rang, modulo 2^32: beside calls, what is dear. Those that WAIT takes along are not among them */
	/* Those that trap most. One that comes new takes the slot, and the count, of the least: more than 1/32 of all is always seen, counts may be as much too high. */
	struct lv_call_site site[LV_CALL_SITES];
};
static_assert(sizeof(struct lv_calls) == 24 + LV_CALL_SITES * 16, "system calls layout");

#define LV_THREADS_MAX 127
struct lv_thread { /* of the program */
	int32_t tid;
	uint32_t state;  /* 'R': it runs or could, 'S': it waits */
	uint64_t cpu_ns; /* processor time that it has had */
	char name[16];   /* as prctl(2) sets it; terminated unless it is full */
};
static_assert(sizeof(struct lv_thread) == 32, "thread layout");

#define LV_RELEASE_SLOTS 32
struct lv_range {
	uint64_t gpa, len; /* page-aligned */
};

struct lv_text_map {
	uint64_t start, end; /* where the file's text is mapped */
	uint64_t file_offset;
	char path[104];
};

struct lv_crash {
	uint32_t kind;   /* LV_CRASH_* */
	uint32_t signal; /* what a process would have died of */
	uint64_t vector, error, cr2;
	/* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 rip rflags */
	uint64_t reg[18];
	uint32_t frames; /* used entries of stack: return addresses, innermost first */
	uint32_t maps;   /* used entries of map */
	uint64_t stack[24];
	struct lv_text_map map[8]; /* while the program runs: of call sites that trap often (lv_calls) */
	char message[128]; /* of an assertion or panic of libos */
};
#define LV_CRASH_PROGRAM 1u /* a fault that the program did not handle */
#define LV_CRASH_LIBOS 2u   /* libos found itself broken */

/* What CPUID answers here, so that libos can answer it without an exit (libos/core/answer_cpuid.c). */
#define LV_CPUID_LEAVES 38
#define LV_CPUID_ANY 0xffffffffu /* index: the leaf has none */
#define LV_CPUID_PAGES 8
struct lv_cpuid_leaf {
	uint32_t function, index;
	uint32_t eax, ebx, ecx, edx;
};

struct lv_shared {
	/* guest writes */
	uint32_t need_wake; /* 1: the guest is about to WAIT or waits; the monitor wakes it when it publishes a used entry */
	uint32_t want_preempt; /* 1: other threads could run: interrupt the program at the next tick */
	uint64_t next_event_ns; /* monotonic time at which the program must be interrupted even if it computes; 0: never */
	uint64_t arg[4];
	struct lv_ledger_mark ledger[LV_LEDGER_SLOTS];
	uint64_t memory_used; /* bytes of RAM that libos has given out */
	struct lv_missing missing[LV_MISSING_SLOTS];
	struct lv_range release[LV_RELEASE_SLOTS];
	/* monitor writes */
	int64_t result; /* of the last hypercall */
	uint64_t exits; /* to the monitor so far */
	uint32_t resched; /* 1: look for events before going back to the program, and set it to 0: the sign that libos is alive */
	uint32_t signals; /* bit n-1: signal n was sent from outside; the guest takes them with an atomic exchange */
	struct { uint64_t rip, rflags, rsp; } upcall; /* the program's state when libos is entered at upcall_entry */
	/* guest writes */
	struct lv_crash crash;
	uint32_t files_full; /* writes that were refused since there was no memory for more files */
	/* monitor writes 1, the guest takes it back: its threads are asked for (LV_HC_THREADS), with resched set */
	uint32_t ask_threads;
	struct lv_calls calls; /* guest writes */
	/* monitor: bit n: line n may have bytes, or room, again, or LV_LINE_COMES, with resched set; the guest takes them with an atomic exchange */
	uint32_t lines;
	uint32_t cpuid_leaves; /* monitor, before the first instruction: how many of these there are */
	struct lv_cpuid_leaf cpuid[LV_CPUID_LEAVES];
	/* Guest addresses of pages of the image in which an earlier start of it found CPUID to be; zero: none. The monitor writes them before it says LV_HC_READY has come back. */
	uint64_t cpuid_page[LV_CPUID_PAGES];
	uint32_t frames_copied; /* guest: of the network's frames, those that libos did not leave where they were; modulo 2^32 */
	uint32_t reserved;
};
static_assert(sizeof(struct lv_crash) == 1528, "crash record layout");
static_assert(sizeof(struct lv_shared) <= 4096, "the shared page is one page");
static_assert(offsetof(struct lv_shared, ledger) == 48, "shared page layout");

#endif
