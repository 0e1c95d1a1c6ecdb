/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/oom_mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define TEXT_MAX 16384

/* cgroups(7): "ID:CONTROLLERS:/PATH". The path in this line; NULL: it is of other controllers. */
static const char *path_of(const char *line, const char *controller)
{
	const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
	if (!path || !*controller)
		return path == list + 1 ? path + 1 : NULL;
	size_t n = strlen(controller);
	for (const char *word = list + 1; word < path; word += strcspn(word, ",:") + 1)
		if (strcspn(word, ",:") == n && !strncmp(word, controller, n))
			return path + 1;
	return NULL;
}

/* -1: it cannot be read, or does not count. */
static int64_t count_in(const char *path)
{
	char *text = NULL;
	size_t size;
	if (file_read(AT_FDCWD, path, TEXT_MAX, &text, &size))
		return -1;
	const char *at = strstr(text, "oom_kill ");
	while (at && at != text && at[-1] != '\n')
		at = strstr(at + 1, "oom_kill ");
	int64_t count = at ? strtoll(at + strlen("oom_kill "), NULL, 10) : -1;
	free(text);
	return count;
}

/* The first of the two versions whose group counts. */
static const struct {
	const char *controller, *mount, *file;
} places[] = {
	{ "memory", "/sys/fs/cgroup/memory", "memory.oom_control" },
	{ "", "/sys/fs/cgroup", "memory.events" },
	{ "", "/sys/fs/cgroup/unified", "memory.events" },
};

static bool look_in(struct oom_mark *mark, char *groups, size_t place)
{
	for (char *line = groups, *end; line && *line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		const char *group = path_of(line, places[place].controller);
		if (!group || group[0] != '/')
			continue;
		char *path = alloc_format("%s%.*s/%s", places[place].mount, (int)strcspn(group, "\n"), group, places[place].file);
		int64_t count = path ? count_in(path) : -1;
		if (count >= 0) {
			*mark = (struct oom_mark){ path, (uint64_t)count };
			return true;
		}
		free(path);
	}
	return false;
}

void oom_mark_set(struct oom_mark *mark, pid_t pid)
{
	char name[32], *groups = NULL;
	size_t size;
	oom_mark_clear(mark);
	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	if (file_read(AT_FDCWD, name, TEXT_MAX, &groups, &size))
		return;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !look_in(mark, groups, i); i++)
		;
	free(groups);
}

bool oom_mark_rose(const struct oom_mark *mark)
{
	int64_t count = mark->path ? count_in(mark->path) : -1;
	return count > 0 && (uint64_t)count > mark->kills;
}

void oom_mark_clear(struct oom_mark *mark)
{
	free(mark->path);
	*mark = (struct oom_mark){ 0 };
}
