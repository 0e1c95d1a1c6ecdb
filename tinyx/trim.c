/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/trim.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "abi/image_manifest.h"
#include "abi/used_files.h"
#include "tinyx/image_tree.h"
#include "tinyx/libraries.h"
#include "tinyx/reasons.h"
#include "tinyx/runtime.h"

#define COPIED_MOST (1ull << 30) /* bytes in memory: of files that do not lie in one piece, which we never write, of links and of attributes */

struct trim {
	const struct trim_request *request;
	struct plan *plan;
	struct image_tree tree;
	struct plan all;  /* what is in the image */
	uint64_t copied;
};

/* ---- the image as a plan ---- */

/* In place in the image, or a copy of it. */
static int fill_contents(struct trim *trim, const struct erofs_inode *inode, struct plan_entry *entry)
{
	const struct image *image = trim->request->image;
	const uint8_t *data = NULL;
	size_t len = 0;
	int err = erofs_map(&image->fs, inode, 0, &data, &len);
	entry->size = inode->size;
	if (!err && (!inode->size || (data && len == inode->size))) {
		entry->kind = PLAN_FILE;
		entry->source = alloc_format("/proc/self/fd/%d", image->fd);
		entry->offset = data ? (uint64_t)(data - image->map) : 0;
		return 0;
	}
	if (err || (trim->copied += inode->size) > COPIED_MOST)
		return err ? err : -EFBIG;
	entry->kind = PLAN_DATA;
	entry->source = alloc_zero(inode->size);
	return erofs_read(&image->fs, inode, 0, entry->source, inode->size) == (int64_t)inode->size ? 0 : -EIO;
}

static int fill_link(struct trim *trim, const struct erofs_inode *inode, struct plan_entry *entry)
{
	entry->kind = PLAN_LINK;
	if (inode->size >= 4096)
		return -EIO;
	if ((trim->copied += inode->size) > COPIED_MOST)
		return -EFBIG;
	entry->source = alloc_zero(inode->size + 1);
	return erofs_read(&trim->request->image->fs, inode, 0, entry->source, inode->size) == (int64_t)inode->size ? 0 : -EIO;
}

static int fill_attributes(struct trim *trim, const struct erofs_inode *inode, struct plan_entry *entry)
{
	struct erofs_xattr xattr;
	uint32_t cursor = 0;
	int got;
	while ((got = erofs_xattr(&trim->request->image->fs, inode, &cursor, &xattr)) == 1) {
		/* Inodes of a hostile image may share the place where these lie. */
		if ((trim->copied += xattr.size + xattr.name_len + sizeof(*entry->xattr)) > COPIED_MOST)
			return -EFBIG;
		entry->xattr = alloc_again(entry->xattr, (entry->xattrs + 1) * sizeof(*entry->xattr));
		entry->xattr[entry->xattrs++] = (struct plan_xattr){ .name = alloc_format("%s%.*s", xattr.prefix, (int)xattr.name_len, xattr.name), .size = xattr.size,
			.value = memcpy(alloc_zero(xattr.size + 1), xattr.value, xattr.size) };
	}
	return got;
}

static int put_entry(struct trim *trim, const char *path, const struct erofs_inode *inode, uint32_t same)
{
	struct plan_entry entry = { .guest = alloc_copy(path), .mode = inode->mode & 07777, .uid = inode->uid, .gid = inode->gid, .same = same,
		.mtime = (int64_t)inode->mtime, .mtime_ns = inode->mtime_nsec };
	int err = 0;
	if (S_ISREG(inode->mode)) {
		err = fill_contents(trim, inode, &entry);
	} else if (S_ISLNK(inode->mode)) {
		err = fill_link(trim, inode, &entry);
	} else if (S_ISDIR(inode->mode)) {
		entry.kind = PLAN_DIR;
	} else {
		entry.kind = PLAN_SPECIAL;
		entry.mode = inode->mode;
		entry.rdev = makedev(erofs_major(inode->rdev), erofs_minor(inode->rdev));
	}
	if (!err)
		err = fill_attributes(trim, inode, &entry);
	plan_put(&trim->all, entry);
	return err ? error_set(NULL, err, "%s", path) : 0;
}

static int by_nid(const void *a, const void *b)
{
	const struct image_entry *one = *(const struct image_entry *const *)a, *two = *(const struct image_entry *const *)b;
	return one->inode.nid < two->inode.nid ? -1 : one->inode.nid > two->inode.nid;
}

