/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel, its initial RAM disk and its command line, from files that the user brings into guest memory. */
#include "vmm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/log.h"

#define MIB (1ull << 20)

void *linux_at(const struct linux_guest *guest, gpa_t gpa, uint64_t len)
{
	bool high = gpa >= GUEST_HIGH;
	uint64_t offset = high ? gpa - GUEST_HIGH : gpa, size = high ? guest->memory - guest->low_size : guest->low_size;
	if (offset > size || len > size - offset) /* also what would run on into the gap */
		return NULL;
	return guest->ram + (high ? guest->low_size : 0) + offset;
}

static int read_into(void *to, uint64_t len, int fd, uint64_t offset, const char *what)
{
	while (len) {
		ssize_t n = pread(fd, to, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return log_error("%s: %s", what, n ? strerror(errno) : "the file became shorter while it was read"), -EIO;
		to = (uint8_t *)to + n;
		len -= n;
		offset += n;
	}
	return 0;
}

static int file_size(int fd, const char *what, uint64_t *size)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return log_error("%s: %s", what, strerror(errno)), -EIO;
	if (!S_ISREG(st.st_mode))
		return log_error("%s: not a regular file", what), -EINVAL;
	*size = st.st_size;
	return 0;
}

/* ---- the kernel ---- */

static int parse(struct linux_guest *guest, int fd, uint64_t size)
{
	const char *why = NULL;
	/* An empty file cannot be mapped, and has nothing to read either. */
	void *file = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	if (file == MAP_FAILED)
		return log_error("the kernel: %s", strerror(errno)), -errno;
	int result = kernel_parse(&guest->kernel, file, size, &why);
	if (result == 0 && guest->kernel.kind == KERNEL_BZIMAGE)
		memcpy(linux_at(guest, GUEST_START_INFO + KERNEL_HEADER, guest->kernel.header_size), (char *)file + KERNEL_HEADER,
		       guest->kernel.header_size);
	if (file)
		munmap(file, size);
	return result < 0 ? log_error("--kernel: %s", why), result : 0;
}

/*
 * The whole pages of a segment that lie in the file as they shall lie in memory become the file's own: nothing is copied until the
 * guest writes, and what it only reads is shared with all other VMs of this kernel. Answers how many bytes that were; 0 is no error.
 */
static uint64_t map_pages(struct mem *mem, uint8_t *to, const struct kernel_load *load, int fd)
{
	uint64_t len = load->filesz & ~(LV_PAGE - 1);
	if (!len || (load->address | load->offset) % LV_PAGE || mem_note_file(mem, &(struct mem_file){ .hva = to, .len = len, .fd = -1 }) < 0)
		return 0;
	return mmap(to, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, load->offset) == MAP_FAILED ? 0 : len;
}

static int load_segment(const struct linux_guest *guest, const struct kernel_load *load, int fd)
{
	uint8_t *to = linux_at(guest, load->address, load->filesz);
	/* What is written to a file shows in its mappings: a kernel that somebody may build anew is copied. */
	uint64_t mapped = guest->vm->config->kernel_kept ? map_pages(&guest->vm->mem, to, load, fd) : 0;
	return read_into(to + mapped, load->filesz - mapped, fd, load->offset + mapped, "--kernel");
}

static int load_kernel(struct linux_guest *guest)
{
	int fd = guest->vm->config->kernel_fd;
	uint64_t size;
	int result = file_size(fd, "--kernel", &size);
	if (result == 0)
		result = parse(guest, fd, size);
	if (result < 0)
		return result;
	const struct kernel_image *kernel = &guest->kernel;
	if (!linux_at(guest, kernel->low, kernel->high - kernel->low))
		return log_error("the kernel takes the memory from %llu to %llu MiB, and the VM has %llu: give it more (--mem)",
				 kernel->low / MIB + 0ull, (kernel->high + MIB - 1) / MIB + 0ull, guest->memory / MIB + 0ull), -ENOMEM;
	for (int i = 0; result == 0 && i < kernel->loads; i++)
		result = load_segment(guest, &kernel->load[i], fd);
	return result;
}

/* ---- the initial RAM disk: at the end of low memory, out of the kernel's way ---- */

