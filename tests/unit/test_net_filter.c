/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest may send to a network that it shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "vmm/dev/net_filter.h"

struct frame {
	uint8_t bytes[NET_FILTER_BYTES];
	size_t len;
};

static struct net_filter filter = { .mac = { 2, 0, 0, 0, 0, 7 } };
static const uint8_t foreign[6] = { 2, 0, 0, 0, 0, 8 }, all[6] = { 255, 255, 255, 255, 255, 255 };

static void add(struct frame *frame, const void *bytes, size_t len)
{
	memcpy(frame->bytes + frame->len, bytes, len);
	frame->len += len;
}

static void add16(struct frame *frame, uint16_t value)
{
	add(frame, (uint8_t[]){ value >> 8, value }, 2);
}

/* tag 0: none */
static struct frame head(const uint8_t *to, const uint8_t *from, uint16_t tag, uint16_t type)
{
	struct frame frame = { .len = 0 };

	add(&frame, to, 6);
	add(&frame, from, 6);
	if (tag) {
		add16(&frame, tag);
		add16(&frame, 5);
	}
	add16(&frame, type);
	return frame;
}

static struct frame arp(const uint8_t *sender, const char *ip, uint16_t tag)
{
	struct frame frame = head(all, filter.mac, tag, 0x806);
	uint32_t address = inet_addr(ip);

	add(&frame, (uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, 2 }, 8);
	add(&frame, sender, 6);
	add(&frame, &address, 4);
	add(&frame, (uint8_t[10]){ 0 }, 10);
	return frame;
}

static struct frame packet(const char *ip, uint16_t tag)
{
	struct frame frame = head(foreign, filter.mac, tag, 0x800);
	uint32_t address = inet_addr(ip);

	add(&frame, (uint8_t[12]){ 0x45 }, 12);
	add(&frame, &address, 4);
	add(&frame, (uint8_t[4]){ 9, 9, 9, 9 }, 4);
	return frame;
}

static struct frame packet6(const char *from, uint8_t next, uint8_t hops, uint8_t type, const char *target, unsigned tag)
{
	struct frame frame = head(all, filter.mac, tag, 0x86dd);
	uint8_t address[16] = { 0xff, 2, [15] = 1 };
	struct { uint8_t start[6], next, hops, from[16], to[16], type, rest[7], target[16]; } packet = { .start = { 0x60 }, .next = next, .hops = hops, .type = type };

	memcpy(packet.to, address, sizeof(address));
	assert_int_equal(inet_pton(AF_INET6, from, packet.from), 1);
	assert_int_equal(inet_pton(AF_INET6, target, packet.target), 1);
	add(&frame, &packet, sizeof(packet));
	return frame;
}

static bool passes(struct frame frame)
{
	return net_filter_passes(&filter, frame.bytes, frame.len);
}

static void test_mac(void **state)
{
	filter.ip = 0;
	assert_true(passes(packet("1.2.3.4", 0)));
	assert_true(passes(arp(foreign, "1.2.3.4", 0)));
	assert_true(passes(head(all, filter.mac, 0, 0x86dd)));
	assert_false(passes(head(all, foreign, 0, 0x800)));
	struct frame cut = head(all, filter.mac, 0, 0x800);
	cut.len = 13;
	assert_false(passes(cut));
}

static void test_bridges(void **state)
{
	static const uint8_t tree[6] = { 1, 0x80, 0xc2, 0, 0, 0 }, other[6] = { 1, 0x80, 0xc2, 0, 0, 0x21 }, near[6] = { 1, 0, 0x5e, 0, 0, 1 };

	filter.ip = 0;
	assert_false(passes(head(tree, filter.mac, 0, 38)));
	assert_false(passes(head(other, filter.mac, 0, 38)));
	assert_true(passes(head(near, filter.mac, 0, 0x800)));
}

static void test_ip(void **state)
{
	filter.ip = inet_addr("10.0.0.7");
	assert_true(passes(packet("10.0.0.7", 0)));
	assert_false(passes(packet("10.0.0.8", 0)));
	assert_false(passes(packet("0.0.0.0", 0)));
	assert_false(passes(head(all, filter.mac, 0, 0x86dd))); /* nobody gave it an address of IPv6 */
	assert_false(passes(head(all, filter.mac, 0x8100, 0x86dd)));
	assert_true(passes(head(all, filter.mac, 0, 0x88b5))); /* neither IP nor what stands for it */
	struct frame cut = packet("10.0.0.7", 0);
	cut.len--;
	cut.len -= 4;
	assert_false(passes(cut));
}

static void test_arp(void **state)
{
	filter.ip = inet_addr("10.0.0.7");
	assert_true(passes(arp(filter.mac, "10.0.0.7", 0)));
	assert_true(passes(arp(filter.mac, "0.0.0.0", 0))); /* a probe */
	assert_false(passes(arp(filter.mac, "10.0.0.1", 0)));
	assert_false(passes(arp(foreign, "10.0.0.7", 0)));
	assert_false(passes(head(all, filter.mac, 0, 0x806))); /* without its rest */
	assert_false(passes(head(all, filter.mac, 0, 0x8035))); /* RARP */
	struct frame odd = arp(filter.mac, "10.0.0.7", 0);
	odd.bytes[18] = 8; /* other lengths: the addresses lie elsewhere */
	assert_false(passes(odd));
}

