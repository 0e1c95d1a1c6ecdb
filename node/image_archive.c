/* SPDX-License-Identifier: Apache-2.0 */
#include "node/image_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "node/image_list.h"
#include "tinyx/image_file.h"
#include "tinyx/image_names.h"
#include "tinyx/image_put.h"
#include "tinyx/import.h"
#include "tinyx/oci_image.h"
#include "tinyx/oci_store.h"
#include "tinyx/stage.h"

#define LIST "lightvm-images.json"
#define LIST_VERSION 1
#define LIST_MOST (1u << 20) /* bytes */
#define IMAGES_MOST 1000
#define BYTES_MOST (64ull << 30) /* of what comes through a pipe */
#define CHUNK (1u << 20)
#define BLOCK 512

/* ---- writing a tar ---- */

struct header { /* ustar (POSIX.1-1988) */
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "tar header");

/* Octal; what has no room, as GNU's tar has it: binary, the first bit set. */
static void put_size(char *field, uint64_t value)
{
	if (value < 1ull << 33) {
		snprintf(field, 12, "%011llo", (unsigned long long)value);
		return;
	}
	memset(field, 0, 12);
	field[0] = (char)0x80;
	for (int i = 0; i < 8; i++)
		field[4 + i] = (char)(value >> (56 - 8 * i));
}

static void make_header(struct header *header, const char *name, uint64_t size)
{
	*header = (struct header){ .mode = "0000444", .uid = "0000000", .gid = "0000000", .mtime = "00000000000", .type = '0', .magic = "ustar\00000" };
	snprintf(header->name, sizeof(header->name), "%s", name);
	put_size(header->size, size);
	memset(header->sum, ' ', sizeof(header->sum));
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += ((const uint8_t *)header)[i];
	snprintf(header->sum, sizeof(header->sum), "%06o", sum);
}

static int put_member(int fd, const char *name, const void *data, uint64_t size)
{
	static const char zeroes[BLOCK];
	struct header header;
	make_header(&header, name, size);
	int err = fd_write(fd, &header, sizeof(header));
	for (uint64_t done = 0; !err && done < size;) {
		size_t n = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		err = fd_write(fd, (const char *)data + done, n);
		done += n;
	}
	return err || !(size % BLOCK) ? err : fd_write(fd, zeroes, BLOCK - size % BLOCK);
}

/* ---- saving ---- */

/* Its entry in the list; a word that is a name is kept. */
static json_t *describe(const struct image *image, const char *word)
{
	char *named = image_named_path(word), *name = named ? image_name_whole(word, NULL) : NULL;
	json_t *entry = json_pack("{s:s, s:I, s:[]}", "sha256", image->sha256, "size", (json_int_t)image->size, "names");
	if (name)
		json_array_append_new(json_object_get(entry, "names"), json_string(name));
	free(named);
	free(name);
	return entry;
}

/* Images that were named twice are one, with both names. */
static bool merge(json_t *list, const json_t *entry)
{
	size_t i;
	json_t *there;
	json_array_foreach(list, i, there)
		if (json_equal(json_object_get(there, "sha256"), json_object_get(entry, "sha256"))) {
			json_array_extend(json_object_get(there, "names"), json_object_get(entry, "names"));
			return true;
		}
	return false;
}

static int open_image(struct image *image, const char *word, struct error *error)
{
	char *path = image_path(word, error);
	int err = path ? image_open(image, path, error) : error->code;
	if (!err && !image->has_trailer)
		err = error_set(error, -ENODATA, "%s: it has no digest: an image made by other hands; copy the file as it is", word);
	if (!err)
		err = image_verify(image, word, error);
	free(path);
	return err;
}

