/* SPDX-License-Identifier: Apache-2.0 */
/* Names of packages, as users give them: debs_check_name. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "tinyx/packages/debs.h"

#define NAME_BYTES 128

static bool is_word(const char *word, size_t len, const char *marks)
{
	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)word[i]) && !isdigit((unsigned char)word[i]) && !strchr(marks, word[i]))
			return false;
	return len >= 2 && len <= NAME_BYTES && isalnum((unsigned char)word[0]);
}

static bool is_version(const char *word)
{
	for (const char *c = word; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".+:~-", *c))
			return false;
	return *word && strlen(word) <= NAME_BYTES;
}

int debs_check_name(const char *name, struct error *error)
{
	size_t len = strcspn(name, "=");
	/* To apt-get a "-" behind a name would mean to remove it. */
	if (is_word(name, len, "+-.") && name[len - 1] != '-' && (!name[len] || is_version(name + len + 1)))
		return 0;
	return error_set(error, -EINVAL, "--package: \"%s\" is not the name of a Debian package (small letters, digits, + - .), nor NAME=VERSION", name);
}
