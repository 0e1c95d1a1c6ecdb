/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages a restored VM writes first. What one has written by some time is told; the next ones that are restored from the same file get copies of their own of these
 * pages before they run: many in one call, where each would be a fault of its own, and so that KVM takes eight of them with one of its faults. Not those that
 * are only read: to have them so, they would have to be copied as well (docs/state.md has what that costs).
 */
#ifndef LV_VMM_TOUCHED_H
#define LV_VMM_TOUCHED_H

struct error;
struct mem;

/* Into an empty file; pagemap: /proc/self/pagemap. 0, or a negative errno with a message; -EOPNOTSUPP: it was not restored. */
int touched_write(const struct mem *mem, int pagemap, int fd, struct error *error);
/*
 * Has them there, as the file fd says. 0, or a negative errno with a message: fd is no such file, and nothing was done. A host that cannot do it leaves it to
 * the guest.
 */
int touched_populate(const struct mem *mem, int fd, struct error *error);

#endif
