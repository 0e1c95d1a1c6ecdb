/* SPDX-License-Identifier: Apache-2.0 */
/* One FUSE message: its parts lie in one piece of libos' memory, since a kernel stack's addresses mean nothing to the device. */
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

struct call {
	struct fs_request request; /* the first member */
	struct fuse_out_header answer;
	struct fuse_in_header header;
	/* what follows the header; behind it, aligned, room for the answer */
};

static void add_buffer(struct fs_request *request, void *data, size_t len, bool device_writes)
{
	if (len)
		request->buffer[request->buffers++] = (struct ring_buffer){ .data = data, .len = (uint32_t)len, .device_writes = device_writes };
}

static size_t words_size(const struct remote_words *words)
{
	return words->in_size + (words->name ? strlen(words->name) + 1 : 0) + (words->name2 ? strlen(words->name2) + 1 : 0);
}

static char *put(char *at, const void *from, size_t n)
{
	if (n)
		memcpy(at, from, n);
	return at + n;
}

static void put_words(char *at, const struct remote_words *words)
{
	at = put(at, words->in, words->in_size);
	if (words->name)
		at = put(at, words->name, strlen(words->name) + 1);
	if (words->name2)
		put(at, words->name2, strlen(words->name2) + 1);
}

/* *out: where an answer that is no pages will be. */
static struct call *call_new(struct remote_fs *remote, uint32_t opcode, uint64_t node, const struct remote_words *words, bool answered, char **out)
{
	size_t size = words_size(words), room = ALIGN_UP(size, 8);
	struct call *call = kzalloc(sizeof(*call) + room + words->out_size);
	if (!call)
		return NULL;
	char *body = (char *)(call + 1);
	put_words(body, words);
	call->header = (struct fuse_in_header){ .len = (uint32_t)(sizeof(call->header) + size + words->send_size), .opcode = opcode, .unique = ++remote->last_unique,
		.nodeid = node, .uid = credentials()->fsuid, .gid = credentials()->fsgid, .pid = (uint32_t)current_tid() };
	*out = body + room;
	add_buffer(&call->request, &call->header, sizeof(call->header) + size, false);
	add_buffer(&call->request, (void *)words->send, words->send_size, false);
	if (!answered)
		return call;
	add_buffer(&call->request, &call->answer, sizeof(call->answer), true);
	add_buffer(&call->request, *out, words->out_size, true);
	for (unsigned i = 0; i < words->page_count; i++)
		call->request.buffer[call->request.buffers++] = words->pages[i];
	return call;
}

/* What the answer says, which comes from outside; n: bytes of it. */
static int64_t check(const struct call *call, const struct remote_words *words)
{
	size_t n = call->request.written, room = sizeof(call->answer) + words->out_size;
	for (unsigned i = 0; i < words->page_count; i++)
		room += words->pages[i].len;
	if (n < sizeof(call->answer) || n > room || call->answer.len != n || call->answer.error > 0 || call->answer.error < -4095)
		return -EIO;
	if (call->answer.error)
		return call->answer.error;
	n -= sizeof(call->answer);
	return n < words->out_least ? -EIO : (int64_t)n;
}

int64_t remote_ask(struct remote_fs *remote, uint32_t opcode, uint64_t node, const struct remote_words *words)
{
	char *out;
	int err = opcode == FUSE_INIT ? 0 : remote_start(remote);
	struct call *call = err ? NULL : call_new(remote, opcode, node, words, true, &out);
	if (!call)
		return err ? err : -ENOMEM;
	if (fs_link_call(remote->link, &call->request))
		return -EIO; /* the device may still write there: it is lost */
	int64_t r = check(call, words);
	if (r > 0 && words->out)
		memcpy(words->out, out, MIN((size_t)r, words->out_size));
	kfree(call);
	return r;
}

static void told(struct fs_request *request)
{
	kfree(request);
}

bool remote_tell(struct remote_fs *remote, uint32_t opcode, uint64_t node, const void *in, size_t in_size)
{
	const struct remote_words words = { .in = in, .in_size = in_size };
	char *out;
	struct call *call = remote->state == REMOTE_READY ? call_new(remote, opcode, node, &words, opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET, &out) : NULL;
	if (!call)
		return false;
	call->request.finished = told;
	fs_link_send(remote->link, &call->request);
	return true;
}
