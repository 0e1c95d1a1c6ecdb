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
#define NAME_MAX_ 255
#define TEXT_MAX 4095 /* of a link's target or a note */
#define NS 1000000000ull

struct tree {
	int fd;
	struct tree_report *report;
	mode_t mask;
	char chunk[CHUNK];
};

static int __attribute__((format(printf, 3, 4))) fail(struct tree *tree, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(tree->report->error, sizeof(tree->report->error), format, args);
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
			return fail(tree, -errno, "the other side: %s", strerror(errno));
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

static int take_note(struct tree *tree, const char *text)
{
	char word[TEXT_MAX + 1];
	if (tree->report->note)
		tree->report->note(tree->report->context, shown(text, word, sizeof(word)));
	return 0;
}

static int put_note(struct tree *tree, const char *name, const char *why)
{
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s: %s", name, why);
	size_t size = n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;
	int err = put_entry(tree, TREE_NOTE, "", NULL, size);
	if (!err)
		err = put(tree, text, size);
	/* Who sends knows it too: a receiver in a guest has nobody to tell. */
	return err ? err : take_note(tree, text);
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
	char target[TEXT_MAX + 1];
	ssize_t n = readlinkat(dir, node, target, sizeof(target));
	if (n < 0 || n > TEXT_MAX)
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
		return depth ? put_note(tree, path, strerror(errno)) : fail(tree, -errno, "%s: %s", path, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return send_link(tree, dir, node, name, path, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return depth ? put_note(tree, path, "neither a file nor a directory; left out")
			     : fail(tree, -EINVAL, "%s: neither a file nor a directory", path);
	if (depth >= TREE_DEPTH)
		return put_note(tree, path, "too deep; left out");
	int fd = openat(dir, node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? O_NOFOLLOW : 0));
	/* What was looked at may have been replaced since. */
	if (fd < 0 || fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		int err = fd < 0 ? errno : EINVAL;
		if (fd >= 0)
			close(fd);
		return depth ? put_note(tree, path, strerror(err)) : fail(tree, -err, "%s: %s", path, strerror(err));
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

/* ---- receiving ---- */

static int get(struct tree *tree, void *data, size_t size)
{
	int err = fd_read_exactly(tree->fd, data, size, DEADLINE_NEVER);
	if (err == -ECONNRESET || err == -EPROTO)
		return fail(tree, -EPROTO, "the other side ended in the middle");
	if (err == -EAGAIN)
		return fail(tree, -ETIMEDOUT, "the other side sent nothing for too long");
	return err ? fail(tree, err, "the other side: %s", strerror(-err)) : 0;
}

static bool name_is_safe(const char *name, size_t size)
{
	return size && !memchr(name, 0, size) && !memchr(name, '/', size) && strcmp(name, ".") && strcmp(name, "..");
}

static int get_entry(struct tree *tree, struct tree_entry *entry, char *name)
{
	int err = get(tree, entry, sizeof(*entry));
	if (err)
		return err;
	if (entry->type < TREE_DIR || entry->type > TREE_PIECES)
		return fail(tree, -EPROTO, "the other side sent an entry of an unknown type (%u)", entry->type);
	if (entry->name_size > NAME_MAX_)
		return fail(tree, -EPROTO, "the other side sent a name of %u bytes", entry->name_size);
	err = get(tree, name, entry->name_size);
	name[entry->name_size] = 0;
	return err;
}

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
static int get_bytes(struct tree *tree, int fd, const char *name, uint64_t at, uint64_t size)
{
	char word[NAME_MAX_ + 1];
	struct tree_report *report = tree->report;
	int err = 0;
	if (report->limit && (size > report->limit || report->bytes > report->limit - size))
		return fail(tree, -EFBIG, "%s: with it more than %llu bytes would be copied", shown(name, word, sizeof(word)),
			    (unsigned long long)report->limit);
	report->bytes += size;
	for (uint64_t left = size; left && !err;) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK, done = 0;
		err = get(tree, tree->chunk, want);
		while (!err && done < want) {
			ssize_t n = pwrite(fd, tree->chunk + done, want - done, (off_t)(at + done));
			if (n < 0 && errno != EINTR)
				err = fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
			done += n > 0 ? (size_t)n : 0;
		}
		at += want;
		left -= want;
	}
	return err;
}

static int get_pieces(struct tree *tree, int fd, const char *name)
{
	char word[NAME_MAX_ + 1];
	struct tree_piece piece;
	uint64_t end = 0;
	for (;;) {
		int err = get(tree, &piece, sizeof(piece));
		if (err)
			return err;
		if (piece.at < end || piece.at > INT64_MAX || piece.size > INT64_MAX - piece.at)
			return fail(tree, -EPROTO, "%s: the other side sent a piece that lies before the last one, or beyond any file", shown(name, word, sizeof(word)));
		if (!piece.size)
			break;
		err = get_bytes(tree, fd, name, piece.at, piece.size);
		if (err)
			return err;
		end = piece.at + piece.size;
	}
	return ftruncate(fd, (off_t)piece.at) ? fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno)) : 0;
}

static int get_file(struct tree *tree, int dir, const char *name, const struct tree_entry *entry)
{
	char word[NAME_MAX_ + 1];
	/* A new file in place of the old: never written through a link or into a device. */
	if (unlinkat(dir, name, 0) && errno != ENOENT)
		return fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	int err = entry->type == TREE_PIECES ? get_pieces(tree, fd, name) : get_bytes(tree, fd, name, 0, entry->size);
	fchmod(fd, entry->mode & tree->mask);
	set_times(fd, entry);
	close(fd);
	tree->report->files++;
	return err;
}

static int get_text(struct tree *tree, const struct tree_entry *entry, char *text)
{
	if (entry->size > TEXT_MAX)
		return fail(tree, -EPROTO, "the other side sent a text of %llu bytes", (unsigned long long)entry->size);
	int err = get(tree, text, (size_t)entry->size);
	text[entry->size] = 0;
	return err;
}

static int get_link(struct tree *tree, int dir, const char *name, const struct tree_entry *entry)
{
	char target[TEXT_MAX + 1], word[NAME_MAX_ + 1];
	int err = get_text(tree, entry, target);
	if (err)
		return err;
	if (!*target || strlen(target) != entry->size)
		return fail(tree, -EPROTO, "%s: the other side sent a link that leads nowhere", shown(name, word, sizeof(word)));
	if ((unlinkat(dir, name, 0) && errno != ENOENT) || symlinkat(target, dir, name))
		return fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	return 0;
}

static int get_note(struct tree *tree, const struct tree_entry *entry)
{
	char text[TEXT_MAX + 1];
	int err = get_text(tree, entry, text);
	return err ? err : take_note(tree, text);
}

/* A new one is writable for us while it is filled; its own mode comes with its end. */
static int enter_dir(struct tree *tree, int dir, const char *name, bool *made)
{
	char word[NAME_MAX_ + 1];
	*made = !mkdirat(dir, name, 0700);
	if (!*made && errno != EEXIST)
		return fail(tree, -errno, "%s: %s", shown(name, word, sizeof(word)), strerror(errno));
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(tree, -errno, "%s: is there already and is no directory (%s)", shown(name, word, sizeof(word)), strerror(errno));
	return fd;
}

struct level { /* an open directory, and what it becomes in the end */
	int fd;
	bool made; /* by us: else its mode and time are not the sender's business */
	struct tree_entry entry;
};

static void leave_dir(struct tree *tree, struct level *level)
{
	if (level->made) {
		fchmod(level->fd, level->entry.mode & tree->mask);
		set_times(level->fd, &level->entry);
	}
	close(level->fd);
}

static int take_entry(struct tree *tree, struct level *level, int *depth, const struct tree_entry *entry, const char *name)
{
	int dir = level[*depth].fd;
	if (entry->type == TREE_NOTE)
		return get_note(tree, entry);
	if (entry->type == TREE_UP) {
		if (!*depth)
			return fail(tree, -EPROTO, "the other side left a directory that it was not in");
		leave_dir(tree, &level[(*depth)--]);
		return 0;
	}
	if (entry->type == TREE_FILE || entry->type == TREE_PIECES)
		return get_file(tree, dir, name, entry);
	if (entry->type == TREE_LINK)
		return get_link(tree, dir, name, entry);
	if (*depth == TREE_DEPTH)
		return fail(tree, -EPROTO, "the other side sent directories deeper than %d", TREE_DEPTH);
	bool made;
	int fd = enter_dir(tree, dir, name, &made);
	if (fd < 0)
		return fd;
	level[++*depth] = (struct level){ fd, made, *entry };
	return 0;
}

int tree_receive(int fd, int dir, const char *top, mode_t mode_mask, struct tree_report *report)
{
	struct tree tree = { .fd = fd, .report = report, .mask = mode_mask };
	struct level level[TREE_DEPTH + 1] = { { .fd = dir } };
	struct tree_entry entry = { 0 };
	char name[NAME_MAX_ + 1], word[NAME_MAX_ + 1];
	int depth = 0, err = 0;
	bool have_top = false;
	while (!(err = get_entry(&tree, &entry, name)) && entry.type != TREE_END) {
		bool named = entry.type == TREE_DIR || entry.type == TREE_FILE || entry.type == TREE_PIECES || entry.type == TREE_LINK;
		if (named && !depth && have_top)
			err = fail(&tree, -EPROTO, "the other side sent more than one tree");
		else if (named && depth && !name_is_safe(name, entry.name_size))
			err = fail(&tree, -EPROTO, "the other side sent the name \"%s\", which would leave the directory", shown(name, word, sizeof(word)));
		else if (entry.type == TREE_LINK && !depth)
			err = fail(&tree, -EPROTO, "the other side sent a symbolic link where a file or directory was asked for");
		else if (named && report->most && ++report->entries > report->most)
			err = fail(&tree, -E2BIG, "%s: with it more than %llu files and directories would be copied", shown(name, word, sizeof(word)),
				   (unsigned long long)report->most);
		if (!err)
			err = take_entry(&tree, level, &depth, &entry, named && !depth ? top : name);
		if (err)
			break;
		have_top = have_top || named;
	}
	if (!err && depth)
		err = fail(&tree, -EPROTO, "the other side ended within a directory");
	if (!err && !have_top)
		err = fail(&tree, -EPROTO, "the other side sent nothing");
	for (; depth; depth--)
		leave_dir(&tree, &level[depth]);
	return err;
}
