/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/guest_config.h"
#include "base/frame.h"
#include "node/agent_client.h"
#include "node/records_write.h"

static int make_request(const struct vm_exec *exec, struct text *out, struct error *error)
{
	struct lv_guest_streams streams = { .flags = (exec->terminal ? LV_GUEST_TERMINAL : 0u) | (exec->input ? 0u : LV_GUEST_NO_STDIN), .rows = exec->rows,
		.columns = exec->columns };
	if (exec->cwd && exec->cwd[0] != '/')
		return error_set(error, -EINVAL, "--workdir \"%s\" is not an absolute path", exec->cwd);
	records_begin(out, LV_GUEST_CONFIG_MAGIC, LV_GUEST_CONFIG_VERSION);
	records_add_string(out, LV_GUEST_PROGRAM, exec->argv[0]);
	for (size_t i = 0; i < exec->argc; i++)
		records_add_string(out, LV_GUEST_ARG, exec->argv[i]);
	if (exec->cwd)
		records_add_string(out, LV_GUEST_CWD, exec->cwd);
	if (exec->user)
		records_add_string(out, LV_GUEST_USER, exec->user);
	records_add(out, LV_GUEST_STREAMS, &streams, sizeof(streams));
	for (size_t i = 0; i < exec->env.count; i++)
		records_add_string(out, LV_GUEST_ENV, exec->env.item[i]);
	records_end(out);
	if (out->size > LV_AGENT_REQUEST_MAX)
		return error_set(error, -E2BIG, "arguments and environment take %zu bytes; they can have %u", out->size, LV_AGENT_REQUEST_MAX);
	return text_error(out) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

int vm_exec_start(const struct vm_info *info, const struct vm_exec *exec, struct error *error)
{
	struct text request = { 0 };
	int err = make_request(exec, &request, error), fd = err ? err : agent_connect(info, error);
	if (fd >= 0 && (err = frame_send(fd, LV_AGENT_EXEC, request.data, request.size))) {
		error_set(error, err, "the agent: %s", strerror(-err));
		close(fd);
		fd = err;
	}
	text_free(&request);
	return fd;
}

/* ---- to its end ---- */

struct running {
	int fd;
	const char *input;
	size_t left, credit, most;
	struct vm_exec_result *result;
	bool ended;
};

/* As much input as it takes now; after the last byte, its end. */
static int send_input(struct running *running)
{
	while (running->input && running->credit) {
		size_t n = running->left < running->credit ? running->left : running->credit;
		if (n > LV_AGENT_DATA_MAX)
			n = LV_AGENT_DATA_MAX;
		int err = frame_send(running->fd, LV_AGENT_STDIN, running->input, n);
		if (err)
			return err;
		running->input = n ? running->input + n : NULL; /* an empty frame is the end */
		running->left -= n;
		running->credit -= n;
	}
	return 0;
}

static void collect(struct running *running, struct text *text, const void *data, size_t size)
{
	size_t room = running->most - text->size;
	text_add(text, data, size < room ? size : room);
	running->result->cut |= size > room;
}

static int take(struct running *running, const struct lv_agent_frame *frame, const void *body, struct error *error)
{
	uint32_t word = 0;
	if (frame->size == sizeof(word))
		memcpy(&word, body, sizeof(word));
	switch (frame->type) {
	case LV_AGENT_STDOUT: collect(running, &running->result->out, body, frame->size); return 0;
	case LV_AGENT_STDERR: collect(running, &running->result->err, body, frame->size); return 0;
	case LV_AGENT_CREDIT:
		if (word > LV_AGENT_WINDOW - running->credit)
			return error_set(error, -EPROTO, "the agent took more input than it was given");
		running->credit += word;
		return 0;
	case LV_AGENT_EXIT:
		if (frame->size != sizeof(word) || word > 0xffff)
			return error_set(error, -EPROTO, "the agent told an exit status that is none");
		running->result->status = (int)word;
		running->ended = true;
		return 0;
	default: return error_set(error, -EPROTO, "the agent sent a frame of an unknown type (%u)", frame->type);
	}
}

int vm_exec_run(const struct vm_info *info, const struct vm_exec *exec, const char *input, size_t most, struct vm_exec_result *result, struct error *error)
{
	struct running running = { .fd = vm_exec_start(info, exec, error), .input = exec->input ? input : NULL, .left = input ? strlen(input) : 0,
		.credit = LV_AGENT_WINDOW, .most = most, .result = result };
	struct lv_agent_frame frame;
	char *body = alloc_zero(LV_AGENT_DATA_MAX);
	int err = running.fd < 0 ? running.fd : body ? 0 : error_set(error, -ENOMEM, "out of memory");
	while (!err && !running.ended) {
		err = send_input(&running);
		if (err == -EPIPE || err == -ECONNRESET)
			err = 0; /* it says why before it goes */
		if (!err)
			err = agent_answer(running.fd, &frame, body, DEADLINE_NEVER, error);
		if (!err)
			err = take(&running, &frame, body, error);
	}
	if (running.fd >= 0)
		close(running.fd);
	free(body);
	return err;
}
