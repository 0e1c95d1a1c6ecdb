/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/reasons.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST "lightvm reasons 1"
#define COMMAND "command "
#define BECAUSE "because "
#define LEFT "left out"
#define SIZE_MOST (64u << 20)
#define NO_REASON "it is on the way to what is packed"

/* ---- writing ---- */

static int by_reason(const void *a, const void *b)
{
	const struct plan_entry *one = *(const struct plan_entry *const *)a, *two = *(const struct plan_entry *const *)b;
	int order = strcmp(one->why ? one->why : NO_REASON, two->why ? two->why : NO_REASON);
	return order ? order : strcmp(one->guest, two->guest);
}

/* A name may hold line feeds. */
static void put_path(struct text *out, const char *path)
{
	text_put(out, "\t");
	for (; *path; path++)
		text_add(out, *path == '\\' ? "\\\\" : *path == '\n' ? "\\n" : path, *path == '\\' || *path == '\n' ? 2 : 1);
	text_put(out, "\n");
}

/* One line, whatever is in it: a command may have several. */
static void put_line(struct text *out, const char *key, const char *value)
{
	size_t from = out->size + strlen(key);
	text_format(out, "%s%s", key, value);
	for (size_t i = from; i < out->size; i++)
		out->data[i] = out->data[i] == '\n' ? ' ' : out->data[i];
	text_put(out, "\n");
}

void reasons_add(struct plan *plan, const char *command, const struct strings *left)
{
	const struct plan_entry **sorted = alloc_zero((plan->count + 1) * sizeof(*sorted));
	struct text out = { 0 };
	const char *why = NULL;
	for (size_t i = 0; i < plan->count; i++)
		sorted[i] = &plan->entry[i];
	qsort(sorted, plan->count, sizeof(*sorted), by_reason);
	text_put(&out, FIRST "\n");
	if (command)
		put_line(&out, COMMAND, command);
	for (size_t i = 0; i < plan->count; i++) {
		const char *reason = sorted[i]->why ? sorted[i]->why : NO_REASON;
		if (!why || strcmp(why, reason))
			put_line(&out, BECAUSE, reason);
		why = reason;
		put_path(&out, sorted[i]->guest);
	}
	if (left && left->count)
		text_put(&out, LEFT "\n");
	for (size_t i = 0; left && i < left->count; i++)
		put_path(&out, left->item[i]);
	plan_data(plan, LV_REASONS_PATH, 0644, out.data, out.size);
	text_free(&out);
	free(sorted);
}

void word_quote(struct text *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%";
	if (*word && word[strspn(word, plain)] == 0) {
		text_put(out, word);
		return;
	}
	text_put(out, "'");
	for (; *word; word++)
		text_add(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
	text_put(out, "'");
}

/* ---- reading ---- */

/* In place: "\t" goes, and what put_path did. */
static char *unescape(char *line)
{
	char *to = line, *from = line + 1;
	while (*from) {
		bool escaped = *from == '\\' && (from[1] == '\\' || from[1] == 'n');
		*to++ = !escaped ? *from : from[1] == 'n' ? '\n' : '\\';
		from += escaped ? 2 : 1;
	}
	*to = 0;
	return line;
}

static void take_line(struct reasons *reasons, char *line, bool *left)
{
	const bool is_path = line[0] == '\t';
	if (is_path && *left)
		reasons->left[reasons->lefts++] = unescape(line);
	else if (is_path || text_starts(line, BECAUSE))
		reasons->line[reasons->lines++] = line;
	else if (text_starts(line, COMMAND) && !reasons->command)
		reasons->command = line + strlen(COMMAND);
	*left = is_path ? *left : !strcmp(line, LEFT);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int reasons_parse(struct reasons *reasons, char *text, size_t size)
{
	*reasons = (struct reasons){ .text = text };
	if (strlen(text) != size)
		return -EUCLEAN;
	size_t count = 1;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		count++;
	reasons->line = alloc_zero(count * sizeof(*reasons->line));
	reasons->left = alloc_zero(count * sizeof(*reasons->left));
	if (!reasons->line || !reasons->left)
		return -ENOMEM;
	bool left = false;
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, FIRST))
		return -EUCLEAN;
	while ((line = strtok_r(NULL, "\n", &save)))
		take_line(reasons, line, &left);
	/* They are in order, if nobody else wrote them. */
	qsort(reasons->left, reasons->lefts, sizeof(*reasons->left), by_text);
	return 0;
}

