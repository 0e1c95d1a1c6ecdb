/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: one table of constant operations, one list per VM. The life of the list, as the monitor's main() sees it:
 *
 *   devices_init, devices_add ...   opens come first: descriptors are given, nothing of the guest is read
 *   devices_describe                rings placed in guest memory, device page entries filled
 *   devices_bells                   for KVM_IOEVENTFD
 *   devices_start, loop_start       from here on the devices belong to the loop thread
 *   devices_finish                  everything the guest queued goes out; the loop belongs to the caller
 *   devices_free
 */
#ifndef LV_VMM_DEVICE_H
#define LV_VMM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/control.h"
#include "abi/device_page.h"
#include "base/loop.h"
#include "vmm/mem.h"
#include "vmm/virtio/queue.h"

struct device;
struct devices;
struct stream;

#define NET_PAIRS_MAX 4
#define CONSOLE_IN 1u
#define CONSOLE_OUT 2u
#define CONSOLE_ERR 4u

/* What a VM is given, by type; descriptors are owned by the device from devices_add on, even if that fails. -1: none. */
struct device_config {
	enum lv_device_type type;
	union {
		struct {
			int in, out, err; /* often the monitor's 0, 1, 2: never closed, never switched to non-blocking, but for what is own */
			int log;          /* regular file, read-write, not O_APPEND: both output streams, bounded */
			bool multiport;   /* for Linux: a terminal and the streams as ports */
			bool terminal;    /* in and out are a terminal of the guest's own; otherwise the streams */
			unsigned own;     /* bits of CONSOLE_IN and its like: descriptions that nobody shares (base/own_open.h), the device's */
		} console;
		struct {
			int fd;
			bool passt; /* stream socket with length-prefixed frames; otherwise a tap with IFF_NO_PI|IFF_VNET_HDR */
			bool spoof; /* what the guest sends is not filtered (vmm/dev/net_filter.h) */
			bool answers; /* passt: the gateway's address leads to the host's loopback, which gets answers only (vmm/dev/net_answers.h) */
			struct lv_net_config config; /* MAC, addresses, MTU: goes to the device page as it is */
			struct lv_net6_config config6; /* so does this */
			unsigned more; /* further queues of the tap (IFF_MULTI_QUEUE), for Linux */
			int more_fd[NET_PAIRS_MAX - 1];
		} net;
		struct device_block {
			int fd; /* regular file or block device */
			int lock; /* holds the file's lock (base/disk_claim.h): not touched, never closed */
			bool read_only;
			char serial[20]; /* zeroes at its end; the device page has room for 16 */
		} block;
		struct {
			int listener;  /* listening Unix stream socket, for those who connect to the guest; -1: none */
			bool outgoing; /* the guest may connect to the sockets vsock_PORT in the working directory */
			uint64_t cid;  /* the guest's address, 3 or more */
		} vsock;
		struct {
			int fd; /* connected socket of SOCK_SEQPACKET: of the volume's server */
			bool read_only;
			char tag[16]; /* zeroes at its end */
		} fs;
	};
};

#define DEVICE_CONFIG_MAX 256
/* More than the device page has room for (LV_MAX_QUEUES): devices that only Linux drives. Statistics end at LV_MAX_QUEUES. */
#define DEVICE_MAX_QUEUES 16

/* What a device may do once guest bytes are looked at, beyond what every monitor may. */
struct device_rights {
	unsigned descriptors; /* that it may yet open, besides those that it has */
	bool accepts;         /* connections to a listening socket */
	bool dials;           /* sockets of its own that it connects */
};

