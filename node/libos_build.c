/* SPDX-License-Identifier: Apache-2.0 */
#include "node/libos_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "node/node_paths.h"
#include "parse/elf.h"

/* It stands in the header, which is where it is loaded first. */
int libos_build_of(const void *file, size_t size, uint8_t build[LV_BUILD_ID])
{
	struct elf elf;
	struct lv_libos_header header;
	if (elf_parse(&elf, file, size, NULL))
		return -ENOEXEC;
	for (int i = 0; i < elf.loads; i++)
		if (elf.load[i].vaddr == LV_LIBOS && elf.load[i].filesz >= sizeof(header)) {
			memcpy(&header, (const char *)file + elf.load[i].offset, sizeof(header));
			memcpy(build, header.build.id, LV_BUILD_ID);
			return header.magic == LV_LIBOS_MAGIC ? 0 : -ENOEXEC;
		}
	return -ENOEXEC;
}

int libos_build_here(uint8_t build[LV_BUILD_ID], struct error *error)
{
	struct stat st;
	char *path = paths_libos(error);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -ENOENT;
	if (path && fd < 0)
		error_set(error, fd = -errno, "%s: %s", path, strerror(errno));
	free(path);
	if (fd < 0)
		return fd;
	size_t size = fstat(fd, &st) ? 0 : (size_t)st.st_size;
	void *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	int err = map == MAP_FAILED ? -ENOEXEC : libos_build_of(map, size, build);
	if (map != MAP_FAILED)
		munmap(map, size);
	close(fd);
	return err ? error_set(error, err, "the library OS: its file is none") : 0;
}