/* Numbers for files with several names, by the place of the name in the tree; the caller's. */
static uint32_t *number_names(struct trim *trim)
{
	const size_t count = trim->tree.count;
	const struct image_entry **sorted = alloc_zero((count + 1) * sizeof(*sorted));
	uint32_t *same = alloc_zero((count + 1) * sizeof(*same));
	for (size_t i = 0; i < count; i++)
		sorted[i] = &trim->tree.entry[i];
	qsort(sorted, count, sizeof(*sorted), by_nid);
	for (size_t i = 1; i < count; i++) {
		const size_t one = (size_t)(sorted[i - 1] - trim->tree.entry), two = (size_t)(sorted[i] - trim->tree.entry);
		if (sorted[i]->inode.nid != sorted[i - 1]->inode.nid || S_ISDIR(sorted[i]->inode.mode))
			continue;
		same[one] = same[one] ? same[one] : ++trim->all.sames;
		same[two] = same[one];
	}
	free(sorted);
	return same;
}

static int read_image(struct trim *trim, struct error *error)
{
	const struct trim_request *request = trim->request;
	struct erofs_inode root;
	int err = image_tree_read(&trim->tree, request->image, request->name, error);
	if (err)
		return err;
	if (erofs_inode(&request->image->fs, request->image->fs.root_nid, &root) || put_entry(trim, "/", &root, 0))
		return error_set(error, -EIO, "%s: image damaged: its root cannot be read", request->name);
	uint32_t *same = number_names(trim);
	for (size_t i = 0; i < trim->tree.count && !err; i++) {
		const char *path = trim->tree.entry[i].path;
		err = put_entry(trim, path, &trim->tree.entry[i].inode, same[i]);
		if (err == -EFBIG)
			error_set(error, err, "%s: %s: its links, attributes and files that do not lie in one piece take more than 1 GiB: an image made by other hands; build it anew", request->name, path);
		else if (err)
			error_set(error, err, "%s: image damaged: %s cannot be read", request->name, path);
	}
	free(same);
	return err;
}

/* ---- what stays ---- */

static void keep(struct trim *trim, const char *path)
{
	struct error ignored; /* a link may lead nowhere, and is kept as it is */
	plan_add(trim->plan, path, false, &ignored);
}

static void keep_root(struct trim *trim)
{
	const struct plan_entry *root = plan_find(&trim->all, "/");
	plan_why(trim->plan, "the root directory");
	plan_put(trim->plan, (struct plan_entry){ .guest = alloc_copy("/"), .kind = PLAN_DIR, .mode = root->mode, .uid = root->uid, .gid = root->gid, .mtime = root->mtime, .mtime_ns = root->mtime_ns });
}

static void keep_used(struct trim *trim, const struct trim_run *run)
{
	for (size_t i = 0; i < trim->tree.count; i++) {
		const struct image_entry *entry = &trim->tree.entry[i];
		unsigned mark = run->mark(run->context, entry->inode.nid);
		if (!mark)
			continue;
		plan_why(trim->plan, "%s %s", mark & LV_USED_OPENED ? "opened by:" : S_ISLNK(entry->inode.mode) ? "followed by:" : "looked at by:", run->what);
		keep(trim, entry->path);
	}
}

/* Programs make files there, with no more than the directory to tell of it. */
static bool is_written_to(const struct image_entry *entry)
{
	static const char *const places[] = { "/var", "/run", "/tmp", "/home", "/root", "/srv", "/mnt", "/media", "/opt", "/dev", "/proc", "/sys" };
	static const char *const not[] = { "/var/lib/dpkg/", "/var/lib/apt/", "/var/cache/", "/var/lib/apk/", "/var/lib/rpm/", "/opt/" };
	bool is = false;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		is |= text_starts(entry->path, places[i]) && strchr("/", entry->path[strlen(places[i])]);
	for (size_t i = 0; i < sizeof(not) / sizeof(*not); i++)
		is &= !text_starts(entry->path, not[i]);
	return is && S_ISDIR(entry->inode.mode);
}

static void keep_by_rule(struct trim *trim)
{
	for (size_t i = 0; i < trim->tree.count; i++) {
		const struct image_entry *entry = &trim->tree.entry[i];
		const struct rule_path *rule = rules_for(trim->request->rules, entry->path);
		if (rule && rule->keep) {
			plan_why(trim->plan, "the rule \"keep %s\" (%s)", rule->glob, rule->place);
			keep(trim, entry->path);
		} else if (is_written_to(entry)) {
			plan_why(trim->plan, "a directory that programs write to");
			keep(trim, entry->path);
		}
	}
	plan_why(trim->plan, "what the image tells of itself");
	for (size_t i = 0; i < trim->tree.count; i++)
		if (text_starts(trim->tree.entry[i].path, "/.lightvm") && strcmp(trim->tree.entry[i].path, LV_REASONS_PATH))
			keep(trim, trim->tree.entry[i].path);
}

