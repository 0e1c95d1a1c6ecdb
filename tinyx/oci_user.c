/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/oci_user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"

#define FIELDS 4 /* that count: NAME:x:ID:GID */

static bool number_of(const char *word, size_t len, uint32_t *out)
{
	char digits[12] = "";
	uint64_t number;
	if (!len || len >= sizeof(digits))
		return false;
	memcpy(digits, word, len);
	if (number_parse(digits, &number) || number >= UINT32_MAX)
		return false;
	*out = (uint32_t)number;
	return true;
}

/* The line whose first field is name, or, for a name of NULL, whose third is *id; fills id, and further, if it is not NULL, from the fourth. */
static bool find_line(const char *text, const char *name, uint32_t *id, uint32_t *further)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *field[FIELDS] = { text };
		size_t len[FIELDS] = { strcspn(text, ":\n") }, count = 1;
		for (; count < FIELDS && field[count - 1][len[count - 1]] == ':'; count++) {
			field[count] = field[count - 1] + len[count - 1] + 1;
			len[count] = strcspn(field[count], ":\n");
		}
		uint32_t number, more = 0;
		if (count < 3 || !number_of(field[2], len[2], &number) || (count == FIELDS && further && !number_of(field[3], len[3], &more)))
			continue;
		if (name ? len[0] != strlen(name) || strncmp(field[0], name, len[0]) : number != *id)
			continue;
		*id = number;
		if (further)
			*further = more;
		return true;
	}
	return false;
}

int oci_user_find(const char *user, const char *passwd, const char *group, uint32_t *uid, uint32_t *gid, struct error *error)
{
	char *name = alloc_copy(user), *group_name = strchr(name, ':');
	int err = 0;
	if (group_name)
		*group_name++ = 0;
	*gid = 0;
	if (number_of(name, strlen(name), uid))
		find_line(passwd, NULL, uid, gid);
	else if (!find_line(passwd, name, uid, gid))
		err = error_set(error, -ENOENT, "there is no user \"%.100s\" in the image's /etc/passwd", name);
	if (!err && group_name && !number_of(group_name, strlen(group_name), gid) && !find_line(group, group_name, gid, NULL))
		err = error_set(error, -ENOENT, "there is no group \"%.100s\" in the image's /etc/group", group_name);
	free(name);
	return err;
}
