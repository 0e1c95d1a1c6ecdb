/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations of kernels, any bytes: read or refused; one differs from itself in nothing, and from an empty one in every option.
 * fuzz-sources: tinyx/specialise/dot_config.c base/file.c base/text.c base/error.c base/shown.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/dot_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dot_config config, none = { 0 };
	struct text same = { 0 }, all = { 0 };
	size_t lines = 0;
	char *text = alloc_zero(size + 1);
	if (size)
		memcpy(text, data, size);
	if (!dot_config_parse(&config, text, size)) {
		dot_config_diff(&config, &config, &same);
		dot_config_diff(&config, &none, &all);
		for (size_t i = 0; i < all.size; i++)
			lines += all.data[i] == '\n';
		MUST(!same.size && lines == config.count);
		for (size_t i = 0; i < config.count; i++)
			MUST(*dot_config_value(&config, config.option[i].name));
	}
	dot_config_free(&config);
	text_free(&same);
	text_free(&all);
	return 0;
}
