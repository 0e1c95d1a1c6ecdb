/* SPDX-License-Identifier: Apache-2.0 */
/* What a linker says of where it has put things ("ld -Map"): which object file an address is of, and where functions are that others may call. */
#ifndef LV_TINYX_LINK_MAP_H
#define LV_TINYX_LINK_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LINK_MAP_MAX (64u << 20)

struct link_range {
	uint64_t start, end;
	const char *object;
};

struct link_symbol {
	const char *name;
	uint64_t address;
};

struct link_map { /* zero-initialised: none */
	char *text;
	struct link_range *range; /* by start */
	size_t count, room;
	struct link_symbol *symbol; /* by name; of what is static a map says nothing */
	size_t symbols, symbol_room;
};

/* text, of size bytes and a zero byte behind them, is owned from now on, also on failure. -EINVAL: there is no such map in it; -ENOMEM. Free in any case. */
int link_map_parse(struct link_map *map, char *text, size_t size);
void link_map_free(struct link_map *map);
/* "net/ipv4/tcp.o": a path below the objects' top, of one printable word. */
bool link_object_is_fit(const char *name);
/* NULL: of none. */
const char *link_map_object(const struct link_map *map, uint64_t address);
/* A function of that name is in the map, and not where address is (its start, or some bytes behind it). */
bool link_map_elsewhere(const struct link_map *map, const char *name, uint64_t address);

#endif
