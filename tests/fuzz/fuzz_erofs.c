/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EROFS reader on any bytes: it must stay inside the image, come to an end, and keep what parse/erofs.h promises.
 * fuzz-sources: parse/erofs.c
 * fuzz-seeds: erofs
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "parse/erofs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define STEPS 400 /* per input: a damaged image may describe very much */

struct walk {
	struct erofs fs;
	int steps;
	unsigned sum;
};

static void read_data(struct walk *w, const struct erofs_inode *inode)
{
	uint8_t buffer[300];
	uint64_t offset = 0;

	while (w->steps-- > 0) {
		const uint8_t *p = NULL;
		size_t len = 0;

		if (erofs_map(&w->fs, inode, offset, &p, &len) || len == 0)
			break;
		MUST(len <= inode->size - offset);
		if (p) {
			MUST(p >= w->fs.base && p + len <= w->fs.base + w->fs.size);
			w->sum += p[0] + p[len - 1];
		}
		offset += len;
	}
	int64_t n = erofs_read(&w->fs, inode, inode->size / 2, buffer, sizeof(buffer));

	MUST(n <= (int64_t)sizeof(buffer));
	n = erofs_read(&w->fs, inode, UINT64_MAX - 10, buffer, sizeof(buffer));
	MUST(n <= 0);
}

static void read_xattrs(struct walk *w, const struct erofs_inode *inode)
{
	struct erofs_xattr xattr;
	uint32_t cursor = 0, before = 0;

	while (w->steps-- > 0 && erofs_xattr(&w->fs, inode, &cursor, &xattr) == 1) {
		MUST(xattr.value >= w->fs.base && xattr.value + xattr.size <= w->fs.base + w->fs.size);
		MUST((const uint8_t *)xattr.name + xattr.name_len == xattr.value && cursor > before);
		before = cursor;
	}
}

static void visit(struct walk *w, uint64_t nid, int depth)
{
	struct erofs_inode inode, child;
	struct erofs_dirent entry;
	uint64_t cursor = 0, found;

	if (w->steps-- <= 0 || erofs_inode(&w->fs, nid, &inode))
		return;
	read_data(w, &inode);
	read_xattrs(w, &inode);
	while (w->steps-- > 0 && erofs_readdir(&w->fs, &inode, &cursor, &entry) == 1) {
		MUST((const uint8_t *)entry.name >= w->fs.base && (const uint8_t *)entry.name + entry.name_len <= w->fs.base + w->fs.size);
		MUST(entry.name_len > 0 && entry.name_len <= 255);
		if (!erofs_lookup(&w->fs, &inode, entry.name, entry.name_len, &found))
			erofs_inode(&w->fs, found, &child);
		if (depth < 8)
			visit(w, entry.nid, depth + 1);
	}
	erofs_lookup(&w->fs, &inode, "no such name", 12, &found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk w = {.steps = STEPS};
	struct erofs_inode inode;

	if (erofs_open(&w.fs, data, size))
		return 0;
	visit(&w, w.fs.root_nid, 0);
	erofs_walk(&w.fs, "/link/manifest.json", &inode);
	erofs_walk(&w.fs, "/sub/../sub/./deeper/../../file", &inode);
	erofs_walk(&w.fs, "//no/such/thing", &inode);
	return 0;
}
