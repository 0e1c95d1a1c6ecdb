/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines into the guest: sockets of whoever asks it for something (LV_CTL_AGENT), whose bytes the guest reads and writes by LV_HC_AGENT. The monitor
 * looks at none of them. All under the loop's lock.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/vm.h"

static void tell(struct vm *vm, uint32_t bits)
{
	__atomic_fetch_or(&vm->libos.shared->lines, bits, __ATOMIC_SEQ_CST);
	vm->libos.shared->resched = 1;
	vcpu_request(&vm->vcpu[0], VCPU_WAKE | VCPU_KICK);
}

static void close_line(struct libos_line *line)
{
	loop_update(&line->vm->loop, &line->watch, 0);
	close(line->watch.fd);
	*line = (struct libos_line){ 0 };
}

/* Once; it is watched again when the guest finds that it has to wait. One that goes before the guest has taken it leaves its place to others. */
static void on_ready(void *context, uint32_t events)
{
	struct libos_line *line = context;

	if (!line->taken) {
		close_line(line);
		return;
	}
	loop_update(&line->vm->loop, &line->watch, 0);
	tell(line->vm, 1u << line->number);
}

/* Of a stream of this host: nothing can be sent to who has closed it. The loop may hear of that in its next turn only. */
static bool is_gone(const struct libos_line *line)
{
	return !line->taken && send(line->watch.fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE;
}

static struct libos_line *free_line(struct vm *vm)
{
	for (unsigned i = 0; i < LV_AGENT_LINES; i++)
		if (!vm->libos.line[i].open)
			return &vm->libos.line[i];
	for (unsigned i = 0; i < LV_AGENT_LINES; i++)
		if (is_gone(&vm->libos.line[i])) {
			close_line(&vm->libos.line[i]);
			return &vm->libos.line[i];
		}
	return NULL;
}

int libos_line_take(struct vm *vm, int fd)
{
	struct libos_line *line = free_line(vm);

	if (!line)
		return -EBUSY;
	*line = (struct libos_line){ .vm = vm, .number = (unsigned)(line - vm->libos.line), .open = true,
		.watch = { .fd = fd, .ready = on_ready, .context = line } };
	int err = loop_update(&vm->loop, &line->watch, EPOLLHUP);
	if (err) {
		*line = (struct libos_line){ 0 };
		return err;
	}
	tell(vm, LV_LINE_COMES);
	return 0;
}

static int64_t next_line(struct vm *vm)
{
	for (unsigned i = 0; i < LV_AGENT_LINES; i++) {
		if (!vm->libos.line[i].open || vm->libos.line[i].taken)
			continue;
		vm->libos.line[i].taken = true;
		loop_update(&vm->loop, &vm->libos.line[i].watch, 0);
		return i;
	}
	return -EAGAIN;
}

static int64_t move(struct libos_line *line, bool out, void *data, size_t size)
{
	ssize_t n = out ? send(line->watch.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : recv(line->watch.fd, data, size, MSG_DONTWAIT);
	int err = n < 0 ? errno : 0;

	if (err != EAGAIN && err != EINTR)
		return err ? -err : n;
	err = loop_update(&line->vm->loop, &line->watch, line->watch.events | (out ? EPOLLOUT : EPOLLIN));
	return err ? err : -EAGAIN; /* nobody would say when */
}

static int64_t serve(struct vm *vm, uint64_t what, gpa_t gpa, uint64_t size)
{
	unsigned number = (unsigned)(what >> 8);
	struct libos_line *line = number < LV_AGENT_LINES ? &vm->libos.line[number] : NULL;

	if (what == LV_LINE_NEW)
		return next_line(vm);
	if (!line || !line->taken)
		return -EBADF;
	switch (what & 0xff) {
	case LV_LINE_READ:
	case LV_LINE_WRITE: {
		void *data = size && size <= LV_LINE_MOST ? mem_at(&vm->mem, gpa, size) : NULL;

		return data ? move(line, (what & 0xff) == LV_LINE_WRITE, data, size) : -EINVAL;
	}
	case LV_LINE_CLOSE:
		close_line(line);
		return 0;
	}
	return -EINVAL;
}

int64_t libos_line_call(struct vm *vm, uint64_t what, gpa_t gpa, uint64_t size)
{
	loop_lock(&vm->loop);
	int64_t result = serve(vm, what, gpa, size);
	loop_unlock(&vm->loop);
	return result;
}
