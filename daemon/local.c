/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/keeper.h"
#include "daemon/worker.h"

struct local {
	struct daemon *daemon;
	struct peer_link *links;
	unsigned count;
};

struct peer_link { /* a connection */
	struct local *local;
	bool strange; /* of somebody with other rights than ours; keepers only */
	struct loop_watch watch;
	struct peer_link *next, **before;
};

static void close_all(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void hang_up(struct peer_link *link)
{
	struct local *local = link->local;
	loop_update(&local->daemon->loop, &link->watch, 0);
	close(link->watch.fd);
	*link->before = link->next;
	if (link->next)
		link->next->before = link->before;
	local->count--;
	free(link);
	daemon_settle(local->daemon);
}

/* The bytes of a message, 0: the end; *count descriptors in fds, ours. */
static ssize_t receive(int fd, void *data, size_t room, int fds[LV_DAEMON_FDS], unsigned *count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(LV_DAEMON_FDS * sizeof(int))];
	} space;
	struct iovec iov = { data, room };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	*count = 0;
	for (struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
			*count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(header), *count * sizeof(int));
		}
	if (n >= 0 && message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		close_all(fds, *count);
		*count = 0;
		errno = EMSGSIZE;
		return -1;
	}
	return n;
}

/* Whoever does not read what it asked for is let go. */
static int answer(int fd, int result, struct local_reply *reply)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(LV_DAEMON_FDS * sizeof(int))];
	} space = { 0 };
	struct lv_daemon_reply head = { .result = result, .magic = LV_DAEMON_MAGIC, .version = LV_DAEMON_VERSION, .size = (uint32_t)reply->body.size };
	struct iovec iov[] = { { &head, sizeof(head) }, { reply->body.data, reply->body.size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	if (reply->fd_count) {
		message.msg_control = &space;
		message.msg_controllen = CMSG_SPACE(reply->fd_count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(reply->fd_count * sizeof(int));
		memcpy(CMSG_DATA(header), reply->fds, reply->fd_count * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static const struct local_op *find(unsigned op)
{
	for (const struct local_op *const *table = local_ops; *table; table++)
		for (const struct local_op *line = *table; line->op; line++)
			if (line->op == op)
				return line;
	return NULL;
}

static int serve(struct local_call *call, const void *data, size_t size, struct local_reply *reply, struct error *error)
{
	int err = local_decode(data, size, &call->head, error);
	if (err)
		return err;
	call->body = (const char *)data + sizeof(call->head);
	const struct local_op *op = find(call->head.op);
	if (!op)
		return error_set(error, -EOPNOTSUPP, "operation %u: this lightvmd does not know it", call->head.op);
	if (call->daemon->ending)
		return error_set(error, -EAGAIN, "lightvmd is ending");
	return op->serve(call, reply, error);
}

/* A request for the user's keeper: the connection goes there before it is read. */
static bool passes_up(struct peer_link *link)
{
	struct daemon *daemon = link->local->daemon;
	struct lv_daemon_request head;
	if (!daemon->worker || daemon->keeper || recv(link->watch.fd, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT) != sizeof(head))
		return false;
	const struct local_op *op = head.magic == LV_DAEMON_MAGIC ? find(head.op) : NULL;
	if (!op || !op->keeper)
		return false;
	int err = worker_pass_up(daemon, link->watch.fd);
	if (err)
		log_warn("a request for this user's keeper is lost: %s", strerror(-err));
	hang_up(link);
	return true;
}

static void on_request(void *context, uint32_t events)
{
	struct peer_link *link = context;
	if (passes_up(link))
		return;
	static char data[LV_DAEMON_MOST]; /* one at a time: nothing of it stays */
	int fds[LV_DAEMON_FDS];
	struct local_call call = { .daemon = link->local->daemon, .fds = fds };
	struct local_reply reply = { 0 };
	struct error error = { 0 };
	ssize_t n = receive(link->watch.fd, data, sizeof(data), fds, &call.fd_count);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(link);
		return;
	}
	int result = link->strange ? error_set(&error, -EPERM, "other groups than those with which your services and VMs are minded; use those that you log in with")
				   : serve(&call, data, (size_t)n, &reply, &error);
	if (result) {
		text_free(&reply.body);
		text_put(&reply.body, error.text);
	}
	close_all(fds, call.fd_count);
	if (reply.body.size > LV_DAEMON_MOST - sizeof(struct lv_daemon_reply) || answer(link->watch.fd, result, &reply)) {
		if (reply.untaken)
			reply.untaken(reply.context);
		hang_up(link);
	}
	close_all(reply.fds, reply.fd_count);
	text_free(&reply.body);
}

static void tell_parts(struct daemon *daemon)
{
	for (size_t i = 0; daemon_parts[i]; i++)
		if (daemon_parts[i]->connected)
			daemon_parts[i]->connected(daemon, daemon->part[i]);
}

void local_connect(struct local *local, int fd)
{
	struct peer_link *link = local->count < LOCAL_CONNECTIONS ? alloc_zero(sizeof(*link)) : NULL;
	if (!link) {
		log_warn("more than %d connections to the local socket: one more is refused", LOCAL_CONNECTIONS);
		close(fd);
		return;
	}
	*link = (struct peer_link){ .local = local, .watch = { .fd = fd, .ready = on_request, .context = link }, .next = local->links,
		.before = &local->links };
	link->strange = local->daemon->keeper && keeper_is_strange(local->daemon, fd);
	if (link->next)
		link->next->before = &link->next;
	local->links = link;
	local->count++;
	tell_parts(local->daemon);
	if (loop_update(&local->daemon->loop, &link->watch, EPOLLIN))
		hang_up(link);
}

int local_say_json(struct local_reply *reply, json_t *json, struct error *error)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	text_put(&reply->body, text ? text : "");
	json_decref(json);
	bool made = text && !text_error(&reply->body);
	free(text);
	return made ? 0 : error_set(error, -ENOMEM, "out of memory");
}

struct local *local_new(struct daemon *daemon)
{
	struct local *local = alloc_zero(sizeof(*local));
	if (local)
		local->daemon = daemon;
	return local;
}

void local_free(struct local *local)
{
	while (local && local->links)
		hang_up(local->links);
	free(local);
}

unsigned local_connections(const struct local *local)
{
	return local->count;
}
