/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/frame.h"
#include "base/shown.h"

#define CHUNK 65536
#define NS 1000000000ull
#define BLOCK 4096ull /* of file systems */

struct tree { /* that is sent */
	int fd;
	struct tree_report *report;
	char chunk[CHUNK];
};

struct receiver {
	struct tree_reader reader;
	mode_t mask;
	char chunk[CHUNK];
};

int tree_fail(struct tree_report *report, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(report->error, sizeof(report->error), format, args);
	va_end(args);
	return err;
}

/* Names come from the other side. */
static const char *shown(const char *name, char *buffer, size_t room)
{
	size_t n = strnlen(name, room - 1);
	buffer[text_shown(buffer, name, n, 0, NULL)] = 0;
	return buffer;
}

/* ---- sending ---- */

static int put(struct tree *tree, const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		ssize_t n = send(tree->fd, at, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tree_fail(tree->report, -errno, "the other side: %s", strerror(errno));
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int64_t ns_of(const struct timespec *time)
{
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)time->tv_sec, (int64_t)NS, &ns) || __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns))
		return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static int put_entry(struct tree *tree, enum tree_type type, const char *name, const struct stat *st, uint64_t size)
{
	struct tree_entry entry = { .type = (uint8_t)type, .name_size = (uint16_t)strlen(name), .size = size };
	if (st) {
		entry.mode = st->st_mode & 07777;
		entry.mtime_ns = ns_of(&st->st_mtim);
	}
	int err = put(tree, &entry, sizeof(entry));
	return err ? err : put(tree, name, entry.name_size);
}

static int take_note(struct tree_report *report, const char *text)
{
	char word[TREE_TEXT_MAX + 1];
	if (report->note)
		report->note(report->context, shown(text, word, sizeof(word)));
	return 0;
}

static int put_note(struct tree *tree, const char *name, const char *why)
{
	char text[TREE_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s: %s", name, why);
	size_t size = n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;
	int err = put_entry(tree, TREE_NOTE, "", NULL, size);
	if (!err)
		err = put(tree, text, size);
	/* Who sends knows it too: a receiver in a guest has nobody to tell. */
	return err ? err : take_note(tree->report, text);
}

/* Exactly as many bytes as were announced: a file that shrinks meanwhile is filled up, one that grows is cut. */
static int send_file(struct tree *tree, int file, const char *name, const char *path, const struct stat *st)
{
	uint64_t left = (uint64_t)st->st_size;
	int err = put_entry(tree, TREE_FILE, name, st, left);
	bool ended = false;
	while (!err && left) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t n = ended ? 0 : read(file, tree->chunk, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ended = true;
			memset(tree->chunk, 0, want);
			n = (ssize_t)want;
		}
		err = put(tree, tree->chunk, (size_t)n);
		left -= (uint64_t)n;
	}
	if (!err && ended)
		err = put_note(tree, path, "became shorter while it was read; the rest is zeroes");
	tree->report->files++;
	tree->report->bytes += (uint64_t)st->st_size;
	return err;
}

