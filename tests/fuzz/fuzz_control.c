/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * The monitor's control socket, and clients that send anything: requests of every number, version and length, with descriptors of several kinds or too many, in any order,
 * whose answers they read or do not, and who go at any time; while what they asked for comes, fails, or does not come. Checked: no descriptor is left when they are gone,
 * each answer is whole and was asked for, and the next client is answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/fuzz/input.h"
#include "tests/unit/ring_driver.h"
#include "vmm/vmm_control.h"

#define CLIENTS 12 /* more than are served */
#define STEPS 128
#define FDS_MOST 8

struct world {
	struct guest guest;
	struct status status;
	struct control control;
	struct sockaddr_un address;
	socklen_t address_len;
	int client[CLIENTS];
	unsigned asked[CLIENTS];       /* requests of this client that have had no answer yet */
	int outcome;                   /* of what is asked for next */
	bool pausing, telling, saving; /* asked for, and not answered yet */
};

/* ---- the owner of the VM, to whom what is asked for succeeds and fails ---- */

static int on_signal(void *context, int number)
{
	struct world *w = context;

	if (number < 1 || number > 32)
		abort();
	return w->outcome < 0 ? w->outcome : 0;
}

static void on_kill(void *context)
{
}

static int on_pause(void *context)
{
	struct world *w = context;

	w->pausing = w->outcome > 0;
	return w->outcome;
}

static int on_resume(void *context, bool advance)
{
	return ((struct world *)context)->outcome < 0 ? -EINVAL : 0;
}

static int on_threads(void *context)
{
	struct world *w = context;

	w->telling = w->outcome >= 0;
	return w->telling ? 0 : w->outcome;
}

static int on_limit(void *context, uint64_t bytes)
{
	return bytes > 1 << 20 ? -ERANGE : 0;
}

static int refuse(const struct world *w, struct error *error)
{
	return error_set(error, w->outcome, "it is not to be");
}

