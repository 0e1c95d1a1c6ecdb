/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor asks the agent in its own guest to end the program: who ends all processes of a machine sends SIGTERM to the monitor,
 * and nobody may be there any more who could run "lightvm stop". The request is written ahead; how it was taken is looked at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/agent.h"
#include "base/clock.h"
#include "vmm/dev/vsock.h"
#include "vmm/vm.h"

#define PATIENCE 5000000000ull /* ns, for the agent's OK; the program may take longer to end */

struct ask {
	struct lv_agent_frame hello;
	struct lv_agent_hello greeting;
	struct lv_agent_frame kill;
	int32_t number;
};

/* "OK port\n", HELLO with its body, and the answer's type: from an untrusted guest, but it is only its own end that it may put off. */
static bool was_taken(int fd)
{
	char text[128];
	struct lv_agent_frame frame;
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	size_t skip = end ? (size_t)(end + 1 - text) + sizeof(frame) + sizeof(struct lv_agent_hello) : 0;
	if (!end || skip + sizeof(frame) > (size_t)n)
		return false;
	memcpy(&frame, text + skip, sizeof(frame));
	return frame.type == LV_AGENT_OK;
}

static void patience_over(void *context)
{
	struct linux_guest *guest = context;
	if (!was_taken(guest->ask[0]))
		vcpu_end_all(guest->vm, SIGKILL);
}

void linux_ask_prepare(struct linux_guest *guest)
{
	guest->ask[0] = guest->ask[1] = -1;
	guest->ask_timer = (struct loop_timer){ .fire = patience_over, .context = guest };
	/* Without its ends, as without an agent, a signal ends the VM at once. */
	if (devices_find(&guest->vm->devices, LV_DEV_VSOCK) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, guest->ask) < 0)
		guest->ask[0] = guest->ask[1] = -1;
}

void linux_ask_end(struct linux_guest *guest, int number)
{
	const struct ask ask = { { LV_AGENT_HELLO, sizeof(ask.greeting) }, { LV_AGENT_MAGIC, LV_AGENT_VERSION }, { LV_AGENT_KILL, sizeof(ask.number) }, number };
	struct device *vsock = devices_find(&guest->vm->devices, LV_DEV_VSOCK);
	char line[64];
	int len = snprintf(line, sizeof(line), "CONNECT %d\n", LV_AGENT_PORT), theirs = guest->ask[1];
	guest->ask[1] = -1; /* the device takes it; a second signal does not wait */
	if (theirs < 0 || send(guest->ask[0], line, (size_t)len, MSG_NOSIGNAL) != len ||
	    send(guest->ask[0], &ask, sizeof(ask), MSG_NOSIGNAL) != sizeof(ask) || vsock_take_client(vsock, theirs) < 0) {
		vcpu_end_all(guest->vm, SIGKILL);
		return;
	}
	loop_timer_set(&guest->vm->loop, &guest->ask_timer, clock_now() + PATIENCE);
}
