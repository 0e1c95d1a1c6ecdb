/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a container image of any bytes: what is accepted becomes a manifest; and the user's name is looked for in any two files.
 * fuzz-sources: tinyx/oci_config.c tinyx/oci_user.c tinyx/manifest.c tinyx/plan.c tinyx/image_file.c parse/erofs.c base/crc32c.c base/file.c base/number.c base/text.c base/shown.c base/error.c
 * fuzz-libs: -ljansson -lcrypto
 * fuzz-seeds: oci_config
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/oci_config.h"
#include "tinyx/oci_user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_config config;
	struct manifest manifest = { 0 }, again = { 0 };
	struct error error = { 0 };
	struct text json = { 0 };
	uint32_t uid, gid;
	char *text = alloc_zero(size + 1);
	memcpy(text, data, size);
	if (!oci_config_parse(&config, text, size, "image", &error)) {
		oci_config_manifest(&config, &manifest);
		MUST(manifest.entry <= manifest.args.count);
		MUST(!manifest.cwd || manifest.cwd[0] == '/');
		manifest_print(&manifest, &json);
		manifest_parse(&again, json.data, json.size, &error);
		oci_user_find(config.user ? config.user : "user:group", text, text + size / 2, &uid, &gid, &error);
	} else {
		MUST(error.code < 0 && error.text[0]);
		if (oci_user_find(text, text, text, &uid, &gid, &error))
			MUST(error.code == -2 || error.code == -22);
	}
	text_free(&json);
	manifest_free(&again);
	manifest_free(&manifest);
	oci_config_free(&config);
	free(text);
	return 0;
}
