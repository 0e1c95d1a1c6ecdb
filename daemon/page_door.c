/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "daemon/page_door.h"

/* The name of another site may lead to the loopback address: what the browser took it for stands in the header. */
static bool names_us(const struct page *page, const char *host)
{
	static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
	char own[32];
	for (size_t i = 0; host && i < sizeof(names) / sizeof(*names); i++) {
		snprintf(own, sizeof(own), "%s:%u", names[i], page->port);
		if (!strcasecmp(host, own))
			return true;
	}
	return false;
}

/* Takes as long for each wrong token. */
static bool is_token(const char *token, const char *given)
{
	unsigned char differ = 0;
	if (strlen(given) != PAGE_TOKEN)
		return false;
	for (size_t i = 0; i < PAGE_TOKEN; i++)
		differ |= (unsigned char)(token[i] ^ given[i]);
	return !differ;
}

unsigned page_check(const struct page *page, const char *method, bool open, const char *host, const char *authorization, struct error *error)
{
	static const char bearer[] = "Bearer ";
	if (!names_us(page, host))
		return error_set(error, -EPERM, "Host: \"%.100s\" is not this page's", host ? host : ""), 403;
	if (strcmp(method, "GET"))
		return error_set(error, -EPERM, "%.20s: the page's address only shows", method), 403;
	if (open)
		return 0;
	if (!authorization || strncasecmp(authorization, bearer, sizeof(bearer) - 1) || !is_token(page->token, authorization + sizeof(bearer) - 1))
		return error_set(error, -EPERM, "Authorization: not the token that \"lightvm daemon page\" was told"), 401;
	return 0;
}

unsigned page_port(int fd, bool *loopback)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address = { 0 };
	socklen_t size = sizeof(address);
	*loopback = false;
	if (getsockname(fd, &address.any, &size))
		return 0;
	if (address.any.sa_family == AF_INET) {
		*loopback = ntohl(address.in.sin_addr.s_addr) >> 24 == 127;
		return ntohs(address.in.sin_port);
	}
	*loopback = address.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address.in6.sin6_addr);
	return *loopback ? ntohs(address.in6.sin6_port) : 0;
}

struct page *page_of(struct daemon *daemon, int fd)
{
	struct pages *pages = daemon_part_find(daemon, PAGE_PART);
	bool loopback;
	unsigned port = pages && pages->first ? page_port(fd, &loopback) : 0;
	struct page *page = port ? pages->first : NULL;
	while (page && page->port != port)
		page = page->next;
	return page;
}