/* One piece as long as there is something to read, up to `end`; *at moves on. */
static int send_piece(struct tree *tree, int file, uint64_t *at, uint64_t end)
{
	int err = 0;
	while (!err && *at < end) {
		size_t want = end - *at < CHUNK ? (size_t)(end - *at) : CHUNK;
		ssize_t n = pread(file, tree->chunk, want, (off_t)*at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		struct tree_piece piece = { *at, (uint64_t)n };
		err = put(tree, &piece, sizeof(piece));
		if (!err)
			err = put(tree, tree->chunk, (size_t)n);
		*at += (uint64_t)n;
		tree->report->bytes += (uint64_t)n;
	}
	return err;
}

/* Data between holes; where the file system knows none, or the size is no help, from the start to the end of what can be read. */
static int send_pieces(struct tree *tree, int file, const char *name, const char *path, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size, at = 0;
	int err = put_entry(tree, TREE_PIECES, name, st, size), failed = 0;
	while (!err && !failed) {
		off_t data = size ? lseek(file, (off_t)at, SEEK_DATA) : 0, hole = data < 0 || !size ? -1 : lseek(file, data, SEEK_HOLE);
		if (size && data < 0 && errno == ENXIO)
			break; /* nothing but a hole up to the end */
		if (data > 0)
			at = (uint64_t)data;
		uint64_t from = at, end = hole > 0 ? (uint64_t)hole : size ? size : UINT64_MAX;
		failed = send_piece(tree, file, &at, end);
		if (failed || at == from || hole < 0)
			break;
	}
	struct tree_piece last = { size ? size : at, 0 };
	if (!err)
		err = put(tree, &last, sizeof(last));
	if (!err && failed)
		err = put_note(tree, path, strerror(-failed));
	tree->report->files++;
	return err;
}

/* Holes, or a size that says nothing (a file of /proc has 0, whatever is in it). */
static bool needs_pieces(int file, const struct stat *st)
{
	char byte;
	return st->st_size ? (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size : pread(file, &byte, 1, 0) > 0;
}

static int send_node(struct tree *tree, int dir, const char *node, const char *name, const char *path, int depth);

static int send_dir(struct tree *tree, int fd, const char *name, const char *path, const struct stat *st, int depth)
{
	char below[4096];
	DIR *stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return put_note(tree, path, strerror(errno));
	}
	int err = put_entry(tree, TREE_DIR, name, st, 0);
	for (struct dirent *entry; !err && (entry = readdir(stream));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
			err = put_note(tree, path, "its path is too long");
		else
			err = send_node(tree, dirfd(stream), entry->d_name, entry->d_name, below, depth + 1);
	}
	closedir(stream);
	return err ? err : put_entry(tree, TREE_UP, "", NULL, 0);
}

static int send_link(struct tree *tree, int dir, const char *node, const char *name, const char *path, const struct stat *st)
{
	char target[TREE_TEXT_MAX + 1];
	ssize_t n = readlinkat(dir, node, target, sizeof(target));
	if (n < 0 || n > TREE_TEXT_MAX)
		return put_note(tree, path, n < 0 ? strerror(errno) : "the link is too long");
	int err = put_entry(tree, TREE_LINK, name, st, (uint64_t)n);
	return err ? err : put(tree, target, (size_t)n);
}

/* node: how it is reached from dir; name: what it is called in the stream; depth 0: the top, whose links are followed. */
static int send_node(struct tree *tree, int dir, const char *node, const char *name, const char *path, int depth)
{
	struct stat st;
	int follow = depth ? AT_SYMLINK_NOFOLLOW : 0;
	if (fstatat(dir, node, &st, follow))
		return depth ? put_note(tree, path, strerror(errno)) : tree_fail(tree->report, -errno, "%s: %s", path, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return send_link(tree, dir, node, name, path, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return depth ? put_note(tree, path, "neither a file nor a directory; left out")
			     : tree_fail(tree->report, -EINVAL, "%s: neither a file nor a directory", path);
	if (depth >= TREE_DEPTH)
		return put_note(tree, path, "too deep; left out");
	int fd = openat(dir, node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? O_NOFOLLOW : 0));
	/* What was looked at may have been replaced since. */
	if (fd < 0 || fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		int err = fd < 0 ? errno : EINVAL;
		if (fd >= 0)
			close(fd);
		return depth ? put_note(tree, path, strerror(err)) : tree_fail(tree->report, -err, "%s: %s", path, strerror(err));
	}
	if (S_ISDIR(st.st_mode))
		return send_dir(tree, fd, name, path, &st, depth);
	int err = needs_pieces(fd, &st) ? send_pieces(tree, fd, name, path, &st) : send_file(tree, fd, name, path, &st);
	close(fd);
	return err;
}

int tree_send(int fd, int dir, const char *name, struct tree_report *report)
{
	struct tree tree = { .fd = fd, .report = report };
	int err = send_node(&tree, dir, name, "", name, 0);
	return err ? err : put_entry(&tree, TREE_END, "", NULL, 0);
}

/* ---- reading ---- */

int tree_get(struct tree_reader *reader, void *data, size_t size)
{
	int err = fd_read_exactly(reader->fd, data, size, DEADLINE_NEVER);
	if (err == -ECONNRESET || err == -EPROTO)
		return tree_fail(reader->report, -EPROTO, "the other side ended in the middle");
	if (err == -EAGAIN)
		return tree_fail(reader->report, -ETIMEDOUT, "the other side sent nothing for too long");
	return err ? tree_fail(reader->report, err, "the other side: %s", strerror(-err)) : 0;
}

static bool name_is_safe(const char *name, size_t size)
{
	return size && !memchr(name, 0, size) && !memchr(name, '/', size) && strcmp(name, ".") && strcmp(name, "..");
}

static int get_entry(struct tree_reader *reader, struct tree_entry *entry, char *name)
{
	int err = tree_get(reader, entry, sizeof(*entry));
	if (err)
		return err;
	if (entry->type < TREE_DIR || entry->type > TREE_PIECES)
		return tree_fail(reader->report, -EPROTO, "the other side sent an entry of an unknown type (%u)", entry->type);
	if (entry->name_size > TREE_NAME_MAX)
		return tree_fail(reader->report, -EPROTO, "the other side sent a name of %u bytes", entry->name_size);
	err = tree_get(reader, name, entry->name_size);
	name[entry->name_size] = 0;
	return err;
}

int tree_get_text(struct tree_reader *reader, const struct tree_entry *entry, char *text)
{
	if (entry->size > TREE_TEXT_MAX)
		return tree_fail(reader->report, -EPROTO, "the other side sent a text of %llu bytes", (unsigned long long)entry->size);
	int err = tree_get(reader, text, (size_t)entry->size);
	text[entry->size] = 0;
	return err;
}

int tree_get_target(struct tree_reader *reader, const struct tree_entry *entry, const char *name, char *target)
{
	char word[TREE_NAME_MAX + 1];
	int err = tree_get_text(reader, entry, target);
	if (!err && (!*target || strlen(target) != entry->size))
		err = tree_fail(reader->report, -EPROTO, "%s: the other side sent a link that leads nowhere", shown(name, word, sizeof(word)));
	return err;
}

int tree_count(struct tree_reader *reader, const char *name, uint64_t size)
{
	char word[TREE_NAME_MAX + 1];
	struct tree_report *report = reader->report;
	if (report->limit && (size > report->limit || report->bytes > report->limit - size))
		return tree_fail(report, -EFBIG, "%s: with it more than %llu bytes would be copied", shown(name, word, sizeof(word)), (unsigned long long)report->limit);
	report->bytes += size;
	return 0;
}

int tree_next_piece(struct tree_reader *reader, const char *name, uint64_t end, struct tree_piece *piece)
{
	char word[TREE_NAME_MAX + 1];
	int err = tree_get(reader, piece, sizeof(*piece));
	if (!err && (piece->at < end || piece->at > INT64_MAX || piece->size > INT64_MAX - piece->at))
		err = tree_fail(reader->report, -EPROTO, "%s: the other side sent a piece that lies before the last one, or beyond any file", shown(name, word, sizeof(word)));
	return err;
}

/* The blocks of bytes from `at` up to `end`. */
static int take_room(struct tree_report *report, const char *name, uint64_t at, uint64_t end)
{
	char word[TREE_NAME_MAX + 1];
	uint64_t size = (end / BLOCK - at / BLOCK + !!(end % BLOCK)) * BLOCK;
	if (report->room && (size > report->room || report->taken > report->room - size))
		return tree_fail(report, -EFBIG, "%s: with it more than %llu bytes of room would be taken", shown(name, word, sizeof(word)), (unsigned long long)report->room);
	report->taken += size;
	return 0;
}

static bool count_entry(struct tree_report *report)
{
	return !report->most || ++report->entries <= report->most;
}

static int get_note(struct tree_reader *reader, const struct tree_entry *entry)
{
	char text[TREE_TEXT_MAX + 1];
	int no_room = take_room(reader->report, "what was left out", 0, 1); /* it takes none, and yet must end */
	if (no_room)
		return no_room;
	if (!count_entry(reader->report))
		return tree_fail(reader->report, -E2BIG, "with what was left out there are more than %llu files and directories", (unsigned long long)reader->report->most);
	int err = tree_get_text(reader, entry, text);
	return err ? err : take_note(reader->report, text);
}

static bool has_name(const struct tree_entry *entry)
{
	return entry->type == TREE_DIR || entry->type == TREE_FILE || entry->type == TREE_PIECES || entry->type == TREE_LINK;
}

/* Something that is to be made: may it be there, and be called that? */
static int check_named(const struct tree_reader *reader, const struct tree_entry *entry, const char *name)
{
	char word[TREE_NAME_MAX + 1];
	struct tree_report *report = reader->report;
	if (!reader->depth && reader->have_top)
		return tree_fail(report, -EPROTO, "the other side sent more than one tree");
	if (reader->depth && !name_is_safe(name, entry->name_size))
		return tree_fail(report, -EPROTO, "the other side sent the name \"%s\", which would leave the directory", shown(name, word, sizeof(word)));
	if (entry->type == TREE_LINK && !reader->depth)
		return tree_fail(report, -EPROTO, "the other side sent a symbolic link where a file or directory was asked for");
	if (!count_entry(report))
		return tree_fail(report, -E2BIG, "%s: with it more than %llu files and directories would be copied", shown(name, word, sizeof(word)),
			    (unsigned long long)report->most);
	if (entry->type == TREE_DIR && reader->depth == TREE_DEPTH)
		return tree_fail(report, -EPROTO, "the other side sent directories deeper than %d", TREE_DEPTH);
	return take_room(report, name, 0, 1);
}

static int check_end(const struct tree_reader *reader)
{
	if (reader->depth)
		return tree_fail(reader->report, -EPROTO, "the other side ended within a directory");
	return reader->have_top ? 0 : tree_fail(reader->report, -EPROTO, "the other side sent nothing");
}

int tree_next(struct tree_reader *reader, struct tree_entry *entry, char *name)
{
	int err;
	while (!(err = get_entry(reader, entry, name)) && entry->type == TREE_NOTE)
		if ((err = get_note(reader, entry)))
			break;
	if (err)
		return err;
	if (entry->type == TREE_END)
		return check_end(reader);
	if (entry->type == TREE_UP && !reader->depth)
		return tree_fail(reader->report, -EPROTO, "the other side left a directory that it was not in");
	if (has_name(entry) && (err = check_named(reader, entry, name)))
		return err;
	reader->have_top = true;
	reader->depth += entry->type == TREE_DIR ? 1 : entry->type == TREE_UP ? -1 : 0;
	return 0;
}

/* ---- receiving ---- */

static struct timespec time_of(const struct tree_entry *entry)
{
	int64_t s = entry->mtime_ns / (int64_t)NS, ns = entry->mtime_ns % (int64_t)NS;
	return (struct timespec){ .tv_sec = (time_t)(ns < 0 ? s - 1 : s), .tv_nsec = (long)(ns < 0 ? ns + (int64_t)NS : ns) };
}

static void set_times(int fd, const struct tree_entry *entry)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_of(entry) };
	futimens(fd, times); /* a file without its time is still the file */
}

