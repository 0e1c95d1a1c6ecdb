/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/dhcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/deadline.h"

#define COOKIE 0x63825363u
#define FIXED 240 /* bytes in front of the options, cookie included */
#define TRIES 3
#define WAIT_MS 1000 /* for each answer */

enum { OPTION_PAD = 0, OPTION_MASK = 1, OPTION_ROUTER = 3, OPTION_DNS = 6, OPTION_MTU = 26, OPTION_ADDRESS = 50, OPTION_LEASE = 51,
	OPTION_TYPE = 53, OPTION_SERVER = 54, OPTION_WANTED = 55, OPTION_END = 255 };

static uint8_t *put_option(uint8_t *at, uint8_t option, const void *data, uint8_t size)
{
	*at++ = option;
	*at++ = size;
	memcpy(at, data, size);
	return at + size;
}

size_t dhcp_build(uint8_t *buffer, int type, uint32_t transaction, const uint8_t mac[6], const struct dhcp_lease *lease)
{
	static const uint8_t wanted[] = { OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU };
	uint8_t kind = (uint8_t)type, *at = buffer + FIXED;
	uint32_t cookie = htonl(COOKIE);
	memset(buffer, 0, DHCP_MESSAGE);
	buffer[0] = 1; /* request */
	buffer[1] = 1; /* Ethernet */
	buffer[2] = 6;
	memcpy(buffer + 4, &transaction, 4);
	buffer[10] = 0x80; /* answer by broadcast: without an address a unicast would not reach us */
	memcpy(buffer + 28, mac, 6);
	memcpy(buffer + 236, &cookie, 4);
	at = put_option(at, OPTION_TYPE, &kind, 1);
	if (lease) {
		at = put_option(at, OPTION_ADDRESS, &lease->net.ip, 4);
		at = put_option(at, OPTION_SERVER, &lease->server, 4);
	}
	at = put_option(at, OPTION_WANTED, wanted, sizeof(wanted));
	*at++ = OPTION_END;
	/* Some servers drop what is shorter than a BOOTP message. */
	return at - buffer < 300 ? 300 : (size_t)(at - buffer);
}

static void take_option(uint8_t option, const uint8_t *data, size_t size, struct dhcp_lease *lease, int *type)
{
	uint32_t word = 0;
	if (size >= 4)
		memcpy(&word, data, 4);
	if (option == OPTION_TYPE && size == 1)
		*type = data[0];
	else if (option == OPTION_MASK && size == 4)
		lease->net.netmask = word;
	else if (option == OPTION_ROUTER && size >= 4)
		lease->net.gateway = word;
	else if (option == OPTION_DNS && size >= 4)
		lease->net.dns = word;
	else if (option == OPTION_MTU && size == 2)
		lease->net.mtu = (uint32_t)data[0] << 8 | data[1];
	else if (option == OPTION_LEASE && size == 4)
		lease->lease_s = ntohl(word);
	else if (option == OPTION_SERVER && size == 4)
		lease->server = word;
}

int dhcp_parse(const uint8_t *message, size_t size, uint32_t transaction, const uint8_t mac[6], struct dhcp_lease *lease)
{
	uint32_t cookie = htonl(COOKIE);
	int type = -EPROTO;
	*lease = (struct dhcp_lease){ 0 };
	if (size < FIXED || message[0] != 2 || memcmp(message + 236, &cookie, 4))
		return -EPROTO;
	if (memcmp(message + 4, &transaction, 4) || memcmp(message + 28, mac, 6))
		return -EAGAIN;
	memcpy(&lease->net.ip, message + 16, 4);
	for (size_t at = FIXED; at < size && message[at] != OPTION_END;) {
		if (message[at] == OPTION_PAD) {
			at++;
			continue;
		}
		if (size - at < 2 || size - at - 2 < message[at + 1])
			return -EPROTO;
		take_option(message[at], message + at + 2, message[at + 1], lease, &type);
		at += 2u + message[at + 1];
	}
	return type;
}

static int open_socket(const char *interface)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(68) };
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Sends and waits for an answer of the wanted type, or a refusal. The type, or a negative errno. */
static int exchange(int fd, int type, uint32_t transaction, const uint8_t mac[6], struct dhcp_lease *lease, int wait_ms)
{
	struct sockaddr_in all = { .sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST };
	uint8_t message[1500];
	size_t size = dhcp_build(message, type, transaction, mac, type == DHCP_REQUEST ? lease : NULL);
	if (sendto(fd, message, size, 0, (struct sockaddr *)&all, sizeof(all)) < 0)
		return -errno;
	uint64_t end = deadline_in(wait_ms);
	for (int left; (left = deadline_left(end)) > 0;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		struct dhcp_lease answer;
		if (poll(&wait, 1, left) <= 0)
			continue;
		ssize_t n = recv(fd, message, sizeof(message), 0);
		int got = n < 0 ? -errno : dhcp_parse(message, (size_t)n, transaction, mac, &answer);
		if (got == (type == DHCP_DISCOVER ? DHCP_OFFER : DHCP_ACK)) {
			*lease = answer;
			return got;
		}
		if (got == DHCP_NAK && type == DHCP_REQUEST)
			return got;
	}
	return -ETIMEDOUT;
}

int dhcp_ask(const char *interface, const uint8_t mac[6], struct dhcp_lease *lease)
{
	uint32_t transaction = 0;
	int fd = open_socket(interface), result = -ETIMEDOUT;
	if (fd < 0)
		return fd;
	if (getrandom(&transaction, sizeof(transaction), GRND_NONBLOCK) != sizeof(transaction))
		memcpy(&transaction, mac + 2, 4); /* so early there may be no randomness; the address is the VM's own */
	for (int i = 0; i < TRIES && result != DHCP_ACK; i++) {
		result = exchange(fd, DHCP_DISCOVER, transaction, mac, lease, WAIT_MS);
		if (result == DHCP_OFFER)
			result = exchange(fd, DHCP_REQUEST, transaction, mac, lease, WAIT_MS);
		if (result < 0 && result != -ETIMEDOUT)
			break;
	}
	close(fd);
	return result == DHCP_ACK ? 0 : result < 0 ? result : -ECONNREFUSED;
}
