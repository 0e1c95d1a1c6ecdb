/* SPDX-License-Identifier: Apache-2.0 */
#include "parse/mount_word.h"

#define MODE_MOST 07777u

static int starts(const char **at, const char *with)
{
	const char *word = *at;
	while (*with)
		if (*word++ != *with++)
			return 0;
	*at = word;
	return 1;
}

/* Digits of this base up to the end character, which is passed over. */
static int number(const char **at, unsigned base, char end, uint64_t most, uint64_t *value)
{
	const char *word = *at;
	*value = 0;
	for (; *word >= '0' && *word < (char)('0' + base); word++) {
		if (*value > (most - (unsigned)(*word - '0')) / base)
			return 0;
		*value = *value * base + (unsigned)(*word - '0');
	}
	if (word == *at || *word != end)
		return 0;
	*at = word + 1;
	return 1;
}

int mount_path_is_clean(const char *path)
{
	const char *at = path;
	if (*at != '/')
		return 0;
	if (!at[1])
		return 1;
	while (*at == '/') {
		const char *name = ++at;
		while (*at && *at != '/')
			at++;
		if (at == name || (*name == '.' && (at - name == 1 || (at - name == 2 && name[1] == '.'))))
			return 0;
	}
	return at - path <= MOUNT_PATH_MAX;
}

int mount_word_read(const char *word, struct mount_word *mount)
{
	uint64_t mode = 0;
	*mount = (struct mount_word){ 0 };
	if (starts(&word, "ro "))
		mount->kind = MOUNT_READ_ONLY;
	else if (starts(&word, "rw "))
		mount->kind = MOUNT_WRITABLE;
	else if (starts(&word, "tmpfs:") && number(&word, 10, ':', INT64_MAX, &mount->size) && number(&word, 8, ' ', MODE_MOST, &mode))
		mount->kind = MOUNT_TMPFS;
	else if (starts(&word, "volume:") && number(&word, 10, ':', MOUNT_VOLUMES - 1, &mount->size) &&
		 ((mount->read_only = (uint32_t)starts(&word, "ro ")) || starts(&word, "rw ")))
		mount->kind = MOUNT_VOLUME;
	else
		return -1;
	mount->mode = (uint32_t)mode;
	mount->path = word;
	return mount_path_is_clean(word) && (word[1] || mount->kind == MOUNT_READ_ONLY) ? 0 : -1;
}
