/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest says of its image's files (abi/used_files.h). It may say anything: a mark is a bit of a byte that is there, names end where their room does. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "abi/used_files.h"
#include "base/log.h"
#include "vmm/vm.h"

#define PATH_MOST 4096

int libos_map_files(struct vm *vm)
{
	struct libos_guest *guest = &vm->libos;
	struct stat st;
	if (vm->config->files_fd < 0)
		return 0;
	if (fstat(vm->config->files_fd, &st) || !S_ISREG(st.st_mode) || st.st_size < (off_t)LV_USED_SIZE(0))
		return log_error("the file for what is used of the image is none, or too short"), -EINVAL;
	size_t size = (size_t)st.st_size - LV_USED_NAMES_AT;
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->config->files_fd, LV_USED_NAMES_AT);
	if (map == MAP_FAILED)
		return log_error("the file for what is used of the image: %s", strerror(errno)), -errno;
	guest->files.names = map;
	guest->files.marks = (uint8_t *)map + LV_USED_NAMES;
	guest->files.marked = size - LV_USED_NAMES;
	return 0;
}

int64_t libos_file_used(struct vm *vm, uint64_t nid, uint64_t how)
{
	if (vm->libos.files.names && nid < vm->libos.files.marked)
		vm->libos.files.marks[nid] |= how & (LV_USED_FOUND | LV_USED_OPENED);
	return 0;
}

/* The time that takes is the guest's own. */
static bool is_known(const char *names, size_t size, const char *name, size_t len)
{
	for (const char *at = names; (at = memmem(at, size - (size_t)(at - names), name, len)); at++)
		if (at == names || !at[-1])
			return true;
	return false;
}

int64_t libos_file_lacks(struct vm *vm, gpa_t path, uint64_t size)
{
	struct libos_guest *guest = &vm->libos;
	const void *from = size && size <= PATH_MOST ? mem_at_ro(&vm->mem, path, size) : NULL;
	if (!from)
		return -EINVAL;
	if (!guest->files.names || size + 2 > LV_USED_NAMES - guest->files.named)
		return 0;
	/* The bytes may change while they are copied: none is looked at but in the copy. */
	char *to = guest->files.names + guest->files.named;
	memcpy(to, from, size);
	to[size] = 0;
	if (memchr(to, 0, size)) {
		memset(to, 0, size);
		return -EINVAL;
	}
	if (is_known(guest->files.names, guest->files.named, to, size + 1))
		memset(to, 0, size);
	else
		guest->files.named += (uint32_t)size + 1;
	return 0;
}
