/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP server that sends back what it gets: echo PORT. One client after the other. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		return -1;
	return fd;
}

static void serve(int fd)
{
	char buffer[4096];
	ssize_t n;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, put; done < n; done += put)
			if ((put = write(fd, buffer + done, n - done)) < 0)
				return;
}

int main(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 0;
	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: echo PORT\n");
		return 2;
	}
	int server = listen_on(port);
	if (server < 0) {
		perror("echo: listen");
		return 1;
	}
	printf("listening on port %d\n", port);
	fflush(stdout);
	for (int fd; (fd = accept(server, NULL, NULL)) >= 0; close(fd))
		serve(fd);
	perror("echo: accept");
	return 1;
}
