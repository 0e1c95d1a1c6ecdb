/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm_control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "vmm/dev/balloon.h"
#include "vmm/dev/console.h"

#define FDS 3 /* that come with a request */
#define GUEST_PATIENCE (2 * NS_PER_S)
#define AWAITS_TEMPLATE (LV_CTL_AWAIT | 0x100u) /* AWAIT with LV_AWAIT_TEMPLATE, in control_client.asks */

struct message {
	struct lv_control_request request;
	int fd[FDS];
	unsigned fds;
};

static void watch_listen(struct control *control)
{
	bool room = false;

	for (unsigned i = 0; i < CONTROL_CLIENTS && !control->no_descriptors; i++)
		room |= control->client[i].watch.fd < 0;
	/* With all places taken, the next caller waits in the socket's backlog. */
	loop_update(control->loop, &control->listen, room ? EPOLLIN : 0);
}

static void end_saving(struct control_client *client, bool stays)
{
	struct control *control = client->control;

	if (!client->saves)
		return;
	client->saves = false;
	control->save_over(control->context, stays);
}

static void client_close(struct control_client *client)
{
	loop_update(client->control->loop, &client->watch, 0);
	close(client->watch.fd);
	client->watch.fd = -1;
	client->asks = 0;
	client->control->no_descriptors = false;
	watch_listen(client->control);
	end_saving(client, false);
}

static void close_fds(struct message *message)
{
	while (message->fds)
		close(message->fd[--message->fds]);
}

static void take_fds(struct msghdr *header, struct message *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		unsigned n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > FDS)
			continue;
		memcpy(message->fd, CMSG_DATA(c), n * sizeof(int));
		message->fds = n;
	}
}

/* 1: a well-formed request; 0: nothing now; -EPROTO or another negative errno: this client is not worth keeping. */
static int receive(int fd, struct message *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
	} space;
	struct iovec iov = { &message->request, sizeof(message->request) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_LEN(FDS * sizeof(int)) /* and no room for one more */ };
	ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	message->fds = 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	take_fds(&header, message);
	if (n != sizeof(message->request) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    message->request.magic != LV_CONTROL_MAGIC)
		return n ? -EPROTO : -EPIPE;
	return 1;
}

static int64_t send_signal(struct control *control, int64_t number)
{
	if (number < 1 || number > 32)
		return -EINVAL;
	return control->signal ? control->signal(control->context, number) : -EOPNOTSUPP;
}

/* Two descriptors: input and output; one: output only. */
static int64_t attach(struct control *control, struct message *message)
{
	struct device *console = devices_find(control->devices, LV_DEV_CONSOLE);
	int r;

	if (!console)
		return -ENODEV;
	if (!message->fds || message->fds > 2)
		return -EBADF;
	r = console_attach(console, message->fds == 2 ? message->fd[0] : -1, message->fd[message->fds - 1]);
	if (!r)
		message->fds = 0;
	return r;
}

static int64_t resize(struct control *control, int64_t size)
{
	struct device *console = devices_find(control->devices, LV_DEV_CONSOLE);

	if (!console)
		return -ENODEV;
	return size < 0 || size > UINT32_MAX ? -EINVAL : console_resize(console, size >> 16, size & 0xffff);
}

/* One request, one answer, in order: until then only its going is heard. */
static void answer_later(struct control *control, struct control_client *client, unsigned op)
{
	client->asks = op;
	loop_update(control->loop, &client->watch, EPOLLRDHUP);
}

static bool has_come_to(const struct control *control, int64_t step)
{
	struct lv_status now;

	status_collect(control->status, &now);
	return step == LV_STEP_LISTEN ? now.ledger[LV_STEP_LISTEN].ns : now.template_ready;
}

static bool awaits(const struct control_client *client)
{
	return client->watch.fd >= 0 && (client->asks == LV_CTL_AWAIT || client->asks == AWAITS_TEMPLATE);
}

