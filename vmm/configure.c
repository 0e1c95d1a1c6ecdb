/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/control.h"
#include "abi/vm_records.h"
#include "base/error.h"
#include "base/log.h"
#include "vmm/config_decode.h"
#include "vmm/vmm_options.h"

#define FDS (LV_VM_FDS_MAX + 1) /* the records come first */

struct request {
	struct lv_control_request head;
	int fd[FDS];
	unsigned fds;
};

static void take_fds(struct msghdr *header, struct request *request)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(header);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	request->fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(request->fd, CMSG_DATA(c), request->fds * sizeof(int));
}

static void close_fds(const struct request *request)
{
	for (unsigned i = 0; i < request->fds; i++)
		close(request->fd[i]);
}

/* 0, or -ECONNRESET: nobody is there any more; -EPROTO: what came is no request. */
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
	*request = (struct request){ .fds = 0 };
	while ((n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return -errno;
	take_fds(&header, request);
	if (n == 0)
		return -ECONNRESET;
	return n != sizeof(request->head) || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || request->head.magic != LV_CONTROL_MAGIC ? -EPROTO : 0;
}

/* Who does not read its answers gets none. */
static void answer(int socket, int result, const void *bytes, size_t size)
{
	union {
		struct lv_control_reply head;
		uint8_t bytes[LV_CONTROL_MOST];
	} reply;
	reply.head = (struct lv_control_reply){ .result = result, .magic = LV_CONTROL_MAGIC, .version = LV_CONTROL_VERSION, .size = size };
	if (size)
		memcpy(reply.bytes + sizeof(reply.head), bytes, size);
	send(socket, &reply, sizeof(reply.head) + size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- one configuration ---- */

static void drop_records(struct machine_config *config, void *bytes)
{
	if (bytes != config->records)
		free(bytes);
}

/* Of a memory file that can change no more. In memory that is there already, where they fit: a mapping, or more for malloc, takes longer than all else here. */
static void *read_records(struct machine_config *config, int fd, size_t *size)
{
	struct stat st;
	int want = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & want) != want || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > LV_VM_RECORDS_MAX)
		return NULL;
	*size = st.st_size;
	void *bytes = *size <= sizeof(config->records) ? config->records : malloc(*size);
	if (bytes && pread(fd, bytes, *size, 0) == (ssize_t)*size)
		return bytes;
	drop_records(config, bytes);
	return NULL;
}

static int decode(struct machine_config *config, const struct request *request, const void *bytes, size_t size, struct error *error)
{
	const char *why = "its records are no sealed memory file";
	unsigned number = 0;
	int err = bytes ? config_decode(config, bytes, size, request->fd + 1, request->fds - 1, &why, &number) : -EINVAL;
	if (err)
		return error_set(error, err, "--control: the configuration, record %u: %s", number, why);
	return options_check(config, error);
}

/* All of it or nothing: after a failure config is what it was, and *messages where its sender wants to be told, or -1. */
static int take(struct machine_config *config, const struct request *request, int *messages, struct error *error)
{
	char was[MACHINE_CONFIG_SAID];
	size_t size = 0;
	if (request->head.op != LV_CTL_CONFIGURE || !request->fds)
		return error_set(error, -EPROTO, "--control: no configuration came with the request");
	memcpy(was, config, sizeof(was));
	void *bytes = read_records(config, request->fd[0], &size);
	config->name = NULL; /* an option may have said it for whoever lists processes */
	config->argv = NULL; /* as allocated by who decodes */
	int err = decode(config, request, bytes, size, error);
	config->claim_ns = (uint64_t)request->head.arg;
	if (!err)
		return 0;
	*messages = config->messages_fd;
	config_decode_free(config);
	drop_records(config, bytes);
	memcpy(config, was, sizeof(was));
	return err;
}

/* ---- all that comes before it ---- */

/* Not within serve(), whose part of the stack would then hold its record for as long as the VM lives, whoever asks for it. */
static __attribute__((noinline)) void tell_status(int socket, const struct status *status)
{
	struct lv_status record;
	status_collect(status, &record);
	answer(socket, 0, &record, record.size);
}

/* Who sends a configuration may not be who made us. */
static void tell(int messages, const struct error *error)
{
	if (messages >= 0)
		dprintf(messages, "lightvm-vmm: %s\n", error->text);
	else
		log_error("%s", error->text);
}

/* 1: it was configured; 0: not yet; -ECONNRESET: it never will be. */
static int serve(struct machine_config *config, const struct status *status)
{
	const int socket = config->configure_fd;
	struct request request;
	struct error error = { 0 };
	int messages = -1, err = receive(socket, &request);
	if (!err && request.head.op == LV_CTL_STATUS) {
		tell_status(socket, status);
		close_fds(&request);
		return 0;
	}
	if (err == -EPROTO)
		error_set(&error, err, "--control: what came is no request");
	else if (!err)
		err = take(config, &request, &messages, &error);
	if (!err) {
		close(request.fd[0]); /* its bytes are ours */
		return 1;
	}
	if (error.code)
		tell(messages, &error);
	close_fds(&request);
	if (!error.code)
		return err;
	answer(socket, err, error.text, strlen(error.text));
	return 0;
}

int configure_receive(struct machine_config *config, const struct status *status)
{
	int done = 0;
	while (!done)
		done = serve(config, status);
	return done < 0 ? done : 0;
}

void configure_started(const struct machine_config *config)
{
	if (config->configure_fd < 0)
		return;
	answer(config->configure_fd, 0, NULL, 0);
	if (!config->attached)
		close(config->configure_fd);
}
