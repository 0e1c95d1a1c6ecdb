/* SPDX-License-Identifier: Apache-2.0 */
/* A server that speaks first, as those of SMTP, SSH or MySQL do: greets every client, waits for its line, says good-bye. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 2525

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), client;
	char line[100];

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1)) {
		perror("greeter");
		return 1;
	}
	puts("greeter listens");
	fflush(stdout);
	while ((client = accept(listener, NULL, NULL)) >= 0) {
		dprintf(client, "220 greeter\r\n");
		if (read(client, line, sizeof(line)) > 0)
			dprintf(client, "221 bye\r\n");
		close(client);
	}
	return 1;
}