static int write_all(const struct image *image, size_t count, json_t *list, int fd)
{
	static const char zeroes[2 * BLOCK];
	json_t *whole = json_pack("{s:i, s:O}", "lightvm_images", LIST_VERSION, "images", list);
	char *text = json_dumps(whole, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	int err = text ? put_member(fd, LIST, text, strlen(text)) : -ENOMEM;
	for (size_t i = 0; i < count && !err; i++) {
		char *name = alloc_format("%s.lvm", image[i].sha256);
		err = name ? put_member(fd, name, image[i].map, image[i].size) : -ENOMEM;
		free(name);
	}
	free(text);
	json_decref(whole);
	return err ? err : fd_write(fd, zeroes, sizeof(zeroes));
}

int images_save(const struct strings *words, int fd, const char *shown, struct error *error)
{
	struct image *image = alloc_zero((words->count + 1) * sizeof(*image));
	json_t *list = json_array();
	size_t count = 0;
	int err = words->count > IMAGES_MOST ? error_set(error, -E2BIG, "%zu images; at most %d", words->count, IMAGES_MOST) : 0;
	for (size_t i = 0; i < words->count && !err; i++) {
		image[count] = IMAGE_CLOSED;
		err = open_image(&image[count], words->item[i], error);
		json_t *entry = err ? NULL : describe(&image[count], words->item[i]);
		if (!err && !entry) /* left out, nobody would miss it before it is loaded */
			err = error_set(error, -ENOMEM, "%s: out of memory", words->item[i]);
		if (entry && !merge(list, entry)) {
			json_array_append(list, entry);
			count++;
		} else {
			image_close(&image[count]);
		}
		json_decref(entry);
	}
	if (!err && (err = write_all(image, count, list, fd)))
		error_set(error, err, "%s: %s", shown, strerror(-err));
	for (size_t i = 0; i < count; i++)
		image_close(&image[i]);
	json_decref(list);
	free(image);
	return err;
}

/* ---- loading ---- */

struct loading {
	const struct cache *cache;
	struct oci_store store;
	const char *shown;
	char *path; /* under which this process opens what is loaded */
	const struct image_loaded *loaded;
};

static void tell(const struct loading *loading, const char *name, const char *sha256)
{
	loading->loaded->tell(loading->loaded->context, name, sha256);
}

static int copy_span(const struct layer_span *span, int to)
{
	char *chunk = alloc_zero(CHUNK);
	int err = chunk ? 0 : -ENOMEM;
	for (uint64_t done = 0; done < span->size && !err;) {
		ssize_t n = pread(span->fd, chunk, span->size - done < CHUNK ? (size_t)(span->size - done) : CHUNK, (off_t)(span->at + done));
		err = n < 0 ? -errno : !n ? -EIO : fd_write(to, chunk, (size_t)n);
		done += n > 0 ? (uint64_t)n : 0;
	}
	free(chunk);
	return err;
}

/* As an image of the cache has to be, and with the digest that the list says. */
static int check_image(int fd, const char *what, const char *sha256, struct error *error)
{
	struct image image = IMAGE_CLOSED;
	char *path = alloc_format("/proc/self/fd/%d", fd);
	int err = image_open(&image, path, error);
	if (!err)
		err = image_verify(&image, path, error);
	if (err)
		error_set(error, err, "%s: it is no whole image", what);
	else if (strcmp(image.sha256, sha256))
		err = error_set(error, -EBADMSG, "%s: its digest is %.12s...", what, image.sha256);
	image_close(&image);
	free(path);
	return err;
}

static int take_image(const struct loading *loading, const char *sha256, uint64_t size, struct error *error)
{
	struct layer_span span;
	struct stage stage = STAGE_NONE;
	struct packed packed = PACKED_NONE;
	char *member = alloc_format("%s.lvm", sha256), *what = alloc_format("%s: image %.12s", loading->shown, sha256);
	int err = oci_store_find(&loading->store, member, &span);
	if (err) {
		error_set(error, -ENOENT, "%s: it is not there", what);
	} else {
		if (span.size != size)
			err = error_set(error, -EBADMSG, "%s: it has %llu bytes, should have %llu", what, (unsigned long long)span.size, (unsigned long long)size);
		if (!err && ((err = stage_open(&stage, loading->cache->images)) || (err = copy_span(&span, stage.fd))))
			error_set(error, err, "%s: %s", what, strerror(-err));
		if (!err)
			err = check_image(stage.fd, what, sha256, error);
		if (!err)
			err = image_publish(loading->cache, &stage, sha256, &packed, error);
		close(span.fd);
		stage_close(&stage);
	}
	packed_free(&packed);
	free(member);
	free(what);
	return err ? error->code : 0;
}

static int take_names(const struct loading *loading, const json_t *names, const char *sha256, struct error *error)
{
	size_t i;
	json_t *word;
	int err = 0;
	json_array_foreach(names, i, word) {
		char *name = err ? NULL : image_name_whole(json_string_value(word) ? json_string_value(word) : "", error);
		if (!err)
			err = name ? image_name_set(loading->cache, name, sha256, error) : error->code;
		if (!err)
			tell(loading, name, sha256);
		free(name);
	}
	if (!err && !json_array_size(names))
		tell(loading, NULL, sha256);
	return err;
}

/* What the list says is what an image of the list can be; names are looked at before anything is taken. */
static int check_entry(const struct loading *loading, const json_t *entry, size_t number, struct error *error)
{
	const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
	const json_t *size = json_object_get(entry, "size"), *names = json_object_get(entry, "names");
	size_t i;
	json_t *word;
	if (!sha256 || strlen(sha256) != IMAGE_HEX || strspn(sha256, "0123456789abcdef") != IMAGE_HEX)
		return error_set(error, -EINVAL, "%s: " LIST ": image %zu: its sha256 is not %d hexadecimal digits", loading->shown, number, IMAGE_HEX);
	if (!json_is_integer(size) || json_integer_value(size) < 1 || !json_is_array(names) || json_array_size(names) > IMAGES_MOST)
		return error_set(error, -EINVAL, "%s: " LIST ": image %zu: its size is no number of bytes, or its names are no list", loading->shown, number);
	json_array_foreach(names, i, word) {
		char *name = json_is_string(word) && strlen(json_string_value(word)) == json_string_length(word) ? image_name_whole(json_string_value(word), error) : NULL;
		if (!name)
			return error_set(error, -EINVAL, "%s: " LIST ": image %zu: name %zu cannot be the name of an image", loading->shown, number, i + 1);
		free(name);
	}
	return 0;
}

static int load_list(const struct loading *loading, const char *text, size_t size, struct error *error)
{
	json_error_t where;
	json_t *whole = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where), *list = json_object_get(whole, "images"), *entry;
	const json_t *version = json_object_get(whole, "lightvm_images");
	size_t i;
	int err = 0;
	if (!whole)
		err = error_set(error, -EINVAL, "%s: " LIST ": line %d: %s", loading->shown, where.line, where.text);
	else if (!json_is_integer(version) || json_integer_value(version) != LIST_VERSION)
		err = error_set(error, -EINVAL, "%s: " LIST ": its version (\"lightvm_images\") is not %d, the one that this lightvm knows", loading->shown, LIST_VERSION);
	else if (!json_is_array(list) || json_array_size(list) > IMAGES_MOST)
		err = error_set(error, -EINVAL, "%s: " LIST ": \"images\" is not a list of at most %d", loading->shown, IMAGES_MOST);
	if (!err)
		json_array_foreach(list, i, entry)
			err = err ? err : check_entry(loading, entry, i + 1, error);
	if (!err)
		json_array_foreach(list, i, entry) {
			const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
			if (!err)
				err = take_image(loading, sha256, (uint64_t)json_integer_value(json_object_get(entry, "size")), error);
			if (!err)
				err = take_names(loading, json_object_get(entry, "names"), sha256, error);
		}
	json_decref(whole);
	return err;
}

