/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libos' memory manager needs to run on the host: guest memory mapped at its real address, a few lines that play the
 * processor's page walk, files of an image and of the RAM layer.
 */
#ifndef TESTS_UNIT_MM_WORLD_H
#define TESTS_UNIT_MM_WORLD_H

#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define RAM_START (8ull << 20)
#define RAM_LIMIT (96ull << 20)
#define HEAP_OFFSET 0x34800ull
#define IMAGE_PAGES 64
#define IMAGE LV_IMAGE(IMAGE_PAGES * LV_PAGE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

extern struct lv_device_page *page_of_devices;
extern uint64_t now;               /* of the clock, ns; it moves on by 1 ms at each look */
extern uint64_t flushes, released; /* of the TLB; bytes handed back to the monitor */
extern bool release_fails;         /* the monitor takes nothing back */
extern jmp_buf *expect_panic;      /* where a panic goes; NULL: it ends the test */
extern int file_refs;
extern struct generation_hook *generation_hooks; /* who wants to know that the VM is another one */
extern struct file image_file; /* byte n of page p is p + 1, the last page is half full */
extern struct file ram_file;   /* four pages, ram_pages */
extern char *ram_pages;

int world_set_up(void **state); /* once a program */
/* The entry that maps va, or shows that nothing does; *level: of the table it is in. */
const uint64_t *walk_entry(uint64_t va, unsigned *level);
/* One byte as the program would read (write) it, with its faults: the byte (0), or -1000 minus what mm_fault() said (the code). */
int peek(uint64_t va);
int poke(uint64_t va, uint8_t byte);
void check_sorted(void); /* the list of mappings */
uint64_t used(void);     /* bytes given out */
uint64_t map(uint64_t addr, uint64_t len, uint32_t prot, uint32_t flags); /* anonymous memory; must succeed */

#endif
