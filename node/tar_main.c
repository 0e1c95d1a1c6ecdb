/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lightvm-tar: between a tree as the agent of a Linux guest sends it (base/tree.h) and a tar archive. A process of its own, since it reads what a guest, and who asks for it, think up, and since the
 * whole of libarchive comes with what writes archives. Started by node/vm_copy.c.
 *   lightvm-tar from-tree NAME BYTES FILES   0: the tree, 1: the archive (pax). NAME: what its top is called; no more than these come, 0: any number
 *   lightvm-tar to-tree                      0: the archive (tar in any of its formats, perhaps compressed), 1: the tree, whose top is a directory
 * What it has to say are lines on 2: "note TEXT": something was left out; at last "done FILES BYTES", or "fail ERRNO TEXT".
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "base/shown.h"
#include "base/text.h"
#include "base/tree.h"

#define CHUNK 65536
#define NS 1000000000ll
#define UNSIZED_MAX (64u << 20) /* of a file whose size nobody knows before its end: a tar says it first */
#define LINKS_MOST (4u << 20) /* of symbolic links in an archive: each takes 8 to 16 bytes here */
#define MODES 0777 /* who unpacks it as root gets nothing that a guest has marked setuid */

static char chunk[CHUNK];

/* ---- what is said ---- */

static void say(const char *kind, const char *text)
{
	char word[2048];
	size_t n = strnlen(text, sizeof(word) - 1);
	word[text_shown(word, text, n, 0, NULL)] = 0;
	fprintf(stderr, "%s %s\n", kind, word);
}

static void on_note(void *context, const char *text)
{
	say("note", text);
}

static int end(const struct tree_report *report, int err)
{
	char word[24];
	if (!err) {
		fprintf(stderr, "done %llu %llu\n", (unsigned long long)report->files, (unsigned long long)report->bytes);
		return EXIT_SUCCESS;
	}
	snprintf(word, sizeof(word), "fail %d", -err);
	say(word, report->error);
	return EXIT_FAILURE;
}

/* ---- from a tree ---- */

struct packing {
	struct tree_reader reader;
	struct archive *archive;
	struct archive_entry *entry;
	struct text path; /* of the directory that we are in, with a slash behind it; terminated */
	uint64_t *link;	  /* a hash of the path of each symbolic link, in a table (open addressing) that is at most half full; 0: a free place */
	size_t links, room;
};

static int archive_failed(struct packing *packing)
{
	int err = archive_errno(packing->archive);
	return tree_fail(packing->reader.report, err > 0 ? -err : -EIO, "%.200s: the archive: %s", archive_entry_pathname(packing->entry), archive_error_string(packing->archive));
}

static int put_header(struct packing *packing, const struct tree_entry *entry, const char *name, unsigned kind, uint64_t size, const char *target)
{
	struct archive_entry *to = archive_entry_clear(packing->entry);
	char *path = alloc_format("%s%s", packing->path.size ? packing->path.data : "", name);
	int64_t s = entry->mtime_ns / NS, ns = entry->mtime_ns % NS;
	if (!path)
		return tree_fail(packing->reader.report, -ENOMEM, "out of memory");
	archive_entry_copy_pathname(to, path);
	free(path);
	archive_entry_set_filetype(to, kind);
	archive_entry_set_perm(to, entry->mode & MODES);
	archive_entry_set_mtime(to, ns < 0 ? s - 1 : s, ns < 0 ? ns + NS : ns);
	archive_entry_set_size(to, (int64_t)size);
	if (target)
		archive_entry_copy_symlink(to, target);
	return archive_write_header(packing->archive, to) < ARCHIVE_WARN ? archive_failed(packing) : 0;
}

static int put_data(struct packing *packing, const void *data, size_t size)
{
	return archive_write_data(packing->archive, data, size) == (la_ssize_t)size ? 0 : archive_failed(packing);
}

static int put_zeroes(struct packing *packing, uint64_t size)
{
	int err = 0;
	memset(chunk, 0, sizeof(chunk));
	for (; size && !err; size -= size < CHUNK ? size : CHUNK)
		err = put_data(packing, chunk, size < CHUNK ? (size_t)size : CHUNK);
	return err;
}

