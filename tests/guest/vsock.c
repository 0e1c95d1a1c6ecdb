/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of the vsock tests, run by a Linux guest. "vsock serve" listens on four ports: 1001 echoes, 1002 counts what
 * comes and answers with the number, 1003 sends as many bytes as the line it gets says, 1004 ends the program. "vsock call PORT
 * TEXT" connects to a port of the host, sends the text and prints the answer.
 */
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_PORT 1001
#define PORTS 4

static char buffer[65536];

static void put(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			exit(1);
		data += n;
		len -= n;
	}
}

static void echo(int fd)
{
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		put(fd, buffer, n);
}

static void count(int fd)
{
	unsigned long all = 0;
	char line[32];
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		all += n;
	put(fd, line, snprintf(line, sizeof(line), "%lu\n", all));
}

static void source(int fd)
{
	char line[32] = "";
	unsigned long left = read(fd, line, sizeof(line) - 1) > 0 ? strtoul(line, NULL, 10) : 0;

	for (size_t i = 0; i < sizeof(buffer); i++)
		buffer[i] = i % 251;
	while (left) {
		size_t n = left < sizeof(buffer) ? left : sizeof(buffer);

		put(fd, buffer, n);
		left -= n;
	}
}

static int listen_at(unsigned port)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
		perror("vsock: listen");
		exit(1);
	}
	return fd;
}

static void serve_client(unsigned which, int fd)
{
	static void (*const serve[])(int fd) = { echo, count, source };

	if (fork()) {
		close(fd);
		return;
	}
	serve[which](fd);
	exit(0);
}

static int serve(void)
{
	struct pollfd poll_fd[PORTS];

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < PORTS; i++)
		poll_fd[i] = (struct pollfd){ listen_at(FIRST_PORT + i), POLLIN, 0 };
	printf("vsock: serving\n");
	fflush(stdout);
	while (poll(poll_fd, PORTS, -1) > 0 && !poll_fd[PORTS - 1].revents)
		for (unsigned i = 0; i < PORTS - 1; i++)
			if (poll_fd[i].revents)
				serve_client(i, accept(poll_fd[i].fd, NULL, NULL));
	return 0;
}

static int call(unsigned port, const char *text)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
	ssize_t n;

	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		printf("vsock: port %u: %m\n", port);
		return 1;
	}
	put(fd, text, strlen(text));
	shutdown(fd, SHUT_WR);
	printf("vsock: port %u answers: ", port);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, n, stdout);
	printf("\n");
	return n < 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc == 4 && !strcmp(argv[1], "call"))
		return call(strtoul(argv[2], NULL, 10), argv[3]);
	fprintf(stderr, "usage: vsock serve | vsock call PORT TEXT\n");
	return 2;
}
