/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own_open.h"
#include "node/memory_file.h"

/* A pipe that we hold open at both ends through one descriptor: it never ends, whoever attaches and leaves. */
static int endless_input(void)
{
	char path[64];
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[0]);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	close(pair[0]);
	close(pair[1]);
	return fd;
}

/* A description of its own, or that of everybody. */
static void share(struct config_message *message, int *fd, int standard, int access, uint32_t flag)
{
	int own = own_open(standard, access);
	*fd = own < 0 ? standard : own;
	message->console.own |= own < 0 ? 0 : flag;
}

static void own(struct config_message *message, int in, int out, int err)
{
	message->console.in = in;
	message->console.out = out;
	message->console.err = err;
	message->console.own = LV_VM_OWN_IN | LV_VM_OWN_OUT | LV_VM_OWN_ERR;
}

/* What is typed goes through us, who see what a VM that hangs does not: that its user wants its end. */
static void open_keys(struct config_message *message)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return; /* it reads the terminal itself */
	if (message->console.own & LV_VM_OWN_IN)
		close(message->console.in);
	message->console.in = pair[0];
	message->console.own |= LV_VM_OWN_IN;
	message->keys = pair[1];
}

/* Of a connection the program has both ways; its standard error is the log's. With input kept open it has streams, too; what it prints is read from the log alone. */
static void open_console(struct config_message *message, const struct vm_config *config)
{
	if (config->stream_fd >= 0) {
		own(message, fcntl(config->stream_fd, F_DUPFD_CLOEXEC, 3), fcntl(config->stream_fd, F_DUPFD_CLOEXEC, 3), open("/dev/null", O_WRONLY | O_CLOEXEC));
	} else if (!config->detached) {
		share(message, &message->console.in, STDIN_FILENO, O_RDONLY, LV_VM_OWN_IN);
		share(message, &message->console.out, STDOUT_FILENO, O_WRONLY, LV_VM_OWN_OUT);
		share(message, &message->console.err, STDERR_FILENO, O_WRONLY, LV_VM_OWN_ERR);
		if (config->terminal)
			open_keys(message);
	} else if (config->keeps_stdin) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		own(message, endless_input(), null, null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, 3));
	}
}

static void close_console(const struct config_message *message)
{
	const struct { int fd; uint32_t flag; } ours[] = { { message->console.in, LV_VM_OWN_IN }, { message->console.out, LV_VM_OWN_OUT }, { message->console.err, LV_VM_OWN_ERR } };
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (message->console.own & ours[i].flag && ours[i].fd >= 0)
			close(ours[i].fd);
}

void config_message_free(struct config_message *message)
{
	close_console(message);
	if (message->keys >= 0)
		close(message->keys);
	if (message->records >= 0)
		close(message->records);
	*message = CONFIG_MESSAGE_NONE;
}

int config_message_make(const struct vm_config *config, struct monitor_files files, uint64_t start_ns, struct config_message *message, struct error *error)
{
	struct text records = { 0 };
	*message = CONFIG_MESSAGE_NONE;
	open_console(message, config);
	files.in = message->console.in;
	files.out = message->console.out;
	files.err = message->console.err;
	files.own = message->console.own;
	int err = config_encode(config, &files, start_ns, &records, &message->fds, error);
	if (!err)
		err = message->records = memory_file("configuration", &records, NULL, error);
	text_free(&records);
	if (err < 0)
		config_message_free(message);
	return err < 0 ? err : 0;
}

int config_message_send(const struct config_message *message, int socket, uint64_t claim_ns, struct error *error)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((LV_VM_FDS_MAX + 1) * sizeof(int))];
	} space = { 0 };
	const struct fd_list *fds = &message->fds;
	struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_CONFIGURE, .arg = (int64_t)claim_ns };
	struct iovec iov = { &request, sizeof(request) };
	size_t size = (fds->count + 1) * sizeof(int);
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(rights), &message->records, sizeof(int));
	memcpy(CMSG_DATA(rights) + sizeof(int), fds->fd, fds->count * sizeof(int));
	if (sendmsg(socket, &header, MSG_NOSIGNAL) < 0)
		return error_set(error, -errno, "the monitor's configuration: %s", strerror(errno));
	shutdown(socket, SHUT_WR);
	return 0;
}
