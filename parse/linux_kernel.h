/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out how a Linux kernel file wants to be started: an ELF vmlinux by its PVH entry (xen/include/public/arch-x86/hvm/start_info.h;
 * the note XEN_ELFNOTE_PHYS32_ENTRY), or a bzImage by the 64-bit boot protocol (Linux, Documentation/x86/boot.rst).
 * The file is hostile: every offset is checked before it is followed. No allocation; nothing is copied.
 */
#ifndef LV_PARSE_LINUX_KERNEL_H
#define LV_PARSE_LINUX_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define KERNEL_MAX_LOADS 16
#define KERNEL_HEADER 0x1f1     /* of a bzImage: where the setup header begins, in the file and in struct boot_params */
#define KERNEL_ENTRY_64 0x200   /* of a bzImage: the 64-bit entry, from the load address */

enum kernel_kind { KERNEL_PVH, KERNEL_BZIMAGE };

struct kernel_load { /* file range inside the file, filesz <= memsz, address + memsz does not wrap */
	uint64_t address; /* guest-physical */
	uint64_t memsz, offset, filesz;
};

struct kernel_image {
	enum kernel_kind kind;
	uint64_t entry;       /* guest-physical */
	uint64_t low, high;   /* memory that it needs for itself, bss and unpacking included */
	uint64_t initrd_max;  /* the last address that an initial RAM disk may take */
	uint32_t command_max; /* longest command line, without its final zero byte */
	uint32_t header_size; /* bzImage: bytes of the setup header from KERNEL_HEADER on */
	int loads;
	struct kernel_load load[KERNEL_MAX_LOADS];
};

/* 0; or a negative errno and *why, a constant text: -ENOEXEC not a kernel that can be started here, -EXDEV a 32-bit one. */
int kernel_parse(struct kernel_image *image, const void *file, size_t size, const char **why);

#endif
