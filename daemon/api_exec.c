/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/vms/{id}/exec: a program in a Linux guest, to its end; or, as a connection, with input, output and signals as they come. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/frame.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/agent_client.h"
#include "node/vm_exec.h"

#define OUTPUT_MAX (1u << 20) /* of each stream */

/* ---- the wish ---- */

static int check(const struct vm_exec *exec, const struct strings *args, struct error *error)
{
	if (!args->count)
		return error_set(error, -EINVAL, "args: missing: the program and its arguments");
	for (size_t i = 0; i < exec->env.count; i++)
		if (strchr(exec->env.item[i], '=') <= exec->env.item[i])
			return error_set(error, -EINVAL, "env: \"%.100s\" is not NAME=VALUE", exec->env.item[i]);
	return exec->cwd && exec->cwd[0] != '/' ? error_set(error, -EINVAL, "cwd: \"%.100s\" is not an absolute path", exec->cwd) : 0;
}

static int read_wish(const json_t *body, struct vm_exec *exec, struct strings *args, const char **input, struct error *error)
{
	static const char *const keys[] = { "args", "env", "cwd", "user", "stdin", "terminal", "rows", "columns", NULL };
	uint64_t rows = 0, columns = 0;
	int err = api_body_keys(body, keys, error);
	if (!err)
		err = api_body_list(body, "args", args, error);
	if (!err)
		err = api_body_list(body, "env", &exec->env, error);
	if (!err)
		err = api_body_string(body, "cwd", &exec->cwd, error);
	if (!err)
		err = api_body_string(body, "user", &exec->user, error);
	if (!err)
		err = api_body_string(body, "stdin", input, error);
	if (!err)
		err = api_body_bool(body, "terminal", false, &exec->terminal, error);
	if (!err)
		err = api_body_number(body, "rows", 1, UINT16_MAX, 24, &rows, error);
	if (!err)
		err = api_body_number(body, "columns", 1, UINT16_MAX, 80, &columns, error);
	exec->rows = (uint16_t)rows;
	exec->columns = (uint16_t)columns;
	exec->argv = args->item;
	exec->argc = args->count;
	exec->input = *input != NULL;
	return err ? err : check(exec, args, error);
}

/* ---- to its end ---- */

/* Zero bytes stay; where it is not UTF-8, which JSON has to be, what can be read of it is better than nothing. */
static json_t *output_json(struct text *text)
{
	json_t *string = json_stringn(text->data ? text->data : "", text->size);
	if (string)
		return string;
	for (size_t i = 0; i < text->size; i++)
		if ((unsigned char)text->data[i] >= 128)
			text->data[i] = '?';
	return json_stringn(text->data, text->size);
}

static json_t *result_json(struct vm_exec_result *result)
{
	return json_pack("{s:i, s:o, s:o, s:b}", "exit_status", vm_exit_code(result->status), "stdout", output_json(&result->out), "stderr",
			 output_json(&result->err), "cut", result->cut);
}

static int exec(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct strings args = { 0 };
	struct vm_exec wish = { 0 };
	struct vm_exec_result result = { 0 };
	const char *input = NULL;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = read_wish(request->body, &wish, &args, &input, error);
	if (!err)
		err = vm_exec_run(&vm.info, &wish, input, OUTPUT_MAX, &result, error);
	if (err == -ENOENT && vm.info.dir.dir >= 0)
		reply->refused = 409; /* the VM is there; the program is not */
	if (!err && (text_error(&result.out) || text_error(&result.err)))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = api_say_json(reply, result_json(&result), error);
	text_free(&result.out);
	text_free(&result.err);
	strings_free(&wish.env);
	strings_free(&args);
	api_vm_close(&vm);
	return err;
}

/* ---- as a connection: the agent's own frames, both ways ---- */

static int may_exec(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct strings args = { 0 };
	struct vm_exec wish = { 0 };
	const char *input = NULL;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = read_wish(request->body, &wish, &args, &input, error);
	if (!err && !vm.info.alive)
		err = error_set(error, -ESRCH, "VM %s has ended", vm.info.dir.id);
	strings_free(&wish.env);
	strings_free(&args);
	api_vm_close(&vm);
	return err;
}

static void relay(int connection, int agent)
{
	struct pollfd fds[] = { { .fd = connection, .events = POLLIN }, { .fd = agent, .events = POLLIN } };
	while (poll(fds, 2, -1) >= 0) {
		if (fds[1].revents && !fd_copy_piece(agent, connection))
			return;
		if (fds[0].revents && !fd_copy_piece(connection, agent))
			return;
	}
}

static void exec_session(struct api_request *request, int connection)
{
	struct api_vm vm;
	struct strings args = { 0 };
	struct vm_exec wish = { 0 };
	struct error error = { 0 };
	const char *input = NULL;
	int err = api_vm_open(request, &vm, &error);
	if (!err)
		err = read_wish(request->body, &wish, &args, &input, &error);
	wish.input = true; /* it comes as frames */
	int agent = err ? err : vm_exec_start(&vm.info, &wish, &error);
	if (agent < 0) {
		frame_send_error(connection, -agent, "%s", error.text);
		return;
	}
	fd_write(agent, request->early.data, request->early.size);
	relay(connection, agent);
}

const struct route routes_exec[] = {
	{ .method = "POST", .path = "/v1/vms/{id}/exec", .operation = "execInVm", .body = API_JSON, .task = exec, .lasting = true, .session = exec_session, .check = may_exec },
	{ 0 },
};
