/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: PID 1 of a Linux guest listens on a vsock port; the command line connects and asks for one thing a connection.
 * Both sides send frames: a header, then size bytes. The client begins with HELLO and one request; the agent answers HELLO
 * and then as the request says. A side that breaks these rules is told so by ERROR and the connection ends. Little-endian.
 */
#ifndef LV_ABI_AGENT_H
#define LV_ABI_AGENT_H

#include <assert.h>
#include <stdint.h>

#define LV_AGENT_PORT 19542 /* vsock */
/*
 * The library OS has no process beside the program's own: a connection (LV_CTL_AGENT) begins with the agent itself, a static program that
 * libos starts for this one connection, as its descriptor 3, by root; what follows is as with a Linux guest.
 */
struct lv_agent_program {
	uint64_t magic; /* LV_AGENT_PROGRAM_MAGIC */
	uint64_t size;  /* bytes that follow; at most LV_AGENT_PROGRAM_MAX */
};
#define LV_AGENT_PROGRAM_MAGIC 0x314d41524750564cull /* "LVPGRAM1" */
#define LV_AGENT_PROGRAM_MAX (1u << 20)
#define LV_AGENT_MAGIC 0x4741564cu /* "LVAG" */
#define LV_AGENT_VERSION 1
#define LV_AGENT_REQUEST_MAX (4u << 20) /* bytes of an EXEC request */
#define LV_AGENT_DATA_MAX (32u << 10)   /* bytes of any other frame */
#define LV_AGENT_WINDOW (64u << 10)     /* stdin that may be on its way before the agent has granted more */

struct lv_agent_frame {
	uint32_t type; /* enum lv_agent_type */
	uint32_t size; /* of what follows */
};
static_assert(sizeof(struct lv_agent_frame) == 8, "agent frame layout");

enum lv_agent_type {
	LV_AGENT_HELLO = 1,      /* both: struct lv_agent_hello */
	/* requests */
	LV_AGENT_EXEC = 2,       /* a configuration (abi/guest_config.h); then STDOUT, STDERR, CREDIT and one EXIT come back */
	LV_AGENT_KILL = 3,       /* int32_t: a signal for the VM's program; OK. 0: only asks whether it runs */
	LV_AGENT_RESIZE = 4,     /* struct lv_agent_size: of the VM's terminal, or within EXEC of that one; OK to a request */
	LV_AGENT_RESOURCES = 5,  /* nothing; RESOURCES with struct lv_agent_resources comes back */
	LV_AGENT_PULL = 6,       /* a path, not terminated; OK, then a tree (base/tree.h) comes back */
	LV_AGENT_PUSH = 7,       /* struct lv_agent_push and a path; OK, then the client sends a tree; OK when it is there */
	LV_AGENT_PROCESSES = 8,  /* nothing; PROCESSES with struct lv_agent_processes comes back, as many bytes as are used. An agent that is older says
				  * ENOSYS */
	LV_AGENT_RENEW = 9,      /* struct lv_agent_renew: the VM stood still, or was restored; OK. An agent that is older says ENOSYS */
	LV_AGENT_LISTENS = 10,   /* uint16_t: a port of TCP; OK: somebody in the guest listens there; ERROR with EAGAIN: not yet. An agent that is older says ENOSYS */
	/* within EXEC, from the client */
	LV_AGENT_STDIN = 16,     /* bytes; none: end of file */
	LV_AGENT_SIGNAL = 17,    /* int32_t: for the process group that EXEC started */
	/* from the agent */
	LV_AGENT_OK = 32,        /* nothing */
	LV_AGENT_ERROR = 33,     /* struct lv_agent_error, text */
	LV_AGENT_STDOUT = 34, LV_AGENT_STDERR = 35, /* bytes */
	LV_AGENT_CREDIT = 36,    /* uint32_t: this many bytes of stdin were taken; as many more may be sent */
	LV_AGENT_EXIT = 37,      /* int32_t: wait status as of waitpid(2); the last frame */
};

struct lv_agent_hello {
	uint32_t magic, version;
};
struct lv_agent_size {
	uint16_t rows, columns;
};
#define LV_RENEW_IDENTITY 1u /* it is another VM than before: seed and hostname count */
struct lv_agent_renew {
	uint64_t realtime_ns; /* the wall clock is set to that */
	uint32_t flags;
	uint32_t reserved;
	uint8_t seed[32];     /* for the kernel's random numbers, which are drawn anew from it at once */
	char hostname[64];    /* terminated; empty: as before */
};
static_assert(sizeof(struct lv_agent_renew) == 112, "agent renew layout");
struct lv_agent_push {
	uint32_t flags; /* 0 */
	uint32_t name_size; /* what the top of the tree is called if path is a directory; it follows path in the frame */
};
struct lv_agent_error {
	int32_t error; /* errno as Linux has it */
};
struct lv_agent_resources {
	uint64_t uptime_ns;
	uint64_t memory_total, memory_free, memory_available, memory_cached; /* bytes */
	uint64_t cpu_busy_ns, cpu_idle_ns; /* of all processors together */
	uint32_t load[3];   /* averages over 1, 5, 15 minutes, times 100 */
	uint32_t processes, processors, reserved;
};
#define LV_AGENT_PROCESSES_MAX 340
struct lv_agent_process {
	int32_t pid, parent;
	uint32_t state;   /* a letter, as /proc/PID/stat has it */
	uint32_t threads;
	uint64_t cpu_ns, memory; /* processor time; bytes resident */
	char name[64]; /* the command line, or as much of it; terminated unless it is full; in brackets the name of one that has none */
};
struct lv_agent_processes { /* without the kernel's own */
	uint32_t total; /* how many there are */
	uint32_t count; /* how many are told */
	struct lv_agent_process process[LV_AGENT_PROCESSES_MAX];
};
#define LV_AGENT_PROCESSES_SIZE(count) (8 + (count) * sizeof(struct lv_agent_process))
static_assert(sizeof(struct lv_agent_process) == 96, "agent process layout");
static_assert(sizeof(struct lv_agent_processes) <= LV_AGENT_DATA_MAX, "what a frame holds");
static_assert(sizeof(struct lv_agent_resources) == 80, "agent resources layout");

#endif
