/* SPDX-License-Identifier: Apache-2.0 */
/* From a message to the operation that it asks for: what is said of a message is checked here, what is said of files by the operations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "volume/operations.h"

#define IN_MAX 128 /* the largest structure that a message begins with */
#define NAME_MOST 255
#define TARGET_MOST 4095

enum form {
	PLAIN,      /* nothing behind the structure */
	NAME,       /* one name */
	NAMES,      /* two of them */
	NAME_TEXT,  /* a name, and the target of a link */
	TEXT,       /* one text that is no name of a file */
	DATA,       /* anything */
};

static int op_init(struct request *request);
static int op_destroy(struct request *request);
static int op_interrupt(struct request *request);

static const struct {
	uint32_t opcode;
	operation run;
	uint8_t least; /* bytes of the structure */
	enum form form;
	bool writes;   /* refused of a volume that is read-only */
	bool no_node;
} operations[] = {
	{ FUSE_LOOKUP, op_lookup, 0, NAME, false, false },
	{ FUSE_GETATTR, op_getattr, sizeof(struct fuse_getattr_in), PLAIN, false, false },
	{ FUSE_SETATTR, op_setattr, sizeof(struct fuse_setattr_in), PLAIN, true, false },
	{ FUSE_READLINK, op_readlink, 0, PLAIN, false, false },
	{ FUSE_SYMLINK, op_symlink, 0, NAME_TEXT, true, false },
	{ FUSE_MKNOD, op_mknod, sizeof(struct fuse_mknod_in), NAME, true, false },
	{ FUSE_MKDIR, op_mkdir, sizeof(struct fuse_mkdir_in), NAME, true, false },
	{ FUSE_UNLINK, op_unlink, 0, NAME, true, false },
	{ FUSE_RMDIR, op_rmdir, 0, NAME, true, false },
	{ FUSE_RENAME, op_rename, sizeof(struct fuse_rename_in), NAMES, true, false },
	{ FUSE_RENAME2, op_rename2, sizeof(struct fuse_rename2_in), NAMES, true, false },
	{ FUSE_LINK, op_link, sizeof(struct fuse_link_in), NAME, true, false },
	{ FUSE_OPEN, op_open, sizeof(struct fuse_open_in), PLAIN, false, false },
	{ FUSE_READ, op_read, sizeof(struct fuse_read_in), PLAIN, false, false },
	{ FUSE_WRITE, op_write, sizeof(struct fuse_write_in), DATA, true, false },
	{ FUSE_STATFS, op_statfs, 0, PLAIN, false, false },
	{ FUSE_RELEASE, op_release, sizeof(struct fuse_release_in), PLAIN, false, true },
	{ FUSE_FSYNC, op_fsync, sizeof(struct fuse_fsync_in), PLAIN, false, false },
	{ FUSE_SETXATTR, op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, DATA, true, false },
	{ FUSE_GETXATTR, op_getxattr, sizeof(struct fuse_getxattr_in), TEXT, false, false },
	{ FUSE_LISTXATTR, op_listxattr, sizeof(struct fuse_getxattr_in), PLAIN, false, false },
	{ FUSE_REMOVEXATTR, op_removexattr, 0, TEXT, true, false },
	{ FUSE_FLUSH, op_flush, sizeof(struct fuse_flush_in), PLAIN, false, false },
	{ FUSE_INIT, op_init, 16, DATA, false, true }, /* its structure has grown with the versions */
	{ FUSE_DESTROY, op_destroy, 0, PLAIN, false, true },
	{ FUSE_OPENDIR, op_opendir, sizeof(struct fuse_open_in), PLAIN, false, false },
	{ FUSE_READDIR, op_readdir, sizeof(struct fuse_read_in), PLAIN, false, false },
	{ FUSE_READDIRPLUS, op_readdirplus, sizeof(struct fuse_read_in), PLAIN, false, false },
	{ FUSE_RELEASEDIR, op_releasedir, sizeof(struct fuse_release_in), PLAIN, false, true },
	{ FUSE_FSYNCDIR, op_fsyncdir, sizeof(struct fuse_fsync_in), PLAIN, false, false },
	{ FUSE_GETLK, op_getlk, sizeof(struct fuse_lk_in), PLAIN, false, false },
	{ FUSE_SETLK, op_setlk, sizeof(struct fuse_lk_in), PLAIN, false, false },
	{ FUSE_SETLKW, op_setlkw, sizeof(struct fuse_lk_in), PLAIN, false, false },
	{ FUSE_CREATE, op_create, sizeof(struct fuse_create_in), NAME, true, false },
	{ FUSE_TMPFILE, op_tmpfile, sizeof(struct fuse_create_in), TEXT, true, false },
	{ FUSE_INTERRUPT, op_interrupt, sizeof(struct fuse_interrupt_in), PLAIN, false, true },
	{ FUSE_FALLOCATE, op_fallocate, sizeof(struct fuse_fallocate_in), PLAIN, true, false },
	{ FUSE_LSEEK, op_lseek, sizeof(struct fuse_lseek_in), PLAIN, false, false },
	{ FUSE_COPY_FILE_RANGE, op_copy, sizeof(struct fuse_copy_file_range_in), PLAIN, true, false },
	{ FUSE_SYNCFS, op_syncfs, sizeof(struct fuse_syncfs_in), PLAIN, false, true },
};

