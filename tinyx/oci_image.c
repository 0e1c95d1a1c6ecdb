/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/oci_image.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/layers.h"

#define INDEX_DEPTH 4 /* an index in an index */
#define REF_NAME "org.opencontainers.image.ref.name"
#define REF_CONTAINERD "io.containerd.image.name"

static const char *const index_types[] = { "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json", NULL };
static const char *const manifest_types[] = { "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json", NULL };
static const char *const config_types[] = { "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", NULL };
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", NULL,
};

static bool is_one_of(const char *const *types, const char *type)
{
	while (*types && strcmp(*types, type))
		types++;
	return *types;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

/* ---- descriptors ---- */

struct descriptor { /* borrowed from its document */
	const char *type, *digest;
	uint64_t size;
};

static int read_descriptor(const struct oci_store *store, const json_t *json, const char *what, struct descriptor *out, struct error *error)
{
	const json_t *size = json_object_get(json, "size");
	*out = (struct descriptor){ .type = text_of(json, "mediaType"), .digest = text_of(json, "digest") };
	if (!json_is_object(json))
		return error_set(error, -EINVAL, "%s: the descriptor of %s is missing", store->path, what);
	if (layer_digest_parse(out->digest))
		return error_set(error, -EINVAL, "%s: %s: \"%.100s\" is not a digest that is known: sha256: and 64 hexadecimal digits", store->path, what, out->digest);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return error_set(error, -EINVAL, "%s: %s: its size is not a number of bytes", store->path, what);
	out->size = (uint64_t)json_integer_value(size);
	return 0;
}

static char *blob_path(const char *digest)
{
	return alloc_format("blobs/sha256/%s", digest + strlen("sha256:"));
}

static int parse(const struct oci_store *store, const char *data, size_t size, const char *what, json_t **out, struct error *error)
{
	json_error_t where;
	*out = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
	if (json_is_object(*out) || json_is_array(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return error_set(error, -EINVAL, "%s: %s is not JSON: line %d: %s", store->path, what, where.line, where.text);
}

/* The document of a descriptor, of just the size and digest that it tells. */
static int read_blob(const struct oci_store *store, const struct descriptor *descriptor, const char *what, char **data, size_t *size, struct error *error)
{
	char *path = blob_path(descriptor->digest);
	int err = oci_store_read(store, path, descriptor->digest, OCI_JSON_MOST, data, size, error);
	if (!err && *size != descriptor->size)
		err = error_set(error, -EBADMSG, "%s: %s %.19s: it has %zu bytes, should have %" PRIu64, store->path, what, descriptor->digest, *size, descriptor->size);
	free(path);
	return err;
}

/* ---- which one of an index ---- */

/* 0: does not fit, then the higher the better. */
static int fits(const json_t *item)
{
	const json_t *platform = json_object_get(item, "platform");
	const char *variant = text_of(platform, "variant");
	if (!json_is_object(platform))
		return 2; /* its configuration will tell */
	if (strcmp(text_of(platform, "architecture"), OCI_ARCHITECTURE) || strcmp(text_of(platform, "os"), "linux"))
		return 0;
	return !*variant || !strcmp(variant, "v1") ? 3 : 1;
}

static bool is_named(const json_t *item, const char *reference)
{
	const json_t *notes = json_object_get(item, "annotations");
	const char *const names[] = { text_of(notes, REF_NAME), text_of(notes, REF_CONTAINERD) };
	if (!reference)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *colon = strrchr(names[i], ':');
		if (!strcmp(names[i], reference) || (colon && !strcmp(colon + 1, reference)))
			return true;
	}
	return false;
}

static void list_names(const json_t *list, struct text *names)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) {
		const char *name = text_of(json_object_get(item, "annotations"), REF_NAME);
		if (*name && names->size < 300)
			text_format(names, "%s%.100s", names->size ? ", " : "", name);
	}
}