struct device_ops {
	enum lv_device_type type;
	const char *name;
	const char *failure; /* what a user is told, before the reason, when init fails */
	size_t size; /* of the device's structure, which begins with struct device */
	/* Takes the configuration, and adds its queues with device_add_queue(); 0 or a negative errno. free() is called after a failure too. */
	int (*init)(struct device *device, const struct device_config *config);
	/* Fills entry->config; sets device->features. 0 or a negative errno. NULL: not for the device page. */
	int (*describe)(struct device *device, struct lv_device *entry);
	int (*start)(struct device *device); /* begins to watch the host side */
	/*
	 * The driver may have added chains: handle at most a queue's size of them. True: a doorbell shall announce the
	 * next ones; false: the device waits for the host side and will call device_run() itself.
	 */
	bool (*process)(struct device *device, unsigned queue);
	void (*pause)(struct device *device, bool on); /* stops (resumes) watching the host side; nothing is lost */
	void (*reset)(struct device *device); /* forgets what is in flight; the rings are set up anew by the caller */
	bool (*drain)(struct device *device); /* true when all that the guest sent has gone out */
	/*
	 * Of a device that is paused: holds no chain any more (they go back to their rings, or are finished) and nothing of the
	 * host's that cannot be written down. After pause(false) it goes on as if nothing had been.
	 */
	void (*quiesce)(struct device *device);
	/*
	 * Of one that is quiesced. lent: what it holds on the host for its VM alone (a disk's lock) others may have, and what the guest has written is there for them. Not
	 * lent: it holds it again; -EBUSY: others do. 0 or a negative errno. NULL: it holds nothing.
	 */
	int (*lend)(struct device *device, bool lent);
	/*
	 * The state of a device that is quiesced, as one record, or none; what the rings and the transport say of it is saved by the caller.
	 * load: into a device of the same configuration that has never run; checks all before it touches anything. device->features
	 * are set already. 0 or the stream's error.
	 */
	int (*save)(const struct device *device, struct stream *stream);
	int (*load)(struct device *device, struct stream *stream);
	void (*rights)(const struct device *device, struct device_rights *rights); /* adds what it needs; NULL: nothing */
	/*
	 * For transports that negotiate (virtio-mmio); NULL where a device is for the device page alone. offer: the device's
	 * own feature bits (virtio 1.2, section 5; the transport adds VERSION_1, INDIRECT_DESC and EVENT_IDX). What the
	 * driver took is in device->features before start is called. configuration: fills the device's configuration space,
	 * of which DEVICE_CONFIG_MAX bytes are zeroed, and answers its size. configure: the driver wrote there.
	 */
	uint64_t (*offer)(const struct device *device);
	unsigned (*configuration)(const struct device *device, uint8_t *space);
	void (*configure)(struct device *device, unsigned offset, const uint8_t *bytes, unsigned len);
	void (*free)(struct device *device);
};
extern const struct device_ops *const device_table[];
extern const struct device_ops console_ops, net_ops, block_ops, vsock_ops, rng_ops, balloon_ops, fs_ops;

/* How the driver gets to know things. The rings are the device's, wherever they come from. */
struct transport_ops {
	void (*notify)(struct device *device, bool configuration); /* used rings, or (configuration) the configuration space, changed */
	void (*broken)(struct device *device); /* it stopped for good */
	/* Its registers, as one record. load: checks all before it touches anything. */
	int (*save)(const struct device *device, struct stream *stream);
	int (*load)(struct device *device, struct stream *stream);
};
extern const struct transport_ops page_transport, mmio_transport; /* virtio/page.c, virtio/mmio.c */

struct device {
	const struct device_ops *ops;
	struct devices *set;
	unsigned index;
	struct loop_watch bell; /* one eventfd a device: its queues share a doorbell, so that a start registers few */
	unsigned queues;
	uint16_t queue_size[DEVICE_MAX_QUEUES]; /* the most entries that it may have */
	uint8_t queue_slot[DEVICE_MAX_QUEUES];  /* where it is counted in the statistics; LV_MAX_QUEUES: nowhere */
	struct queue queue[DEVICE_MAX_QUEUES];
	bool ran;            /* while the set is paused: it goes on afterwards */
	unsigned turn;       /* of the loop, in which it moved so many bytes: */
	uint64_t turn_bytes;
	uint64_t features;
	struct lv_device *entry; /* in guest memory; written, never read */
	struct lv_device_stats stats;
};

#define DEVICE_SPARE 6400

struct devices {
	/* set by the owner after devices_init */
	struct loop *loop;
	const struct mem *mem;
	const struct transport_ops *transport; /* the device page, unless another one is set */
	void *transport_context;
	/* of the device page: */
	struct lv_device_page *page; /* by devices_describe, or by who loads a state */
	volatile struct lv_shared *shared;
	void (*wake)(void *context); /* makes the vCPU leave its WAIT; any thread, cheap when it does not wait */
	void (*interrupt)(void *context); /* the same, and out of what it computes; NULL: it finds out */
	void *wake_context;
	/* private */
	unsigned count;
	bool abandoned, paused;
	enum lv_device_type spare_type; /* of the device that spare is kept for, while has_spare */
	bool has_spare;
	struct device *device[LV_MAX_DEVICES];
	/* The console, which every VM has, lies here and not in memory of its own: an idle VM has three pages less, with malloc's and the table that maps it. */
	_Alignas(16) char spare[DEVICE_SPARE];
	struct chain chain; /* scratch of the loop thread: a chain is handled before the next is taken */
};

void devices_init(struct devices *set, struct loop *loop);