/* A word without a pattern is a path, and all that is below it. */
static bool matches(const char *word, const char *path)
{
	size_t len = strlen(word);
	while (len > 1 && word[len - 1] == '/')
		len--;
	return !fnmatch(word, path, FNM_NOESCAPE) || (!strncmp(word, path, len) && (!path[len] || path[len] == '/'));
}

static int keep_wanted(struct trim *trim, const struct strings *words, const char *why, struct error *error)
{
	for (size_t w = 0; words && w < words->count; w++) {
		bool found = false;
		plan_why(trim->plan, why, words->item[w]);
		for (size_t i = 0; i < trim->tree.count; i++)
			if (matches(words->item[w], trim->tree.entry[i].path)) {
				keep(trim, trim->tree.entry[i].path);
				found = true;
			}
		if (!found && error)
			return error_set(error, -EINVAL, "--keep: nothing in %s is, or matches, \"%s\"", trim->request->name, words->item[w]);
	}
	return 0;
}

static void leave_by_rule(struct trim *trim)
{
	for (size_t i = 0; i < trim->tree.count; i++) {
		const struct rule_path *rule = rules_for(trim->request->rules, trim->tree.entry[i].path);
		if (rule && !rule->keep)
			plan_remove(trim->plan, trim->tree.entry[i].path);
	}
}

/* What the files need that were used. Zones and converters only where the evidence has them. */
static int keep_needed(struct trim *trim, struct error *error)
{
	struct library_wants wants = { 0 };
	int err = libraries_add(trim->plan, 0, &wants, error);
	if (!err) {
		wants.zones = wants.converters = false;
		runtime_add(trim->plan, &wants, NULL, NULL);
		certificates_add(trim->plan);
	}
	library_wants_free(&wants);
	return err;
}

/* ---- what is said of it ---- */

static void add_manifest(struct trim *trim)
{
	struct manifest manifest = trim->request->image->manifest; /* borrowed, but for: */
	char *libos[] = { "libos", NULL };
	struct text json = { 0 };
	manifest.kernels = (struct strings){ .item = libos, .count = 1 }; /* of others nothing is known: they may need what was left out */
	manifest.trimmed = (char *)(trim->request->image->has_trailer ? trim->request->image->sha256 : "unknown");
	manifest_print(&manifest, &json);
	plan_why(trim->plan, "what the image tells of itself");
	plan_data(trim->plan, LV_MANIFEST_PATH, 0644, json.data, json.size);
	text_free(&json);
}

/* Of what is not there the uppermost: what is below it is not there either. */
static void add_reasons(struct trim *trim, struct trim_facts *facts)
{
	struct strings left = { 0 };
	for (size_t i = 0; i < trim->tree.count; i++) {
		const struct image_entry *entry = &trim->tree.entry[i];
		const bool is_file = S_ISREG(entry->inode.mode), stays = plan_find(trim->plan, entry->path);
		facts->files_before += is_file;
		facts->bytes_before += is_file ? entry->inode.size : 0;
		facts->files += is_file && stays;
		facts->bytes += is_file && stays ? entry->inode.size : 0;
		char *above = alloc_format("%.*s", (int)(strrchr(entry->path, '/') - entry->path), entry->path);
		if (!stays && strcmp(entry->path, LV_REASONS_PATH) && (!*above || plan_find(trim->plan, above)))
			strings_add(&left, entry->path);
		free(above);
	}
	reasons_add(trim->plan, trim->request->command, &left);
	strings_free(&left);
}

int trim_plan(const struct trim_request *request, struct plan *plan, struct trim_facts *facts, struct error *error)
{
	struct trim trim = { .request = request, .plan = plan };
	*facts = (struct trim_facts){ 0 };
	if (request->image->manifest.trimmed)
		return error_set(error, -EINVAL, "%s was trimmed already; trim the image that it was made of anew, with all commands", request->name);
	int err = read_image(&trim, error);
	plan->from = &trim.all;
	plan->explains = true;
	plan->sames = trim.all.sames;
	if (!err) {
		add_manifest(&trim);
		keep_root(&trim);
		for (size_t i = 0; i < request->runs; i++)
			keep_used(&trim, &request->run[i]);
		keep_wanted(&trim, request->looked, "looked for in vain by the trimmed image: %s", NULL);
		err = keep_needed(&trim, error);
	}
	if (!err) {
		keep_by_rule(&trim);
		leave_by_rule(&trim);
		err = keep_wanted(&trim, request->keep, "--keep %s", error);
	}
	if (!err)
		add_reasons(&trim, facts);
	plan->from = NULL;
	plan_free(&trim.all);
	image_tree_free(&trim.tree);
	return err;
}
