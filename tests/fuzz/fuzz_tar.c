/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lightvm-tar with any bytes, by the first one: a tree of a guest's becomes an archive, or an archive of who asks a tree. A tree that it makes is one that its reader takes, with names that lead
 * nowhere else; an archive is no larger than its bounds allow.
 * fuzz-sources: base/tree.c base/clock.c base/deadline.c base/frame.c base/shown.c base/file.c base/text.c base/number.c
 * fuzz-libs: -larchive
 * fuzz-seeds: tar
 */
#include <archive.h>
#include <stdio.h>

static FILE *words; /* what it says goes to nobody */
#undef stderr
#define stderr words
/* libarchive does not free the buffer of an archive that is given up, after which lightvm-tar ends: here it has none, and what else is left is not looked for. */
#define archive_write_open_fd(archive, fd) (archive_write_set_bytes_per_block(archive, 0), archive_write_open_fd(archive, fd))
#define main tar_main
#include "node/tar_main.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define MUST(x) ((x) ? (void)0 : abort())
#define BYTES (1u << 20)
#define FILES 1000
#define PATH_ROOM (80u << 10) /* of one entry, whose path is said twice: 128 names of 255 bytes */

static int in = -1, out = -1;

static void begin(void)
{
	words = fopen("/dev/null", "w");
	in = memfd_create("in", MFD_CLOEXEC);
	out = memfd_create("out", MFD_CLOEXEC);
	MUST(words && in >= 0 && out >= 0 && setlocale(LC_CTYPE, "C.UTF-8"));
	MUST(dup2(in, STDIN_FILENO) == STDIN_FILENO && dup2(out, STDOUT_FILENO) == STDOUT_FILENO);
}

static void fill(const uint8_t *data, size_t size)
{
	MUST(!ftruncate(in, 0) && !ftruncate(out, 0) && pwrite(in, data, size, 0) == (ssize_t)size);
	MUST(lseek(in, 0, SEEK_SET) == 0 && lseek(out, 0, SEEK_SET) == 0);
}

/* What was written, as the guest's agent reads it. */
static void read_tree(void)
{
	struct tree_report report = { 0 };
	struct tree_reader reader = { .fd = out, .report = &report };
	struct tree_entry entry;
	struct tree_piece piece = { 0 };
	char name[TREE_NAME_MAX + 1], text[TREE_TEXT_MAX + 1];

	MUST(lseek(out, 0, SEEK_SET) == 0);
	do {
		MUST(!tree_next(&reader, &entry, name));
		MUST(entry.type != TREE_LINK || !tree_get_target(&reader, &entry, name, text));
		for (piece = (struct tree_piece){ 0 }; entry.type == TREE_PIECES; lseek(out, (off_t)piece.size, SEEK_CUR)) {
			MUST(!tree_next_piece(&reader, name, piece.at + piece.size, &piece));
			if (!piece.size)
				break;
		}
	} while (entry.type != TREE_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree_report report = { 0 };
	if (in < 0)
		begin();
	if (!size)
		return 0;
	fill(data + 1, size - 1);
	if (data[0] & 1) {
		report.limit = BYTES;
		report.most = FILES;
		int err = from_tree("top", &report);
		MUST(!err == !report.error[0]);
		MUST(lseek(out, 0, SEEK_END) <= (off_t)(BYTES + (FILES + 1ll) * PATH_ROOM));
	} else if (to_tree(&report)) {
		MUST(report.error[0]);
	} else {
		read_tree();
	}
	return 0;
}
