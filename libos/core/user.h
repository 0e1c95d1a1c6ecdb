/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's memory. It may be missing, read-only, or taken away by another thread while a call waits: so nobody
 * dereferences an address of the program, all go through these functions. They touch it with the few instructions of
 * user_copy.S, whose faults are answered with -EFAULT where the fault handler cannot bring the page in (also past the end
 * of a mapped file). None of them waits. A lone 4 or 8 bytes are read and written at once.
 */
#ifndef LV_LIBOS_USER_H
#define LV_LIBOS_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/layout.h"

#if !__STDC_HOSTED__
#pragma GCC visibility push(hidden)
#endif

/* An address of the program, as a number so that it cannot be dereferenced by mistake. */
typedef uint64_t uaddr_t;
#define USER_END 0x7ffffffff000ull

/* True if the program may have something there. Says nothing of whether it has. */
static inline bool user_range(uaddr_t at, size_t n)
{
	return n <= USER_END && at <= USER_END - n && (at + n <= LV_WINDOW || at >= LV_WINDOW_END);
}

/* ---- what system calls take and give: 0 or -EFAULT, the address being a pointer or a number ---- */
#define user_read(to, from, n) user_read_at(to, (uaddr_t)(from), n)
#define user_write(to, from, n) user_write_at((uaddr_t)(to), from, n)
#define user_zero(to, n) user_zero_at((uaddr_t)(to), n)
#define user_string(to, from, size) user_string_at(to, (uaddr_t)(from), size)
/* One value, which is named: user_get(&pair, a[1]), user_put(a[1], pair). */
#define user_get(to, from) user_read_at(to, (uaddr_t)(from), sizeof(*(to)))
#define user_put(to, value) user_write_at((uaddr_t)(to), &(value), sizeof(value))
int user_read_at(void *to, uaddr_t from, size_t n);
int user_write_at(uaddr_t to, const void *from, size_t n);
int user_zero_at(uaddr_t to, size_t n);
/* Its length without the 0 that ends it, -EFAULT, or -ENAMETOOLONG if it does not fit into size bytes with its end. */
int64_t user_string_at(char *to, uaddr_t from, size_t size);
/* Can this word be written? For what must be known before something is made. */
int user_touch(uaddr_t at);
/* If the word is old, makes it new; *found is what it was. It must be writable even if it is not old. */
int user_cmpxchg(uaddr_t at, uint32_t old, uint32_t new, uint32_t *found);
/* Vector registers that take n bytes, as XSAVE64 and XRSTOR64 do: 0, or -EFAULT also for contents that the instruction refuses. */
int user_save_vectors(uaddr_t to, size_t n, uint64_t mask);
int user_load_vectors(uaddr_t from, size_t n, uint64_t mask);

/*
 * ---- what files read into and write from: the program's memory, or libos' own when libos calls ----
 * Whoever takes the address from the program asks user_range first: that keeps it out of libos' memory. These answer
 * the bytes that were moved, fewer than n where the memory ended.
 */
size_t buffer_get(void *to, uaddr_t from, size_t n);
size_t buffer_put(uaddr_t to, const void *from, size_t n);
size_t buffer_zero(uaddr_t to, size_t n);
/* How many of these bytes can be read, from the first on: they stay readable until the thread waits. For lwIP, which copies itself. */
size_t buffer_present(uaddr_t from, size_t n);

/* ---- user_copy.S ---- */
size_t user_copy(void *to, const void *from, size_t n);
size_t user_clear(void *to, size_t n);
int64_t user_copy_string(char *to, const char *from, size_t size);
long user_exchange(uint32_t *at, uint32_t old, uint32_t new, uint32_t *found);
long user_xsave(void *to, uint64_t mask);
long user_xrstor(const void *from, uint64_t mask);
/* Where to go on when an instruction in [from, to) faults. */
struct user_fixup { uint64_t from, to, go_on; };
extern const struct user_fixup user_fixups[], user_fixups_end[];

#if !__STDC_HOSTED__
#pragma GCC visibility pop
#endif

#endif