static int none_fits(const struct oci_store *store, const json_t *list, const char *reference, bool named, struct error *error)
{
	struct text names = { 0 };
	size_t i;
	json_t *item;
	if (named) {
		json_array_foreach(list, i, item) {
			const json_t *platform = json_object_get(item, "platform");
			if (names.size < 300)
				text_format(&names, "%s%.20s/%.20s", names.size ? ", " : "", text_of(platform, "os"), text_of(platform, "architecture"));
		}
		error_set(error, -EXDEV, "%s: an image for other machines (%s); this one needs linux/" OCI_ARCHITECTURE, store->path, names.data ? names.data : "none");
	} else {
		list_names(list, &names);
		error_set(error, -ENOENT, "%s: there is no image \"%s\"%s%s", store->path, reference ? reference : "", names.size ? "; there are: " : "", names.data ? names.data : "");
	}
	text_free(&names);
	return error->code;
}

/* The descriptor that is meant. is_top: names count, and several of one platform are several images. */
static int choose(const struct oci_store *store, const json_t *list, const char *reference, bool is_top, const json_t **out, struct error *error)
{
	size_t i, count = 0;
	json_t *item;
	int best = 0;
	bool named = false;
	*out = NULL;
	json_array_foreach(list, i, item) {
		int fit = fits(item);
		if (is_top && !is_named(item, reference))
			continue;
		named = true;
		count += fit != 0;
		if (fit > best) {
			best = fit;
			*out = item;
		}
	}
	if (!*out)
		return none_fits(store, list, reference, named, error);
	if (is_top && !reference && count > 1) {
		struct text names = { 0 };
		list_names(list, &names);
		error_set(error, -EINVAL, "%s: there are %zu images; say which one, as in oci:%s:NAME%s%s", store->path, count, store->path, names.size ? ": " : "", names.data ? names.data : "");
		text_free(&names);
		return -EINVAL;
	}
	return 0;
}

/* ---- the image ---- */

static int read_config(struct oci_image *image, const struct oci_store *store, struct error *error)
{
	struct oci_config *config = &image->config;
	int err = oci_config_parse(config, image->json, image->json_size, store->path, error);
	if (err)
		return err;
	if (config->os && strcmp(config->os, "linux"))
		return error_set(error, -EXDEV, "%s: an image for \"%.40s\"; here are programs of Linux run", store->path, config->os);
	if (config->architecture && strcmp(config->architecture, OCI_ARCHITECTURE))
		return error_set(error, -EXDEV, "%s: an image for other machines (%.40s); this one needs " OCI_ARCHITECTURE, store->path, config->architecture);
	if (config->diff_ids.count != image->layers)
		return error_set(error, -EINVAL, "%s: it has %zu layers, its configuration tells of %zu", store->path, image->layers, config->diff_ids.count);
	for (size_t i = 0; i < image->layers; i++)
		if (layer_digest_parse(config->diff_ids.item[i]))
			return error_set(error, -EINVAL, "%s: its configuration: \"%.100s\" is not a digest that is known", store->path, config->diff_ids.item[i]);
	return 0;
}

static int check_layers(const struct oci_store *store, const json_t *layers, struct error *error)
{
	if (!json_is_array(layers))
		return error_set(error, -EINVAL, "%s: its manifest has no list of layers", store->path);
	if (json_array_size(layers) > LAYERS_MOST)
		return error_set(error, -E2BIG, "%s: %zu layers are more than %d", store->path, json_array_size(layers), LAYERS_MOST);
	return 0;
}

static int read_layers(struct oci_image *image, const struct oci_store *store, const json_t *layers, struct error *error)
{
	size_t i;
	json_t *item;
	int err = check_layers(store, layers, error);
	if (err)
		return err;
	image->layer = alloc_zero((json_array_size(layers) + 1) * sizeof(*image->layer));
	json_array_foreach(layers, i, item) {
		struct descriptor descriptor;
		err = read_descriptor(store, item, "a layer", &descriptor, error);
		if (err)
			return err;
		if (!is_one_of(layer_types, descriptor.type))
			return error_set(error, -EINVAL, "%s: layer %zu is of the type \"%.100s\", which is not known", store->path, i + 1, descriptor.type);
		image->layer[image->layers++] = (struct oci_layer){ .path = blob_path(descriptor.digest), .digest = alloc_copy(descriptor.digest), .size = descriptor.size };
	}
	return 0;
}

