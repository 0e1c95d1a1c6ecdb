/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/frame.h"
#include "base/tree.h"
#include "guest/guest_ports.h"
#include "guest/program.h"

#define CONNECTION 3 /* the only descriptor of a session besides 0, 1, 2 */
#define PATH_ROOM 4096
#define REQUEST_PATIENCE_MS 30000 /* for HELLO and a request: who says nothing keeps no place */

/* ---- connections ---- */

int agent_listen(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_port = LV_AGENT_PORT, .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, AGENT_BACKLOG)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void close_others(int fd)
{
	if (dup2(fd, CONNECTION) != CONNECTION)
		_exit(1);
	/* Pipes of the program must not stay open here: nobody would see their end. */
	if (syscall(SYS_close_range, CONNECTION + 1, ~0u, 0))
		for (int i = CONNECTION + 1; i < 1024; i++)
			close(i);
	fcntl(CONNECTION, F_SETFD, FD_CLOEXEC);
	fcntl(CONNECTION, F_SETFL, 0);
}

pid_t agent_accept(int listener, const struct agent_world *world)
{
	struct sockaddr_vm peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A program of the guest that finds a way to this port must not become root by it. */
	pid_t pid = peer.svm_cid == VMADDR_CID_HOST ? fork() : -1;
	if (!pid) {
		close_others(fd);
		agent_serve(CONNECTION, world);
		_exit(0);
	}
	int err = peer.svm_cid == VMADDR_CID_HOST ? -errno : -EPERM;
	close(fd);
	return pid > 0 ? pid : err;
}

/* ---- requests ---- */

static int kill_program(int fd, const struct agent_world *world, const void *body, size_t size)
{
	int32_t number;
	if (size != sizeof(number))
		return frame_send_error(fd, EPROTO, "a KILL request of %zu bytes", size);
	memcpy(&number, body, sizeof(number));
	pid_t target = world->starting ? getppid() : world->program;
	if (!target)
		return frame_send_error(fd, ESRCH, "the program does not run");
	if (number < 0 || number >= NSIG || kill(target, number))
		return frame_send_error(fd, number < 0 || number >= NSIG ? EINVAL : errno, "signal %d", number);
	return frame_send(fd, LV_AGENT_OK, NULL, 0);
}

static int resize_terminal(int fd, const void *body, size_t size)
{
	struct lv_agent_size wanted;
	if (size != sizeof(wanted))
		return frame_send_error(fd, EPROTO, "a RESIZE request of %zu bytes", size);
	memcpy(&wanted, body, sizeof(wanted));
	int terminal = port_open_terminal(0);
	if (terminal < 0)
		return frame_send_error(fd, -terminal, "the VM has no terminal");
	terminal_resize(terminal, wanted.rows, wanted.columns);
	close(terminal);
	return frame_send(fd, LV_AGENT_OK, NULL, 0);
}

static int renew(int fd, const void *body, size_t size)
{
	struct lv_agent_renew wanted;
	const char *what = "";
	if (size != sizeof(wanted))
		return frame_send_error(fd, EPROTO, "a RENEW request of %zu bytes", size);
	memcpy(&wanted, body, sizeof(wanted));
	int err = guest_renew(&wanted, &what);
	return err ? frame_send_error(fd, -err, "%s: %s", what, strerror(-err)) : frame_send(fd, LV_AGENT_OK, NULL, 0);
}

static int send_resources(int fd)
{
	struct lv_agent_resources resources;
	resources_read(&resources);
	return frame_send(fd, LV_AGENT_RESOURCES, &resources, sizeof(resources));
}

static int send_processes(int fd)
{
	struct lv_agent_processes *processes = calloc(1, sizeof(*processes));
	if (!processes)
		return frame_send_error(fd, ENOMEM, "out of memory");
	processes->count = (uint32_t)processes_read(processes->process, LV_AGENT_PROCESSES_MAX, &processes->total);
	int err = frame_send(fd, LV_AGENT_PROCESSES, processes, LV_AGENT_PROCESSES_SIZE(processes->count));
	free(processes);
	return err;
}

static int tell_listens(int fd, const void *body, size_t size)
{
	uint16_t port;
	if (size != sizeof(port))
		return frame_send_error(fd, EPROTO, "a LISTENS request of %zu bytes", size);
	memcpy(&port, body, sizeof(port));
	return tcp_listens(port) ? frame_send(fd, LV_AGENT_OK, NULL, 0) : frame_send_error(fd, EAGAIN, "nothing listens on port %u", port);
}

/* A path of the request, which must be absolute and be one string. */
static int take_path(int fd, const char *bytes, size_t size, char *path)
{
	if (!size || size >= PATH_ROOM || bytes[0] != '/' || memchr(bytes, 0, size)) {
		frame_send_error(fd, EINVAL, "the path is not an absolute one of at most %d bytes", PATH_ROOM - 1);
		return -EINVAL;
	}
	memcpy(path, bytes, size);
	path[size] = 0;
	return 0;
}