/* ---- what engines save ---- */

static int take_import(const struct loading *loading, const char *word, const struct strings *names, struct error *error)
{
	struct packed packed;
	int err = import_cached(&(struct import_request){ .word = word, .fresh = true }, &packed, error);
	const char *base = err ? NULL : strrchr(packed.path, '/') + 1;
	char *sha256 = err ? NULL : alloc_format("%.*s", IMAGE_HEX, base);
	if (!err && strlen(base) != IMAGE_HEX + 4)
		err = error_set(error, -EACCES, "the image cache cannot be used; what was loaded would be lost");
	for (size_t i = 0; names && i < names->count && !err; i++) {
		char *name = image_name_whole(names->item[i], error);
		err = name ? image_name_set(loading->cache, name, sha256, error) : error->code;
		if (!err)
			tell(loading, name, sha256);
		free(name);
	}
	if (!err && (!names || !names->count))
		tell(loading, NULL, sha256);
	packed_free(&packed);
	free(sha256);
	return err;
}

static int load_saved(const struct loading *loading, struct error *error)
{
	struct strings *names = NULL;
	size_t count = 0;
	int err = oci_image_names(&loading->store, &names, &count, error);
	for (size_t i = 0; i < count && !err; i++) {
		const bool known = names[i].count;
		char *word = known ? alloc_format("docker-archive:%s:%s", loading->path, names[i].item[0]) : alloc_format("docker-archive:%s", loading->path);
		if (!known && count > 1)
			err = error_set(error, -EINVAL, "%s: image %zu of %zu has no name; save it with one, or alone", loading->shown, i + 1, count);
		if (!err)
			err = take_import(loading, word, &names[i], error);
		free(word);
	}
	for (size_t i = 0; i < count; i++)
		strings_free(&names[i]);
	free(names);
	return err;
}

