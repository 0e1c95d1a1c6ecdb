/* SPDX-License-Identifier: Apache-2.0 */
/* What devices offer to the other rooms: the console, disks, /dev, and the driver's side of a virtqueue. */
#ifndef LV_LIBOS_DEV_H
#define LV_LIBOS_DEV_H

#include "libos/core/libos.h"

struct file;
struct file_ops;
struct inode;

/* ---- console.c ---- */
void console_init(void); /* descriptors 0, 1 and 2 */
void console_note(const char *text); /* a line of libos' own to the program's standard error */
struct file *console_file(int number); /* 0, 1 or 2; NULL if there is no console */
struct tty *console_terminal(void); /* the console as a terminal of the VM's own; NULL: it is none */
void terminal_session_ended(int session); /* its leader has: nobody of it has a controlling terminal any more (tty_job.c) */
bool console_is_outer_terminal(void); /* the host's terminal, with the host's line discipline */

/* ---- agent_lines.c: who asks from outside, for files and for more programs ---- */
void agent_look(void); /* lv_shared.lines says that there is something to do */

/* ---- block.c ---- */
void block_init(void); /* /dev/vda ... */
struct block_facts { /* in sectors of 512 bytes */
	uint64_t sectors, reads, read_sectors, writes, written_sectors;
};
bool block_facts(int number, struct block_facts *facts); /* false: there is no such disk */

/* ---- ring.c: the driver's side of a virtqueue ---- */
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
	uint16_t told;  /* the available index of our last look whether the device wants a bell */
	uint16_t wish;  /* by_index: the used index after which we want to be told */
	bool broken;    /* the ring holds what neither we nor the device can have put there */
	bool by_index;  /* LV_DEVICE_EVENT_IDX */
	bool silent;    /* see ring_listen */
	bool is_put_off;
	struct ring *next_put_off;
	void **cookie;  /* by head descriptor; NULL: not in the device's hands */
};
#define RING_MOST 256 /* entries of any queue */
/* cookie: the driver's, zeroed, with as many places as the queue has entries: a page that only a longer queue needs is no idle VM's. */
void ring_init(struct ring *ring, const struct lv_device *device, unsigned queue, void **cookie, unsigned places);
/*
 * True when the ring is of no more use: the device found a rule broken, or we did (the program can write to rings as
 * libos can). Then nothing is added, nothing comes back, and what the device had is lost; pollers wake those who wait.
 */
bool ring_broken(const struct ring *ring);
/* Puts a chain into the ring; -ENOSPC if there is no room, -EIO if it is broken. Does not ring the doorbell. cookie: not NULL */
int ring_add(struct ring *ring, const struct ring_buffer *buffers, unsigned count, void *cookie);
/*
 * Tells the device of new buffers, unless it needs no doorbell, since it is at work or was told before: at once, or, cheaper, together with the next
 * WAIT (a doorbell costs a trip to the host). What is put off is never put off past the next event of the scheduler; whether a doorbell is needed is seen then.
 */
void ring_kick(struct ring *ring);
void ring_kick_later(struct ring *ring);
void rings_flush(void); /* what ring_kick_later has put off, now */
uint64_t rings_take_bells(void); /* the same, as the mask that WAIT takes; clears it */
bool rings_heard(void); /* the device whose bell was rung last has given something back since */
/* When it answers false the device knows that it has to wake us for the next one: by a wish that it has seen, if wishes are indices. */
bool ring_has_used(struct ring *ring);
/*
 * Of a ring with indices. Off: what comes back wakes nobody, whoever wants it looks. On: the device is to tell of the next one,
 * and the caller looks once more, since it may have come before. Every ring is on at first.
 */
void ring_listen(struct ring *ring, bool on);
void *ring_get_used(struct ring *ring, uint32_t *len); /* the cookie, or NULL; *len: bytes the device wrote */

/* ---- fs_driver.c: directories of the host ---- */
struct fs_link; /* to one of them */
#define FS_BUFFERS 72 /* of one request */
struct fs_request {
	struct fs_request *next;
	struct ring_buffer buffer[FS_BUFFERS];
	unsigned buffers;
	uint32_t written; /* bytes of the answer */
	bool done;        /* there is one */
	void (*finished)(struct fs_request *request); /* of fs_link_send: the request is the caller's again; must not wait */
};
struct fs_link *fs_link(const char *tag); /* a new one, once for each tag; NULL: the VM has none of that name, or memory is short */
/* Waits for the answer: 0, or -EIO: there will never be one, and the device may still have the buffers, which are lost then. */
int fs_link_call(struct fs_link *link, struct fs_request *request);
/*
 * From here on (until it is taken back) no other thread runs while one waits for an answer: for page faults, in whose middle nothing may change, and
 * for the end of the VM.
 */
void fs_links_stay(bool on);
/* Does not wait; finished is called at the end, also where there is no answer. */
void fs_link_send(struct fs_link *link, struct fs_request *request);

/* ---- sysgenid.c: the generation of the VM, for programs ---- */
extern const struct file_ops sysgenid_ops;
int sysgenid_opened(struct file *file);

/* ---- template.c: a program that is ready to be copied says so ---- */
extern const struct file_ops template_ops;
int template_opened(struct file *file);

/* ---- devfs.c ---- */
/* Adds /dev/name (a string that stays); mode with S_IFCHR or S_IFBLK. 0 or -ENOMEM. */
int devfs_register(const char *name, const struct file_ops *ops, uint32_t mode, void *private);
struct inode *devfs_root(void);
int devfs_open_node(struct inode *inode, struct file *file);

#endif