int volume_init(struct volume *volume)
{
	int err = nodes_init(volume);
	return err;
}

void volume_fini(struct volume *volume)
{
	nodes_fini(volume);
	if (!volume->node)
		close(volume->root);
	close(volume->proc);
}

/* ---- parts of a message ---- */

/* Takes a text that ends inside the rest; NULL: none. */
static const char *take_text(struct request *request, size_t most)
{
	const char *text = request->rest, *end = memchr(text, 0, request->rest_size);
	if (!end || (size_t)(end - text) > most)
		return NULL;
	request->rest = end + 1;
	request->rest_size -= (size_t)(end + 1 - text);
	return text;
}

static bool is_name(const char *name)
{
	return *name && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

static int take_names(struct request *request, enum form form)
{
	bool name = form == NAME || form == NAMES || form == NAME_TEXT;
	if (form == DATA)
		return 0;
	if (form != PLAIN && !(request->name = take_text(request, TARGET_MOST)))
		return -EINVAL;
	if (form == NAMES || form == NAME_TEXT) {
		request->name2 = take_text(request, TARGET_MOST);
		if (!request->name2 || !*request->name2 || (form == NAMES && !is_name(request->name2)))
			return -EINVAL;
	}
	if (name && strlen(request->name) > NAME_MOST)
		return -ENAMETOOLONG;
	if (form == NAMES && strlen(request->name2) > NAME_MOST)
		return -ENAMETOOLONG;
	if (request->rest_size || (name && !is_name(request->name)))
		return -EINVAL;
	return 0;
}

/* ---- operations of the connection itself ---- */

/* Linux says it when it unmounts, and forgets no file before. */
static int op_destroy(struct request *request)
{
	for (unsigned i = 0; i < request->volume->waits; i++)
		lock_interrupt(request->volume, request->volume->waiting[i].unique);
	nodes_forget_all(request->volume);
	return 0;
}

static int op_init(struct request *request)
{
	const struct fuse_init_in *in = request->in;
	struct fuse_init_out *out = request->out;
	const uint32_t want = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |
			      FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS;
	memset(out, 0, sizeof(*out));
	out->major = FUSE_KERNEL_VERSION;
	out->minor = FUSE_KERNEL_MINOR_VERSION;
	if (in->major != FUSE_KERNEL_VERSION) /* a later one asks again */
		return in->major < FUSE_KERNEL_VERSION ? -EPROTO : (int)sizeof(*out);
	if (in->minor < 31)
		return -EPROTO;
	op_destroy(request); /* a driver that starts knows nothing, whatever the one before it did */
	out->max_readahead = in->max_readahead < VOLUME_DATA_MAX ? in->max_readahead : VOLUME_DATA_MAX;
	out->flags = in->flags & want;
	out->max_background = 64;
	out->congestion_threshold = 48;
	out->max_write = VOLUME_DATA_MAX;
	out->max_pages = VOLUME_DATA_MAX / 4096;
	out->time_gran = 1;
	return sizeof(*out);
}

static int op_interrupt(struct request *request)
{
	const struct fuse_interrupt_in *in = request->in;
	lock_interrupt(request->volume, in->unique);
	return 0;
}

/* ---- messages ---- */

static int run(struct request *request, const void *body, size_t size)
{
	char in[IN_MAX] __attribute__((aligned(8))) = { 0 };
	const struct fuse_in_header *header = request->header;
	size_t i = 0, count = sizeof(operations) / sizeof(*operations);
	while (i < count && operations[i].opcode != header->opcode)
		i++;
	if (i == count)
		return -ENOSYS;
	if (size < operations[i].least)
		return -EINVAL;
	memcpy(in, body, operations[i].least);
	request->in = in;
	request->rest = (const char *)body + operations[i].least;
	request->rest_size = size - operations[i].least;
	request->node = node_find(request->volume, header->nodeid);
	if (!request->node && !operations[i].no_node)
		return -ESTALE;
	int err = take_names(request, operations[i].form);
	if (err)
		return err;
	return operations[i].writes && request->volume->read_only ? -EROFS : operations[i].run(request);
}

static void forget(struct volume *volume, const struct fuse_in_header *header, const void *body, size_t size)
{
	struct fuse_forget_in in;
	if (size != sizeof(in))
		return;
	memcpy(&in, body, sizeof(in));
	node_forget(volume, header->nodeid, in.nlookup);
}

static void forget_many(struct volume *volume, const char *body, size_t size)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;
	if (size < sizeof(in))
		return;
	memcpy(&in, body, sizeof(in));
	if (in.count != (size - sizeof(in)) / sizeof(one))
		return;
	for (uint32_t i = 0; i < in.count; i++) {
		memcpy(&one, body + sizeof(in) + i * sizeof(one), sizeof(one));
		node_forget(volume, one.nodeid, one.nlookup);
	}
}