static int read_text(struct reasons *reasons, const struct image *image, const struct erofs_inode *inode)
{
	if (inode->size > SIZE_MOST || (inode->mode & S_IFMT) != S_IFREG)
		return -EUCLEAN;
	char *text = alloc_zero(inode->size + 1);
	if (text && erofs_read(&image->fs, inode, 0, text, inode->size) == (int64_t)inode->size)
		return reasons_parse(reasons, text, inode->size);
	int err = text ? -EUCLEAN : -ENOMEM;
	free(text);
	return err;
}

int reasons_open(struct reasons *reasons, const struct image *image, const char *name, struct error *error)
{
	struct erofs_inode inode;
	*reasons = (struct reasons){ 0 };
	if (erofs_walk(&image->fs, LV_REASONS_PATH, &inode))
		return error_set(error, -ENODATA, "%s does not say why its files are there: images say so that \"lightvm image build\" made of programs or packages, or \"lightvm image trim\"", name);
	int err = read_text(reasons, image, &inode);
	if (err)
		reasons_free(reasons);
	return err ? error_set(error, err, "%s: %s", name, err == -ENOMEM ? "out of memory" : "image damaged: " LV_REASONS_PATH " cannot be read") : 0;
}

const char *reasons_left(const struct reasons *reasons, const char *path)
{
	char *above = alloc_copy(path);
	const char *found = NULL;
	for (char *slash = above + strlen(above); slash && slash != above && !found; slash = strrchr(above, '/')) {
		*slash = 0;
		const char **at = *above ? bsearch(&above, reasons->left, reasons->lefts, sizeof(*reasons->left), by_text) : NULL;
		found = at ? *at : NULL;
	}
	free(above);
	return found;
}

static const char *reason_of(const struct reasons *reasons, const char *path)
{
	struct text line = { 0 };
	const char *why = NULL, *found = NULL;
	put_path(&line, path);
	if (line.size)
		line.data[line.size - 1] = 0;
	for (size_t i = 0; i < reasons->lines && !found; i++) {
		if (reasons->line[i][0] != '\t')
			why = reasons->line[i] + strlen(BECAUSE);
		else if (line.size && !strcmp(reasons->line[i], line.data))
			found = why;
	}
	text_free(&line);
	return found;
}

void reasons_explain(const struct reasons *reasons, const struct image *image, const char *path, struct text *out)
{
	struct erofs_inode inode;
	const char *why = reason_of(reasons, path), *left = why ? NULL : reasons_left(reasons, path);
	if (why) {
		text_format(out, "%s: in the image: %s\n", path, why);
	} else if (!erofs_walk(&image->fs, path, &inode)) {
		text_format(out, "%s: in the image, under another path: a link leads there\n", path);
	} else if (left) {
		text_format(out, "%s: left out when the image was trimmed: no command used it", path);
		if (strcmp(left, path))
			text_format(out, ", nor anything else of %s", left);
		text_format(out, "; it comes back with: %s --keep ", reasons->command ? reasons->command : "lightvm image trim ...");
		word_quote(out, path);
		text_put(out, "\n");
	} else {
		text_format(out, "%s: neither in the image nor in what it was made of\n", path);
	}
}

void reasons_free(struct reasons *reasons)
{
	free(reasons->text);
	free(reasons->line);
	free(reasons->left);
	*reasons = (struct reasons){ 0 };
}