static int load_layout(const struct loading *loading, struct error *error)
{
	struct oci_image image;
	struct strings names = { 0 };
	char *word = alloc_format("oci-archive:%s", loading->path);
	int err = oci_image_find(&image, &loading->store, NULL, NULL, error);
	/* A layout's names may be tags alone. */
	if (!err && image.name && strchr(image.name, ':'))
		strings_add(&names, image.name);
	if (!err)
		err = take_import(loading, word, &names, error);
	oci_image_free(&image);
	strings_free(&names);
	free(word);
	return err;
}

static bool has(const struct loading *loading, const char *member)
{
	struct layer_span span;
	if (oci_store_find(&loading->store, member, &span))
		return false;
	close(span.fd);
	return true;
}

static int load_store(const struct loading *loading, struct error *error)
{
	char *text = NULL;
	size_t size;
	if (has(loading, LIST)) {
		int err = oci_store_read(&loading->store, LIST, NULL, LIST_MOST, &text, &size, error);
		if (!err)
			err = load_list(loading, text, size, error);
		free(text);
		return err;
	}
	if (has(loading, "manifest.json"))
		return load_saved(loading, error);
	if (has(loading, "index.json"))
		return load_layout(loading, error);
	return error_set(error, -EINVAL, "%s: neither what \"lightvm image save\" writes, nor \"docker save\" or \"podman save\"; a tar of a root directory is for \"lightvm image build --from tar:FILE\"", loading->shown);
}

/* A file as it is; what comes through a pipe, in a file without a name. */
static int keep(int fd, struct stage *stage, const struct cache *cache, const char *shown, int *kept, struct error *error)
{
	struct stat st;
	*kept = fd;
	if (fstat(fd, &st))
		return error_set(error, -errno, "%s: %s", shown, strerror(errno));
	if (S_ISREG(st.st_mode))
		return 0;
	if (S_ISDIR(st.st_mode))
		return error_set(error, -EISDIR, "%s is a directory; a layout is for \"lightvm pull oci:DIR\"", shown);
	char *chunk = alloc_zero(CHUNK);
	uint64_t done = 0;
	ssize_t n = 1;
	int err = stage_open(stage, cache->images);
	while (!err && n && (n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		done += n > 0 ? (uint64_t)n : 0;
		err = n < 0 ? -errno : done > BYTES_MOST ? -EFBIG : fd_write(stage->fd, chunk, (size_t)n);
	}
	free(chunk);
	*kept = stage->fd;
	return err ? error_set(error, err, "%s: %s", shown, strerror(-err)) : 0;
}

int images_load(int fd, const char *shown, const struct image_loaded *loaded, struct error *error)
{
	struct cache cache;
	struct stage stage = STAGE_NONE;
	struct loading loading = { .cache = &cache, .store = OCI_STORE_CLOSED, .shown = shown, .loaded = loaded };
	int kept = -1, err = cache_open(&cache, true, error);
	if (!err)
		err = keep(fd, &stage, &cache, shown, &kept, error);
	if (!err) {
		loading.path = alloc_format("/proc/self/fd/%d", kept);
		char *aside = alloc_format("%s/images", cache.path);
		err = oci_store_open(&loading.store, loading.path, aside, error);
		if (!err) {
			free(loading.store.path);
			loading.store.path = alloc_copy(shown);
			err = load_store(&loading, error);
		}
		free(aside);
	}
	/* In messages it is called what its user calls it. */
	if (err && loading.path && text_starts(error->text, loading.path)) {
		char *rest = alloc_copy(error->text + strlen(loading.path));
		error_set(error, err, "%s%s", shown, rest);
		free(rest);
	}
	oci_store_close(&loading.store);
	free(loading.path);
	stage_close(&stage);
	cache_close(&cache);
	return err;
}
