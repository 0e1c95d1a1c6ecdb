/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the slots that KVM has, what of them devices may reach, and the one checked way from a guest address to a host
 * pointer. One thread adds while others translate; nothing is ever removed.
 */
#ifndef LV_VMM_MEM_H
#define LV_VMM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest-physical address. An integer on purpose: it cannot be dereferenced, only mem_at() makes a pointer of it. */
typedef uint64_t gpa_t;

#define MEM_RANGES 32
#define MEM_SLOTS 512 /* of 64 GiB that grow by 256 MiB at a time, and some */
#define MEM_FILES 16

enum mem_kind { /* what of guest memory a slot holds; for who saves it */
	MEM_RAM,    /* anonymous, or copied from a file when it is written */
	MEM_WINDOW, /* a library-OS guest: image (never written), monitor's pages, libos, the first RAM */
	MEM_IMAGE,  /* of the image what has no room there */
};

/* As KVM knows it. Slot n of the list has number n; they are never merged. */
struct mem_slot {
	gpa_t gpa;
	uint64_t len;
	uint8_t *hva; /* not owned */
	enum mem_kind kind;
	uint64_t image; /* bytes at its beginning that are room for an image, which nobody writes */
};

/* What devices may reach. */
struct mem_range {
	gpa_t gpa;
	uint64_t len;
	uint8_t *hva;
	bool writable; /* by devices: false for the image and for what the monitor alone writes */
};

struct mem_file { /* memory that a file lies behind: pages that are dropped would come back with what is in it */
	uint8_t *hva;
	uint64_t len;
	int fd; /* that file, not owned, which stays as it is; -1: it is not there any more */
	uint64_t offset; /* in it, of hva */
};

/* All zero is a valid, empty memory. */
struct mem {
	unsigned count; /* published last: ranges are added while the device loop reads */
	unsigned slot_count; /* published last, likewise */
	unsigned file_count;
	struct mem_range range[MEM_RANGES];
	struct mem_file file[MEM_FILES];
	struct mem_slot slot[MEM_SLOTS]; /* last: most are never used */
};

/*
 * Lets devices reach len bytes at gpa, backed by hva (not owned). What follows an older range in both guest and host address
 * extends that range. 0; -EINVAL if empty, wrapping or overlapping another range; -ENOSPC if all MEM_RANGES are used.
 */
int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, void *hva, bool writable);

/* Gives the slot to KVM and puts it into the list, or neither. 0, -ENOSPC, or what KVM answers. */
int mem_add_slot(struct mem *mem, int vm_fd, const struct mem_slot *slot);

/* Both of the above for RAM that devices may write: all of it or nothing. */
int mem_add_ram(struct mem *mem, int vm_fd, gpa_t gpa, uint64_t len, void *hva);

/* A private mapping of a file lies in added memory. 0, or -ENOSPC if all MEM_FILES are used. Before the guest runs. */
int mem_note_file(struct mem *mem, const struct mem_file *file);

/* Host pointer to [gpa, gpa+len) if all of it lies in one range that devices may write; NULL otherwise. Any thread. */
void *mem_at(const struct mem *mem, gpa_t gpa, size_t len);

/* The same for reading: read-only ranges count too. */
const void *mem_at_ro(const struct mem *mem, gpa_t gpa, size_t len);

/*
 * The contents are not needed any more: whole pages go back to the host, and [gpa, gpa+len) reads as zero afterwards, whatever lies
 * behind it. 0, or -EINVAL if that is no whole pages of one range that devices may write. Any thread.
 */
int mem_drop(const struct mem *mem, gpa_t gpa, uint64_t len);

/* The same for whole pages that mem_at() has answered with. */
void mem_drop_at(const struct mem *mem, void *hva, uint64_t len);

#endif
