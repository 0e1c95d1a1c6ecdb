/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/file_digest.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* as in tinyx/image_file.c */
#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

int file_digest(const char *path, char *hex, struct error *error)
{
	static _Thread_local unsigned char piece[1u << 16];
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX sum;
	ssize_t n = 0;
	int fd = file_open_regular(path);
	SHA256_Init(&sum);
	while (fd >= 0 && ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)))
		SHA256_Update(&sum, piece, n > 0 ? (size_t)n : 0);
	int err = fd < 0 ? fd : n < 0 ? -errno : 0;
	SHA256_Final(digest, &sum);
	hex_print(digest, sizeof(digest), hex);
	if (fd >= 0)
		close(fd);
	return err ? error_set(error, err, "%s: %s", path, strerror(-err)) : 0;
}

void data_digest(const void *data, size_t size, char *hex)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX sum;
	SHA256_Init(&sum);
	SHA256_Update(&sum, data, size);
	SHA256_Final(digest, &sum);
	hex_print(digest, sizeof(digest), hex);
}
