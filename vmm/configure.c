/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/control.h"
#include "abi/vm_records.h"
#include "base/log.h"
#include "vmm/config_decode.h"
#include "vmm/options.h"

#define FDS (LV_VM_FDS_MAX + 1) /* the records come first */

struct request {
	struct lv_control_request head;
	int fd[FDS];
	unsigned fds;
};

static int receive(int socket, struct request *request)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
	} space;
	struct iovec iov = { &request->head, sizeof(request->head) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space,
		.msg_controllen = CMSG_LEN(FDS * sizeof(int)) }; /* without its padding, in which one more descriptor would have room */
	ssize_t n;
	while ((n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return -errno;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		request->fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(request->fd, CMSG_DATA(c), request->fds * sizeof(int));
	}
	if (n == 0)
		return -ECONNRESET;
	if (n != sizeof(request->head) || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || request->head.magic != LV_CONTROL_MAGIC ||
	    request->head.op != LV_CTL_CONFIGURE || !request->fds)
		return -EPROTO;
	return 0;
}

/* A memory file that can change no more: a size that shrinks would be a fault at the next look. */
static const void *map_records(int fd, size_t *size)
{
	struct stat st;
	int want = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & want) != want || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > LV_VM_RECORDS_MAX)
		return NULL;
	*size = st.st_size;
	void *bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	return bytes == MAP_FAILED ? NULL : bytes;
}

int configure_receive(struct machine_config *config)
{
	struct request request = { 0 };
	size_t size = 0;
	const char *why = "its records are no sealed memory file";
	unsigned number = 0;
	int err = receive(config->configure_fd, &request);
	if (err)
		return log_error("--control: the configuration: %s", strerror(-err)), err;
	const void *bytes = map_records(request.fd[0], &size);
	close(request.fd[0]);
	config->name = NULL; /* an option may have said it for whoever lists processes */
	err = bytes ? config_decode(config, bytes, size, request.fd + 1, request.fds - 1, &why, &number) : -EINVAL;
	if (err)
		return log_error("--control: the configuration, record %u: %s", number, why), err;
	return options_check(config);
}

void configure_started(const struct machine_config *config)
{
	struct lv_control_reply reply = { 0 };
	if (config->configure_fd < 0)
		return;
	send(config->configure_fd, &reply.result, sizeof(reply.result), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(config->configure_fd);
}