/* size bytes of the tree. */
static int pass_data(struct packing *packing, const char *name, uint64_t size)
{
	int err = tree_count(&packing->reader, name, size);
	while (!err && size) {
		size_t n = size < CHUNK ? (size_t)size : CHUNK;
		if (!(err = tree_get(&packing->reader, chunk, n)))
			err = put_data(packing, chunk, n);
		size -= n;
	}
	return err;
}

/* A file with holes, which are zeroes in the archive. */
static int pass_pieces(struct packing *packing, const struct tree_entry *entry, const char *name)
{
	struct tree_piece piece;
	uint64_t at = 0;
	int err = entry->size > INT64_MAX ? tree_fail(packing->reader.report, -EPROTO, "the other side sent a file of more than 2^63 bytes") : 0;
	if (!err)
		err = put_header(packing, entry, name, AE_IFREG, entry->size, NULL);
	while (!err && !(err = tree_next_piece(&packing->reader, name, at, &piece)) && piece.size) {
		if (piece.at + piece.size > entry->size)
			return tree_fail(packing->reader.report, -EPROTO, "the other side sent a piece behind the end of its file");
		if (!(err = tree_count(&packing->reader, name, piece.at - at)) && !(err = put_zeroes(packing, piece.at - at)))
			err = pass_data(packing, name, piece.size);
		at = piece.at + piece.size;
	}
	if (!err)
		err = tree_count(&packing->reader, name, entry->size - at);
	return err ? err : put_zeroes(packing, entry->size - at);
}

static int gather(struct packing *packing, const char *name, struct text *data)
{
	struct tree_piece piece;
	int err;
	while (!(err = tree_next_piece(&packing->reader, name, data->size, &piece)) && piece.size) {
		if (piece.at != data->size || piece.size > UNSIZED_MAX - data->size)
			return tree_fail(packing->reader.report, -EFBIG, "a file that does not tell its size is longer than %u bytes, or has holes", UNSIZED_MAX);
		err = tree_count(&packing->reader, name, piece.size);
		for (uint64_t left = piece.size; left && !err;) {
			size_t n = left < CHUNK ? (size_t)left : CHUNK;
			err = tree_get(&packing->reader, chunk, n);
			text_add(data, chunk, n);
			left -= n;
		}
		if (err)
			return err;
	}
	return !err && text_error(data) ? tree_fail(packing->reader.report, -ENOMEM, "out of memory") : err;
}

/* One whose size is known when it has been read, as /proc's. */
static int pass_unsized(struct packing *packing, const struct tree_entry *entry, const char *name)
{
	struct text data = { 0 };
	int err = gather(packing, name, &data);
	if (!err)
		err = put_header(packing, entry, name, AE_IFREG, data.size, NULL);
	if (!err && data.size)
		err = put_data(packing, data.data, data.size);
	text_free(&data);
	return err;
}

static int pass_file(struct packing *packing, const struct tree_entry *entry, const char *name)
{
	packing->reader.report->files++;
	if (entry->type == TREE_PIECES)
		return entry->size ? pass_pieces(packing, entry, name) : pass_unsized(packing, entry, name);
	if (entry->size > INT64_MAX)
		return tree_fail(packing->reader.report, -EPROTO, "the other side sent a file of more than 2^63 bytes");
	int err = put_header(packing, entry, name, AE_IFREG, entry->size, NULL);
	return err ? err : pass_data(packing, name, entry->size);
}

/* ---- what comes behind a symbolic link of the same name: whoever unpacks it might write where that leads ---- */

/* FNV-1a; who finds two paths with the same one has his archive refused. */
static uint64_t hash_of(const struct packing *packing, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	const char *parts[] = { packing->path.size ? packing->path.data : "", name };
	for (size_t i = 0; i < 2; i++)
		for (const char *at = parts[i]; *at; at++)
			hash = (hash ^ (uint8_t)*at) * 0x100000001b3ull;
	return hash ? hash : 1;
}