static int64_t await(struct control *control, struct control_client *client, int64_t step)
{
	unsigned waiters = 0;

	if (step != LV_STEP_LISTEN && step != LV_AWAIT_TEMPLATE)
		return -EINVAL;
	if (!control->status->shared) /* nobody tells what happens inside a Linux guest */
		return -EOPNOTSUPP;
	if (has_come_to(control, step))
		return 0;
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		waiters += awaits(&control->client[i]);
	if (waiters >= CONTROL_WAITERS)
		return -EBUSY;
	answer_later(control, client, step == LV_STEP_LISTEN ? LV_CTL_AWAIT : AWAITS_TEMPLATE);
	return 0;
}

static void balloon_told(void *context);

static int64_t balloon(struct control *control, struct control_client *client, int64_t bytes)
{
	struct device *balloon = devices_find(control->devices, LV_DEV_BALLOON);
	int r;

	if (!balloon || bytes < -1)
		return balloon ? -EINVAL : -ENODEV;
	if (bytes >= 0)
		return balloon_set(balloon, bytes);
	r = balloon_ask(balloon, balloon_told, control);
	if (r)
		return r;
	answer_later(control, client, LV_CTL_BALLOON);
	loop_timer_set(control->loop, &control->patience, clock_now() + GUEST_PATIENCE);
	return 0;
}

static int64_t hold(struct control *control, struct control_client *client)
{
	int r = control->pause ? control->pause(control->context) : -EOPNOTSUPP;

	if (r <= 0)
		return r;
	answer_later(control, client, LV_CTL_PAUSE);
	return 0;
}

/* By who saves it: then it is saved no more. */
static int64_t resume(struct control *control, struct control_client *client, int64_t how)
{
	if (how & ~(int64_t)LV_RESUME_ADVANCE)
		return -EINVAL;
	end_saving(client, true);
	return control->resume ? control->resume(control->context, how & LV_RESUME_ADVANCE) : -EOPNOTSUPP;
}

static int64_t threads(struct control *control, struct control_client *client)
{
	int r = control->threads ? control->threads(control->context) : -EOPNOTSUPP;

	if (r)
		return r;
	answer_later(control, client, LV_CTL_THREADS);
	loop_timer_set(control->loop, &control->patience, clock_now() + GUEST_PATIENCE);
	return 0;
}

static int64_t agent(struct control *control, struct message *message)
{
	if (message->fds != 1)
		return -EBADF;
	int r = control->agent ? control->agent(control->context, message->fd[0]) : -EOPNOTSUPP;
	if (!r)
		message->fds = 0;
	return r;
}

static int64_t limit(struct control *control, int64_t bytes)
{
	if (bytes <= 0)
		return -EINVAL;
	return control->limit ? control->limit(control->context, (uint64_t)bytes) : -EOPNOTSUPP;
}

/* Asks before it is known whether it is answered later: that may be at once. */
static int64_t save(struct control *control, struct control_client *client, struct message *message)
{
	struct error error = { 0 };
	const bool looks = message->request.op == LV_CTL_LOOK, possible = looks ? control->look != NULL : control->save != NULL;
	const bool holds = client->saves; /* one that was saved, or looked at, before */

	if (message->fds < 2 || (looks && message->fds > 2))
		return -EBADF;
	const int fd[FDS] = { message->fd[0], message->fd[1], message->fds == FDS ? message->fd[2] : -1 };
	if (!possible)
		return -EOPNOTSUPP;
	client->saves = true;
	answer_later(control, client, LV_CTL_SAVE);
	int r = looks ? control->look(control->context, fd, holds, message->request.arg, &error) : control->save(control->context, fd, message->request.arg, &error);
	if (r > 0) {
		message->fds = 0;
		return 0;
	}
	client->saves = holds;
	client->asks = 0;
	loop_update(control->loop, &client->watch, EPOLLIN);
	snprintf(control->why, sizeof(control->why), "%s", error.text);
	return r;
}

static int64_t touched(struct control *control, const struct message *message)
{
	struct error error = { 0 };
	int r = message->fds ? -EOPNOTSUPP : -EBADF;

	if (message->fds && control->touched)
		r = control->touched(control->context, message->fd[0], &error);
	snprintf(control->why, sizeof(control->why), "%s", error.text);
	return r;
}

