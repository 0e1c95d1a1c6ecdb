/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence of any bytes, which a guest has told: it is read or refused, and what is read is printed as something that is read as the same. The same bytes as a linker's map
 * and as a C file.
 * fuzz-sources: tinyx/specialise/evidence.c tinyx/specialise/link_map.c tinyx/specialise/guards.c base/text.c base/error.c base/shown.c
 * fuzz-seeds: evidence
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/evidence.h"
#include "tinyx/specialise/guards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static char *copy_of(const uint8_t *data, size_t size)
{
	char *text = alloc_zero(size + 1);
	if (size)
		memcpy(text, data, size);
	return text;
}

static void read_map(const uint8_t *data, size_t size, struct link_map *map)
{
	if (link_map_parse(map, copy_of(data, size), size))
		return;
	for (size_t i = 0; i < map->count; i++) {
		MUST(map->range[i].start < map->range[i].end && text_ends(map->range[i].object, ".o"));
		MUST(!i || map->range[i - 1].start <= map->range[i].start);
	}
}

static void print(const struct evidence *evidence, struct text *out)
{
	evidence_print_heading(evidence->lost, out);
	evidence_print_calls(evidence, out);
	evidence_print_end(out);
}

static void read_evidence(const uint8_t *data, size_t size, const struct link_map *map)
{
	struct evidence first, second;
	struct text once = { 0 }, twice = { 0 };
	struct error error = { 0 };
	int err = evidence_parse(&first, "file", copy_of(data, size), size, &error);
	MUST(!err || *error.text);
	if (!err) {
		evidence_resolve(&first, "file", map, &error);
		print(&first, &once);
		MUST(!evidence_parse(&second, "file", copy_of((const uint8_t *)once.data, once.size), once.size, &error));
		print(&second, &twice);
		MUST(once.size == twice.size && !memcmp(once.data, twice.data, once.size));
		evidence_free(&second);
	}
	evidence_free(&first);
	text_free(&once);
	text_free(&twice);
}

static void read_source(const uint8_t *data, size_t size, const char *function)
{
	struct guards guards;
	char *text = copy_of(data, size);
	MUST(!guards_find(text, function, &guards));
	for (size_t i = 0; i < guards.options.count; i++)
		MUST(*guards.options.item[i]);
	MUST(guards.line || !guards.options.count);
	guards_free(&guards);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_map map = { 0 };
	read_map(data, size, &map);
	read_evidence(data, size, &map);
	link_map_free(&map);
	read_source(data, size, "f");
	read_source(data, size, "__x64_sys_f");
	return 0;
}
