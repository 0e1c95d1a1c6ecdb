/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/import_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"
#include "tinyx/stage.h"

#define WORDS_MOST 4096 /* of what skopeo says */

/* What it says last counts. It may say more than a pipe holds, so it is read to its end. */
static void read_words(int fd, char *words)
{
	size_t size = 0;
	char piece[1024];
	for (ssize_t n; (n = read(fd, piece, sizeof(piece))) > 0;) {
		size_t keep = size + (size_t)n > WORDS_MOST ? WORDS_MOST - (size_t)n : size;
		memmove(words, words + (size - keep), keep);
		memcpy(words + keep, piece, (size_t)n);
		size = keep + (size_t)n;
	}
	while (size && strchr("\n\r ", words[size - 1]))
		size--;
	words[size] = 0;
}

static char *last_line(char *words)
{
	char *line = strrchr(words, '\n');
	line = line ? line + 1 : words;
	char *message = strstr(line, "msg="); /* time="..." level=fatal msg="..." */
	return message ? message + 4 : line;
}

static int run_skopeo(const char *word, const char *layout, struct error *error)
{
	char *target = alloc_format("oci:%s:image", layout), *words = alloc_zero(WORDS_MOST + 1);
	char *const argv[] = { "skopeo", "copy", "--quiet", (char *)word, target, NULL };
	int pipe[2], err = pipe2(pipe, O_CLOEXEC) ? error_set(error, -errno, "skopeo: %s", strerror(errno)) : 0;
	struct spawned child = SPAWNED_NONE;
	if (!err) {
		struct spawn spawn = { SPAWN_INIT, .argv = argv, .env = environ, .die_with_us = true };
		spawn.err = pipe[1];
		err = spawn_start(&spawn, "skopeo", &child, error);
		if (err == -ENOENT)
			error_set(error, err, "%s: skopeo, which brings it, is not installed; on Debian: apt install skopeo", word);
		close(pipe[1]);
		if (!err)
			read_words(pipe[0], words);
		close(pipe[0]);
	}
	int status = err ? 0 : spawned_wait(&child);
	if (!err && (!WIFEXITED(status) || WEXITSTATUS(status)))
		err = error_set(error, -EIO, "%s: skopeo could not bring it: %.700s", word, *words ? last_line(words) : "it did not say why");
	free(target);
	free(words);
	return err;
}

int import_fetch(struct fetched *fetched, const char *word, const char *aside, struct error *error)
{
	fetched->path = alloc_format("%s/" STAGE_PREFIX "XXXXXX", aside);
	if (!mkdtemp(fetched->path)) {
		int err = error_set(error, -errno, "%s: %s", fetched->path, strerror(errno));
		free(fetched->path);
		fetched->path = NULL;
		return err;
	}
	fetched->dir = open(fetched->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fetched->dir < 0 || flock(fetched->dir, LOCK_EX | LOCK_NB))
		return error_set(error, -errno, "%s: %s", fetched->path, strerror(errno));
	return run_skopeo(word, fetched->path, error);
}

void import_fetched_free(struct fetched *fetched)
{
	tree_remove(AT_FDCWD, fetched->path);
	if (fetched->path && fetched->dir >= 0)
		close(fetched->dir);
	free(fetched->path);
	*fetched = (struct fetched){ 0 };
}
