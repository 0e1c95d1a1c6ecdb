/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/image_manifest.h"
#include "base/file.h"
#include "base/log.h"
#include "tinyx/image_file.h"
#include "tinyx/image_put.h"
#include "tinyx/import_fetch.h"
#include "tinyx/import_source.h"
#include "tinyx/layers.h"
#include "tinyx/oci_image.h"
#include "tinyx/oci_user.h"

#define KEY_VERSION "lightvm-import-1" /* a change of what becomes of an image makes every cached one stale */
#define TEXT_MOST (1u << 20) /* of /etc/passwd and /etc/group */
#define LINKS_MAX 40

struct import { /* one on its way */
	const struct import_request *request;
	struct import_source source;
	struct fetched fetched; /* where skopeo has put it */
	struct plan plan;
	struct spool spool;
	struct oci_image image;
	const char *aside; /* directory for what has no name */
};

/* ---- layers ---- */

struct layer_told { /* of one layer; NULL: not known */
	const char *what, *digest, *diff_id;
};

/* What is wrong with a layer because it is not the one that was meant, is told so. */
static int blame_digest(const struct layer_span *span, const struct layer_told *told, int err, struct error *error)
{
	char digest[LAYER_DIGEST];
	if (!told->digest || layer_span_digest(span, digest) || !strcmp(digest, told->digest))
		return err;
	return error_set(error, -EBADMSG, "%s: its digest is %s, should be %s", told->what, digest, told->digest);
}

static int apply_layer(struct import *import, struct layers *layers, const struct layer_span *span, const struct layer_told *told, struct error *error)
{
	struct layer_stream *stream;
	struct tar *tar = NULL;
	uint64_t limit = layer_limit(span->size), room = LAYER_BYTES_MOST - import->spool.end;
	import->spool.limit = import->spool.end + (limit < room ? limit : room); /* what a header only tells of is not believed either */
	int err = layer_stream_open(&stream, span, limit, told->what, error);
	struct tar_feed feed = layer_stream_feed(stream);
	if (!err)
		err = tar_open_feed(&tar, &feed, told->what, error);
	if (!err)
		err = layers_apply(layers, tar, &import->spool, told->what, error);
	tar_close(tar);
	if (!err)
		err = layer_stream_check(stream, told->digest, told->diff_id, error);
	else if (err != -ENOSPC)
		err = blame_digest(span, told, err, error);
	layer_stream_close(stream);
	return err;
}

static int find_layer(const struct oci_store *store, const struct oci_layer *layer, const char *what, struct layer_span *span, struct error *error)
{
	int err = oci_store_find(store, layer->path, span);
	if (err)
		return error_set(error, err, "%s: %s: %s", what, layer->path, err == -ENOENT ? "it is not there" : strerror(-err));
	if (!layer->digest || span->size == layer->size)
		return 0;
	close(span->fd);
	return error_set(error, -EBADMSG, "%s: it has %llu bytes, should have %llu", what, (unsigned long long)span->size, (unsigned long long)layer->size);
}

static int apply_layers(struct import *import, const struct oci_store *store, struct layers *layers, struct error *error)
{
	const struct oci_image *image = &import->image;
	int err = 0;
	for (size_t i = 0; i < image->layers && !err; i++) {
		struct layer_span span;
		const char *diff_id = image->config.diff_ids.item[i], *digest = image->layer[i].digest;
		char *what = alloc_format("%s: layer %zu (%.19s)", store->path, i + 1, digest ? digest : diff_id);
		err = find_layer(store, &image->layer[i], what, &span, error);
		if (!err) {
			err = apply_layer(import, layers, &span, &(struct layer_told){ what, digest, diff_id }, error);
			close(span.fd);
		}
		free(what);
	}
	return err;
}

/* ---- what is in it ---- */

/* The planned file behind links, or NULL. */
static const struct plan_entry *find_file(const struct plan *plan, const char *path)
{
	const struct plan_entry *entry = plan_find(plan, path);
	for (int links = 0; entry && entry->kind == PLAN_LINK && links < LINKS_MAX; links++) {
		char *up = alloc_format("%s/..", entry->guest), *dir = path_clean("/", up), *target = path_clean(dir, entry->source);
		entry = plan_find(plan, target);
		free(up);
		free(dir);
		free(target);
	}
	return entry && entry->kind == PLAN_FILE ? entry : NULL;
}

/* Its text, the caller's; "" where there is none, or too much. */
static char *read_planned(const struct plan *plan, const char *path)
{
	const struct plan_entry *entry = find_file(plan, path);
	int fd = entry && entry->size <= TEXT_MOST ? file_open_regular(entry->source) : -1;
	char *text = alloc_zero(fd < 0 ? 1 : entry->size + 1);
	if (fd >= 0 && pread(fd, text, entry->size, (off_t)entry->offset) < 0)
		text[0] = 0;
	if (fd >= 0)
		close(fd);
	return text;
}

