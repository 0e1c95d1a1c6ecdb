/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a saved VM from any bytes: what is accepted is printed, read again, and is the same; what is refused has a message.
 * fuzz-sources: node/save_manifest.c node/cpu_words.c node/json_rows.c node/vm_name.c node/restart_policy.c node/state.c node/kept.c base/deadline.c node/status_file.c base/clock.c base/text.c base/error.c base/file.c base/number.c base/owned_dir.c
 * fuzz-libs: -ljansson
 * fuzz-seeds: save_manifest
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/save_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct save_manifest first = { 0 }, second = { 0 };
	struct cpu_words here;
	struct error error = { 0 };
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json && !save_manifest_from_json(&first, json, &error)) {
		json_t *once = save_manifest_to_json(&first);
		MUST(once && !save_manifest_from_json(&second, once, &error));
		json_t *again = save_manifest_to_json(&second);
		MUST(again && json_equal(once, again));
		cpu_words_read(&here);
		if (cpu_words_fit(&first.cpu, &here, &error))
			MUST(error.text[0]);
		json_decref(once);
		json_decref(again);
	} else {
		MUST(!json || (error.code < 0 && error.text[0]));
	}
	save_manifest_free(&first);
	save_manifest_free(&second);
	json_decref(json);
	return 0;
}
