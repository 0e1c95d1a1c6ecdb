/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers each datagram on UDP port 53 with itself. "udp PORT" and "tcp PORT" have it try first to reach that port of who asks: by a datagram, by a
 * connection.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(53)}, peer;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	static char words[65536];

	if (bind(fd, (struct sockaddr *)&here, sizeof(here)))
		return 1;
	write(1, "answers\n", 8);
	for (ssize_t n; (n = recvfrom(fd, words, sizeof(words) - 1, 0, (struct sockaddr *)&peer, &(socklen_t){sizeof(peer)})) >= 0;) {
		struct sockaddr_in other = peer;

		words[n] = 0;
		other.sin_port = htons(n > 4 ? atoi(words + 4) : 0);
		if (!strncmp(words, "udp ", 4))
			sendto(fd, "leak", 4, 0, (struct sockaddr *)&other, sizeof(other));
		if (!strncmp(words, "tcp ", 4))
			connect(stream, (struct sockaddr *)&other, sizeof(other));
		sendto(fd, words, n, 0, (struct sockaddr *)&peer, sizeof(peer));
	}
	return 2;
}
