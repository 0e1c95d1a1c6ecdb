/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm pull, tag, rmi, image history, image prune: container images under the names that their users know. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/image_manifest.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/packing.h"
#include "node/image_list.h"
#include "tinyx/image_names.h"
#include "tinyx/image_file.h"
#include "tinyx/import.h"
#include "tinyx/import_source.h"
#include "tinyx/oci_config.h"

struct pull_options {
	const char *name;
};

static const struct option_spec pull_options[] = {
	{ "name", 0, OPTION_STRING, offsetof(struct pull_options, name), "NAME[:TAG]", "what it is called here (default: as it is called there)", .complete = "none" },
	{ 0 },
};

/* *name: what it shall be called, which an archive may know better, unless the user has said it. */
static int fetch(const char *word, char **name, bool said, struct error *error)
{
	struct packing packing;
	struct packed packed;
	char *shown = alloc_format("/%s", *name), *called = NULL;
	packing_init(&packing, shown);
	int err = import_cached(&(struct import_request){ .word = word, .watch = &packing.watch, .fresh = true, .called = said ? NULL : &called }, &packed, error);
	packing_fini(&packing);
	char *better = !err && called ? image_name_whole(called, error) : NULL;
	if (called && !better && !err)
		err = error_prefix(error, "%s: --name NAME gives it another one", word);
	if (better) {
		free(*name);
		*name = better;
	}
	if (!err)
		err = image_tag(packed.path, *name, error);
	packed_free(&packed);
	free(called);
	free(shown);
	return err;
}

static int pull(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct pull_options *given = options;
	char *word = import_is(operands.argv[0]) ? alloc_copy(operands.argv[0]) : alloc_format("docker://%s", operands.argv[0]);
	char *there = import_whole_name(word), *name = image_name_whole(given->name ? given->name : there, error);
	int err = name ? fetch(word, &name, given->name, error) : error->code;
	struct text out = { 0 };
	if (!err) {
		text_format(&out, "%s\n", name);
		err = text_print(&out);
	}
	free(word);
	free(there);
	free(name);
	return err;
}

const struct verb verb_pull = {
	.name = "pull",
	.operands = "SOURCE",
	.summary = "Get a container image, and keep it under its name",
	.text = "SOURCE is a name in a registry, for which skopeo is needed, or oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE and the others of\n"
		"\"lightvm image build --from\". It is made into an image anew, whatever is there; what had the name loses it. An image that has a name is\n"
		"not removed to make room for others. The name is printed; \"lightvm run NAME\" starts it.",
	.examples = "lightvm pull docker-archive:saved.tar --name app:1\nlightvm run app:1",
	.options = pull_options,
	.options_size = sizeof(struct pull_options),
	.complete = "file",
	.min = 1,
	.max = 1,
	.run = pull,
};

static int tag(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return image_tag(operands.argv[0], operands.argv[1], error);
}

const struct verb verb_tag = {
	.name = "tag",
	.operands = "IMAGE NAME[:TAG]",
	.summary = "Give a cached image one name more",
	.complete = "image",
	.min = 2,
	.max = 2,
	.run = tag,
};

static int rmi(const struct context *context, void *options, struct operands operands, struct error *error)
{
	int err = 0;
	for (int i = 0; i < operands.argc && !err; i++)
		err = image_untag(operands.argv[i], error);
	return err;
}

const struct verb verb_rmi = {
	.name = "rmi",
	.no_guess = true,
	.operands = "NAME|IMAGE...",
	.summary = "Take names from images, and remove those that have none left",
	.text = "A digest, or its beginning, means the image with all of its names. VMs that run from it are not disturbed.",
	.complete = "image",
	.min = 1,
	.max = -1,
	.run = rmi,
};

/* ---- history ---- */

static const char *text_of(const json_t *step, const char *key)
{
	const char *text = json_string_value(json_object_get(step, key));
	return text ? text : "";
}

/* The configuration of the container image that it was made of; NULL with a message: it was made of something else. */
static json_t *read_container(const struct image *image, const char *path, struct error *error)
{
	struct erofs_inode inode;
	int err = erofs_walk(&image->fs, LV_CONTAINER_PATH, &inode);
	if (err || inode.size > OCI_JSON_MOST) {
		error_set(error, -ENODATA, "%s was not made of a container image: it has no history", path);
		return NULL;
	}
	char *text = alloc_zero(inode.size + 1);
	json_t *json = erofs_read(&image->fs, &inode, 0, text, inode.size) == (int64_t)inode.size ? json_loadb(text, inode.size, 0, NULL) : NULL;
	if (!json)
		error_set(error, -EUCLEAN, "%s: image damaged: " LV_CONTAINER_PATH " cannot be read", path);
	free(text);
	return json;
}

static int history(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct image image;
	struct text out = { 0 };
	size_t i;
	json_t *step;
	char *path = image_path(operands.argv[0], error);
	if (!path)
		return error->code;
	json_t *json = image_open(&image, path, error) ? NULL : read_container(&image, path, error);
	text_format(&out, "%-20s  %s\n", "CREATED", "CREATED BY");
	json_array_foreach(json_object_get(json, "history"), i, step)
		text_format(&out, "%-20.20s  %s%s%s\n", text_of(step, "created"), text_of(step, "created_by"), *text_of(step, "comment") ? "  # " : "", text_of(step, "comment"));
	int status = json ? text_print(&out) : error->code;
	text_free(&out);
	json_decref(json);
	image_close(&image);
	free(path);
	return status;
}

const struct verb verb_image_history = {
	.name = "history",
	.operands = "IMAGE",
	.summary = "Show how a container image was made, the oldest step first",
	.complete = "image",
	.min = 1,
	.max = 1,
	.run = history,
};

/* ---- prune ---- */

struct prune_options {
	bool force;
};

static const struct option_spec prune_options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct prune_options, force), NULL, "nothing: it does not ask" },
	{ 0 },
};

static int prune(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct text out = { 0 };
	uint64_t bytes;
	size_t count;
	char size[24];
	int err = images_prune(&count, &bytes, error);
	if (err)
		return err;
	text_format(&out, "%zu images removed, %s\n", count, size_print(bytes, size, sizeof(size)));
	return text_print(&out);
}

const struct verb verb_image_prune = {
	.name = "prune",
	.no_guess = true,
	.summary = "Remove cached images that have no name",
	.text = "Those of programs are made again when they are needed, those that saved VMs need stay. VMs that run from them are not disturbed.",
	.options = prune_options,
	.options_size = sizeof(struct prune_options),
	.run = prune,
};
