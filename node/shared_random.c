/* SPDX-License-Identifier: Apache-2.0 */
#include "node/shared_random.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define PROGRAM_MAX (256u << 20)

/* Each has a state of its own, seeded once: it looks for a new process number or for time that has passed, and a clone has neither. */
static const struct {
	const char *prefix, *name;
} libraries[] = {
	{ "libcrypto.so", "OpenSSL" }, { "libgnutls.so", "GnuTLS" }, { "libgcrypt.so", "Libgcrypt" }, { "libfreeblpriv3.so", "NSS" }, { "libmbedcrypto.so", "Mbed TLS" },
};

static const char *const places[] = { "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib", "/usr/local/lib" };

/* A file name that stands in every OpenSSL, statically linked too. */
static const char openssl_mark[] = "crypto/rand/rand_lib.c";

static char *in_place(const struct image *image, const char *place)
{
	struct erofs_inode dir;
	struct erofs_dirent entry;
	uint64_t cursor = 0;
	if (erofs_walk(&image->fs, place, &dir))
		return NULL;
	while (erofs_readdir(&image->fs, &dir, &cursor, &entry) > 0)
		for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
			size_t n = strlen(libraries[i].prefix);
			if (entry.name_len >= n && !memcmp(entry.name, libraries[i].prefix, n))
				return alloc_format("%s (%s/%.*s)", libraries[i].name, place, (int)entry.name_len, entry.name);
		}
	return NULL;
}

static char *in_program(const struct image *image, const char *program)
{
	struct erofs_inode inode;
	const uint8_t *data;
	size_t len;
	if (erofs_walk(&image->fs, program, &inode) || inode.size > PROGRAM_MAX || erofs_map(&image->fs, &inode, 0, &data, &len) || !data)
		return NULL;
	return memmem(data, len, openssl_mark, sizeof(openssl_mark) - 1) ? alloc_format("OpenSSL (in %s)", program) : NULL;
}

char *shared_random_in(const struct image *image, const char *program)
{
	char *found = NULL;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !found; i++)
		found = in_place(image, places[i]);
	return found ? found : in_program(image, program);
}
