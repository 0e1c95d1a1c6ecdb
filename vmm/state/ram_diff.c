/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/ram_diff.h"

#include <errno.h>
#include <sys/mman.h>

#include "vmm/state/ram_file.h"
#include "vmm/state/ram_runs.h"

#define PAGE 4096ull
#define SHORT (64ull << 10) /* a hole in it is not worth a look */
#define MAPS_MOST 2048u /* runs of one file that have mappings of their own; the others are read. A process may have 65,530 */

static int map_short(uint8_t *hva, uint64_t size, int fd, uint64_t offset)
{
	return mmap(hva, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset) == MAP_FAILED ? -errno : 0;
}

/* Of the run what lies in the place. number: of mappings that the file has by now. */
static int map_run(const struct mem_file *place, const struct ram_run *run, unsigned *number)
{
	uint64_t from = run->first * PAGE, to = from + run->pages * PAGE;

	if (from < place->offset)
		from = place->offset;
	if (to > place->offset + place->len)
		to = place->offset + place->len;
	if (from >= to)
		return 0;
	uint8_t *hva = place->hva + (from - place->offset);
	if ((*number)++ >= MAPS_MOST)
		return ram_runs_take(place->fd, hva, to - from, from);
	return (to - from < SHORT ? map_short : ram_file_map)(hva, to - from, place->fd, from);
}

static int map_difference(const struct mem_file *place)
{
	struct ram_runs runs;
	uint64_t size;
	unsigned number = 0;
	int err = ram_runs_read(&runs, place->fd, &size);

	for (unsigned i = 0; !err && i < runs.count; i++)
		err = map_run(place, &runs.run[i], &number);
	ram_runs_free(&runs);
	return err;
}

int ram_layers_put(struct mem *mem, const struct mem_file *place, const int *below, unsigned count)
{
	int err = 0;

	for (unsigned i = 0; !err && i <= count; i++) {
		struct mem_file layer = *place;

		layer.fd = i < count ? below[i] : place->fd;
		if (i)
			err = map_difference(&layer);
		if (!err)
			err = mem_note_file(mem, &layer);
	}
	return err;
}

int ram_layers_map(struct mem *mem, const struct mem_file *place, const int *below, unsigned count)
{
	int err = ram_file_map(place->hva, place->len, count ? below[0] : place->fd, place->offset);

	return err ? err : ram_layers_put(mem, place, below, count);
}

void ram_layers_copy(const struct mem *mem)
{
	for (unsigned i = 0; i < mem->file_count; i++)
		ram_file_copy(mem->file[i].hva, mem->file[i].len, mem->file[i].fd, mem->file[i].offset);
}
