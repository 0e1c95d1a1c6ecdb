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

/* ---- block.c ---- */
void block_init(void); /* /dev/vda ... */

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
uint64_t rings_take_bells(void); /* the same, as the mask that WAIT takes; clears it */
bool ring_has_used(const struct ring *ring);
void *ring_get_used(struct ring *ring, uint32_t *len); /* the cookie, or NULL; *len: bytes the device wrote */

/* ---- devfs.c ---- */
/* Adds /dev/name (a string that stays); mode with S_IFCHR or S_IFBLK. 0 or -ENOMEM. */
int devfs_register(const char *name, const struct file_ops *ops, uint32_t mode, void *private);
struct inode *devfs_root(void);
int devfs_open_node(struct inode *inode, struct file *file);

#endif
