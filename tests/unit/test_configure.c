/* SPDX-License-Identifier: Apache-2.0 */
/* How a monitor receives its configuration: one request, a sealed memory file, and as many descriptors as there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/control.h"
#include "abi/vm_records.h"
#include "vmm/config_decode.h"
#include "vmm/configure.h"
#include "vmm/vmm_options.h"

/* The rest of what the monitor checks is the options'. */
int options_check(struct machine_config *config, struct error *error)
{
	return 0;
}

void status_collect(const struct status *status, struct lv_status *out)
{
	*out = status->record;
}

static int memory_file(const void *bytes, size_t size, int seals)
{
	int fd = memfd_create("records", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* The descriptor, and the same one again: n in all. */
static void request(int socket, int fd, unsigned n)
{
	struct lv_control_request head = { .magic = LV_CONTROL_MAGIC, .version = LV_CONTROL_VERSION, .op = LV_CTL_CONFIGURE };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(100 * sizeof(int))];
	} space = { 0 };
	struct iovec iov = { &head, sizeof(head) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = n ? &space : NULL, .msg_controllen = n ? CMSG_SPACE(n * sizeof(int)) : 0 };
	if (n) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){ CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(socket, &message, 0), (ssize_t)sizeof(head));
}

static int answer_to(int fd, unsigned n)
{
	struct machine_config config;
	struct status status = { .fd = -1 };
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	machine_config_init(&config);
	config.configure_fd = pair[1];
	request(pair[0], fd, n);
	shutdown(pair[0], SHUT_WR);
	assert_int_equal(configure_receive(&config, &status), -ECONNRESET); /* it was refused, and no other one comes */
	union {
		struct lv_control_reply head;
		char bytes[LV_CONTROL_MOST];
	} reply;
	ssize_t size = recv(pair[0], &reply, sizeof(reply), MSG_DONTWAIT);
	assert_true(size > (ssize_t)sizeof(reply.head) && size == (ssize_t)(sizeof(reply.head) + reply.head.size)); /* with the reason */
	assert_true(config.configure_fd == pair[1] && !config.argv && !config.device_count);
	close(pair[0]);
	close(pair[1]);
	return (int)reply.head.result;
}

static void too_many_descriptors(void **state)
{
	struct lv_records nothing = { .magic = LV_VM_RECORDS_MAGIC, .version = LV_VM_RECORDS_VERSION, .size = sizeof(nothing) };
	int fd = memory_file(&nothing, sizeof(nothing), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(answer_to(fd, 0), -EPROTO);
	assert_int_equal(answer_to(fd, 1), -EINVAL); /* it has no machine */
	assert_int_equal(answer_to(fd, LV_VM_FDS_MAX + 1), -EINVAL);
	assert_int_equal(answer_to(fd, LV_VM_FDS_MAX + 2), -EPROTO); /* one more than there is room for */
	assert_int_equal(answer_to(fd, 100), -EPROTO);
	close(fd);
}

static void not_sealed(void **state)
{
	char bytes[64] = "";
	int fd = memory_file(bytes, sizeof(bytes), F_SEAL_SHRINK | F_SEAL_GROW), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(answer_to(fd, 1), -EINVAL);
	assert_int_equal(answer_to(null, 1), -EINVAL);
	close(fd);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(too_many_descriptors), cmocka_unit_test(not_sealed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
