/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kconfig files of any bytes, which source each other: they are read or refused, and what is read is in order and can be asked for.
 * fuzz-sources: tinyx/specialise/kconfig.c tinyx/specialise/kconfig_expression.c tinyx/specialise/lines.c base/text.c base/error.c base/shown.c
 * fuzz-seeds: kconfig
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/kconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define READS_MAX 64 /* a file that sources itself ten times, to the depth that is allowed, would be read for ever */

struct bytes {
	const uint8_t *data;
	size_t size;
	unsigned reads;
};

/* Every file is these bytes, or the second half of them. */
static int give(void *context, const char *path, char **text, size_t *size)
{
	struct bytes *bytes = context;
	size_t from = strcmp(path, "Kconfig") ? bytes->size / 2 : 0;
	if (bytes->reads++ == READS_MAX)
		return -ENOENT;
	*size = bytes->size - from;
	*text = alloc_zero(*size + 1);
	if (*size)
		memcpy(*text, bytes->data + from, *size);
	return 0;
}

static const char *value(void *context, const char *name)
{
	return strlen(name) % 3 ? "y" : strlen(name) % 2 ? "m" : "";
}

static void ask(const char *expression)
{
	const struct kconfig_values values = { .value = value };
	struct strings names = { 0 };
	int worth = kconfig_evaluate(expression, &values);
	MUST(worth == kconfig_holders(expression, &values, &names));
	MUST(worth > KCONFIG_NO || !names.count);
	for (size_t i = 0; i < names.count; i++)
		MUST(*value(NULL, names.item[i]));
	strings_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = { data, size, 0 };
	struct kernel_source source = { .read = give, .context = &bytes };
	struct kconfig kconfig;
	struct error error = { 0 };
	int err = kconfig_read(&kconfig, &source, "Kconfig", &error);
	MUST(!err || *error.text);
	for (size_t i = 0; i < kconfig.count; i++) {
		const struct kconfig_entry *entry = &kconfig.entry[i];
		size_t count;
		MUST(!i || strcmp(entry[-1].name, entry->name) <= 0);
		MUST(kconfig_find(&kconfig, entry->name, &count) && count);
		for (size_t k = 0; k < entry->depends.count; k++)
			ask(entry->depends.item[k]);
		for (size_t k = 0; k < entry->selects.count; k++) {
			const char *condition;
			free(kconfig_condition(entry->selects.item[k], &condition));
			if (condition)
				ask(condition);
		}
	}
	kconfig_free(&kconfig);
	return 0;
}
