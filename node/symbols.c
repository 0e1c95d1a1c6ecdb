/* SPDX-License-Identifier: Apache-2.0 */
#include "node/symbols.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "abi/libos_header.h"
#include "base/file.h"
#include "base/shown.h"
#include "node/libos_build.h"
#include "node/node_paths.h"
#include "parse/elf.h"

#define LIBOS_MAX (16u << 20)
#define MAPS (sizeof(((struct lv_crash *)NULL)->map) / sizeof(struct lv_text_map))

static bool is_build(const char *libos, size_t size, const uint8_t *build)
{
	uint8_t here[LV_BUILD_ID];
	return !libos_build_of(libos, size, here) && !memcmp(here, build, LV_BUILD_ID);
}

void symbols_open(struct symbols *symbols, const struct lv_status *status, const struct lv_text_map *map, uint32_t maps, const char *image)
{
	*symbols = (struct symbols){ .map = map, .maps = maps < MAPS ? maps : MAPS, .image = IMAGE_CLOSED };
	symbols->has_image = image && *image && !image_open(&symbols->image, image, NULL);
	char *path = paths_libos(NULL);
	if (path && file_read(AT_FDCWD, path, LIBOS_MAX, &symbols->libos, &symbols->libos_size))
		symbols->libos = NULL;
	free(path);
	/* Another one's names would be wrong, and look right. */
	if (symbols->libos && !is_build(symbols->libos, symbols->libos_size, status->libos_build)) {
		free(symbols->libos);
		symbols->libos = NULL;
	}
}

void symbols_close(struct symbols *symbols)
{
	image_close(&symbols->image);
	free(symbols->libos);
}

/* The whole file as it lies in the image: image files are contiguous. */
static bool image_file(const struct symbols *symbols, const char *path, const uint8_t **data, size_t *size)
{
	struct erofs_inode inode;
	if (!symbols->has_image || erofs_walk(&symbols->image.fs, path, &inode) || erofs_map(&symbols->image.fs, &inode, 0, data, size))
		return false;
	return *data && *size >= inode.size;
}

static bool elf_name(const void *data, size_t size, uint64_t file_offset, uint64_t vaddr, struct text *out)
{
	struct elf elf;
	uint64_t offset;
	if (elf_parse(&elf, data, size, NULL))
		return false;
	for (int i = 0; i < elf.loads && !vaddr; i++)
		if (file_offset >= elf.load[i].offset && file_offset - elf.load[i].offset < elf.load[i].filesz)
			vaddr = elf.load[i].vaddr + (file_offset - elf.load[i].offset);
	const char *name = vaddr ? elf_symbol(&elf, vaddr, &offset) : NULL;
	if (!name)
		return false;
	text_format(out, "%.200s+0x%" PRIx64, name, offset);
	return true;
}

static void put(const struct symbols *symbols, uint64_t at, struct text *out)
{
	if (at >= LV_LIBOS && at < LV_LIBOS_END) {
		if (!symbols->libos || !elf_name(symbols->libos, symbols->libos_size, 0, at, out))
			text_format(out, "+0x%" PRIx64, (uint64_t)(at - LV_LIBOS)); /* no names: another build is installed now, or none */
		text_put(out, " (libos)");
		return;
	}
	for (uint32_t i = 0; i < symbols->maps; i++) {
		const struct lv_text_map *map = &symbols->map[i];
		char path[sizeof(map->path) + 1] = "";
		const uint8_t *data;
		size_t size;
		if (at < map->start || at >= map->end)
			continue;
		memcpy(path, map->path, sizeof(map->path));
		uint64_t offset = at - map->start + map->file_offset;
		if (!image_file(symbols, path, &data, &size) || !elf_name(data, size, offset, 0, out))
			text_format(out, "file offset 0x%" PRIx64, offset);
		text_format(out, " (%s)", path);
		return;
	}
	text_put(out, "in no file");
}

/* Names and paths are the program's; what they stand in is a line. */
void symbols_put(const struct symbols *symbols, uint64_t at, struct text *out)
{
	size_t start = out->size;
	put(symbols, at, out);
	shown_from(out, start, 0);
}
