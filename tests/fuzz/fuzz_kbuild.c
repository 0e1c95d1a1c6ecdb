/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makefiles of any bytes, the same in every directory: they are read or refused, and whatever object is looked for in them is found or is not, in finitely many steps.
 * fuzz-sources: tinyx/specialise/kbuild.c tinyx/specialise/kbuild_parse.c tinyx/specialise/lines.c base/text.c base/error.c base/shown.c
 * fuzz-seeds: kbuild
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/kbuild.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

struct bytes {
	const uint8_t *data;
	size_t size;
};

static int give(void *context, const char *path, char **text, size_t *size)
{
	const struct bytes *bytes = context;
	if (strstr(path, "Kbuild"))
		return -ENOENT;
	*size = bytes->size;
	*text = alloc_zero(*size + 1);
	if (*size)
		memcpy(*text, bytes->data, *size);
	return 0;
}

static bool set(void *context, const char *option)
{
	return strlen(option) % 2;
}

static void find(struct kbuild *kbuild, const char *object)
{
	struct kbuild_needs needs = { 0 };
	struct error error = { 0 };
	int err = kbuild_find(kbuild, object, set, NULL, &needs, &error);
	MUST(!err || *error.text);
	for (size_t i = 0; i < needs.count; i++)
		MUST(*needs.item[i].option && needs.item[i].path && needs.item[i].line);
	free(needs.item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = { data, size };
	struct kernel_source source = { .read = give, .context = &bytes };
	struct kbuild kbuild = { .source = &source };
	struct kbuild_file file;
	char *text;
	size_t len;
	MUST(!give(&bytes, "Makefile", &text, &len));
	kbuild_parse(&file, "Makefile", text, len, NULL);
	find(&kbuild, "a.o");
	find(&kbuild, "d/e/b.o");
	for (size_t i = 0; i < file.count && i < 32; i++)
		if (*file.rule[i].word != '$')
			find(&kbuild, file.rule[i].word);
	kbuild_free(&file);
	kbuild_close(&kbuild);
	free(text);
	return 0;
}
