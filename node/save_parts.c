/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "node/save_files.h"

int save_read_manifest(struct save *save, const char *text, size_t size, struct error *error)
{
	json_error_t where;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	int err = json ? save_manifest_from_json(&save->manifest, json, error) : error_set(error, -EINVAL, "line %d: %s", where.line, where.text);
	json_decref(json);
	return err ? error_prefix(error, save->one ? "%s" : "%s/" SAVE_MANIFEST, save->path) : 0;
}

int save_reopen_for_reading(int fd)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}
