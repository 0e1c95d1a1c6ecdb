/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/import_source.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "tinyx/layer_stream.h"
#include "tinyx/plan.h"

static const struct transport {
	const char *prefix;
	enum import_kind kind;
} transports[] = {
	{ "oci:", IMPORT_OCI }, { "oci-archive:", IMPORT_OCI_ARCHIVE }, { "docker-archive:", IMPORT_DOCKER_ARCHIVE }, { "dir:", IMPORT_DIR },
	{ "tar:", IMPORT_TAR }, { "docker://", IMPORT_FETCH }, { "docker-daemon:", IMPORT_FETCH }, { "containers-storage:", IMPORT_FETCH },
	{ "ostree:", IMPORT_FETCH }, { "sif:", IMPORT_FETCH },
};

static const struct transport *transport_of(const char *word)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(*transports); i++)
		if (text_starts(word, transports[i].prefix))
			return &transports[i];
	return NULL;
}

bool import_is(const char *word)
{
	return transport_of(word);
}

static char *absolute(const char *path)
{
	char cwd[PATH_MAX];
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", path);
}

/* PATH[:NAME]: a path that is there as it is has no name behind it. */
static void split_name(struct import_source *source, char *rest)
{
	char *colon = access(rest, F_OK) ? strchr(rest, ':') : NULL;
	if (colon) {
		*colon = 0;
		source->reference = colon[1] ? alloc_copy(colon + 1) : NULL;
	}
}

int import_source_parse(struct import_source *source, const char *word, struct error *error)
{
	const struct transport *transport = transport_of(word);
	*source = (struct import_source){ 0 };
	if (!transport)
		return error_set(error, -EINVAL, "\"%s\" is not oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:DIR, tar:FILE or another source that skopeo knows, as docker://NAME", word);
	source->kind = transport->kind;
	if (source->kind == IMPORT_FETCH) {
		source->path = alloc_copy(word);
		return 0;
	}
	char *rest = alloc_copy(word + strlen(transport->prefix)), *at = strrchr(rest, '@');
	int err = 0;
	if (source->kind <= IMPORT_OCI_ARCHIVE && at && strchr(at, ':')) {
		*at++ = 0;
		source->digest = alloc_copy(at);
		if (layer_digest_parse(at))
			err = error_set(error, -EINVAL, "\"%s\": \"%s\" is not a digest: sha256: and 64 hexadecimal digits", word, at);
	}
	if (source->kind <= IMPORT_DOCKER_ARCHIVE)
		split_name(source, rest);
	if (!err && !*rest)
		err = error_set(error, -EINVAL, "\"%s\" names no file or directory", word);
	source->path = absolute(rest);
	free(rest);
	return err;
}

void import_source_free(struct import_source *source)
{
	free(source->path);
	free(source->reference);
	free(source->digest);
	*source = (struct import_source){ 0 };
}

/* The last part of the image's name without its tag, or of the path. */
char *import_name(const char *word)
{
	struct import_source source;
	bool wrong = import_source_parse(&source, word, NULL);
	const char *from = wrong ? word : source.reference && strchr(source.reference, ':') ? source.reference : source.path;
	const char *slash = strrchr(from, '/');
	from = slash ? slash + 1 : from;
	size_t len = strcspn(from, ":@");
	char *name = len ? alloc_format("%.*s", (int)len, from) : alloc_copy("image");
	char *suffix = strstr(name, ".tar");
	if (suffix && suffix != name)
		*suffix = 0;
	import_source_free(&source);
	return name;
}

char *import_whole_name(const char *word)
{
	struct import_source source;
	const char *docker = "docker://";
	if (text_starts(word, docker))
		return alloc_format("%.*s", (int)strcspn(word + strlen(docker), "@"), word + strlen(docker));
	bool wrong = import_source_parse(&source, word, NULL);
	char *name = !wrong && source.reference && strchr(source.reference, ':') ? alloc_copy(source.reference) : import_name(word);
	import_source_free(&source);
	return name;
}
