/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm image save, load: images as one stream, with the habits of container users. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/all_verbs.h"
#include "node/image_archive.h"
#include "tinyx/stage.h"

/* ---- save ---- */

struct save_options {
	const char *output;
};

static const struct option_spec save_options[] = {
	{ "output", 'o', OPTION_STRING, offsetof(struct save_options, output), "FILE", "write to a file, which is there whole or not at all, and not to standard output", .complete = "file" },
	{ 0 },
};

static int save_to_file(const struct strings *words, const char *output, struct error *error)
{
	struct stage stage = STAGE_NONE;
	const char *slash = strrchr(output, '/'), *name = slash ? slash + 1 : output;
	char *path = slash ? alloc_format("%.*s", (int)(slash == output ? 1 : slash - output), output) : alloc_copy(".");
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = dir < 0 ? -errno : stage_open(&stage, dir);
	if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	if (!err)
		err = images_save(words, stage.fd, output, error);
	if (!err && (err = *name ? stage_publish(&stage, name, 0600) : -EISDIR))
		error_set(error, err, "%s: %s", output, strerror(-err));
	stage_close(&stage);
	if (dir >= 0)
		close(dir);
	free(path);
	return err;
}

static int save(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct save_options *given = options;
	struct strings words = { 0 };
	int err = !given->output && isatty(STDOUT_FILENO) ? error_set(error, -EINVAL, "standard output is a terminal; give -o FILE, or lead it elsewhere") : 0;
	for (int i = 0; i < operands.argc; i++)
		strings_add(&words, operands.argv[i]);
	if (!err)
		err = given->output ? save_to_file(&words, given->output, error) : images_save(&words, STDOUT_FILENO, "standard output", error);
	strings_free(&words);
	return err;
}

const struct verb verb_image_save = {
	.name = "save",
	.operands = "IMAGE...",
	.summary = "Write images, with their names, as one stream for \"lightvm image load\"",
	.text = "A tar archive: lightvm-images.json, which tells of names, sizes and digests, and the images as they are. Images that are named by a\n"
		"name keep it; those named by a digest or a file have none. What is saved is compared with its digest first.",
	.examples = "lightvm image save -o all.tar web:1 db:1\nlightvm image save web:1 | zstd | ssh host 'lightvm image load'",
	.options = save_options,
	.options_size = sizeof(struct save_options),
	.complete = "image",
	.min = 1,
	.max = -1,
	.run = save,
};

/* ---- load ---- */

struct load_options {
	const char *input;
	bool quiet;
};

static const struct option_spec load_options[] = {
	{ "input", 'i', OPTION_STRING, offsetof(struct load_options, input), "FILE", "read from a file, and not from standard input", .complete = "file" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct load_options, quiet), NULL, "print only the names, or digests" },
	{ 0 },
};

static void on_loaded(void *context, const char *name, const char *sha256)
{
	const struct load_options *given = context;
	printf("%s%s\n", given->quiet ? "" : name ? "Loaded image: " : "Loaded image ID: sha256:", name ? name : sha256);
}

static int load(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct load_options *given = options;
	const struct image_loaded loaded = { .tell = on_loaded, .context = options };
	if (!given->input && isatty(STDIN_FILENO))
		return error_set(error, -EINVAL, "standard input is a terminal; give -i FILE, or lead an archive there");
	int fd = given->input ? open(given->input, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", given->input, strerror(errno));
	int err = images_load(fd, given->input ? given->input : "standard input", &loaded, error);
	if (given->input)
		close(fd);
	return fflush(stdout) ? error_set(error, -errno, "standard output: %s", strerror(errno)) : err;
}

const struct verb verb_image_load = {
	.name = "load",
	.summary = "Take images into the cache that \"lightvm image save\", \"docker save\" or \"podman save\" wrote",
	.text = "Also compressed with gzip or zstd, and an archive of an OCI layout with one image in it. Every digest is compared; each image is in\n"
		"the cache whole, or not at all. Names that other images had are those of the new ones from then on. A line is printed for each name.",
	.examples = "lightvm image load -i all.tar\ndocker save app:1 | lightvm image load && lightvm run app:1",
	.options = load_options,
	.options_size = sizeof(struct load_options),
	.max = 0,
	.run = load,
};
