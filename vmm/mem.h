/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as the monitor sees it: the one checked way from a guest address to a host pointer. */
#ifndef LV_VMM_MEM_H
#define LV_VMM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest-physical address. An integer on purpose: it cannot be dereferenced, only mem_at() makes a pointer of it. */
typedef uint64_t gpa_t;

#define MEM_RANGES 32

struct mem_range {
	gpa_t gpa;
	uint64_t len;
	uint8_t *hva;
	bool writable; /* by devices: false for the image and for what the monitor alone writes */
};

/* All zero is a valid, empty memory. */
struct mem {
	unsigned count; /* published last: ranges are added while the device loop reads */
	struct mem_range range[MEM_RANGES];
};

/*
 * Adds len bytes at gpa, backed by hva (not owned). One thread may add while others translate; ranges are never removed.
 * What follows an older range in both guest and host address extends that range.
 * 0; -EINVAL if empty, wrapping or overlapping another range; -ENOSPC if all MEM_RANGES are used.
 */
int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, void *hva, bool writable);

/* Host pointer to [gpa, gpa+len) if all of it lies in one range that devices may write; NULL otherwise. Any thread. */
void *mem_at(const struct mem *mem, gpa_t gpa, size_t len);

/* The same for reading: read-only ranges count too. */
const void *mem_at_ro(const struct mem *mem, gpa_t gpa, size_t len);

#endif
