/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm daemon page: lets a browser on this machine see what lightvmd knows, for as long as the command lives. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/all_verbs.h"
#include "node/daemon_client.h"

struct page_options {
	uint64_t port; /* 0: any */
};

static const struct option_spec options[] = {
	{ "port", 'p', OPTION_NUMBER, offsetof(struct page_options, port), "PORT", "on the loopback address (default: one that is free)", .low = 1, .high = 65535 },
	{ 0 },
};

static int listen_here(unsigned *port, struct error *error)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, -errno, "a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, SOMAXCONN) || getsockname(fd, (struct sockaddr *)&address, &size)) {
		int err = error_set(error, -errno, "127.0.0.1:%u: %s", *port, strerror(errno));
		close(fd);
		return err;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

/* The token comes back. Whoever holds the other end of the pipe keeps the page there. */
static int hand_over(int listener, int lease, struct text *token, struct error *error)
{
	const int send[] = { listener, lease };
	int fd = daemon_open();
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(error, fd, "the page is lightvmd's, and none runs: \"systemctl start lightvmd.socket\" or \"lightvmd\" starts it");
	if (fd < 0)
		return error_set(error, fd, "lightvmd's socket: %s", strerror(-fd));
	int err = daemon_call(fd, LV_DMN_PAGE, NULL, 0, send, 2, token, NULL, NULL, error);
	close(fd);
	return err;
}

static int show(unsigned port, const struct text *token, int lease, struct error *error)
{
	struct text out = { 0 };
	struct pollfd daemon = { .fd = lease };
	text_format(&out, "http://127.0.0.1:%u/#%s\n", port, token->data);
	int status = text_print(&out);
	if (status)
		return status;
	while (poll(&daemon, 1, -1) < 0 && errno == EINTR)
		;
	return error_set(error, -EPIPE, "lightvmd has ended, and with it its page");
}

static int page(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct page_options *given = opaque;
	unsigned port = (unsigned)given->port;
	struct text token = { 0 };
	int pair[2], listener = listen_here(&port, error);
	if (listener < 0)
		return listener;
	if (pipe2(pair, O_CLOEXEC)) {
		close(listener);
		return error_set(error, -errno, "a pipe: %s", strerror(errno));
	}
	int err = hand_over(listener, pair[0], &token, error);
	close(listener);
	close(pair[0]);
	if (!err)
		err = show(port, &token, pair[1], error);
	close(pair[1]);
	text_free(&token);
	return err;
}

const struct verb verb_daemon_page = {
	.name = "page",
	.summary = "Show in a browser what lightvmd knows, until this command ends",
	.text = "Prints an address for a browser on this machine: VMs with their states and boot ledgers, start latency over the number of VMs, pools and events, live. It is there until "
		"this command ends (Ctrl-C).\n\n"
		"The address holds a token that nobody else knows; whoever has it sees what you may see, and can change nothing. lightvmd itself never listens on a network.",
	.examples = "lightvm daemon page\nlightvm daemon page --port 8000",
	.options = options,
	.options_size = sizeof(struct page_options),
	.run = page,
};
