/* SPDX-License-Identifier: Apache-2.0 */
#include "node/agent_line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "abi/agent.h"
#include "base/file.h"
#include "node/monitor_control.h"
#include "node/node_paths.h"

/* The agent's program, whole; the caller's. */
static void *read_agent(struct lv_agent_program *head, struct error *error)
{
	struct stat st;
	char *path = paths_agent(error), *bytes = NULL;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (path && (fd < 0 || fstat(fd, &st)))
		error_set(error, -errno, "%s: %s", path, strerror(errno));
	else if (path && (st.st_size <= 0 || st.st_size > LV_AGENT_PROGRAM_MAX))
		error_set(error, -EFBIG, "%s: %lld bytes; the agent has at most %u", path, (long long)st.st_size, LV_AGENT_PROGRAM_MAX);
	else if (path && !(bytes = alloc_zero((size_t)st.st_size)))
		error_set(error, -ENOMEM, "out of memory");
	else if (path && read(fd, bytes, (size_t)st.st_size) != st.st_size) {
		error_set(error, -EIO, "%s: it changed while it was read", path);
		free(bytes);
		bytes = NULL;
	}
	if (bytes)
		*head = (struct lv_agent_program){ LV_AGENT_PROGRAM_MAGIC, (uint64_t)st.st_size };
	if (fd >= 0)
		close(fd);
	free(path);
	return bytes;
}

static int give_line(const struct vm_info *info, int fd, struct error *error)
{
	const char *id = info->dir.id;
	int control = control_connect(info->dir.dir, CONTROL_PATIENCE_MS);
	int err = control < 0 ? control : control_call(control, LV_CTL_AGENT, 0, &fd, 1, NULL);
	if (control >= 0)
		close(control);
	if (err == -EOPNOTSUPP || err == -EPROTONOSUPPORT)
		return error_set(error, -EOPNOTSUPP, "the monitor of VM %s is of an older lightvm, which has no agent for the library OS; start the VM again", id);
	if (err == -EBUSY)
		return error_set(error, err, "VM %s serves as many requests as it can already; try again when one of them has ended", id);
	return err ? error_set(error, err, "VM %s: %s", id, err == -ECONNREFUSED || err == -ENOENT ? "it has ended" : strerror(-err)) : 0;
}

int agent_line_open(const struct vm_info *info, int patience_ms, struct error *error)
{
	const struct timeval patience = { .tv_sec = patience_ms / 1000 };
	struct lv_agent_program head;
	int pair[2];
	void *program = read_agent(&head, error);
	if (!program)
		return error->code;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		free(program);
		return error_set(error, -errno, "socketpair: %s", strerror(errno));
	}
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int err = give_line(info, pair[1], error);
	close(pair[1]);
	if (!err && send(pair[0], &head, sizeof(head), MSG_NOSIGNAL) != sizeof(head))
		err = error_set(error, -EPIPE, "VM %s takes no requests", info->dir.id);
	for (size_t done = 0; !err && done < head.size;) {
		ssize_t n = send(pair[0], (char *)program + done, head.size - done, MSG_NOSIGNAL);
		if (n <= 0)
			err = error_set(error, errno == EAGAIN ? -ETIMEDOUT : -EPIPE, errno == EAGAIN ? "VM %s did not take a request within %d s" : "VM %s takes no requests: it ends, or has no memory for one",
					info->dir.id, patience_ms / 1000);
		done += n > 0 ? (size_t)n : 0;
	}
	free(program);
	if (err)
		close(pair[0]);
	return err ? err : pair[0];
}