static uint64_t *place_of(const struct packing *packing, uint64_t hash)
{
	size_t at = hash & (packing->room - 1);
	while (packing->link[at] && packing->link[at] != hash)
		at = (at + 1) & (packing->room - 1);
	return &packing->link[at];
}

static int check_links(struct packing *packing, const char *name)
{
	char word[TREE_NAME_MAX + 1];
	if (!packing->links || !*place_of(packing, hash_of(packing, name)))
		return 0;
	word[text_shown(word, name, strnlen(name, TREE_NAME_MAX), 0, NULL)] = 0;
	return tree_fail(packing->reader.report, -EPROTO, "%s: the other side sent it again, behind a symbolic link of that name", word);
}

static int grow_links(struct packing *packing)
{
	struct packing larger = { .room = packing->room ? 2 * packing->room : 64 };
	if (packing->links == LINKS_MOST)
		return tree_fail(packing->reader.report, -E2BIG, "more than %u symbolic links", LINKS_MOST);
	if (2 * packing->links < packing->room)
		return 0;
	larger.link = alloc_zero(larger.room * sizeof(*larger.link));
	if (!larger.link)
		return tree_fail(packing->reader.report, -ENOMEM, "out of memory");
	for (size_t i = 0; i < packing->room; i++)
		if (packing->link[i])
			*place_of(&larger, packing->link[i]) = packing->link[i];
	free(packing->link);
	packing->link = larger.link;
	packing->room = larger.room;
	return 0;
}

static int note_link(struct packing *packing, const char *name)
{
	int err = grow_links(packing);
	uint64_t hash = hash_of(packing, name);
	if (err)
		return err;
	*place_of(packing, hash) = hash;
	packing->links++;
	return 0;
}

static int pass_link(struct packing *packing, const struct tree_entry *entry, const char *name)
{
	char target[TREE_TEXT_MAX + 1];
	int err = tree_get_target(&packing->reader, entry, name, target);
	if (!err)
		err = note_link(packing, name);
	return err ? err : put_header(packing, entry, name, AE_IFLNK, 0, target);
}

static int pass_dir(struct packing *packing, const struct tree_entry *entry, const char *name)
{
	text_format(&packing->path, "%s/", name);
	return text_error(&packing->path) ? tree_fail(packing->reader.report, -ENOMEM, "out of memory") : put_header(packing, entry, "", AE_IFDIR, 0, NULL);
}

static void leave_dir(struct text *path)
{
	path->data[--path->size] = 0;
	while (path->size && path->data[path->size - 1] != '/')
		path->data[--path->size] = 0;
}

static int pass_all(struct packing *packing, const char *top)
{
	struct tree_entry entry;
	char name[TREE_NAME_MAX + 1];
	int err;
	while (!(err = tree_next(&packing->reader, &entry, name)) && entry.type != TREE_END) {
		const char *word = (packing->reader.depth - (entry.type == TREE_DIR)) ? name : top;
		if (entry.type != TREE_UP && (err = check_links(packing, word)))
			return err;
		if (entry.type == TREE_UP)
			leave_dir(&packing->path);
		else if ((err = entry.type == TREE_DIR ? pass_dir(packing, &entry, word) : entry.type == TREE_LINK ? pass_link(packing, &entry, word)
			  : pass_file(packing, &entry, word)))
			return err;
	}
	return err;
}

static int from_tree(const char *top, struct tree_report *report)
{
	struct packing packing = { .reader = { .fd = STDIN_FILENO, .report = report }, .archive = archive_write_new(), .entry = archive_entry_new() };
	if (!packing.archive || !packing.entry)
		return tree_fail(report, -ENOMEM, "out of memory");
	archive_write_set_format_pax_restricted(packing.archive);
	int err = archive_write_open_fd(packing.archive, STDOUT_FILENO) ? archive_failed(&packing) : pass_all(&packing, top);
	/* One that is not whole has no end. */
	if (err)
		archive_write_fail(packing.archive);
	else if (archive_write_close(packing.archive))
		err = archive_failed(&packing);
	archive_write_free(packing.archive);
	archive_entry_free(packing.entry);
	text_free(&packing.path);
	free(packing.link);
	return err;
}

