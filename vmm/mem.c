/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mem.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE 4096ull

static bool overlaps(const struct mem_range *range, gpa_t gpa, uint64_t len)
{
	return gpa < range->gpa + range->len && range->gpa < gpa + len;
}

/* Memory that grows at its end stays one range, so that buffers may cross the seam and the list stays short. */
static bool extend(struct mem *mem, gpa_t gpa, uint64_t len, const uint8_t *hva, bool writable)
{
	for (unsigned i = 0; i < mem->count; i++) {
		struct mem_range *range = &mem->range[i];

		if (range->gpa + range->len == gpa && range->hva + range->len == hva && range->writable == writable) {
			__atomic_store_n(&range->len, range->len + len, __ATOMIC_RELEASE);
			return true;
		}
	}
	return false;
}

static int check(const struct mem *mem, gpa_t gpa, uint64_t len, const void *hva)
{
	if (!len || !hva || gpa + len < gpa)
		return -EINVAL;
	for (unsigned i = 0; i < mem->count; i++)
		if (overlaps(&mem->range[i], gpa, len))
			return -EINVAL;
	return 0;
}

int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, void *hva, bool writable)
{
	int err = check(mem, gpa, len, hva);

	if (err || extend(mem, gpa, len, hva, writable))
		return err;
	if (mem->count == MEM_RANGES)
		return -ENOSPC;
	mem->range[mem->count] = (struct mem_range){ gpa, len, hva, writable };
	__atomic_store_n(&mem->count, mem->count + 1, __ATOMIC_RELEASE);
	return 0;
}

int mem_add_slot(struct mem *mem, int vm_fd, const struct mem_slot *slot)
{
	const struct kvm_userspace_memory_region region = { .slot = mem->slot_count, .guest_phys_addr = slot->gpa, .memory_size = slot->len,
							    .userspace_addr = (uintptr_t)slot->hva };

	if (mem->slot_count == MEM_SLOTS)
		return -ENOSPC;
	if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	mem->slot[mem->slot_count] = *slot;
	__atomic_store_n(&mem->slot_count, mem->slot_count + 1, __ATOMIC_RELEASE);
	return 0;
}

/* KVM first: it can refuse what the list cannot take back, since others translate already. */
int mem_add_ram(struct mem *mem, int vm_fd, gpa_t gpa, uint64_t len, void *hva)
{
	const struct mem_slot slot = { .gpa = gpa, .len = len, .hva = hva, .kind = MEM_RAM };
	int err = check(mem, gpa, len, hva);

	if (!err && mem->count == MEM_RANGES)
		err = -ENOSPC; /* it may have extended another one: not worth a second look */
	if (!err)
		err = mem_add_slot(mem, vm_fd, &slot);
	return err ? err : mem_add(mem, gpa, len, hva, true);
}

int mem_note_file(struct mem *mem, const struct mem_file *file)
{
	if (mem->file_count == MEM_FILES)
		return -ENOSPC;
	mem->file[mem->file_count++] = *file;
	return 0;
}

static uint8_t *translate(const struct mem *mem, gpa_t gpa, size_t len, bool write)
{
	unsigned count = __atomic_load_n(&mem->count, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < count; i++) {
		const struct mem_range *range = &mem->range[i];
		uint64_t size = __atomic_load_n(&range->len, __ATOMIC_ACQUIRE);
		uint64_t offset = gpa - range->gpa;

		/* Compared so that no sum can wrap: offset is huge when gpa lies below the range. */
		if (offset < size && len <= size - offset && (range->writable || !write))
			return range->hva + offset;
	}
	return NULL;
}

void *mem_at(const struct mem *mem, gpa_t gpa, size_t len)
{
	return translate(mem, gpa, len, true);
}

const void *mem_at_ro(const struct mem *mem, gpa_t gpa, size_t len)
{
	return translate(mem, gpa, len, false);
}

/* ---- giving memory back ---- */

static bool file_behind(const struct mem *mem, const uint8_t *hva, uint64_t len)
{
	for (unsigned i = 0; i < mem->file_count; i++)
		if (hva < mem->file[i].hva + mem->file[i].len && mem->file[i].hva < hva + len)
			return true;
	return false;
}

/* Anonymous memory in its place. It comes where it was, and the guest sees no gap: KVM asks for a page again when it is missing. */
static int replace(void *hva, uint64_t len)
{
	void *map = mmap(hva, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return map == MAP_FAILED ? -errno : 0;
}

void mem_drop_at(const struct mem *mem, void *hva, uint64_t len)
{
	int err = file_behind(mem, hva, len) ? replace(hva, len) : madvise(hva, len, MADV_DONTNEED);

	if (err) /* too many mappings, or memory that is not given back: it stays, but its contents go */
		memset(hva, 0, len);
}

int mem_drop(const struct mem *mem, gpa_t gpa, uint64_t len)
{
	void *hva = (gpa | len) % PAGE ? NULL : mem_at(mem, gpa, len);

	if (!hva)
		return -EINVAL;
	mem_drop_at(mem, hva, len);
	return 0;
}