static int set_user(struct import *import, struct manifest *manifest, struct error *error)
{
	const char *user = import->image.config.user;
	if (!user || manifest->uid || manifest->gid)
		return 0;
	char *passwd = read_planned(&import->plan, "/etc/passwd"), *group = read_planned(&import->plan, "/etc/group");
	int err = oci_user_find(user, passwd, group, &manifest->uid, &manifest->gid, error);
	if (err)
		error_prefix(error, "%s: its user", import->request->word);
	free(passwd);
	free(group);
	return err;
}

static char *copy_or_null(const char *string)
{
	return string ? alloc_copy(string) : NULL;
}

static void copy_list(struct strings *to, const struct strings *from)
{
	for (size_t i = 0; i < from->count; i++)
		strings_add(to, from->item[i]);
}

/* What was asked for, and, where that says nothing, the image's own words. */
static int make_manifest(struct import *import, struct manifest *manifest, struct error *error)
{
	static const struct manifest none;
	const struct manifest *given = import->request->manifest ? import->request->manifest : &none;
	*manifest = (struct manifest){ .name = given->name ? alloc_copy(given->name) : import_name(import->request->word), .cwd = copy_or_null(given->cwd),
		.hostname = copy_or_null(given->hostname), .uid = given->uid, .gid = given->gid, .memory = given->memory };
	copy_list(&manifest->args, &given->args);
	copy_list(&manifest->env, &given->env);
	copy_list(&manifest->ports, &given->ports);
	oci_config_manifest(&import->image.config, manifest);
	strings_add(&manifest->kernels, "libos");
	return set_user(import, manifest, error);
}

/* What is read back has to be what a start will accept. */
static int add_manifest(struct import *import, struct error *error)
{
	struct manifest manifest = { 0 }, again = { 0 };
	struct text json = { 0 };
	int err = make_manifest(import, &manifest, error);
	if (!err) {
		manifest_print(&manifest, &json);
		if ((err = manifest_parse(&again, json.data, json.size, error)))
			error_prefix(error, "%s", import->request->word);
		for (size_t i = 0; i < manifest.volumes.count; i++)
			plan_dir(&import->plan, manifest.volumes.item[i], 0755);
		if (!err && plan_find(&import->plan, LV_MANIFEST_PATH))
			err = error_set(error, -EEXIST, "%s: " LV_MANIFEST_PATH " is LightVM's own, and is in it already", import->request->word);
		plan_data(&import->plan, LV_MANIFEST_PATH, 0644, json.data, json.size);
		if (import->image.json)
			plan_data(&import->plan, LV_CONTAINER_PATH, 0644, import->image.json, import->image.json_size);
	}
	text_free(&json);
	manifest_free(&again);
	manifest_free(&manifest);
	return err;
}

/* As engines see to it; an empty file that is only there to be mounted over would hide what the VM has there. */
static void add_base(struct plan *plan)
{
	static const char *const dirs[] = { "/dev", "/proc", "/sys", "/run", "/etc" };
	static const char *const covered[] = { "/etc/hosts", "/etc/resolv.conf", "/etc/hostname" };
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (!plan_find(plan, dirs[i]))
			plan_dir(plan, dirs[i], 0755);
	if (!plan_find(plan, "/tmp"))
		plan_dir(plan, "/tmp", 01777);
	for (size_t i = 0; i < sizeof(covered) / sizeof(*covered); i++) {
		const struct plan_entry *entry = plan_find(plan, covered[i]);
		if (entry && entry->kind == PLAN_FILE && !entry->size)
			plan_remove(plan, covered[i]);
	}
}

/* ---- sources ---- */

static int plan_container(struct import *import, struct error *error)
{
	const struct import_source *source = &import->source;
	struct oci_store store;
	const char *path = import->fetched.path ? import->fetched.path : source->path;
	int err = oci_store_open(&store, path, import->aside, error);
	if (!err && (source->kind == IMPORT_OCI || source->kind == IMPORT_FETCH) != (store.dir >= 0))
		err = error_set(error, store.dir >= 0 ? -EISDIR : -ENOTDIR, "%s is %s", path, store.dir >= 0 ? "a directory" : "not a directory");
	if (!err)
		err = source->kind == IMPORT_DOCKER_ARCHIVE ? oci_image_find_saved(&import->image, &store, source->reference, error) :
							      oci_image_find(&import->image, &store, source->reference, source->digest, error);
	struct layers *layers = layers_new();
	if (!err)
		err = apply_layers(import, &store, layers, error);
	if (!err)
		layers_plan(layers, &import->plan);
	layers_free(layers);
	oci_store_close(&store);
	return err;
}

static int plan_tar(struct import *import, struct error *error)
{
	struct stat st;
	const char *path = import->source.path;
	int fd = file_open_regular(path);
	if (fd < 0 || fstat(fd, &st))
		return error_set(error, fd < 0 ? fd : -errno, "%s: %s", path, strerror(fd < 0 ? -fd : errno));
	struct layers *layers = layers_new();
	int err = apply_layer(import, layers, &(struct layer_span){ .fd = fd, .size = (uint64_t)st.st_size }, &(struct layer_told){ .what = path }, error);
	if (!err)
		layers_plan(layers, &import->plan);
	layers_free(layers);
	close(fd);
	return err;
}

