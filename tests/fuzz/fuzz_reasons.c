/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image says of its files, in any bytes: it is read or refused, and whatever path is asked for gets an answer of one line, or of none.
 * fuzz-sources: tinyx/reasons.c tinyx/manifest.c tinyx/plan.c tinyx/image_file.c parse/erofs.c base/crc32c.c base/file.c base/number.c base/text.c base/shown.c base/error.c
 * fuzz-libs: -ljansson -lcrypto
 * fuzz-seeds: reasons
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/reasons.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image nothing = IMAGE_CLOSED;
	static const char *const paths[] = { "/", "/a", "/a/b", "/a/b/c/d", "/odd\nname", "/back\\slash" };
	struct reasons reasons;
	char *text = alloc_zero(size + 1);
	memcpy(text, data, size);
	if (!reasons_parse(&reasons, text, size)) {
		for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
			struct text out = { 0 };
			reasons_explain(&reasons, &nothing, paths[i], &out);
			MUST(out.size && out.data[out.size - 1] == '\n');
			text_free(&out);
		}
		for (size_t i = 0; i < reasons.lefts; i++)
			MUST(!i || strcmp(reasons.left[i - 1], reasons.left[i]) <= 0);
	}
	reasons_free(&reasons);
	return 0;
}
