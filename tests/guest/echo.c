/* SPDX-License-Identifier: Apache-2.0 */
/* An edge-triggered echo server and 200 clients in one program, over loopback. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "check.h"

#define CLIENTS 200
#define ROUNDS 5

static struct sockaddr_in address = {.sin_family = AF_INET};
static int client[CLIENTS];

/* Echoes until nothing is left; false when the peer has closed. */
static bool echo(int fd)
{
	char block[4096];
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0)
		if (write(fd, block, (size_t)n) != n)
			return false;
	return n < 0 && errno == EAGAIN;
}

static void accept_all(int ep, int listener)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP};

	while ((e.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
}

static void *serve(void *argument)
{
	int listener = *(int *)argument, ep = epoll_create1(0), closed = 0;
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = listener}, events[64];

	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	while (closed < CLIENTS) {
		int n = epoll_wait(ep, events, 64, 20000);

		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener) {
				accept_all(ep, listener);
			} else if (!echo(events[i].data.fd)) {
				close(events[i].data.fd);
				closed++;
			}
		}
	}
	close(ep);
	return (void *)(long)closed;
}

static bool round_trip(int number, int round)
{
	char text[600], back[600];
	size_t len = (size_t)snprintf(text, sizeof(text), "client %d round %d %0*d", number, round, 100 + number * 2, 7), got = 0;

	if (write(client[number], text, len) != (ssize_t)len)
		return false;
	while (got < len) {
		ssize_t n = read(client[number], back + got, len - got);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return !memcmp(text, back, len);
}

static int talk(void)
{
	int good = 0;

	for (int i = 0; i < CLIENTS; i++) {
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
		good += !connect(client[i], (struct sockaddr *)&address, sizeof(address));
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < CLIENTS; i++)
			good += round_trip(i, round);
	for (int i = 0; i < CLIENTS; i++)
		close(client[i]);
	return good;
}

int main(void)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(address);
	pthread_t thread;
	void *closed;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(!bind(listener, (struct sockaddr *)&address, len) && !listen(listener, 128));
	CHECK(!getsockname(listener, (struct sockaddr *)&address, &len));
	pthread_create(&thread, NULL, serve, &listener);
	IS(talk(), CLIENTS * (1 + ROUNDS));
	pthread_join(thread, &closed);
	IS((long)closed, CLIENTS);
	return check_end();
}
