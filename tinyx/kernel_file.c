/* SPDX-License-Identifier: Apache-2.0 */
/* Telling kernels from other files, before a VM is made for them. The monitor checks them again, and in full. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/kernel.h"

/* Documentation/arch/x86/boot.rst: offsets of the setup header in a bzImage */
#define BOOT_FLAG 0x1fe
#define BOOT_MAGIC 0x202
#define BOOT_VERSION 0x206
#define BOOT_LOADFLAGS 0x211
#define BOOT_XLOADFLAGS 0x236
#define BOOT_HEAD 0x268
#define BOOT_64BIT_VERSION 0x20c /* protocol 2.12: the first with a 64-bit entry */
#define XLF_KERNEL_64 1

static uint16_t word_at(const uint8_t *head, size_t at)
{
	return (uint16_t)(head[at] | head[at + 1] << 8);
}

static int check_elf(const uint8_t *head, size_t size, const char *path, struct error *error)
{
	Elf64_Ehdr elf;
	if (head[EI_CLASS] == ELFCLASS32)
		return error_set(error, -ENOEXEC, "%s: a 32-bit kernel; VMs start 64-bit kernels only", path);
	if (size < sizeof(elf))
		return error_set(error, -ENOEXEC, "%s: not a kernel: it ends within its ELF header", path);
	memcpy(&elf, head, sizeof(elf));
	if (elf.e_machine != EM_X86_64)
		return error_set(error, -ENOEXEC, "%s: not a kernel for x86-64: its ELF machine is %u", path, elf.e_machine);
	if (elf.e_type == ET_DYN)
		return error_set(error, -ENOEXEC, "%s: a program, not a kernel", path);
	if (elf.e_type != ET_EXEC)
		return error_set(error, -ENOEXEC, "%s: not a kernel: an ELF file of type %u", path, elf.e_type);
	return 0;
}

static int check_bzimage(const uint8_t *head, const char *path, struct error *error)
{
	unsigned version = word_at(head, BOOT_VERSION);
	if (version < BOOT_64BIT_VERSION)
		return error_set(error, -ENOEXEC, "%s: its boot protocol %u.%02u is older than 2.12, the first with a 64-bit entry", path, version >> 8,
				 version & 0xff);
	if (!(head[BOOT_LOADFLAGS] & 1))
		return error_set(error, -ENOEXEC, "%s: a zImage, which loads below 1 MiB; use a bzImage", path);
	if (!(word_at(head, BOOT_XLOADFLAGS) & XLF_KERNEL_64))
		return error_set(error, -ENOEXEC, "%s: a 32-bit kernel; VMs start 64-bit kernels only", path);
	return 0;
}

static const char *other_kind(const uint8_t *head, size_t size)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *what;
	} known[] = {
		{ "\x1f\x8b", 2, "a gzip file; unpack it first" },
		{ "\xfd" "7zXZ", 5, "an xz file; unpack it first" },
		{ "\x28\xb5\x2f\xfd", 4, "a zstd file; unpack it first" },
		{ "07070", 5, "a cpio archive; an initial RAM disk is given with --initrd" },
		{ "!<arch>", 7, "an archive (a package?); give the vmlinuz in it" },
		{ "#!", 2, "a script" },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (size >= known[i].len && !memcmp(head, known[i].magic, known[i].len))
			return known[i].what;
	return size ? "neither a bzImage nor an ELF vmlinux" : "it is empty";
}

int kernel_check(int fd, const char *path, enum kernel_kind *kind, struct error *error)
{
	uint8_t head[BOOT_HEAD];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (n > EI_NIDENT && !memcmp(head, ELFMAG, SELFMAG)) {
		*kind = KERNEL_VMLINUX;
		return check_elf(head, (size_t)n, path, error);
	}
	if ((size_t)n == sizeof(head) && word_at(head, BOOT_FLAG) == 0xaa55 && !memcmp(head + BOOT_MAGIC, "HdrS", 4)) {
		*kind = KERNEL_BZIMAGE;
		return check_bzimage(head, path, error);
	}
	return error_set(error, -ENOEXEC, "%s: not a kernel: %s", path, other_kind(head, (size_t)n));
}