static int read_manifest(struct oci_image *image, const struct oci_store *store, const json_t *manifest, struct error *error)
{
	struct descriptor config;
	int err = read_descriptor(store, json_object_get(manifest, "config"), "its configuration", &config, error);
	if (err)
		return err;
	if (!is_one_of(config_types, config.type))
		return error_set(error, -EINVAL, "%s: its configuration is of the type \"%.100s\": it is something else than a container image", store->path, config.type);
	err = read_layers(image, store, json_object_get(manifest, "layers"), error);
	if (!err)
		err = read_blob(store, &config, "its configuration", &image->json, &image->json_size, error);
	return err ? err : read_config(image, store, error);
}

/* What a descriptor leads to, through indexes. */
static int follow(struct oci_image *image, const struct oci_store *store, const json_t *json, int depth, struct error *error)
{
	struct descriptor descriptor;
	char *data = NULL;
	size_t size;
	json_t *document = NULL;
	const json_t *next;
	int err = read_descriptor(store, json, "its manifest", &descriptor, error);
	if (!err && !is_one_of(index_types, descriptor.type) && !is_one_of(manifest_types, descriptor.type))
		err = error_set(error, -EINVAL, "%s: its manifest is of the type \"%.100s\", which is not known", store->path, descriptor.type);
	if (!err)
		err = read_blob(store, &descriptor, "its manifest", &data, &size, error);
	if (!err)
		err = parse(store, data, size, "its manifest", &document, error);
	if (!err && is_one_of(manifest_types, descriptor.type)) {
		image->digest = alloc_copy(descriptor.digest);
		err = read_manifest(image, store, document, error);
	} else if (!err && depth == INDEX_DEPTH) {
		err = error_set(error, -ELOOP, "%s: indexes within indexes, more than %d deep", store->path, INDEX_DEPTH);
	} else if (!err) {
		err = choose(store, json_object_get(document, "manifests"), NULL, false, &next, error);
		if (!err)
			err = follow(image, store, next, depth + 1, error);
	}
	json_decref(document);
	free(data);
	return err;
}

static const json_t *by_digest(const json_t *list, const char *digest)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
		if (!strcmp(text_of(item, "digest"), digest))
			return item;
	return NULL;
}

static int find_in_index(struct oci_image *image, const struct oci_store *store, const json_t *index, const char *reference, const char *digest, struct error *error)
{
	const json_t *list = json_object_get(index, "manifests"), *chosen = NULL;
	if (!json_is_array(list) || !json_array_size(list))
		return error_set(error, -ENOENT, "%s: there is no image in it", store->path);
	int err = 0;
	if (digest && !(chosen = by_digest(list, digest)))
		err = error_set(error, -EBADMSG, "%s: there is no image with the digest %s", store->path, digest);
	else if (!digest)
		err = choose(store, list, reference, true, &chosen, error);
	if (!err && digest && !is_named(chosen, reference))
		err = error_set(error, -EBADMSG, "%s: \"%s\" does not have the digest %s", store->path, reference, digest);
	if (err)
		return err;
	const char *name = text_of(json_object_get(chosen, "annotations"), REF_NAME);
	image->name = *name ? alloc_copy(name) : NULL;
	return follow(image, store, chosen, 0, error);
}

int oci_image_find(struct oci_image *image, const struct oci_store *store, const char *reference, const char *digest, struct error *error)
{
	char *data;
	size_t size;
	json_t *index = NULL;
	*image = (struct oci_image){ 0 };
	int err = oci_store_read(store, "index.json", NULL, OCI_JSON_MOST, &data, &size, error);
	if (err == -ENOENT)
		return error_set(error, err, "%s: not an OCI layout: there is no index.json in it", store->path);
	if (err)
		return err;
	err = parse(store, data, size, "index.json", &index, error);
	if (!err)
		err = find_in_index(image, store, index, reference, digest, error);
	json_decref(index);
	free(data);
	return err;
}

/* ---- docker save ---- */

/* "docker.io/library/app:1" is "app:1", too, as engines have it; and without a tag the latest is meant. */
static bool has_tag(const json_t *item, const char *reference)
{
	size_t i;
	json_t *tag;
	bool has = false;
	const char *slash = strrchr(reference, '/');
	char *whole = alloc_format("%s%s", reference, strchr(slash ? slash : reference, ':') ? "" : ":latest"), *end = alloc_format("/%s", whole);
	json_array_foreach(json_object_get(item, "RepoTags"), i, tag)
		has |= json_is_string(tag) && (!strcmp(json_string_value(tag), whole) || text_ends(json_string_value(tag), end));
	free(whole);
	free(end);
	return has;
}

