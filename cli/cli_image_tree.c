/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm image files, diff: what is in an image, and how two of them differ. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "node/image_list.h"
#include "tinyx/image_tree.h"
#include "tinyx/plan.h"
#include "tinyx/reasons.h"

struct opened { /* an image and its tree; OPENED_NONE: closed */
	struct image image;
	struct image_tree tree;
	char *path;
};
#define OPENED_NONE { .image = IMAGE_CLOSED }

static int opened_open(struct opened *opened, const char *word, struct error *error)
{
	opened->path = image_path(word, error);
	int err = opened->path ? image_open(&opened->image, opened->path, error) : error->code;
	return err ? err : image_tree_read(&opened->tree, &opened->image, word, error);
}

static void opened_close(struct opened *opened)
{
	image_tree_free(&opened->tree);
	image_close(&opened->image);
	free(opened->path);
}

/* Names in an image may hold anything; a terminal sees none of it that it would act on. */
static void put_path(struct text *out, const char *path)
{
	size_t start = out->size;
	text_put(out, path);
	shown_from(out, start, 0);
}

/* ---- files ---- */

static char type_letter(uint32_t mode)
{
	return S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISCHR(mode) ? 'c' : S_ISBLK(mode) ? 'b' : S_ISFIFO(mode) ? 'p' : S_ISSOCK(mode) ? 's' : '-';
}

static void put_target(struct text *out, const struct image *image, const struct erofs_inode *inode)
{
	char target[4096];
	int64_t n = erofs_read(&image->fs, inode, 0, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = 0;
	text_put(out, " -> ");
	put_path(out, target);
}

struct files_options {
	const char *explain;
};

static const struct option_spec files_options[] = {
	{ "explain", 0, OPTION_STRING, offsetof(struct files_options, explain), "PATH", "say only why PATH is in the image, or why it is not and what adds it", .complete = "none" },
	{ 0 },
};

static int explain(const char *word, const char *path, struct error *error)
{
	struct image image = IMAGE_CLOSED;
	struct reasons reasons = { 0 };
	struct text out = { 0 };
	if (path[0] != '/')
		return error_set(error, -EINVAL, "--explain: \"%s\" is no absolute path", path);
	char *file = image_path(word, error), *clean = path_clean("/", path);
	int err = file ? image_open(&image, file, error) : error->code;
	if (!err)
		err = reasons_open(&reasons, &image, word, error);
	if (!err)
		reasons_explain(&reasons, &image, clean, &out);
	shown_from(&out, 0, SHOWN_LINES);
	reasons_free(&reasons);
	image_close(&image);
	free(file);
	free(clean);
	return err ? err : text_print(&out);
}

static int files(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct files_options *given = options;
	struct opened opened = OPENED_NONE;
	struct text out = { 0 };
	if (given->explain)
		return explain(operands.argv[0], given->explain, error);
	int err = opened_open(&opened, operands.argv[0], error);
	for (size_t i = 0; i < opened.tree.count && !err; i++) {
		const struct erofs_inode *inode = &opened.tree.entry[i].inode;
		text_format(&out, "%c%04o %u:%u %llu ", type_letter(inode->mode), inode->mode & 07777, inode->uid, inode->gid, (unsigned long long)inode->size);
		put_path(&out, opened.tree.entry[i].path);
		if (S_ISLNK(inode->mode))
			put_target(&out, &opened.image, inode);
		text_put(&out, "\n");
	}
	opened_close(&opened);
	return err ? err : text_print(&out);
}

const struct verb verb_image_files = {
	.name = "files",
	.operands = "IMAGE",
	.summary = "List what is in an image: type and mode, owner, bytes, path",
	.options = files_options,
	.options_size = sizeof(struct files_options),
	.complete = "image",
	.min = 1,
	.max = 1,
	.run = files,
};

/* ---- diff ---- */

struct diff {
	struct text out;
	size_t added, removed, changed;
	int64_t bytes; /* of files, more or less */
};

static int64_t bytes_of(const struct image_entry *entry)
{
	return entry && S_ISREG(entry->inode.mode) ? (int64_t)entry->inode.size : 0;
}

static void on_change(void *context, const struct image_change *change)
{
	struct diff *diff = context;
	const struct { bool is; const char *word; } what[] = { { change->type, "type" }, { change->contents, "contents" }, { change->mode, "mode" }, { change->owner, "owner" } };
	const char *space = " (";
	text_put(&diff->out, !change->before ? "+ " : !change->after ? "- " : "~ ");
	put_path(&diff->out, change->after ? change->after->path : change->before->path);
	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++)
		if (what[i].is) {
			text_format(&diff->out, "%s%s", space, what[i].word);
			space = ", ";
		}
	text_put(&diff->out, space[0] == ',' ? ")\n" : "\n");
	diff->added += !change->before;
	diff->removed += !change->after;
	diff->changed += change->before && change->after;
	diff->bytes += bytes_of(change->after) - bytes_of(change->before);
}

static int diff_images(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct opened one = OPENED_NONE, two = OPENED_NONE;
	struct diff diff = { 0 };
	char size[24];
	int err = opened_open(&one, operands.argv[0], error);
	if (!err)
		err = opened_open(&two, operands.argv[1], error);
	if (!err) {
		image_tree_compare(&one.image, &one.tree, &two.image, &two.tree, on_change, &diff);
		text_format(&diff.out, "%zu added, %zu removed, %zu changed; files take %s %s\n", diff.added, diff.removed, diff.changed,
			    size_print((uint64_t)llabs(diff.bytes), size, sizeof(size)), diff.bytes < 0 ? "less" : "more");
	}
	opened_close(&one);
	opened_close(&two);
	return err ? err : text_print(&diff.out);
}

const struct verb verb_image_diff = {
	.name = "diff",
	.operands = "IMAGE IMAGE",
	.summary = "Show in what the files of two images differ",
	.text = "A line for each path: + it is only in the second image, - only in the first, ~ it is another one there, and in what. Times do not count.",
	.complete = "image",
	.min = 2,
	.max = 2,
	.run = diff_images,
};
