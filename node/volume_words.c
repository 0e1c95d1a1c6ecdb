/* SPDX-License-Identifier: Apache-2.0 */
#include "node/volume_words.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/named_volumes.h"
#include "tinyx/plan.h"

struct volume_word {
	char *host, *guest; /* host: as it was typed */
	bool read_only, copy;
};

static void word_free(struct volume_word *word)
{
	free(word->host);
	free(word->guest);
}

static int take_option(struct volume_word *volume, const char *option, const char *given, struct error *error)
{
	if (!strcmp(option, "ro"))
		volume->read_only = true;
	else if (!strcmp(option, "copy"))
		volume->copy = true;
	else if (strcmp(option, "rw"))
		return error_set(error, -EINVAL, "-v: \"%s\": \"%s\" is not known; there are ro, rw and copy", given, option);
	return 0;
}

static int word_read(const char *given, struct volume_word *word, struct error *error)
{
	const char *guest = strchr(given, ':');
	*word = (struct volume_word){ 0 };
	if (!guest || guest == given || guest[1] != '/')
		return error_set(error, -EINVAL, "-v: \"%s\" is not HOSTDIR:/path[:ro]", given);
	word->host = alloc_format("%.*s", (int)(guest - given), given);
	word->guest = alloc_copy(guest + 1);
	char *options = strchr(word->guest, ':'), *save = NULL;
	int err = 0;
	if (options)
		*options++ = 0;
	for (char *option = options ? strtok_r(options, ",", &save) : NULL; option && !err; option = strtok_r(NULL, ",", &save))
		err = take_option(word, option, given, error);
	return err;
}

static char *absolute(const char *host)
{
	char cwd[PATH_MAX];
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", host);
}

static int add_live(const struct volume_word *word, char *source, struct vm_config *config, struct error *error)
{
	return config_mount(config, (struct config_mount){ .kind = MOUNT_VOLUME, .path = path_clean("/", word->guest), .source = source, .frozen = word->read_only }, error);
}

static int take_one(char **given, struct vm_config *config, struct error *error)
{
	struct volume_word word;
	struct stat st;
	int err = word_read(*given, &word, error);
	bool named = !err && named_volume_is(word.host);
	if (named && word.copy) /* before one is made */
		err = error_set(error, -EINVAL, "-v: %s is a volume by its name, which is live; ./%s would be a directory here", word.host, word.host);
	char *next = NULL, *host = err ? NULL : named ? named_volume_path(word.host, true, NULL, error) : absolute(word.host);
	if (!err && !host)
		err = error->code ? error->code : -ENOMEM;
	if (!err && !word.copy && !stat(host, &st) && S_ISDIR(st.st_mode)) {
		next = alloc_format("%s:%s:live", host, word.guest);
		err = add_live(&word, host, config, error);
		host = NULL; /* the mount's, in either case */
	} else if (!err) {
		next = alloc_format("%s:%s%s", word.host, word.guest, word.read_only ? ":ro" : "");
	}
	if (next) {
		free(*given);
		*given = next;
	}
	free(host);
	word_free(&word);
	return err;
}

int volume_words_take(struct strings *words, struct vm_config *config, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < words->count && !err; i++)
		err = take_one(&words->item[i], config, error);
	return err;
}
