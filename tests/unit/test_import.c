/* SPDX-License-Identifier: Apache-2.0 */
/* Container images: users by name, words that name sources, the layers' stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/text.h"
#include "tinyx/import.h"
#include "tinyx/import_source.h"
#include "tinyx/layer_stream.h"
#include "tinyx/oci_user.h"

static void finds_users(void **state)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:9:9\napp:x:1000:1001:a:/:/bin/sh\nbig:x:4294967295:1:::\nlast:x:7:8",
			  group[] = "root:x:0:\nstaff:x:50:app,last\n";
	static const struct {
		const char *user, *message;
		uint32_t uid, gid;
	} cases[] = {
		{ "root", NULL, 0, 0 }, { "app", NULL, 1000, 1001 }, { "last", NULL, 7, 8 }, { "1000", NULL, 1000, 1001 }, { "33", NULL, 33, 0 },
		{ "app:staff", NULL, 1000, 50 }, { "5:6", NULL, 5, 6 }, { "1000:staff", NULL, 1000, 50 },
		{ "ap", "there is no user \"ap\" in the image's /etc/passwd", 0, 0 },
		{ "big", "there is no user \"big\" in the image's /etc/passwd", 0, 0 },
		{ "4294967295", "there is no user \"4294967295\" in the image's /etc/passwd", 0, 0 },
		{ "app:", "there is no group \"\" in the image's /etc/group", 0, 0 },
		{ "app:none", "there is no group \"none\" in the image's /etc/group", 0, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error error = { 0 };
		uint32_t uid = 77, gid = 77;
		int err = oci_user_find(cases[i].user, passwd, group, &uid, &gid, &error);
		if (cases[i].message) {
			assert_int_equal(err, -ENOENT);
			assert_string_equal(error.text, cases[i].message);
			continue;
		}
		assert_int_equal(err, 0);
		assert_int_equal(uid, cases[i].uid);
		assert_int_equal(gid, cases[i].gid);
	}
}

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void reads_words(void **state)
{
	static const struct {
		const char *word;
		enum import_kind kind;
		const char *path, *reference, *digest, *name;
	} cases[] = {
		{ "oci:/a/b", IMPORT_OCI, "/a/b", NULL, NULL, "b" },
		{ "oci:/a/b:tag", IMPORT_OCI, "/a/b", "tag", NULL, "b" },
		{ "oci:/a/b:r.example:5000/x/nginx:1.2", IMPORT_OCI, "/a/b", "r.example:5000/x/nginx:1.2", NULL, "nginx" },
		{ "oci:/a/b:tag@" DIGEST, IMPORT_OCI, "/a/b", "tag", DIGEST, "b" },
		{ "oci-archive:/a/x.tar.gz", IMPORT_OCI_ARCHIVE, "/a/x.tar.gz", NULL, NULL, "x" },
		{ "docker-archive:/a/x.tar:app:1", IMPORT_DOCKER_ARCHIVE, "/a/x.tar", "app:1", NULL, "app" },
		{ "dir:/", IMPORT_DIR, "/", NULL, NULL, "image" },
		{ "tar:/a/b:c.tar", IMPORT_TAR, "/a/b:c.tar", NULL, NULL, "b" },
		{ "docker://nginx:1.25", IMPORT_FETCH, "docker://nginx:1.25", NULL, NULL, "nginx" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct import_source source;
		struct error error = { 0 };
		assert_true(import_is(cases[i].word));
		if (import_source_parse(&source, cases[i].word, &error))
			fail_msg("%s: %s", cases[i].word, error.text);
		assert_int_equal(source.kind, cases[i].kind);
		assert_string_equal(source.path, cases[i].path);
		assert_string_equal(source.reference ? source.reference : "", cases[i].reference ? cases[i].reference : "");
		assert_string_equal(source.digest ? source.digest : "", cases[i].digest ? cases[i].digest : "");
		char *name = import_name(cases[i].word);
		assert_string_equal(name, cases[i].name);
		free(name);
		import_source_free(&source);
	}
	static const char *const wrong[] = { "oci:", "oci:/a@sha256:12", "oci:/a@md5:0", "nginx", "/bin/sh", "" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct import_source source;
		struct error error = { 0 };
		assert_int_equal(import_source_parse(&source, wrong[i], &error), -EINVAL);
		assert_non_null(strchr(error.text, '"'));
		import_source_free(&source);
	}
	assert_false(import_is("nginx"));
	assert_false(import_is("./oci:x"));
}

/* ---- the stream ---- */

enum { SIZE = 700000 };

static uint8_t *pattern(void)
{
	uint8_t *data = alloc_zero(SIZE);
	for (int i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 7 + i / 1000);
	return data;
}

static size_t packed_gzip(const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
	z_stream z = { .next_in = (uint8_t *)data, .avail_in = (unsigned)size, .next_out = out, .avail_out = (unsigned)room };
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static int read_whole(int fd, uint64_t size, uint64_t limit, const char *packed, uint8_t *out, size_t *got, struct error *error)
{
	struct layer_stream *stream;
	const void *data;
	ssize_t n = 0;
	*got = 0;
	int err = layer_stream_open(&stream, &(struct layer_span){ .fd = fd, .size = size }, limit, "it", error);
	while (!err && (n = layer_stream_read(stream, &data, error)) > 0) {
		assert_true(*got + (size_t)n <= SIZE);
		memcpy(out + *got, data, (size_t)n);
		*got += (size_t)n;
	}
	err = err ? err : (int)n;
	if (!err)
		err = layer_stream_check(stream, packed, NULL, error);
	layer_stream_close(stream);
	return err;
}

/* As parallel compressors write it: several members, each whole. */
static void unpacks_members(void **state)
{
	uint8_t *data = pattern(), *out = alloc_zero(SIZE), *packed = alloc_zero(2 * SIZE);
	struct error error = { 0 };
	size_t half = SIZE / 2, first = packed_gzip(data, half, packed, SIZE), got;
	size_t all = first + packed_gzip(data + half, SIZE - half, packed + first, SIZE);
	int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_int_equal(fd_write(fd, packed, all), 0);
	assert_int_equal(read_whole(fd, all, SIZE, NULL, out, &got, &error), 0);
	assert_int_equal(got, SIZE);
	assert_memory_equal(out, data, SIZE);
	assert_int_equal(read_whole(fd, all, SIZE - 1, NULL, out, &got, &error), -EFBIG);
	assert_string_equal(error.text, "it: it becomes more than 0 MiB");
	assert_int_equal(read_whole(fd, all - 3, SIZE, NULL, out, &got, &error), -EINVAL);
	assert_string_equal(error.text, "it: damaged: its compressed data end too early");
	assert_int_equal(read_whole(fd, all + 10, SIZE, NULL, out, &got, &error), -EIO);
	assert_string_equal(error.text, "it: it ends 10 bytes early");
	assert_int_equal(read_whole(fd, all, SIZE, DIGEST, out, &got, &error), -EBADMSG);
	char digest[LAYER_DIGEST];
	assert_int_equal(layer_span_digest(&(struct layer_span){ .fd = fd, .size = all }, digest), 0);
	assert_int_equal(read_whole(fd, all, SIZE, digest, out, &got, &error), 0);
	assert_int_equal(pwrite(fd, "wrong", 5, (off_t)first + 100), 5);
	assert_int_equal(read_whole(fd, all, SIZE, NULL, out, &got, &error), -EINVAL);
	assert_string_equal(error.text, "it: damaged: its gzip data are wrong");
	close(fd);
	free(data);
	free(out);
	free(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_users),
		cmocka_unit_test(reads_words),
		cmocka_unit_test(unpacks_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
