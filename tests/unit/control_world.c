/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/control_world.h"

static int on_signal(void *context, int number)
{
	struct control_world *f = context;

	f->signalled = number;
	return 0;
}

static void on_kill(void *context)
{
	struct control_world *f = context;

	f->killed = true;
}

static int on_pause(void *context)
{
	struct control_world *f = context;

	f->paused = true;
	return f->pauses;
}

static int on_resume(void *context, bool advance)
{
	struct control_world *f = context;

	f->paused = false;
	f->advanced = advance;
	return 0;
}

static int on_threads(void *context)
{
	struct control_world *f = context;

	f->asked++;
	return 0;
}

static int on_save(void *context, const int fd[3], int64_t what, struct error *error)
{
	struct control_world *f = context;

	if (f->saves < 0)
		return error_set(error, f->saves, "no save %lld", (long long)what);
	for (unsigned i = 0; i < 3; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return f->saves;
}

static int on_look(void *context, const int fd[2], bool again, int64_t what, struct error *error)
{
	struct control_world *f = context;
	const int all[3] = { fd[0], fd[1], -1 };

	f->again = again;
	return on_save(context, all, what, error);
}

static int on_lend(void *context, struct error *error)
{
	const struct control_world *f = context;

	return f->lends ? error_set(error, f->lends, "no disks") : 0;
}

static int on_take_back(void *context)
{
	const struct control_world *f = context;

	return f->takes_back;
}

static void on_save_over(void *context, bool stays)
{
	struct control_world *f = context;

	f->ended++;
	f->stays = stays;
}

static int on_limit(void *context, uint64_t bytes)
{
	struct control_world *f = context;

	f->limit = bytes;
	return bytes > 1 << 20 ? -ERANGE : 0;
}

int control_setup(void **state)
{
	struct control_world *f = calloc(1, sizeof(*f));
	const struct device_config config = { .type = LV_DEV_CONSOLE, .console = { -1, -1, -1, -1, false, false, 0 } };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	guest_init(&f->guest);
	f->console = guest_add_device(&f->guest, &config);
	status_init(&f->status, memfd_create("status", MFD_CLOEXEC));
	f->status.devices = &f->guest.devices;
	f->status.shared = &f->guest.shared;
	f->address.sun_family = AF_UNIX;
	/* an abstract address that the kernel chooses */
	assert_int_equal(bind(listener, (struct sockaddr *)&f->address, sizeof(sa_family_t)), 0);
	f->address_len = sizeof(f->address);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&f->address, &f->address_len), 0);
	assert_int_equal(listen(listener, 16), 0);
	control_init(&f->control, &f->guest.loop, &f->status, &f->guest.devices, listener);
	f->control.signal = on_signal;
	f->control.kill = on_kill;
	f->control.pause = on_pause;
	f->control.resume = on_resume;
	f->control.threads = on_threads;
	f->control.limit = on_limit;
	f->control.save = on_save;
	f->control.look = on_look;
	f->control.lend = on_lend;
	f->control.take_back = on_take_back;
	f->control.save_over = on_save_over;
	f->control.context = f;
	assert_int_equal(control_start(&f->control), 0);
	*state = f;
	return 0;
}

int control_teardown(void **state)
{
	struct control_world *f = *state;

	control_fini(&f->control);
	close(f->status.fd);
	guest_fini(&f->guest);
	free(f);
	return 0;
}

int control_dial(struct control_world *f)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, f->address_len), 0);
	guest_settle(&f->guest);
	return fd;
}

ssize_t control_talk_raw(struct control_world *f, int fd, const void *bytes, size_t len, const int *fds, unsigned count,
			struct control_answer *reply)
{
	char space[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (count) {
		struct cmsghdr *c = (struct cmsghdr *)space;

		*c = (struct cmsghdr){ CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), len);
	guest_settle(&f->guest);
	n = recv(fd, reply, sizeof(*reply), 0);
	return n < 0 ? -errno : n;
}

void control_expect_whole(const struct control_answer *reply, ssize_t n)
{
	assert_true(n >= (ssize_t)sizeof(reply->head));
	assert_int_equal(reply->head.magic, LV_CONTROL_MAGIC);
	assert_int_equal(reply->head.version, LV_CONTROL_VERSION);
	assert_int_equal(n, sizeof(reply->head) + reply->head.size);
}

int64_t control_send(struct control_world *f, int fd, const struct lv_control_request *request, const int *fds, unsigned count, struct control_answer *reply)
{
	control_expect_whole(reply, control_talk_raw(f, fd, request, sizeof(*request), fds, count, reply));
	return reply->head.result;
}

int64_t control_talk(struct control_world *f, int fd, unsigned op, int64_t arg, const int *fds, unsigned count)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = op, .arg = arg };
	struct control_answer reply;

	return control_send(f, fd, &request, fds, count, &reply);
}

int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}