/* A configuration's name is its digest: "HEX.json", or "blobs/sha256/HEX". */
static char *config_digest(const char *path)
{
	const char *base = strrchr(path, '/');
	base = base ? base + 1 : path;
	char *digest = alloc_format("sha256:%.*s", text_ends(base, ".json") ? (int)strlen(base) - 5 : (int)strlen(base), base);
	if (layer_digest_parse(digest)) {
		free(digest);
		digest = NULL;
	}
	return digest;
}

static int read_saved(struct oci_image *image, const struct oci_store *store, const json_t *item, struct error *error)
{
	const json_t *layers = json_object_get(item, "Layers");
	const char *config = text_of(item, "Config"), *tag = json_string_value(json_array_get(json_object_get(item, "RepoTags"), 0));
	size_t i;
	json_t *layer;
	int err = check_layers(store, layers, error);
	if (err)
		return err;
	image->name = tag ? alloc_copy(tag) : NULL;
	image->layer = alloc_zero((json_array_size(layers) + 1) * sizeof(*image->layer));
	json_array_foreach(layers, i, layer) {
		if (!json_is_string(layer))
			return error_set(error, -EINVAL, "%s: manifest.json: the name of layer %zu is not a string", store->path, i + 1);
		image->layer[image->layers++] = (struct oci_layer){ .path = alloc_copy(json_string_value(layer)) };
	}
	char *digest = config_digest(config);
	err = oci_store_read(store, config, digest, OCI_JSON_MOST, &image->json, &image->json_size, error);
	free(digest);
	return err ? err : read_config(image, store, error);
}

/* A list with at least one image; *list is the caller's. */
static int read_list(const struct oci_store *store, json_t **list, struct error *error)
{
	char *data;
	size_t size;
	*list = NULL;
	int err = oci_store_read(store, "manifest.json", NULL, OCI_JSON_MOST, &data, &size, error);
	if (err)
		return err == -ENOENT ? error_set(error, err, "%s: not what \"docker save\" writes: there is no manifest.json in it", store->path) : err;
	err = parse(store, data, size, "manifest.json", list, error);
	if (!err && (!json_is_array(*list) || !json_array_size(*list)))
		err = error_set(error, -ENOENT, "%s: there is no image in it", store->path);
	free(data);
	return err;
}

int oci_image_names(const struct oci_store *store, struct strings **names, size_t *count, struct error *error)
{
	json_t *list, *item, *tag;
	size_t i, t;
	int err = read_list(store, &list, error);
	*count = err ? 0 : json_array_size(list);
	*names = *count ? alloc_zero(*count * sizeof(**names)) : NULL;
	if (!err)
		json_array_foreach(list, i, item)
			json_array_foreach(json_object_get(item, "RepoTags"), t, tag)
				strings_add(&(*names)[i], json_string_value(tag) ? json_string_value(tag) : "");
	json_decref(list);
	return err;
}

int oci_image_find_saved(struct oci_image *image, const struct oci_store *store, const char *reference, struct error *error)
{
	size_t i;
	json_t *list, *item;
	const json_t *chosen = NULL;
	*image = (struct oci_image){ 0 };
	int err = read_list(store, &list, error);
	json_array_foreach(list, i, item)
		if (!chosen && (!reference || has_tag(item, reference)))
			chosen = item;
	if (!err && !chosen)
		err = error_set(error, -ENOENT, "%s: there is no image \"%s\"", store->path, reference);
	if (!err && !reference && json_array_size(list) > 1)
		err = error_set(error, -EINVAL, "%s: there are %zu images; say which one, as in docker-archive:FILE:NAME:TAG", store->path, json_array_size(list));
	if (!err)
		err = read_saved(image, store, chosen, error);
	json_decref(list);
	return err;
}

void oci_image_free(struct oci_image *image)
{
	for (size_t i = 0; i < image->layers; i++) {
		free(image->layer[i].path);
		free(image->layer[i].digest);
	}
	free(image->layer);
	free(image->digest);
	free(image->name);
	free(image->json);
	oci_config_free(&image->config);
	*image = (struct oci_image){ 0 };
}
