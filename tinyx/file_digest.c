/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/file_digest.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* as in tinyx/image_file.c */
#include <openssl/sha.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

int file_digest_of(int fd, const char *path, char *hex, struct error *error)
{
	static _Thread_local unsigned char piece[1u << 16];
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX sum;
	ssize_t n;
	off_t at = 0;
	SHA256_Init(&sum);
	while ((n = pread(fd, piece, sizeof(piece), at)) > 0 || (n < 0 && errno == EINTR)) {
		SHA256_Update(&sum, piece, n > 0 ? (size_t)n : 0);
		at += n > 0 ? n : 0;
	}
	int err = n < 0 ? -errno : 0;
	SHA256_Final(digest, &sum);
	hex_print(digest, sizeof(digest), hex);
	return err ? error_set(error, err, "%s: %s", path, strerror(-err)) : 0;
}

int file_digest(const char *path, char *hex, struct error *error)
{
	int fd = file_open_regular(path), err = fd < 0 ? error_set(error, fd, "%s: %s", path, strerror(-fd)) : file_digest_of(fd, path, hex, error);
	if (fd >= 0)
		close(fd);
	return err;
}

int file_open_known(const char *path, const struct file_known *known)
{
	char hex[FILE_DIGEST_HEX + 1];
	struct error unreadable;
	struct stat st;
	int fd = file_open_regular(path);
	if (fd < 0)
		return fd;
	/* What it costs to look at the whole file is for those alone that it can be. */
	if (!fstat(fd, &st) && (uint64_t)st.st_size == known->size && !file_digest_of(fd, path, hex, &unreadable) && !strcmp(hex, known->sha256))
		return fd;
	close(fd);
	return -ENOENT;
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
