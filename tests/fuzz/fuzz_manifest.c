/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest reader on any bytes: what it accepts can be printed, read again, and is the same then.
 * fuzz-sources: tinyx/manifest.c base/text.c base/shown.c base/error.c
 * fuzz-libs: -ljansson
 * fuzz-seeds: manifest
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static void check(const struct manifest *manifest)
{
	MUST(!manifest->program || manifest->program[0] == '/');
	MUST(!manifest->cwd || manifest->cwd[0] == '/');
	for (size_t i = 0; i < manifest->env.count; i++)
		MUST(strchr(manifest->env.item[i], '=') > manifest->env.item[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest first, second;
	struct error error = { 0 };
	if (!manifest_parse(&first, (const char *)data, size, &error)) {
		struct text once = { 0 }, twice = { 0 };
		check(&first);
		manifest_print(&first, &once);
		/* Indented, it may be longer than a manifest can be. */
		if (!manifest_parse(&second, once.data, once.size, &error)) {
			manifest_print(&second, &twice);
			MUST(!strcmp(once.data, twice.data));
		} else {
			MUST(once.size > 65536);
		}
		manifest_free(&second);
		text_free(&once);
		text_free(&twice);
	} else {
		MUST(error.code < 0 && error.text[0]);
	}
	manifest_free(&first);
	return 0;
}
