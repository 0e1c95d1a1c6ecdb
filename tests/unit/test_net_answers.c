/* SPDX-License-Identifier: Apache-2.0 */
/* What of a guest reaches the host's loopback where its gateway's address leads there: answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

#include "vmm/dev/net_answers.h"

#define GATEWAY "10.0.2.2"
#define GUEST "10.0.2.15"
#define SYN 2
#define ACK 16

struct packet {
	uint8_t bytes[NET_ANSWERS_BYTES];
};

static struct net_answers answers;
static uint64_t now;

static struct packet packet(const char *from, const char *to, uint8_t protocol, uint16_t source, uint16_t destination)
{
	const uint16_t ports[] = { htons(source), htons(destination) };
	const uint32_t ends[] = { inet_addr(from), inet_addr(to) };
	struct packet packet = { { [12] = 8, [14] = 0x45, [23] = protocol } };

	memcpy(packet.bytes + 26, ends, sizeof(ends));
	memcpy(packet.bytes + 34, ports, sizeof(ports));
	return packet;
}

static struct packet segment(uint16_t source, uint16_t destination, uint8_t flags)
{
	struct packet one = packet(GUEST, GATEWAY, IPPROTO_TCP, source, destination);

	one.bytes[47] = flags;
	return one;
}

static void hear(struct packet packet)
{
	net_answers_hear(&answers, packet.bytes, sizeof(packet.bytes), now);
}

static bool passes(struct packet packet)
{
	return net_answers_pass(&answers, packet.bytes, sizeof(packet.bytes), now);
}

static int begin(void **state)
{
	now = 0;
	return net_answers_init(&answers, inet_addr(GATEWAY));
}

static int end(void **state)
{
	net_answers_free(&answers);
	return 0;
}

static void test_datagrams(void **state)
{
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 4000)));
	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 4000, 53));
	assert_true(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 4000)));
	assert_true(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 1053, 4000))); /* TFTP, for one, answers from another port */
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 4001)));
	assert_false(passes(segment(53, 4000, SYN | ACK))); /* that is another port of this number */
	hear(packet("10.0.2.3", GUEST, IPPROTO_UDP, 53, 53));
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 53)));
}

static void test_time(void **state)
{
	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 65535, 53));
	now = NET_ANSWERS_NS;
	assert_true(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 65535)));
	now += 1000000000;
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 65535)));
	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 65535, 53));
	assert_true(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 65535)));
}

static void test_segments(void **state)
{
	assert_false(passes(segment(5000, 22, SYN)));
	assert_false(passes(segment(5000, 22, SYN | ACK)));
	assert_true(passes(segment(5000, 22, ACK))); /* begins nothing, whoever it is for */
	hear(packet(GATEWAY, GUEST, IPPROTO_TCP, 4000, 80));
	assert_true(passes(segment(80, 4000, SYN | ACK)));
	assert_false(passes(segment(80, 4000, SYN)));
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 80, 4000)));
}

/* What is no datagram or segment that can be read to its ports does not reach the loopback. */
static void test_others(void **state)
{
	struct packet one = packet(GUEST, GATEWAY, IPPROTO_UDP, 53, 4000);

	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 4000, 53));
	for (size_t len = 0; len < sizeof(one.bytes); len++)
		assert_int_equal(net_answers_pass(&answers, one.bytes, len, now), len < 34 || len >= 42);
	one.bytes[20] = 0x20; /* the first fragment of several */
	assert_false(passes(one));
	one.bytes[20] = 0, one.bytes[21] = 1; /* a later one */
	assert_false(passes(one));
	one.bytes[21] = 0, one.bytes[20] = 0x40; /* not to be cut into any */
	assert_true(passes(one));
	one.bytes[14] = 0x46; /* an option: the ports lie elsewhere */
	assert_false(passes(one));
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_ICMP, 53, 4000)));
	assert_true(passes(packet(GUEST, "10.0.2.3", IPPROTO_UDP, 53, 53)));
	assert_true(passes(packet(GUEST, "192.0.2.1", IPPROTO_ICMP, 0, 0)));
}

/* passt's own answers ask for nothing. */
static void test_dhcp(void **state)
{
	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 67, 68));
	assert_false(passes(packet(GUEST, GATEWAY, IPPROTO_UDP, 68, 67)));
}

static void test_off(void **state)
{
	net_answers_free(&answers);
	hear(packet(GATEWAY, GUEST, IPPROTO_UDP, 4000, 53));
	assert_true(passes(segment(5000, 22, SYN)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = { TEST(test_datagrams), TEST(test_time), TEST(test_segments), TEST(test_others), TEST(test_dhcp), TEST(test_off) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