static int plan_dir_tree(struct import *import, struct error *error)
{
	int err = plan_add_as(&import->plan, import->source.path, "/", error);
	if (!err && import->plan.left_out)
		log_warn("%s%s left out: sockets, pipes, devices and views of the kernel are not taken from a directory", import->plan.left_out_first,
			 import->plan.left_out > 1 ? " and others are" : " is");
	return err;
}

static int open_spool(struct import *import, struct error *error)
{
	int fd = stage_spool(import->aside);
	if (fd < 0)
		fd = stage_spool(IMAGE_ASIDE);
	if (fd < 0)
		return error_set(error, fd, "%s: %s", import->aside, strerror(-fd));
	spool_init(&import->spool, fd, LAYER_BYTES_MOST);
	return 0;
}

static int make_plan(struct import *import, struct error *error)
{
	int err = open_spool(import, error);
	if (!err && import->source.kind == IMPORT_FETCH)
		err = import_fetch(&import->fetched, import->source.path, import->aside, error);
	if (!err)
		err = import->source.kind == IMPORT_TAR ? plan_tar(import, error) : import->source.kind == IMPORT_DIR ? plan_dir_tree(import, error) :
														  plan_container(import, error);
	if (err)
		return err;
	add_base(&import->plan);
	if (import->source.kind == IMPORT_OCI) {
		char *index = alloc_format("%s/index.json", import->source.path);
		plan_depend(&import->plan, index);
		free(index);
	} else if (import->source.kind != IMPORT_DIR && import->source.kind != IMPORT_FETCH) {
		plan_depend(&import->plan, import->source.path);
	}
	return add_manifest(import, error);
}

/* ---- one import ---- */

static int import_open(struct import *import, const struct import_request *request, struct error *error)
{
	*import = (struct import){ .request = request, .plan = { .watch = request->watch }, .spool = { .fd = -1 }, .aside = IMAGE_ASIDE };
	return import_source_parse(&import->source, request->word, error);
}

static void import_close(struct import *import)
{
	import_fetched_free(&import->fetched);
	plan_free(&import->plan);
	if (import->spool.fd >= 0)
		close(import->spool.fd);
	oci_image_free(&import->image);
	import_source_free(&import->source);
}

static char *key_of(const struct import_source *source)
{
	return alloc_format(KEY_VERSION "\n%d\n%s\n%s\n%s\n", source->kind, source->path, source->reference ? source->reference : "", source->digest ? source->digest : "");
}

static int import_into(struct import *import, const struct cache *cache, const char *key, struct packed *packed, struct error *error)
{
	char *images = cache->dir >= 0 ? alloc_format("%s/images", cache->path) : NULL;
	import->aside = images ? images : IMAGE_ASIDE;
	if (cache->dir >= 0)
		plan_skip(&import->plan, cache->dir);
	int err = make_plan(import, error);
	if (!err)
		err = cache->dir < 0 ? image_put_aside(&import->plan, import->request->watch, packed, error) :
				       image_put_cached(cache, key, &import->plan, import->request->watch, packed, error);
	free(images);
	import->aside = NULL;
	if (!err && import->request->called && import->source.kind == IMPORT_DOCKER_ARCHIVE && import->image.name)
		*import->request->called = alloc_copy(import->image.name);
	struct image image;
	if (!err && cache->dir >= 0) { /* its digest was just made from its bytes */
		if (!image_open(&image, packed->path, NULL))
			cache_note_verified(cache, &image);
		image_close(&image);
	}
	return err;
}

int import_cached(const struct import_request *request, struct packed *packed, struct error *error)
{
	struct import import;
	struct cache cache = CACHE_NONE;
	*packed = PACKED_NONE;
	int err = import_open(&import, request, error);
	char *key = err ? NULL : key_of(&import.source);
	if (!err && (request->fresh || cache_open(&cache, false, NULL) || cache_find(&cache, key, packed))) {
		cache_close(&cache);
		*packed = PACKED_NONE;
		packed->program = alloc_copy(""); /* the manifest tells */
		cache_open_or_warn(&cache);
		err = import_into(&import, &cache, key, packed, error);
		if (err)
			packed_free(packed);
	}
	free(key);
	cache_close(&cache);
	import_close(&import);
	return err;
}

int import_to(const struct import_request *request, const char *output, struct error *error)
{
	struct import import;
	struct image_target target = IMAGE_TARGET_CLOSED;
	int err = import_open(&import, request, error);
	if (!err)
		err = image_target_open(&target, output, error);
	if (!err) {
		import.aside = target.path;
		err = make_plan(&import, error);
	}
	if (!err)
		err = image_target_put(&target, &import.plan, request->watch, error);
	image_target_close(&target);
	import_close(&import);
	return err;
}
