/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/shown.h"
#include "tinyx/reasons.h"

#define NAME "files"
#define LEFT_TOLD 10

int vm_files_make(const struct vm_dir *vm, uint32_t record, uint64_t image_size, struct error *error)
{
	const struct lv_used_files head = { .magic = LV_USED_MAGIC, .version = LV_USED_VERSION };
	uint64_t size = record & LV_RECORD_USED ? LV_USED_SIZE(image_size) : LV_USED_SIZE(0);
	/* Another one than that of an earlier run, which somebody may be reading. */
	unlinkat(vm->dir, NAME, 0);
	int fd = openat(vm->dir, NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int err = fd < 0 || ftruncate(fd, (off_t)size) ? -errno : pwrite(fd, &head, sizeof(head), 0) != sizeof(head) ? -EIO : 0;
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(error, err, NAME ": %s", strerror(-err));
}

static int read_names(int fd, char **names)
{
	struct lv_used_files head;
	*names = alloc_zero(LV_USED_NAMES + 1);
	if (!*names)
		return -ENOMEM;
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.magic != LV_USED_MAGIC || head.version != LV_USED_VERSION)
		return -EINVAL;
	return pread(fd, *names, LV_USED_NAMES, LV_USED_NAMES_AT) == LV_USED_NAMES ? 0 : -EINVAL;
}

int vm_files_open(struct vm_files *files, const struct vm_dir *vm)
{
	*files = (struct vm_files){ 0 };
	int fd = openat(vm->dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	char *names = NULL;
	int err = read_names(fd, &names);
	if (err) {
		free(names);
		close(fd);
		return err;
	}
	*files = (struct vm_files){ .names = names, .fd = fd };
	return 0;
}

unsigned vm_files_mark(const struct vm_files *files, uint64_t nid)
{
	uint8_t mark;
	bool there = files->names && nid <= INT64_MAX - LV_USED_MARKS_AT && pread(files->fd, &mark, 1, (off_t)(LV_USED_MARKS_AT + nid)) == 1;
	return there ? mark : 0;
}

const char *vm_files_lack(const struct vm_files *files, const char *last)
{
	const char *end = files->names + LV_USED_NAMES, *at = last ? last + strlen(last) + 1 : files->names;
	return at < end && *at ? at : NULL;
}

static void put_command(const struct reasons *reasons, const char *path, struct text *out)
{
	text_format(out, "%s --keep ", reasons->command ? reasons->command : "lightvm image trim ...");
	word_quote(out, path);
}

/* So many names of dir, whose path ends in a slash, were left out. */
static size_t left_in(const struct reasons *reasons, const char *dir)
{
	size_t count = 0;
	for (size_t i = 0; i < reasons->lefts; i++)
		count += text_starts(reasons->left[i], dir) && !strchr(reasons->left[i] + strlen(dir), '/');
	return count;
}

void vm_files_left(const struct vm_files *files, const struct image *image, bool listed, struct text *out)
{
	struct reasons reasons;
	size_t told = 0;
	if (reasons_open(&reasons, image, "", NULL))
		return;
	for (const char *path = NULL; (path = vm_files_lack(files, path)) && told < LEFT_TOLD;) {
		const size_t start = out->size;
		const bool is_dir = text_ends(path, "/");
		const size_t inside = is_dir && listed ? left_in(&reasons, path) : 0;
		if (inside)
			text_format(out, "%s was listed, of which %zu names were left out when the image was trimmed; they come back with: ", path, inside);
		else if (!is_dir && reasons_left(&reasons, path))
			text_format(out, "%s was looked for, and was left out when the image was trimmed; it comes back with: ", path);
		else
			continue;
		put_command(&reasons, path, out);
		shown_from(out, start, 0);
		text_put(out, "\n");
		told++;
	}
	reasons_free(&reasons);
}

void vm_files_close(struct vm_files *files)
{
	if (files->names)
		close(files->fd);
	free(files->names);
	*files = (struct vm_files){ 0 };
}