static void test_ip6(void **state)
{
	static const char own[] = "fd00::7", link[] = "fe80::ff:fe00:7";
	enum { TCP = 6, UDP = 17, HOPS = 0, FRAGMENT = 44, ICMP = 58 };

	filter.ip = inet_addr("10.0.0.7");
	assert_false(passes(packet6(own, TCP, 64, 0, own, 0)));
	filter.has_ip6 = true;
	assert_int_equal(inet_pton(AF_INET6, own, filter.ip6), 1);
	for (unsigned tag = 0; tag <= 0x8100; tag += 0x8100) {
		assert_true(passes(packet6(own, TCP, 64, 0, own, tag)));
		assert_true(passes(packet6(own, UDP, 255, 0, own, tag)));
		assert_true(passes(packet6(link, ICMP, 255, 135, "fd00::1", tag))); /* asks for a neighbour */
		assert_true(passes(packet6("::", ICMP, 255, 135, own, tag)));       /* is its own free? */
		assert_true(passes(packet6(own, ICMP, 255, 136, own, tag)));
		assert_true(passes(packet6(link, ICMP, 255, 136, link, tag)));
		assert_true(passes(packet6(own, FRAGMENT, 64, 0, own, tag)));
		assert_true(passes(packet6(link, HOPS, 1, 58, own, tag)));
		assert_false(passes(packet6("fd00::8", TCP, 64, 0, own, tag)));
		assert_false(passes(packet6("fe80::ff:fe00:8", UDP, 64, 0, own, tag)));
		assert_false(passes(packet6(own, ICMP, 255, 136, "fd00::1", tag)));  /* to be another */
		assert_false(passes(packet6(link, ICMP, 255, 134, own, tag)));       /* a router */
		assert_false(passes(packet6(link, ICMP, 255, 137, own, tag)));
		assert_false(passes(packet6(link, HOPS, 255, 58, own, tag)));        /* what hides behind another header */
		assert_false(passes(packet6(link, FRAGMENT, 255, 0, own, tag)));
	}
	struct frame cut = packet6(own, ICMP, 255, 136, own, 0);
	cut.len--;
	assert_false(passes(cut));
	cut.len = 14 + 39;
	assert_false(passes(cut));
	filter.has_ip6 = false;
}

/* On a network of its own a guest is who it likes, but reaches no service that tells programs of the host its keys. */
static void test_metadata(void **state)
{
	const struct net_filter alone = { .alone = true }, open = { .alone = true, .off = true };
	static const uint8_t amazon[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
	struct frame frame = packet("1.2.3.4", 0);
	uint8_t *to = frame.bytes + frame.len - 4;

	assert_true(net_filter_passes(&alone, frame.bytes, frame.len));
	memcpy(to, (uint8_t[]){ 169, 254, 169, 254 }, 4);
	assert_false(net_filter_passes(&alone, frame.bytes, frame.len));
	assert_true(net_filter_passes(&open, frame.bytes, frame.len));
	memcpy(to, (uint8_t[]){ 169, 253, 169, 254 }, 4);
	assert_true(net_filter_passes(&alone, frame.bytes, frame.len));
	frame = arp(foreign, "169.254.0.1", 0);
	assert_true(net_filter_passes(&alone, frame.bytes, frame.len));
	frame = head(all, foreign, 0, 0x86dd);
	add(&frame, (uint8_t[24]){ 0x60 }, 24);
	add(&frame, amazon, sizeof(amazon));
	assert_false(net_filter_passes(&alone, frame.bytes, frame.len));
	frame.bytes[frame.len - 1]++;
	assert_true(net_filter_passes(&alone, frame.bytes, frame.len));
	memcpy(frame.bytes + frame.len - 16, (uint8_t[]){ 0xfe, 0xbf }, 2);
	assert_false(net_filter_passes(&alone, frame.bytes, frame.len));
	frame.bytes[frame.len - 15] = 0xc0;
	assert_true(net_filter_passes(&alone, frame.bytes, frame.len));
}

/* A tag hides nothing. */
static void test_tags(void **state)
{
	static const uint16_t tags[] = { 0x8100, 0x88a8 };

	filter.ip = inet_addr("10.0.0.7");
	for (unsigned i = 0; i < 2; i++) {
		assert_true(passes(packet("10.0.0.7", tags[i])));
		assert_false(passes(packet("10.0.0.8", tags[i])));
		assert_true(passes(arp(filter.mac, "10.0.0.7", tags[i])));
		assert_false(passes(arp(filter.mac, "10.0.0.1", tags[i])));
	}
	struct frame frame = head(all, filter.mac, 0x8100, 0x8100);
	add16(&frame, 5);
	add16(&frame, 0x8100); /* a third one */
	add16(&frame, 5);
	add16(&frame, 0x86dd);
	assert_false(passes(frame));
	for (size_t len = 14; len < frame.len; len++)
		assert_false(net_filter_passes(&filter, frame.bytes, len));
}

static void test_off(void **state)
{
	const struct net_filter off = { .off = true };
	struct frame frame = head(all, foreign, 0, 0x800);

	assert_true(net_filter_passes(&off, frame.bytes, frame.len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac), cmocka_unit_test(test_bridges), cmocka_unit_test(test_ip), cmocka_unit_test(test_ip6), cmocka_unit_test(test_arp),
		cmocka_unit_test(test_tags), cmocka_unit_test(test_metadata), cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