static int take_files(struct world *w, const int *fd, unsigned count, struct error *error)
{
	if (w->outcome < 0)
		return refuse(w, error);
	for (unsigned i = 0; i < count; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	w->saving = true;
	return 1;
}

static int on_save(void *context, const int fd[3], int64_t what, struct error *error)
{
	return take_files(context, fd, 3, error);
}

static int on_look(void *context, const int fd[2], bool again, int64_t what, struct error *error)
{
	return take_files(context, fd, 2, error);
}

static int on_lend(void *context, struct error *error)
{
	return ((struct world *)context)->outcome < 0 ? refuse(context, error) : 0;
}

static int on_take_back(void *context)
{
	return ((struct world *)context)->outcome < 0 ? -EBUSY : 0;
}

static void on_save_over(void *context, bool stays)
{
	((struct world *)context)->saving = false;
}

/* ---- the world ---- */

static void listen_at(struct world *w)
{
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	w->address.sun_family = AF_UNIX;
	w->address_len = sizeof(w->address);
	/* an abstract address that the kernel chooses */
	if (listener < 0 || bind(listener, (struct sockaddr *)&w->address, sizeof(sa_family_t)) ||
	    getsockname(listener, (struct sockaddr *)&w->address, &w->address_len) || listen(listener, 16))
		abort();
	control_init(&w->control, &w->guest.loop, &w->status, &w->guest.devices, listener);
}

static void world_init(struct world *w)
{
	const struct device_config console = { .type = LV_DEV_CONSOLE, .console = { -1, -1, -1, -1, false, false, 0 } };

	guest_init(&w->guest);
	guest_add_device(&w->guest, &console);
	status_init(&w->status, memfd_create("status", MFD_CLOEXEC));
	w->status.devices = &w->guest.devices;
	w->status.shared = &w->guest.shared;
	for (unsigned i = 0; i < CLIENTS; i++)
		w->client[i] = -1;
	listen_at(w);
	w->control.signal = on_signal, w->control.kill = on_kill, w->control.pause = on_pause, w->control.resume = on_resume, w->control.threads = on_threads;
	w->control.limit = on_limit, w->control.save = on_save, w->control.look = on_look, w->control.lend = on_lend, w->control.take_back = on_take_back;
	w->control.save_over = on_save_over, w->control.context = w;
	if (control_start(&w->control))
		abort();
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- the steps ---- */

static int some_file(unsigned kind)
{
	int pair[2];

	switch (kind % 4) {
	case 0: return memfd_create("file", MFD_CLOEXEC);
	case 1: return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 2: return open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		abort();
	close(pair[0]);
	return pair[1];
}

static bool send_bytes(int client, const void *bytes, size_t size, const int *fds, unsigned count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_MOST * sizeof(int))];
	} rights = { .head = { CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		memcpy(CMSG_DATA(&rights.head), fds, count * sizeof(int));
		message.msg_control = &rights;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return sendmsg(client, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void request(struct world *w, struct input *in, unsigned who)
{
	struct { struct lv_control_request head; char rest[64]; } bytes = { .head = { .magic = LV_CONTROL_MAGIC } };
	unsigned shape = take(in), count = shape % (FDS_MOST + 1);
	int fds[FDS_MOST];

	bytes.head.op = take(in) % 24;
	bytes.head.version = shape & 64 ? take(in) : 0;
	bytes.head.arg = shape & 32 ? (int64_t)((uint64_t)take_word(in) << 32 | take_word(in)) : take(in);
	if (shape >= 240)
		bytes.head.magic = take_word(in);
	for (unsigned i = 0; i < count; i++)
		fds[i] = some_file(take(in));
	w->asked[who] += send_bytes(w->client[who], &bytes, shape & 128 ? take(in) % sizeof(bytes) : sizeof(bytes.head), fds, count);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

/* An answer is whole, and was asked for: nobody else's. */
static void receive(struct world *w, unsigned who)
{
	char bytes[2 * LV_CONTROL_MOST];
	struct lv_control_reply head;
	ssize_t n = recv(w->client[who], bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0)
		return;
	memcpy(&head, bytes, sizeof(head));
	if ((size_t)n < sizeof(head) || head.magic != LV_CONTROL_MAGIC || (size_t)n != sizeof(head) + head.size || !w->asked[who]--)
		abort();
}

/* What was asked for has come, or has failed. */
static void come(struct world *w, struct input *in)
{
	int result = take(in) & 1 ? -ETIMEDOUT : 0;
	struct lv_threads none = { 0 };

	if (w->pausing) {
		w->pausing = false;
		control_paused(&w->control, result);
	}
	if (w->telling) {
		w->telling = false;
		control_threads(&w->control, &none);
	}
	if (w->saving) {
		w->saving = false;
		control_saved(&w->control, result, result ? "the disk is full" : NULL);
	}
}

static void step(struct world *w, struct input *in)
{
	unsigned what = take(in), who = take(in) % CLIENTS;

	switch (what % 8) {
	case 0:
		if (w->client[who] < 0 && (w->client[who] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) >= 0)
			(void)!connect(w->client[who], (struct sockaddr *)&w->address, w->address_len);
		break;
	case 1:
	case 2:
	case 3: request(w, in, who); break;
	case 4: receive(w, who); break;
	case 5:
		if (w->client[who] >= 0)
			close(w->client[who]);
		w->client[who] = -1;
		w->asked[who] = 0;
		break;
	case 6: come(w, in); break;
	case 7:
		w->outcome = (int)(take(in) % 3) - 1;
		if (what & 8)
			control_listens(&w->control);
		if (what & 16)
			control_template(&w->control);
	}
	if (what & 64)
		guest_settle(&w->guest);
}

/* Whatever came before, and once all of them have gone. */
static void check_next(struct world *w)
{
	const struct lv_control_request status = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	struct lv_control_reply head;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char bytes[LV_CONTROL_MOST];

	if (connect(fd, (struct sockaddr *)&w->address, w->address_len))
		abort();
	guest_settle(&w->guest);
	send_bytes(fd, &status, sizeof(status), NULL, 0);
	guest_settle(&w->guest);
	if (recv(fd, bytes, sizeof(bytes), 0) < (ssize_t)sizeof(head))
		abort();
	memcpy(&head, bytes, sizeof(head));
	if (head.result)
		abort();
	close(fd);
	guest_settle(&w->guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input in = { data, data + size };

	memset(&w, 0, sizeof(w));
	unsigned before = open_descriptors();
	world_init(&w);
	for (unsigned i = 0; i < STEPS && in.at < in.end; i++)
		step(&w, &in);
	guest_settle(&w.guest);
	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned n = w.asked[i] + 1; w.client[i] >= 0 && n; n--) /* all that there is: one more than were asked for would be too many */
			receive(&w, i);
		if (w.client[i] >= 0)
			close(w.client[i]);
	}
	guest_settle(&w.guest);
	check_next(&w);
	control_fini(&w.control);
	close(w.status.fd);
	guest_fini(&w.guest);
	if (open_descriptors() != before)
		abort();
	return 0;
}