static size_t finish(void *reply, uint64_t unique, int result)
{
	struct fuse_out_header *out = reply;
	*out = (struct fuse_out_header){ .len = (uint32_t)(sizeof(*out) + (result > 0 ? (size_t)result : 0)), .error = result < 0 ? result : 0, .unique = unique };
	return out->len;
}

size_t volume_answer(struct volume *volume, const void *message, size_t size, void *reply)
{
	struct fuse_in_header header;
	const char *body = (const char *)message + sizeof(header);
	if (size < sizeof(header))
		return 0; /* nobody waits for an answer that could be told whose it is */
	memcpy(&header, message, sizeof(header));
	size -= sizeof(header);
	if (header.opcode == FUSE_FORGET || header.opcode == FUSE_BATCH_FORGET) {
		if (header.opcode == FUSE_FORGET)
			forget(volume, &header, body, size);
		else
			forget_many(volume, body, size);
		return 0;
	}
	struct request request = { .volume = volume, .header = &header, .out = (char *)reply + sizeof(struct fuse_out_header) };
	bool waits = header.opcode == FUSE_SETLKW;
	int result = header.len != size + sizeof(header) ? -EINVAL : run(&request, body, size);
	if ((waits && result == LOCK_WAITS) || header.opcode == FUSE_INTERRUPT)
		return 0;
	return finish(reply, header.unique, result);
}

size_t volume_retry(struct volume *volume, void *reply)
{
	for (unsigned i = 0; i < volume->waits; i++) {
		struct lock_wait wait = volume->waiting[i];
		int result = lock_try(volume, &wait);
		if (result == -EAGAIN)
			continue;
		volume->waiting[i] = volume->waiting[--volume->waits];
		return finish(reply, wait.unique, result);
	}
	return 0;
}