/* size bytes of the stream to offset `at` of the file. */
static int get_bytes(struct receiver *receiver, int fd, const char *name, uint64_t at, uint64_t size)
{
	char word[TREE_NAME_MAX + 1];
	struct tree_report *report = receiver->reader.report;
	int err = size > INT64_MAX - at ? tree_fail(report, -EFBIG, "%s: the other side sent a file of more than 2^63 bytes", shown(name, word, sizeof(word)))
				   : tree_count(&receiver->reader, name, size);
	if (!err)
		err = take_room(report, name, at, at + size);
	for (uint64_t left = size; left && !err;) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK, done = 0;
		err = tree_get(&receiver->reader, receiver->chunk, want);
		while (!err && done < want) {
			ssize_t n = pwrite(fd, receiver->chunk + done, want - done, (off_t)(at + done));
			if (n < 0 && errno != EINTR)
				err = tree_fail(report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
			done += n > 0 ? (size_t)n : 0;
		}
		at += want;
		left -= want;
	}
	return err;
}

static int get_pieces(struct receiver *receiver, int fd, const char *name)
{
	char word[TREE_NAME_MAX + 1];
	struct tree_piece piece = { 0 };
	int err;
	while (!(err = tree_next_piece(&receiver->reader, name, piece.at + piece.size, &piece)) && piece.size)
		if ((err = get_bytes(receiver, fd, name, piece.at, piece.size)))
			break;
	if (err)
		return err;
	return ftruncate(fd, (off_t)piece.at) ? tree_fail(receiver->reader.report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno)) : 0;
}