/* By who holds it still; back, by anybody. */
static int64_t lend(struct control *control, const struct control_client *client, int64_t arg)
{
	struct error error = { 0 };
	int r = -EOPNOTSUPP;

	if (arg != 0 && arg != LV_LEND_BACK)
		r = -EINVAL;
	else if (arg && control->take_back)
		r = control->take_back(control->context);
	else if (!arg && !client->saves)
		r = -EPERM;
	else if (!arg && control->lend)
		r = control->lend(control->context, &error);
	snprintf(control->why, sizeof(control->why), "%s", error.text);
	return r;
}

static int64_t handle(struct control *control, struct control_client *client, struct message *message)
{
	if (message->request.version > LV_CONTROL_VERSION)
		return -EPROTONOSUPPORT;
	switch (message->request.op) {
	case LV_CTL_STATUS:
	case LV_CTL_KILL:
	case LV_CTL_CRASH:
	case LV_CTL_TAIL:
	case LV_CTL_CALLS:
		return 0;
	case LV_CTL_SIGNAL:
		return send_signal(control, message->request.arg);
	case LV_CTL_ATTACH:
		return attach(control, message);
	case LV_CTL_RESIZE:
		return resize(control, message->request.arg);
	case LV_CTL_BALLOON:
		return balloon(control, client, message->request.arg);
	case LV_CTL_AWAIT:
		return await(control, client, message->request.arg);
	case LV_CTL_PAUSE:
		return hold(control, client);
	case LV_CTL_RESUME:
		return resume(control, client, message->request.arg);
	case LV_CTL_AGENT:
		return agent(control, message);
	case LV_CTL_THREADS:
		return threads(control, client);
	case LV_CTL_LIMIT:
		return limit(control, message->request.arg);
	case LV_CTL_TOUCHED:
		return touched(control, message);
	case LV_CTL_LEND:
		return lend(control, client, message->request.arg);
	case LV_CTL_SAVE:
	case LV_CTL_LOOK:
		return save(control, client, message);
	default:
		return -EOPNOTSUPP;
	}
}

/* What the request asks for besides its result; answers how many bytes that is. */
static size_t fill(const struct control *control, unsigned op, void *bytes)
{
	switch (op) {
	case LV_CTL_STATUS:
	case LV_CTL_BALLOON:
		status_collect(control->status, bytes);
		return ((const struct lv_status *)bytes)->size;
	case LV_CTL_CRASH:
		status_crash(control->status, bytes);
		return sizeof(struct lv_crash_report);
	case LV_CTL_TAIL:
		return status_tail(control->status, bytes);
	case LV_CTL_CALLS:
		status_calls(control->status, bytes);
		return sizeof(struct lv_calls_report);
	case LV_CTL_THREADS:
		memcpy(bytes, control->told, LV_THREADS_SIZE(control->told->count));
		return LV_THREADS_SIZE(control->told->count);
	}
	return 0;
}

/* Why it was refused, if that is told. */
static size_t fill_reason(const struct control *control, unsigned op, void *bytes)
{
	size_t size = op == LV_CTL_SAVE || op == LV_CTL_LOOK || op == LV_CTL_TOUCHED || op == LV_CTL_LEND ? strlen(control->why) : 0;

	memcpy(bytes, control->why, size);
	return size;
}

static int answer(const struct control *control, int fd, unsigned op, int64_t result)
{
	union {
		struct lv_control_reply head;
		uint8_t bytes[LV_CONTROL_MOST];
	} reply;
	size_t size;

	reply.head = (struct lv_control_reply){ .result = result, .magic = LV_CONTROL_MAGIC, .version = LV_CONTROL_VERSION };
	reply.head.size = result ? fill_reason(control, op, reply.bytes + sizeof(reply.head)) : fill(control, op, reply.bytes + sizeof(reply.head));
	size = sizeof(reply.head) + reply.head.size;
	return send(fd, &reply, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size ? 0 : -EPIPE;
}

static void answer_asking(struct control *control, unsigned op, int64_t result)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct control_client *client = &control->client[i];

		if (client->watch.fd < 0 || client->asks != op)
			continue;
		client->asks = 0;
		if (answer(control, client->watch.fd, op, result) < 0 || loop_update(control->loop, &client->watch, EPOLLIN))
			client_close(client);
	}
}

