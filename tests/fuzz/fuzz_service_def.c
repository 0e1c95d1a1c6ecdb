/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service is, from any JSON, as an API or a kept file gives it: what is accepted is written, read again, and is the same; what is refused has a message.
 * fuzz-sources: daemon/service_def.c node/net_spec.c node/json_rows.c node/vm_name.c node/state.c node/kept.c base/deadline.c node/status_file.c base/clock.c base/text.c base/error.c base/file.c base/number.c base/owned_dir.c
 * fuzz-libs: -ljansson
 * fuzz-seeds: service_def
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/service_def.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service_def first = { 0 }, second = { 0 };
	struct error error = { 0 };
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json && !service_def_read(&first, json, &error)) {
		json_t *once = service_def_write(&first), *twice = NULL;
		MUST(first.name && first.vm && first.max && (first.port || (first.net.ip && first.net.name && first.max == 1)));
		MUST(once && !service_def_read(&second, once, &error));
		twice = service_def_write(&second);
		MUST(json_equal(once, twice));
		json_decref(once);
		json_decref(twice);
	} else {
		MUST(!json || (error.code < 0 && error.text[0]));
	}
	service_def_free(&first);
	service_def_free(&second);
	json_decref(json);
	return 0;
}
