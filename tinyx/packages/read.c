/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/read.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

char *planned_read(const struct plan *plan, const char *guest, size_t limit)
{
	const struct plan_entry *entry = plan_follow(plan, guest);
	int fd = entry && entry->kind == PLAN_FILE && entry->size <= limit ? file_open_regular(entry->source) : -1;
	if (fd < 0)
		return NULL;
	char *text = alloc_zero(entry->size + 1);
	ssize_t n = pread(fd, text, entry->size, (off_t)entry->offset);
	close(fd);
	if (n == (ssize_t)entry->size)
		return text;
	free(text);
	return NULL;
}
