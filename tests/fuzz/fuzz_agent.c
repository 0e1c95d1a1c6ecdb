/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest answers in the place of its agent: any bytes, behind a greeting that is right unless the first byte says otherwise, to who runs a program, asks for processes, or a file. What fails
 * says why, in words for a terminal, and no more is kept than was asked for.
 * fuzz-sources: node/agent_client.c node/vm_exec.c node/records_write.c base/frame.c base/deadline.c base/clock.c base/shown.c base/error.c base/text.c base/file.c
 * fuzz-libs: -ljansson
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/agent.h"
#include "node/agent_client.h"
#include "node/agent_line.h"
#include "node/monitor_control.h"
#include "node/vm_config.h"
#include "node/vm_exec.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define KEPT 1000 /* bytes of output */
#define PATIENCE_MS 1000

static const uint8_t *said;
static size_t said_size;
static bool greets;

/* ---- the VM: one whose agent is at the other end of a socket ---- */

int agent_line_open(const struct vm_info *info, int patience_ms, struct error *error)
{
	const struct lv_agent_frame frame = { LV_AGENT_HELLO, sizeof(struct lv_agent_hello) };
	const struct lv_agent_hello hello = { LV_AGENT_MAGIC, LV_AGENT_VERSION };
	const int room = 1 << 20;
	int pair[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (greets)
		MUST(send(pair[1], &frame, sizeof(frame), 0) == sizeof(frame) && send(pair[1], &hello, sizeof(hello), 0) == sizeof(hello));
	MUST(send(pair[1], said, said_size, MSG_DONTWAIT) == (ssize_t)said_size || !said_size);
	close(pair[1]);
	return pair[0];
}

const char *config_string(const json_t *config, const char *key)
{
	return "libos";
}

int vm_status(const struct vm_dir *vm, struct lv_status *status)
{
	abort();
}

bool vm_alive(const struct vm_dir *vm)
{
	return true;
}

int vm_not_alive(const struct vm_info *info, struct error *error)
{
	abort();
}

int control_ask(int vm_dir, enum lv_control_op op, int64_t arg, struct control_answer *answer, uint64_t deadline)
{
	abort();
}

/* ---- who asks ---- */

static void fails_with(int err, const struct error *error)
{
	MUST(err < 0 && error->code == err && error->text[0]);
	for (const char *at = error->text; *at; at++)
		MUST((unsigned char)*at >= ' ' && *at != 0x7f);
}

static void run_program(const struct vm_info *info)
{
	char *argv[] = { "x", NULL };
	const struct vm_exec exec = { .argv = argv, .argc = 1, .input = true };
	struct vm_exec_result result = { 0 };
	struct error error = { 0 };
	int err = vm_exec_run(info, &exec, "some input", KEPT, &result, &error);

	if (err)
		fails_with(err, &error);
	MUST(result.out.size <= KEPT && result.err.size <= KEPT && (err || (result.status >= 0 && result.status <= 0xffff)));
	text_free(&result.out);
	text_free(&result.err);
}

static void list_processes(const struct vm_info *info)
{
	struct lv_agent_process process[LV_AGENT_PROCESSES_MAX];
	struct error error = { 0 };
	size_t count = 0;
	uint32_t total;
	int fd = agent_connect(info, &error), err = fd < 0 ? fd : agent_processes(fd, process, &count, &total, deadline_in(PATIENCE_MS), &error);

	if (err)
		fails_with(err, &error);
	MUST(count <= LV_AGENT_PROCESSES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vm_info info = { .alive = true, .state = VM_RUNNING, .dir = { .id = "0123456789ab" } };
	struct input in = { data, data + size };
	uint8_t what = take(&in);

	greets = what & 0x3f;
	said = in.at;
	said_size = (size_t)(in.end - in.at);
	if (what & 0x40)
		list_processes(&info);
	else
		run_program(&info);
	return 0;
}
