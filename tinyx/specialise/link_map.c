/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/link_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char heading[] = "Linker script and memory map";

/* "0x1234" and blanks behind it; NULL: something else. */
static char *take_number(char *at, uint64_t *number)
{
	char *end;
	if (!text_starts(at, "0x"))
		return NULL;
	errno = 0;
	*number = strtoull(at, &end, 16);
	return errno || (*end != ' ' && *end != '\t') ? NULL : end + strspn(end, " \t");
}

bool link_object_is_fit(const char *name)
{
	for (const char *at = name; *at; at++)
		if (*at <= ' ' || *at > '~')
			return false;
	return text_ends(name, ".o") && *name != '/' && *name != '.' && !strstr(name, "/../");
}

static int add(struct link_map *map, uint64_t start, uint64_t size, const char *object)
{
	if (map->count == map->room) {
		size_t room = map->room ? 2 * map->room : 1024;
		struct link_range *grown = alloc_again(map->range, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		map->range = grown;
		map->room = room;
	}
	map->range[map->count++] = (struct link_range){ start, start + size, object };
	return 0;
}

/*
 * " .text   0xffffffff80200590   0x13 arch/x86/kernel/head64.o", or the same without a name, which stands on the line before if it is long. What is at 0 was
 * thrown away.
 */
static int take_line(struct link_map *map, char *line)
{
	uint64_t start, size;
	char *at = line + strspn(line, " \t");
	if (at == line)
		return 0;
	if (*at == '.')
		at += strcspn(at, " \t");
	at += strspn(at, " \t");
	if (!(at = take_number(at, &start)) || !(at = take_number(at, &size)) || !start || !size || start + size < start || !link_object_is_fit(at))
		return 0;
	return add(map, start, size, at);
}

static int by_start(const void *a, const void *b)
{
	const struct link_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

int link_map_parse(struct link_map *map, char *text, size_t size)
{
	*map = (struct link_map){ .text = text };
	char *at = strlen(text) == size ? strstr(text, heading) : NULL;
	int err = 0;
	for (char *line; !err && at && (line = strsep(&at, "\n"));)
		err = take_line(map, line);
	if (err)
		return err;
	if (!map->count)
		return -EINVAL;
	qsort(map->range, map->count, sizeof(*map->range), by_start);
	return 0;
}

void link_map_free(struct link_map *map)
{
	free(map->range);
	free(map->text);
	*map = (struct link_map){ 0 };
}

const char *link_map_object(const struct link_map *map, uint64_t address)
{
	size_t low = 0, high = map->count; /* ranges below low begin at or before it */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (map->range[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < map->range[low - 1].end ? map->range[low - 1].object : NULL;
}