static int load_initrd(struct linux_guest *guest)
{
	int fd = guest->vm->config->initrd_fd;
	uint64_t size, end = guest->low_size - 1 < guest->kernel.initrd_max ? guest->low_size : guest->kernel.initrd_max + 1;
	if (fd < 0)
		return 0;
	int result = file_size(fd, "--initrd", &size);
	if (result < 0)
		return result;
	if (!size)
		return log_error("--initrd: the file is empty"), -EINVAL;
	if (size > end || ((end - size) & ~(LV_PAGE - 1)) < guest->kernel.high)
		return log_error("the initial RAM disk takes %llu KiB, the kernel the memory up to %llu KiB, and the VM has %llu KiB: give it more (--mem)",
				 (size + 1023) / 1024 + 0ull, guest->kernel.high / 1024 + 0ull, guest->memory / 1024 + 0ull), -ENOMEM;
	guest->initrd = (end - size) & ~(LV_PAGE - 1);
	guest->initrd_size = size;
	return read_into(linux_at(guest, guest->initrd, size), size, fd, 0, "--initrd");
}

/*
 * Besides itself a kernel needs at its start a map of all pages, page tables, memory for its own structures, and the initial RAM disk
 * a second time, unpacked. One that has less does not say so: it panics, or stands still. The bound is what a kernel of ours was found to
 * need at least; a distribution's needs more.
 */
#define PAGE_STRUCT 64ull /* bytes for each page of memory */
#define OWN_MOST (9 * MIB / 2)

static int check_memory(const struct linux_guest *guest)
{
	uint64_t own = (guest->kernel.high - guest->kernel.low) * 3 / 8;
	uint64_t need = guest->kernel.high + (own < OWN_MOST ? own : OWN_MOST) + guest->memory / LV_PAGE * PAGE_STRUCT + 2 * guest->initrd_size;
	if (need <= guest->memory)
		return 0;
	return log_error("the kernel and what it needs at its start take %llu MiB, and the VM has %llu: give it more (--mem)", (need + MIB - 1) / MIB + 0ull,
			 guest->memory / MIB + 0ull), -ENOMEM;
}

/* ---- the command line ---- */

/*
 * Free blocks from 128 KiB on go back to the host; with Linux' own choice, 2 or 4 MiB, a guest with less than 64 or 128 MiB
 * free reports none. Linux before 6.3 forgets this word; there our PID 1 says it again.
 */
#define REPORTING "page_reporting.page_reporting_order=5 "

/*
 * How a guest of ours ends and where it speaks, then the devices (there is no bus that could be asked), then what the user wants:
 * that may overrule what is before it, and behind a "--" of his are words for init. Kernel messages go to a terminal only if that
 * is the serial port.
 */
static const char *own_words(const struct machine_config *config)
{
	if (config->serial)
		return REPORTING "reboot=k panic=-1 console=ttyS0";
	return config->tty ? REPORTING "reboot=k panic=-1 quiet console=ttyS0" : REPORTING "reboot=k panic=-1 quiet console=hvc0";
}

static int build_command_line(struct linux_guest *guest)
{
	const struct machine_config *config = guest->vm->config;
	size_t room = strlen(own_words(config)) + strlen(config->append) + 64 * (guest->bus.count + 1), len;
	char *line = malloc(room);
	if (!line)
		return log_error("no memory for the command line"), -ENOMEM;
	len = snprintf(line, room, "%s", own_words(config));
	for (unsigned i = 0; i < guest->bus.count; i++)
		len += snprintf(line + len, room - len, " virtio_mmio.device=4K@%#llx:%u", GUEST_VIRTIO + i * GUEST_VIRTIO_PAGE, linux_irq(i));
	len += snprintf(line + len, room - len, "%s%s", config->append[0] ? " " : "", config->append);
	uint32_t most = guest->kernel.command_max < GUEST_COMMAND_MAX - 1 ? guest->kernel.command_max : GUEST_COMMAND_MAX - 1;
	if (len > most)
		log_error("the kernel's command line has %zu characters; this kernel takes %u", len, most);
	else
		memcpy(linux_at(guest, GUEST_COMMAND_LINE, len + 1), line, len + 1);
	free(line);
	return len > most ? -E2BIG : 0;
}

int linux_load(struct linux_guest *guest)
{
	int result = load_kernel(guest);
	if (result == 0)
		result = load_initrd(guest);
	if (result == 0)
		result = check_memory(guest);
	return result == 0 ? build_command_line(guest) : result;
}
