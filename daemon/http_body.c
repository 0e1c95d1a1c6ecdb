/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of any length, which go to the operation's process as they come, by a pipe: who sends faster than it reads waits. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/http_core.h"

static void close_input(struct exchange *exchange)
{
	struct loop_watch *input = &exchange->input;
	if (input->fd < 0)
		return;
	if (input->armed)
		loop_update(&exchange->http->daemon->loop, input, 0);
	close(input->fd);
	input->fd = -1;
}

/* There is room again, or nobody reads it any more. */
static void on_room(void *context, uint32_t events)
{
	struct exchange *exchange = context;
	loop_update(&exchange->http->daemon->loop, &exchange->input, 0);
	client_limit(exchange->client, HTTP_REPLY_MS);
	exchange_go_on(exchange);
}

/* What still comes of the body is dropped, for so long: an answer before its end would not be read by most. */
static void on_done(void *context, struct text *said, int failed)
{
	struct exchange *exchange = context;
	exchange->open = false;
	close_input(exchange);
	client_limit(exchange->client, HTTP_REPLY_MS);
	exchange_task_done(exchange, said, failed);
}

/* The client has gone, or we end. */
static void on_cancel(void *context)
{
	struct exchange *exchange = context;
	task_cancel(&exchange->task);
	exchange->http->requests--;
	close_input(exchange);
}

static void work(void *context, int out)
{
	struct exchange *exchange = context;
	exchange->request.input = exchange->task.keep;
	exchange_work(exchange, out);
}

int body_begin(struct exchange *exchange)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	exchange->later = (struct later){ .cancel = on_cancel, .context = exchange, .exchange = exchange };
	exchange->input = (struct loop_watch){ .fd = pair[1], .ready = on_room, .context = exchange };
	exchange->task = (struct task){ .work = work, .done = on_done, .context = exchange, .keep = pair[0], .lasting = true };
	int err = task_start(exchange->http->daemon->tasks, &exchange->task);
	close(pair[0]);
	if (err) {
		close_input(exchange);
		return err;
	}
	exchange->open = true;
	exchange->http->requests++;
	client_serve(exchange->client, true);
	client_limit(exchange->client, HTTP_REPLY_MS);
	return 0;
}

enum MHD_Result body_add(struct exchange *exchange, const char *data, size_t *size)
{
	if (exchange->ended)
		return MHD_NO;
	if (exchange->input.fd < 0) {
		*size = 0;
		return MHD_YES;
	}
	ssize_t n = write(exchange->input.fd, data, *size);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		close_input(exchange); /* its process says why */
		*size = 0;
		return MHD_YES;
	}
	*size -= n > 0 ? (size_t)n : 0;
	client_limit(exchange->client, HTTP_REPLY_MS);
	if (!*size)
		return MHD_YES;
	if (loop_update(&exchange->http->daemon->loop, &exchange->input, EPOLLOUT))
		return MHD_NO;
	exchange_wait(exchange);
	return MHD_YES;
}

void body_end(struct exchange *exchange)
{
	close_input(exchange);
	exchange_wait(exchange);
}
