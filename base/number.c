/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Reads leading digits; returns where they end, NULL on overflow. */
static const char *digits(const char *word, uint64_t *out)
{
	uint64_t value = 0;
	for (; *word >= '0' && *word <= '9'; word++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*word - '0'), &value))
			return NULL;
	*out = value;
	return word;
}

int number_parse(const char *word, uint64_t *out)
{
	uint64_t value;
	const char *end = digits(word, &value);
	if (!end)
		return -ERANGE;
	if (end == word || *end)
		return -EINVAL;
	*out = value;
	return 0;
}

int size_parse(const char *word, uint64_t *out)
{
	static const char suffix[] = "KMGT";
	uint64_t value;
	const char *end = digits(word, &value);
	if (!end)
		return -ERANGE;
	if (end == word)
		return -EINVAL;
	unsigned shift = 0;
	if (*end) {
		const char *at = strchr(suffix, *end & ~0x20);
		if (!at || !*at)
			return -EINVAL;
		shift = 10 * (unsigned)(at - suffix + 1);
		end++;
		if (*end && strcasecmp(end, "iB") && strcasecmp(end, "B"))
			return -EINVAL;
	}
	if (shift && value >> (64 - shift))
		return -ERANGE;
	*out = value << shift;
	return 0;
}

int duration_parse(const char *word, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { { "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 }, { "d", 86400000000000 } };
	uint64_t value;
	const char *end = digits(word, &value);
	if (!end)
		return -ERANGE;
	for (size_t i = 0; end > word && i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].name))
			return __builtin_mul_overflow(value, units[i].ns, &value) ? -ERANGE : (*ns = value, 0);
	return -EINVAL;
}

unsigned number_print(uint64_t number, char *out)
{
	char digit[20];
	unsigned n = 0, i = 0;
	do
		digit[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (i < n) {
		out[i] = digit[n - 1 - i];
		i++;
	}
	out[n] = 0;
	return n;
}

/* By hand, since lists of thousands are made of these: as "%.1f" of a fraction that a double has exactly, halves to the even digit. */
static uint64_t tenths(uint64_t bytes, uint64_t unit)
{
	uint64_t whole = bytes / unit * 10, rest = bytes % unit * 10, part = rest / unit, over = rest % unit * 2;
	return whole + part + (over > unit || (over == unit && part % 2));
}

char *size_print(uint64_t bytes, char *buffer, size_t room)
{
	static const char suffix[] = "KMGT";
	int i = -1;
	uint64_t unit = 1;
	while (i < 3 && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	char word[32];
	uint64_t parts = tenths(bytes, unit);
	unsigned n = number_print(bytes % unit ? parts / 10 : bytes / unit, word);
	if (bytes % unit) {
		word[n++] = '.';
		word[n++] = (char)('0' + parts % 10);
	}
	if (i >= 0)
		word[n++] = suffix[i];
	word[n] = 0;
	strncpy(buffer, word, room - 1)[room - 1] = 0;
	return buffer;
}

int ip_parse(const char *word, uint32_t *out)
{
	struct in_addr address;
	if (inet_pton(AF_INET, word, &address) != 1)
		return -EINVAL;
	*out = address.s_addr;
	return 0;
}

bool ip6_is_host(const uint8_t address[16])
{
	static const uint8_t reserved[10]; /* "::", "::1", and those of IPv4 */
	return memcmp(address, reserved, sizeof(reserved)) && address[0] != 0xff && !(address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

int ip6_parse(const char *word, uint8_t out[16])
{
	char head[INET6_ADDRSTRLEN];
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : strlen(word);
	if (len >= sizeof(head) || (slash && strcmp(slash, "/64")))
		return -EINVAL;
	memcpy(head, word, len);
	head[len] = 0;
	return inet_pton(AF_INET6, head, out) == 1 && ip6_is_host(out) ? 0 : -EINVAL;
}

int cidr_parse(const char *word, uint32_t *ip, uint32_t *mask)
{
	char head[16];
	uint64_t bits = 24;
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : strlen(word);
	if (len >= sizeof(head) || (slash && number_parse(slash + 1, &bits)))
		return -EINVAL;
	if (bits < 1 || bits > 32)
		return -ERANGE;
	memcpy(head, word, len);
	head[len] = 0;
	if (ip_parse(head, ip))
		return -EINVAL;
	*mask = htonl((uint32_t)(0xffffffffull << (32 - bits)));
	return 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int mac_parse(const char *word, uint8_t mac[6])
{
	uint8_t bytes[6];
	for (int i = 0; i < 6; i++, word += 3) {
		int high = nibble(word[0]), low = high < 0 ? -1 : nibble(word[1]);
		if (low < 0 || word[2] != (i < 5 ? ':' : 0))
			return -EINVAL;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (bytes[0] & 1)
		return -EINVAL;
	memcpy(mac, bytes, 6);
	return 0;
}

int signal_parse(const char *word, int *out)
{
	uint64_t number;
	if (!number_parse(word, &number)) {
		if (number < 1 || number > 31)
			return -ERANGE;
		*out = (int)number;
		return 0;
	}
	if (!strncasecmp(word, "SIG", 3))
		word += 3;
	for (int i = 1; i < 32; i++) {
		if (!strcasecmp(signal_name(i) + 3, word)) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *signal_name(int number)
{
	static const char *const names[] = { "signal", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS",
		"SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD",
		"SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF",
		"SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS" };
	return number > 0 && number < 32 ? names[number] : names[0];
}
