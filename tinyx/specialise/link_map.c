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

/* Room for one more of what takes so many bytes. */
static int grow(void **list, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	const size_t most = *room ? 2 * *room : 1024;
	void *grown = alloc_again(*list, most * size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	*room = most;
	return 0;
}

static int add(struct link_map *map, uint64_t start, uint64_t size, const char *object)
{
	if (grow((void **)&map->range, map->count, &map->room, sizeof(*map->range)))
		return -ENOMEM;
	map->range[map->count++] = (struct link_range){ start, start + size, object };
	return 0;
}

/* Behind an address stands the name of a symbol, and nothing else. */
static int add_symbol(struct link_map *map, uint64_t address, const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	if (!*name || name[strspn(name, letters)])
		return 0;
	if (grow((void **)&map->symbol, map->symbols, &map->symbol_room, sizeof(*map->symbol)))
		return -ENOMEM;
	map->symbol[map->symbols++] = (struct link_symbol){ name, address };
	return 0;
}

/*
 * " .text   0xffffffff80200590   0x13 arch/x86/kernel/head64.o", or the same without a name, which stands on the line before if it is long. What is at 0 was
 * thrown away.
 */
static int take_line(struct link_map *map, char *line)
{
	uint64_t start, size;
	char *rest, *at = line + strspn(line, " \t");
	if (at == line)
		return 0;
	if (*at == '.')
		at += strcspn(at, " \t");
	at += strspn(at, " \t");
	if (!(at = take_number(at, &start)))
		return 0;
	if (!(rest = take_number(at, &size)))
		return add_symbol(map, start, at);
	return start && size && start + size > start && link_object_is_fit(rest) ? add(map, start, size, rest) : 0;
}

static int by_start(const void *a, const void *b)
{
	const struct link_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static int by_name(const void *a, const void *b)
{
	const struct link_symbol *x = a, *y = b;
	return strcmp(x->name, y->name);
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
	if (map->symbols)
		qsort(map->symbol, map->symbols, sizeof(*map->symbol), by_name);
	return 0;
}

void link_map_free(struct link_map *map)
{
	free(map->range);
	free(map->symbol);
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

#define INTO 16u /* bytes from a function's start to where it tells that it was called, at most */

bool link_map_elsewhere(const struct link_map *map, const char *name, uint64_t address)
{
	const struct link_symbol wanted = { .name = name };
	const struct link_symbol *found = map->symbols ? bsearch(&wanted, map->symbol, map->symbols, sizeof(*map->symbol), by_name) : NULL;
	if (!found)
		return false;
	while (found > map->symbol && !strcmp(found[-1].name, name))
		found--;
	for (; found < map->symbol + map->symbols && !strcmp(found->name, name); found++)
		if (address - found->address < INTO)
			return false;
	return true;
}