/* ---- to a tree ---- */

struct unpacking {
	struct archive *archive;
	struct tree_report *report;
	struct strings open; /* the directories that we are in */
};

static int put(struct unpacking *unpacking, const void *data, size_t size)
{
	int err = fd_write(STDOUT_FILENO, data, size);
	return err ? tree_fail(unpacking->report, err, "the other side: %s", strerror(-err)) : 0;
}

static int64_t ns_of(int64_t s, int64_t ns)
{
	int64_t all;
	if (__builtin_mul_overflow(s, (int64_t)NS, &all) || __builtin_add_overflow(all, ns, &all))
		return s < 0 ? INT64_MIN : INT64_MAX;
	return all;
}

/* entry: NULL: of a directory that the archive does not tell of. */
static int put_entry(struct unpacking *unpacking, enum tree_type type, const char *name, struct archive_entry *entry, uint64_t size)
{
	struct tree_entry out = { .type = (uint8_t)type, .name_size = (uint16_t)strlen(name), .size = size, .mode = 0755, .mtime_ns = ns_of(time(NULL), 0) };
	if (entry) {
		out.mode = archive_entry_perm(entry) & 07777;
		if (archive_entry_mtime_is_set(entry))
			out.mtime_ns = ns_of(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
	}
	int err = put(unpacking, &out, sizeof(out));
	return err ? err : put(unpacking, name, strlen(name));
}

static int close_to(struct unpacking *unpacking, size_t depth)
{
	int err = 0;
	while (!err && unpacking->open.count > depth) {
		free(unpacking->open.item[--unpacking->open.count]);
		unpacking->open.item[unpacking->open.count] = NULL;
		err = put_entry(unpacking, TREE_UP, "", NULL, 0);
	}
	return err;
}

/* Into the first n directories of path. entry: what the last one is to be. */
static int enter(struct unpacking *unpacking, const struct strings *path, size_t n, struct archive_entry *entry)
{
	size_t same = 0;
	while (same < n && same < unpacking->open.count && !strcmp(path->item[same], unpacking->open.item[same]))
		same++;
	int err = close_to(unpacking, same);
	for (; !err && same < n; same++) {
		err = put_entry(unpacking, TREE_DIR, path->item[same], same + 1 == n ? entry : NULL, 0);
		strings_add(&unpacking->open, path->item[same]);
	}
	return !err && strings_error(&unpacking->open) ? tree_fail(unpacking->report, -ENOMEM, "out of memory") : err;
}

/* Its components; none of the top itself. */
static int split(struct unpacking *unpacking, const char *word, struct strings *path)
{
	char name[TREE_NAME_MAX + 1];
	for (const char *at = word; *at;) {
		size_t n = strcspn(at, "/");
		if (n > TREE_NAME_MAX)
			return tree_fail(unpacking->report, -EINVAL, "%.100s: a name of %zu bytes", word, n);
		memcpy(name, at, n);
		name[n] = 0;
		if (!strcmp(name, ".."))
			return tree_fail(unpacking->report, -EINVAL, "%.200s: leads out of the directory", word);
		if (n && strcmp(name, "."))
			strings_add(path, name);
		at += n + (at[n] == '/');
	}
	if (path->count >= TREE_DEPTH)
		return tree_fail(unpacking->report, -EINVAL, "%.100s: deeper than %d directories", word, TREE_DEPTH);
	return strings_error(path) ? tree_fail(unpacking->report, -ENOMEM, "out of memory") : 0;
}

static int archive_is_bad(struct unpacking *unpacking)
{
	const char *why = archive_error_string(unpacking->archive);
	return tree_fail(unpacking->report, -EINVAL, "the body is no whole tar archive: %s", why ? why : "nobody knows why");
}

static int put_file(struct unpacking *unpacking, struct archive_entry *entry, const char *name)
{
	const void *data;
	size_t size;
	int64_t at = 0, whole = archive_entry_size(entry);
	int status, err = put_entry(unpacking, TREE_PIECES, name, entry, (uint64_t)whole);
	while (!err && (status = archive_read_data_block(unpacking->archive, &data, &size, &at)) != ARCHIVE_EOF) {
		struct tree_piece piece = { (uint64_t)at, size };
		if (status < ARCHIVE_WARN)
			return archive_is_bad(unpacking);
		if (size && !(err = put(unpacking, &piece, sizeof(piece))))
			err = put(unpacking, data, size);
		unpacking->report->bytes += size;
	}
	unpacking->report->files++;
	struct tree_piece last = { (uint64_t)whole, 0 };
	return err ? err : put(unpacking, &last, sizeof(last));
}

static int put_link(struct unpacking *unpacking, struct archive_entry *entry, const char *path, const char *name)
{
	const char *target = archive_entry_symlink(entry);
	size_t n = target ? strlen(target) : 0;
	if (!n || n > TREE_TEXT_MAX)
		return tree_fail(unpacking->report, -EINVAL, "%.200s: a symbolic link that leads nowhere", path);
	int err = put_entry(unpacking, TREE_LINK, name, entry, n);
	return err ? err : put(unpacking, target, n);
}

static void leave_out(const char *path, const char *why)
{
	char text[1024];
	snprintf(text, sizeof(text), "%.800s: %s", path, why);
	say("note", text);
}

static int take_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
	const char *word = archive_entry_pathname(entry);
	unsigned kind = archive_entry_filetype(entry);
	struct strings path = { 0 };
	int err = word ? split(unpacking, word, &path) : tree_fail(unpacking->report, -EINVAL, "an entry of the archive has no name");
	if (!err && path.count) {
		const char *name = path.item[path.count - 1];
		if (kind == AE_IFDIR)
			err = enter(unpacking, &path, path.count, entry);
		else if (archive_entry_hardlink(entry))
			leave_out(word, "a hard link; left out (tar --hard-dereference makes files of them)");
		else if (kind != AE_IFREG && kind != AE_IFLNK)
			leave_out(word, "neither a file nor a directory; left out");
		else if (!(err = enter(unpacking, &path, path.count - 1, NULL)))
			err = kind == AE_IFREG ? put_file(unpacking, entry, name) : put_link(unpacking, entry, word, name);
	}
	strings_free(&path);
	return err;
}