/* The first device of that type, which is no larger than DEVICE_SPARE, lies in the set itself, whose memory was zero from the beginning. Once. */
void devices_prepare(struct devices *set, enum lv_device_type type);
/* 0 or a negative errno; *error then names what failed (static text), to be followed by the error's own text. */
int devices_add(struct devices *set, const struct device_config *config, const char **error);

/*
 * The device page's part (virtio/page.c): places the rings with alloc (zeroed guest RAM inside mem; (gpa_t)-1: none left) and fills count entries of the page.
 * The bell of device i is at LV_BELL + 4 * i for all of its queues. 0 or a negative errno.
 */
int devices_describe(struct devices *set, struct lv_device_page *page,
		     gpa_t (*alloc)(void *context, size_t size, size_t align), void *context);

/* The same for a page that has been filled once, of devices that will be loaded: where they lead to is told anew. */
int devices_describe_restored(struct devices *set, struct lv_device_page *page);

struct device_bell {
	uint32_t offset; /* from LV_BELL_GPA; a 4-byte write of any value */
	int fd;          /* eventfd, owned by the device */
};
/* Number of bells, at most LV_MAX_DEVICES. */
unsigned devices_bells(const struct devices *set, struct device_bell *bell);

int devices_start(struct devices *set);

/* Takes the loop over and lets everything out that the guest queued. Called by the vCPU thread at the VM's exit. */
void devices_finish(struct devices *set);
/* What the guest queued is not worth waiting for any more: devices_finish returns at once. In the loop thread. */
void devices_abandon(struct devices *set);
/* In the loop thread. Paused devices look at nothing; those that ran before go on. A device that breaks meanwhile stays stopped. */
void devices_pause(struct devices *set, bool on);
/* Of a set that is paused: no device holds a chain any more, or anything of the host that cannot be written down. */
void devices_quiesce(struct devices *set);
/* All of them, or none: 0, or what the first one that could not answered. */
int devices_lend(struct devices *set, bool lent);
/*
 * The state of all devices. Both in the loop thread; saving leaves them paused, and loading wants a set that was made of the same
 * configuration, none of which has run, in a guest whose memory is there already; it leaves them paused too. 0, or a negative
 * errno: then nothing was touched but for the devices before the one that failed, and the set is good for nothing.
 */
int devices_save(struct devices *set, struct stream *stream);
int devices_load(struct devices *set, struct stream *stream, unsigned *failed); /* *failed: the number of the one that it was */
uint64_t device_possible_features(const struct device *device); /* what any driver of it can have agreed on */
const char *device_type_name(uint32_t type); /* "device" of one that is not known */
/* The sum of what they need. */
struct device_rights devices_rights(const struct devices *set);
void devices_free(struct devices *set);

/* For status records: fills as many entries as there are devices, answers how many. */
unsigned devices_stats(const struct devices *set, struct lv_device_stats *stats);
struct device *devices_find(const struct devices *set, enum lv_device_type type); /* the first of that type, or NULL */

/* ---- for devices ---- */
/* In init: the next queue, of at most size entries; slot: where it is counted in the statistics, LV_MAX_QUEUES: nowhere. */
void device_add_queue(struct device *device, unsigned size, unsigned slot);
/* Processes a queue with its doorbell suppressed meanwhile. */
void device_run(struct device *device, unsigned queue);
/* Rings the device's own bell: all its queues are processed again in the next round of the loop. */
void device_kick(struct device *device);
/* queue_push, with statistics. */
void device_push(struct device *device, unsigned queue, uint16_t head, uint32_t written);
/* Publishes what was pushed to the queue and wakes the guest if it sleeps. */
void device_publish(struct device *device, unsigned queue);
/* The same for all queues, with one interrupt. */
void device_publish_all(struct device *device);
/* The configuration space changed: the driver is told, if the transport can. */
void device_reconfigured(struct device *device);
/*
 * queue_pop, with statistics; a broken ring stops the device. Answers 1 or 0: also when the device has moved enough bytes in this
 * turn of the loop, whose other descriptors come first then; it is called again.
 */
int device_pop(struct device *device, unsigned queue, struct chain *chain);
/* Gives the chain back that was popped last, untouched; read_len: what it had. */
void device_unpop(struct device *device, unsigned queue, uint32_t read_len);
/* What a user should know of a device that goes on; the first such thing goes into the status record. */
void device_note(struct device *device, const char *what);
/* Stops the device for good: the guest broke a rule. The reason goes into the status record. */
void device_break(struct device *device, const char *reason);
static inline bool device_broken(const struct device *device)
{
	return device->stats.needs_reset;
}

#endif
