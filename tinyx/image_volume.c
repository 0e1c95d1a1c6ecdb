/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/image_volume.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/plan.h"

int volume_parse(const char *word, char **host, char **guest, struct error *error)
{
	const char *colon = strchr(word, ':');
	const char *end = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon || colon == word || colon[1] != '/')
		return error_set(error, -EINVAL, "-v: \"%s\" is not HOSTDIR:/path[:ro]", word);
	if (end && strcmp(end, ":ro") && strcmp(end, VOLUME_LIVE))
		return error_set(error, -EINVAL, "-v: \"%s\": \"%s\" is not known; volumes are packed into the image (:ro)", word, end + 1);
	char cwd[PATH_MAX], *head = alloc_format("%.*s", (int)(colon - word), word);
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	*host = path_clean(cwd, head);
	*guest = alloc_format("%.*s", (int)(end ? end - colon - 1 : (long)strlen(colon + 1)), colon + 1);
	free(head);
	return 0;
}

char *volume_host(const struct strings *volumes, const char *path)
{
	struct error ignored;
	char *found = NULL, *host, *guest;
	for (size_t i = volumes ? volumes->count : 0; i > 0 && !found; i--) {
		if (volume_parse(volumes->item[i - 1], &host, &guest, &ignored))
			continue; /* is said when it is packed */
		char *clean = path_clean("/", guest);
		const char *rest = !strcmp(clean, "/") ? path : text_starts(path, clean) ? path + strlen(clean) : "";
		found = *rest == '/' ? alloc_format("%s%s", host, rest) : NULL;
		if (found && access(found, F_OK)) {
			free(found);
			found = NULL;
		}
		free(clean);
		free(host);
		free(guest);
	}
	return found ? found : alloc_copy(path);
}