static int take_all(struct unpacking *unpacking)
{
	struct archive_entry *entry;
	int status, err = put_entry(unpacking, TREE_DIR, "", NULL, 0);
	while (!err && (status = archive_read_next_header(unpacking->archive, &entry)) != ARCHIVE_EOF)
		err = status < ARCHIVE_WARN ? archive_is_bad(unpacking) : take_entry(unpacking, entry);
	if (!err)
		err = close_to(unpacking, 0);
	if (!err)
		err = put_entry(unpacking, TREE_UP, "", NULL, 0);
	return err ? err : put_entry(unpacking, TREE_END, "", NULL, 0);
}

static int to_tree(struct tree_report *report)
{
	struct unpacking unpacking = { .archive = archive_read_new(), .report = report };
	struct archive *archive = unpacking.archive;
	if (!archive)
		return tree_fail(report, -ENOMEM, "out of memory");
	archive_read_support_format_tar(archive);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_bzip2(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_set_options(archive, "hdrcharset=BINARY");
	int err = archive_read_open_fd(archive, STDIN_FILENO, CHUNK) ? archive_is_bad(&unpacking) : take_all(&unpacking);
	archive_read_free(archive);
	strings_free(&unpacking.open);
	return err;
}

int main(int argc, char **argv)
{
	struct tree_report report = { .note = on_note };
	signal(SIGPIPE, SIG_IGN);
	setlocale(LC_CTYPE, "C.UTF-8");
	if (argc == 5 && !strcmp(argv[1], "from-tree") && !number_parse(argv[3], &report.limit) && !number_parse(argv[4], &report.most))
		return end(&report, from_tree(argv[2], &report));
	if (argc == 2 && !strcmp(argv[1], "to-tree"))
		return end(&report, to_tree(&report));
	fputs("usage: lightvm-tar from-tree NAME BYTES FILES | to-tree\n", stderr);
	return 2;
}
