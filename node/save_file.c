/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/migrate.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "node/save_files.h"
#include "node/vm_config.h"

#define MAGIC "LVSAVED" /* with its zero byte eight */
#define VERSION 1
#define CHUNK (1u << 20)
#define STATE_MOST LV_MIGRATE_STATE_MAX
#define MEMORY_MOST (2 * CONFIG_MEMORY_MOST) /* compressed, and be it that nothing can be */

struct head { /* little-endian, as all that LightVM runs on */
	char magic[8];
	uint32_t version, manifest_size;
	uint64_t state_size, memory_size; /* as they are here: of the memory what it takes compressed */
	uint32_t manifest_crc, state_crc;
	uint32_t reserved; /* 0 */
	uint32_t crc;      /* of all before it */
};
_Static_assert(sizeof(struct head) == 48, "head of a saved VM's file");

static uint32_t crc_of(const void *data, size_t size)
{
	return ~crc32c(~0u, data, size);
}

/* ---- writing ---- */

/* All of a file, which is copied to out unless that is -1. crc: what is worked out of it; NULL: nothing is. */
static int pass(int from, int out, uint64_t size, uint32_t *crc)
{
	uint8_t *piece = alloc_zero(CHUNK);
	uint32_t sum = ~0u;
	int err = piece ? 0 : -ENOMEM;
	for (uint64_t at = 0; at < size && !err;) {
		ssize_t n = pread(from, piece, size - at < CHUNK ? (size_t)(size - at) : CHUNK, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		err = n < 0 ? -errno : n == 0 ? -EIO : 0;
		if (!err && crc)
			sum = crc32c(sum, piece, (size_t)n);
		if (!err && out >= 0)
			err = fd_write(out, piece, (size_t)n);
		at += n > 0 ? (uint64_t)n : 0;
	}
	if (crc)
		*crc = ~sum;
	free(piece);
	return err;
}

static int write_all(int out, const struct save_draft *draft, const struct save_manifest *manifest, const char *text)
{
	struct head head = { .magic = MAGIC, .version = VERSION, .manifest_size = (uint32_t)strlen(text), .state_size = manifest->state_size, .memory_size = manifest->compressed.size };
	int err = pass(draft->state, -1, head.state_size, &head.state_crc);
	head.manifest_crc = crc_of(text, head.manifest_size);
	head.crc = crc_of(&head, offsetof(struct head, crc));
	if (!err)
		err = fd_write(out, &head, sizeof(head));
	if (!err)
		err = fd_write(out, text, head.manifest_size);
	if (!err)
		err = pass(draft->state, out, head.state_size, NULL);
	return err ? err : pass(draft->memory, out, head.memory_size, NULL);
}

int save_file_write(int out, const struct save_draft *draft, const struct save_manifest *manifest, const char *shown, struct error *error)
{
	json_t *json = save_manifest_to_json(manifest);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	int err = text ? write_all(out, draft, manifest, text) : -ENOMEM;
	free(text);
	json_decref(json);
	return err ? error_set(error, err, "%s: %s", shown, strerror(-err)) : 0;
}

int save_file_publish(const struct save_draft *draft, const struct save_manifest *manifest, struct error *error)
{
	int fd = openat(draft->dir, SAVE_ONE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", draft->path, strerror(errno));
	int err = save_file_write(fd, draft, manifest, draft->path, error);
	if (!err && (fsync(fd) || renameat(draft->dir, SAVE_ONE, draft->around, draft->name) || fsync(draft->around)))
		err = error_set(error, -errno, "%s: %s", draft->path, strerror(errno));
	close(fd);
	return err;
}

/* ---- reading ---- */

bool save_file_is(int fd)
{
	char magic[sizeof(MAGIC)];
	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, MAGIC, sizeof(magic));
}

static int refuse(const struct save *save, int code, const char *why, struct error *error)
{
	return error_set(error, code, "%s: %s", save->path, why);
}

static uint64_t size_of(const struct head *head)
{
	return sizeof(*head) + head->manifest_size + head->state_size + head->memory_size;
}

static int read_head(const struct save *save, int fd, struct head *head, struct error *error)
{
	if (!save_file_is(fd))
		return refuse(save, -EINVAL, "no saved VM: it does not begin like one", error);
	if (pread(fd, head, sizeof(*head), 0) != sizeof(*head))
		return refuse(save, -EBADMSG, "it ends within its head; it is not whole", error);
	if (head->version != VERSION)
		return error_set(error, -EPROTONOSUPPORT, "%s: version %u is not known; this lightvm reads %d", save->path, head->version, VERSION);
	if (head->crc != crc_of(head, offsetof(struct head, crc)) || head->reserved)
		return refuse(save, -EBADMSG, "its head is damaged", error);
	if (head->manifest_size > SAVE_MANIFEST_MAX || head->state_size > STATE_MOST || head->memory_size > MEMORY_MOST)
		return refuse(save, -EFBIG, "its head tells of more than there can be", error);
	return 0;
}

static int check_size(const struct save *save, int fd, const struct head *head, struct error *error)
{
	struct stat st;
	const unsigned long long all = size_of(head);
	if (fstat(fd, &st))
		return refuse(save, -errno, strerror(errno), error);
	if ((unsigned long long)st.st_size != all)
		return error_set(error, -EBADMSG, "%s: %llu bytes where its head says %llu; it is not whole", save->path, (unsigned long long)st.st_size, all);
	return 0;
}

/* A part of it, which the caller frees. NULL with a message. */
static void *take(const struct save *save, int fd, uint64_t at, size_t size, uint32_t crc, const char *what, struct error *error)
{
	char *data = alloc_zero(size + 1);
	ssize_t n = data ? pread(fd, data, size, (off_t)at) : 0;
	if (!data)
		error_set(error, -ENOMEM, "out of memory");
	else if (n != (ssize_t)size)
		error_set(error, n < 0 ? -errno : -EBADMSG, "%s: its %s cannot be read", save->path, what);
	else if (crc_of(data, size) != crc)
		error_set(error, -EBADMSG, "%s: its %s is damaged", save->path, what);
	else
		return data;
	free(data);
	return NULL;
}

static int take_manifest(struct save *save, int fd, const struct head *head, struct error *error)
{
	char *text = take(save, fd, sizeof(*head), head->manifest_size, head->manifest_crc, "manifest", error);
	int err = text ? save_read_manifest(save, text, head->manifest_size, error) : error->code;
	free(text);
	if (!err && (save->manifest.state_size != head->state_size || !*save->manifest.compressed.method || save->manifest.compressed.size != head->memory_size))
		err = refuse(save, -EBADMSG, "its manifest and its head do not say the same of its parts", error);
	if (!err && save->manifest.parent.path) /* which would have to stay where it is: such a file is not all of it */
		err = refuse(save, -EINVAL, "it holds only what changed since another one", error);
	return err;
}

int save_file_open_state(const struct save *save, struct error *error)
{
	const uint64_t size = save->manifest.state_size;
	void *state = take(save, save->packed, save->state_at, size, save->state_crc, "state", error);
	if (!state)
		return error->code;
	int file = memfd_create("state", MFD_CLOEXEC), err = file < 0 ? -errno : fd_write(file, state, size);
	int read = err ? -1 : save_reopen_for_reading(file);
	if (!err && read < 0)
		err = -errno;
	if (file >= 0)
		close(file);
	free(state);
	return err ? error_set(error, err, "%s: its state: %s", save->path, strerror(-err)) : read;
}

int save_file_open(struct save *save, int fd, struct error *error)
{
	struct head head;
	save->packed = fd;
	save->one = true;
	int err = read_head(save, fd, &head, error);
	if (!err)
		err = check_size(save, fd, &head, error);
	if (!err)
		err = take_manifest(save, fd, &head, error);
	if (err)
		return err;
	save->state_at = sizeof(head) + head.manifest_size;
	save->state_crc = head.state_crc;
	save->packed_at = save->state_at + head.state_size;
	return 0;
}

/* Up to so many bytes more, or to the end. */
static int pass_on(int from, int to, uint64_t most)
{
	uint8_t *piece = alloc_zero(CHUNK);
	ssize_t n = 1;
	int err = piece ? 0 : -ENOMEM;
	while (!err && n && most) {
		n = read(from, piece, most < CHUNK ? (size_t)most : CHUNK);
		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n > 0)
			err = fd_write(to, piece, (size_t)n);
		most -= n > 0 ? (uint64_t)n : 0;
	}
	free(piece);
	return err;
}

/* No more is taken in than its head tells, and a byte, by which whoever opens it sees that there is more; of what does not begin like a saved VM, nothing but that. */
int save_file_receive(int from, struct error *error)
{
	const struct save save = { .path = "standard input" };
	struct error none = { 0 };
	struct head head;
	int to = memfd_create("saved VM", MFD_CLOEXEC), err = to < 0 ? -ENOMEM : pass_on(from, to, sizeof(head));
	if (!err && !read_head(&save, to, &head, &none))
		err = pass_on(from, to, size_of(&head) - sizeof(head) + 1);
	if (!err)
		return to;
	if (to >= 0)
		close(to);
	return error_set(error, err, "standard input: %s", strerror(-err));
}