static void balloon_told(void *context)
{
	answer_asking(context, LV_CTL_BALLOON, 0);
}

static void patience_over(void *context)
{
	answer_asking(context, LV_CTL_BALLOON, -ETIMEDOUT);
	answer_asking(context, LV_CTL_THREADS, -ETIMEDOUT);
}

void control_threads(struct control *control, const struct lv_threads *threads)
{
	control->told = threads;
	answer_asking(control, LV_CTL_THREADS, 0);
	control->told = NULL;
}

void control_listens(struct control *control)
{
	answer_asking(control, LV_CTL_AWAIT, 0);
}

void control_template(struct control *control)
{
	answer_asking(control, AWAITS_TEMPLATE, 0);
}

void control_paused(struct control *control, int result)
{
	answer_asking(control, LV_CTL_PAUSE, result);
}

void control_saved(struct control *control, int result, const char *why)
{
	snprintf(control->why, sizeof(control->why), "%s", why);
	for (unsigned i = 0; i < CONTROL_CLIENTS && result; i++)
		if (control->client[i].asks == LV_CTL_SAVE)
			control->client[i].saves = false;
	answer_asking(control, LV_CTL_SAVE, result);
}

static void client_ready(void *context, uint32_t events)
{
	struct control_client *client = context;
	struct control *control = client->control;
	struct message message;
	int r;

	if (client->asks) { /* it has gone */
		client_close(client);
		return;
	}
	r = receive(client->watch.fd, &message);
	if (r > 0) {
		int64_t result = handle(control, client, &message);

		/* Who sends faster than it reads its answers is dropped too. */
		r = client->asks ? 0 : answer(control, client->watch.fd, message.request.op, result);
		if (message.request.op == LV_CTL_KILL && !result) {
			devices_abandon(control->devices);
			if (control->kill)
				control->kill(control->context);
		}
	}
	close_fds(&message);
	if (r < 0)
		client_close(client);
}

/* Descriptors have run out: the caller stays in the backlog, which would wake us all the time, until some may be free again. */
static void refused(struct control *control, int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	control->no_descriptors = true;
	loop_timer_set(control->loop, &control->retry, clock_now() + NS_PER_S);
	watch_listen(control);
}

static void retry_now(void *context)
{
	struct control *control = context;

	control->no_descriptors = false;
	watch_listen(control);
}

static void listen_ready(void *context, uint32_t events)
{
	struct control *control = context;
	struct control_client *client = control->client;
	int fd = accept4(control->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		refused(control, errno);
		return;
	}
	while (client->watch.fd >= 0)
		client++;
	client->watch.fd = fd;
	if (loop_update(control->loop, &client->watch, EPOLLIN))
		client_close(client); /* nobody would ever hear it */
	watch_listen(control);
}

void control_init(struct control *control, struct loop *loop, const struct status *status, struct devices *devices, int listen_fd)
{
	*control = (struct control){ .loop = loop, .status = status, .devices = devices };
	control->listen = (struct loop_watch){ .fd = listen_fd, .ready = listen_ready, .context = control };
	control->retry = (struct loop_timer){ .fire = retry_now, .context = control };
	control->patience = (struct loop_timer){ .fire = patience_over, .context = control };
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct control_client *client = &control->client[i];

		client->control = control;
		client->watch = (struct loop_watch){ .fd = -1, .ready = client_ready, .context = client };
	}
}

int control_start(struct control *control)
{
	return control->listen.fd < 0 ? 0 : loop_update(control->loop, &control->listen, EPOLLIN);
}

void control_fini(struct control *control)
{
	loop_timer_set(control->loop, &control->patience, 0);
	loop_timer_set(control->loop, &control->retry, 0);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (control->client[i].watch.fd >= 0)
			client_close(&control->client[i]);
	if (control->listen.fd < 0)
		return;
	loop_update(control->loop, &control->listen, 0);
	close(control->listen.fd);
	control->listen.fd = -1;
}
