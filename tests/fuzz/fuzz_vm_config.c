/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's configuration from any JSON: what is accepted is printed, read again, and is the same; what is refused has a message.
 * fuzz-sources: parse/mount_word.c node/vm_config.c node/vm_config_json.c node/net_spec.c node/json_rows.c node/vm_name.c node/restart_policy.c node/state.c node/kept.c base/deadline.c node/status_file.c base/clock.c base/text.c base/error.c base/file.c base/number.c base/owned_dir.c tests/unit/random_config.c
 * fuzz-libs: -ljansson
 * fuzz-seeds: vm_config
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/vm_config.h"
#include "tests/unit/random_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_config first, second;
	struct error error = { 0 };
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	config_init(&first);
	config_init(&second);
	if (json && !config_from_json(&first, json, &error)) {
		json_t *again = config_to_json(&first);
		MUST(again && !config_from_json(&second, again, &error));
		MUST(!config_difference(&first, &second));
		json_decref(again);
		if (config_validate(&first, &error))
			MUST(error.text[0]);
	} else {
		MUST(!json || (error.code < 0 && error.text[0]));
	}
	config_free(&first);
	config_free(&second);
	json_decref(json);
	return 0;
}