static void pull(int fd, const void *body, size_t size)
{
	char path[PATH_ROOM];
	struct stat st;
	struct tree_report report = { 0 };
	if (take_path(fd, body, size, path))
		return;
	if (stat(path, &st))
		frame_send_error(fd, errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		frame_send_error(fd, EINVAL, "%s: neither a file nor a directory", path);
	else if (!frame_send(fd, LV_AGENT_OK, NULL, 0))
		tree_send(fd, AT_FDCWD, path, &report);
}

/* Into path if it is a directory, under the given name if there is one; else as path, whose directory must be there. */
static int open_target(char *path, const char *given, char *name, size_t room)
{
	struct stat st;
	bool is_dir = *given && !stat(path, &st) && S_ISDIR(st.st_mode);
	size_t len = strlen(path);
	if (!is_dir && len > 1 && path[len - 1] == '/') {
		if (stat(path, &st))
			return -errno;
		path[--len] = 0;
	}
	char *slash = strrchr(path, '/');
	bool is_root = !*given && !path[strspn(path, "/")];
	snprintf(name, room, "%s", is_root ? "." : is_dir ? given : slash + 1);
	if (!is_dir)
		slash[slash == path] = 0;
	if (!*name || strchr(name, '/') || (!strcmp(name, ".") && !is_root) || !strcmp(name, ".."))
		return -EINVAL;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : dir;
}

static void push(int fd, const char *body, size_t size)
{
	struct lv_agent_push head;
	struct tree_report report = { 0 };
	char path[PATH_ROOM], given[256], name[256];
	if (size < sizeof(head) || (memcpy(&head, body, sizeof(head)), head.flags) || head.name_size > size - sizeof(head) ||
	    head.name_size >= sizeof(given)) {
		frame_send_error(fd, EPROTO, "a PUSH request that makes no sense");
		return;
	}
	size_t path_size = size - sizeof(head) - head.name_size;
	if (take_path(fd, body + sizeof(head), path_size, path))
		return;
	memcpy(given, body + sizeof(head) + path_size, head.name_size);
	given[head.name_size] = 0;
	char *whole = strdup(path);
	int dir = open_target(path, given, name, sizeof(name));
	if (dir < 0) {
		frame_send_error(fd, -dir, "%s: %s", whole ? whole : path, dir == -EINVAL ? "has no name" : strerror(-dir));
		free(whole);
		return;
	}
	free(whole);
	if (frame_send(fd, LV_AGENT_OK, NULL, 0))
		return;
	int err = tree_receive(fd, dir, name, 07777, &report);
	if (err)
		frame_send_error(fd, -err, "%s", report.error);
	else
		frame_send(fd, LV_AGENT_OK, NULL, 0);
}

/* ---- one connection ---- */

static int greet(int fd, void *body, uint64_t deadline)
{
	struct lv_agent_hello ours = { LV_AGENT_MAGIC, LV_AGENT_VERSION }, theirs = { 0 };
	struct lv_agent_frame frame;
	int err = frame_receive(fd, &frame, body, LV_AGENT_DATA_MAX, deadline);
	if (err)
		return err;
	if (frame.type == LV_AGENT_HELLO && frame.size == sizeof(theirs))
		memcpy(&theirs, body, sizeof(theirs));
	if (theirs.magic != LV_AGENT_MAGIC) {
		frame_send_error(fd, EPROTO, "this is the agent of LightVM; the connection did not begin with HELLO");
		return -EPROTO;
	}
	err = frame_send(fd, LV_AGENT_HELLO, &ours, sizeof(ours));
	if (!err && theirs.version != LV_AGENT_VERSION) {
		frame_send_error(fd, EPROTO, "the agent speaks version %d, not %u", LV_AGENT_VERSION, theirs.version);
		return -EPROTO;
	}
	return err;
}

static bool is_over_at_once(uint32_t type)
{
	return type == LV_AGENT_KILL || type == LV_AGENT_RESIZE || type == LV_AGENT_RESOURCES || type == LV_AGENT_PROCESSES || type == LV_AGENT_RENEW ||
		type == LV_AGENT_LISTENS;
}

static void answer(int fd, const struct agent_world *world, const struct lv_agent_frame *frame, void *body)
{
	if (world->crowded && !is_over_at_once(frame->type)) {
		frame_send_error(fd, EAGAIN, "the VM has %d sessions already; try again when one of them has ended", AGENT_SESSIONS);
		return;
	}
	switch (frame->type) {
	case LV_AGENT_EXEC:
		session_run(fd, world, body, frame->size);
		break;
	case LV_AGENT_KILL:
		kill_program(fd, world, body, frame->size);
		break;
	case LV_AGENT_RESIZE:
		resize_terminal(fd, body, frame->size);
		break;
	case LV_AGENT_RESOURCES:
		send_resources(fd);
		break;
	case LV_AGENT_RENEW:
		renew(fd, body, frame->size);
		break;
	case LV_AGENT_PROCESSES:
		send_processes(fd);
		break;
	case LV_AGENT_LISTENS:
		tell_listens(fd, body, frame->size);
		break;
	case LV_AGENT_PULL:
		pull(fd, body, frame->size);
		break;
	case LV_AGENT_PUSH:
		push(fd, body, frame->size);
		break;
	default:
		frame_send_error(fd, ENOSYS, "there is no request of type %u", frame->type);
	}
}

void agent_serve(int fd, const struct agent_world *world)
{
	struct lv_agent_frame frame;
	/* As much as a request may have: what is not used is never touched. */
	void *body = malloc(LV_AGENT_REQUEST_MAX);
	uint64_t deadline = deadline_in(REQUEST_PATIENCE_MS);
	int err = body ? greet(fd, body, deadline) : -ENOMEM;
	if (!err)
		err = frame_receive(fd, &frame, body, LV_AGENT_REQUEST_MAX, deadline);
	if (!err)
		answer(fd, world, &frame, body);
	else if (err == -EMSGSIZE)
		frame_send_error(fd, EMSGSIZE, "a request is longer than %u bytes", LV_AGENT_REQUEST_MAX);
	free(body);
	close(fd);
}
