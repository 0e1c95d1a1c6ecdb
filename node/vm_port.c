/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_port.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/deadline.h"
#include "node/agent_client.h"
#include "node/vm_wait.h"

#define AGAIN_MS 20

static bool is_linux(const struct vm_info *info)
{
	const char *kernel = config_string(info->config, "kernel");
	return kernel && strcmp(kernel, "libos");
}

/* Of one question: its end, or the wait's, if that is sooner. */
static uint64_t answer_by(uint64_t end)
{
	uint64_t soon = deadline_in(AGENT_ANSWER_MS);
	return soon < end ? soon : end;
}

static int ask_agent(const struct vm_info *info, uint16_t port, int wait_ms, struct error *error)
{
	const char *id = info->dir.id;
	const uint64_t end = deadline_in(wait_ms);
	int err;
	/* One that hangs, or does not run yet, does not answer in time. */
	while ((err = agent_listens(info->dir.dir, port, answer_by(end))) == -EAGAIN || err == -ETIMEDOUT || err == -ECONNRESET) {
		if (!vm_alive(&info->dir))
			return error_set(error, -ESRCH, "VM %s ended before its program listened on port %u", id, port);
		if (deadline_left(end) <= 0)
			return error_set(error, -ETIMEDOUT, "the program of VM %s does not listen on port %u after %d s; it runs on", id, port, wait_ms / 1000);
		poll(NULL, 0, AGAIN_MS);
	}
	if (err == -ENOENT || err == -ENOSYS)
		return error_set(error, -EOPNOTSUPP, "VM %s has no agent that tells when its program listens%s", id, err == -ENOSYS ? "; it is older than this lightvm" : "");
	if (err && !vm_alive(&info->dir))
		return error_set(error, -ESRCH, "VM %s ended before its program listened on port %u", id, port);
	return err ? error_set(error, err, "the agent of VM %s: %s", id, strerror(-err)) : 0;
}

int vm_await_port(const struct vm_info *info, uint16_t port, int wait_ms, struct error *error)
{
	return is_linux(info) ? ask_agent(info, port, wait_ms, error) : vm_await_listen(&info->dir, wait_ms, error);
}