/* A new file beside the old one, whose place it takes: never written through a link or into a device, and there whole or not at all. */
static int get_file(struct receiver *receiver, int dir, const char *name, const struct tree_entry *entry)
{
	char word[TREE_NAME_MAX + 1], beside[32];
	struct tree_report *report = receiver->reader.report;
	unsigned number = 0;
	int fd;
	do
		snprintf(beside, sizeof(beside), ".copied-%d-%u", getpid(), number++);
	while ((fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0 && errno == EEXIST);
	if (fd < 0)
		return tree_fail(report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	int err = entry->type == TREE_PIECES ? get_pieces(receiver, fd, name) : get_bytes(receiver, fd, name, 0, entry->size);
	fchmod(fd, entry->mode & receiver->mask);
	set_times(fd, entry);
	close(fd);
	if (!err && renameat(dir, beside, dir, name))
		err = tree_fail(report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	if (err)
		unlinkat(dir, beside, 0);
	report->files += !err;
	return err;
}

static int get_link(struct receiver *receiver, int dir, const char *name, const struct tree_entry *entry)
{
	char target[TREE_TEXT_MAX + 1], word[TREE_NAME_MAX + 1];
	int err = tree_get_target(&receiver->reader, entry, name, target);
	if (err)
		return err;
	if ((unlinkat(dir, name, 0) && errno != ENOENT) || symlinkat(target, dir, name))
		return tree_fail(receiver->reader.report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	return 0;
}

/* A new one is writable for us while it is filled; its own mode comes with its end. */
static int enter_dir(struct receiver *receiver, int dir, const char *name, bool *made)
{
	char word[TREE_NAME_MAX + 1];
	*made = !mkdirat(dir, name, 0700);
	if (!*made && errno != EEXIST)
		return tree_fail(receiver->reader.report, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tree_fail(receiver->reader.report, -errno, "%s: is there already and is no directory (%s)", shown(name, word, sizeof(word)), strerror(errno));
	return fd;
}

struct level { /* an open directory, and what it becomes in the end */
	int fd;
	bool made; /* by us: else its mode and time are not the sender's business */
	struct tree_entry entry;
};

static void leave_dir(struct receiver *receiver, struct level *level)
{
	if (level->made) {
		fchmod(level->fd, level->entry.mode & receiver->mask);
		set_times(level->fd, &level->entry);
	}
	close(level->fd);
}

/* level[*open] is the directory that we are in. */
static int take_entry(struct receiver *receiver, struct level *level, int *open, const struct tree_entry *entry, const char *name)
{
	int dir = level[*open].fd;
	bool made;
	if (entry->type == TREE_UP) {
		leave_dir(receiver, &level[(*open)--]);
		return 0;
	}
	if (entry->type == TREE_FILE || entry->type == TREE_PIECES)
		return get_file(receiver, dir, name, entry);
	if (entry->type == TREE_LINK)
		return get_link(receiver, dir, name, entry);
	int fd = enter_dir(receiver, dir, name, &made);
	if (fd < 0)
		return fd;
	level[++*open] = (struct level){ fd, made, *entry };
	return 0;
}

int tree_receive(int fd, int dir, const char *top, mode_t mode_mask, struct tree_report *report)
{
	struct receiver receiver = { .reader = { .fd = fd, .report = report }, .mask = mode_mask };
	struct level level[TREE_DEPTH + 1] = { { .fd = dir } };
	struct tree_entry entry;
	char name[TREE_NAME_MAX + 1];
	int open = 0, err;
	while (!(err = tree_next(&receiver.reader, &entry, name)) && entry.type != TREE_END)
		if ((err = take_entry(&receiver, level, &open, &entry, open ? name : top)))
			break;
	for (; open; open--)
		leave_dir(&receiver, &level[open]);
	return err;
}
