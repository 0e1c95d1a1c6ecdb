/* SPDX-License-Identifier: Apache-2.0 */
/* passt's stream with the test as passt: what is acknowledged in its place, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/host/passt.h"

#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16

struct fixture {
	struct passt passt;
	int peer;
};

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	passt_init(&f->passt, pair[0]);
	f->peer = pair[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->passt.fd);
	close(f->peer);
	free(f);
	return 0;
}

struct frame {
	uint8_t bytes[200];
	size_t len;
};

static void add(struct frame *frame, const void *bytes, size_t len)
{
	memcpy(frame->bytes + frame->len, bytes, len);
	frame->len += len;
}
#define ADD(frame, ...) add(frame, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* From the guest, 10.0.2.15:2525 at 02:..:01, to 192.168.0.9:40000 behind the gateway at 02:..:fe. scale -1: no such option. */
static struct frame segment4(uint8_t flags, int scale)
{
	struct frame frame = { .len = 0 };

	ADD(&frame, 2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 8, 0);
	ADD(&frame, 0x45, 0, 0, scale < 0 ? 40 : 48, 1, 2, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 192, 168, 0, 9);
	ADD(&frame, 2525 >> 8, 2525 & 255, 40000 >> 8, 40000 & 255, 0x01, 0xff, 0xff, 0xff, 0xfe, 0, 0, 7);
	ADD(&frame, (scale < 0 ? 5 : 7) << 4, flags, 0x10, 0, 0, 0, 0, 0);
	if (scale >= 0)
		ADD(&frame, 1, 1, 1, 3, 3, scale, 0, 0); /* three fillers, the scale, the end */
	return frame;
}

static struct frame segment6(uint8_t flags)
{
	struct frame frame = { .len = 0 };

	ADD(&frame, 2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, 0x86, 0xdd);
	ADD(&frame, 0x60, 0, 0, 0, 0, 20, 6, 64);
	ADD(&frame, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
	ADD(&frame, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd, 0, 9);
	ADD(&frame, 0, 22, 0x9c, 0x40, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5, 5 << 4, flags, 0x10, 0, 0, 0, 0, 0);
	return frame;
}

static void sends(struct fixture *f, const struct frame *frame)
{
	/* In parts of odd sizes, as a guest may. */
	struct iovec iov[] = { { (void *)frame->bytes, 0 }, { (void *)frame->bytes, 13 }, { (void *)(frame->bytes + 13), 24 },
			       { (void *)(frame->bytes + 37), frame->len - 37 } };
	uint8_t drain[256];

	assert_int_equal(passt_send(&f->passt, iov, 4, frame->len), 0);
	assert_int_equal(read(f->peer, drain, sizeof(drain)), frame->len + 4);
	assert_memory_equal(drain + 4, frame->bytes, frame->len);
}

static void peer_sends(struct fixture *f, const struct frame *frame)
{
	uint32_t prefix = htonl(frame->len);
	const uint8_t *got;

	assert_int_equal(write(f->peer, &prefix, 4), 4);
	assert_int_equal(write(f->peer, frame->bytes, frame->len), frame->len);
	assert_int_equal(passt_receive(&f->passt, &got), frame->len);
	assert_memory_equal(got, frame->bytes, frame->len);
}

static void nothing_comes(struct fixture *f)
{
	const uint8_t *frame;

	assert_false(passt_waiting(&f->passt));
	assert_int_equal(passt_receive(&f->passt, &frame), -EAGAIN);
}

/* As the receiver checks it: the sum over pseudo header and segment is all ones. */
static uint16_t sum(const uint8_t *bytes, size_t len, uint32_t start)
{
	for (size_t i = 0; i < len; i++)
		start += i % 2 ? bytes[i] : bytes[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static void test_v4(void **state)
{
	struct fixture *f = *state;
	struct frame sent = segment4(SYN | ACK, 7);
	const uint8_t expected_tcp[] = { 40000 >> 8, 40000 & 255, 2525 >> 8, 2525 & 255, 0xfe, 0, 0, 7, 0x02, 0, 0, 0, 0x50, ACK, 0, 128 };
	const uint8_t *got;

	sends(f, &sent);
	assert_true(passt_waiting(&f->passt));
	assert_int_equal(passt_receive(&f->passt, &got), 54);
	assert_memory_equal(got, sent.bytes + 6, 6);
	assert_memory_equal(got + 6, sent.bytes, 6);
	assert_memory_equal(got + 14 + 12, ((const uint8_t[]){ 192, 168, 0, 9, 10, 0, 2, 15 }), 8);
	assert_int_equal(got[17], 40);
	assert_int_equal(sum(got + 14, 20, 0), 0xffff);
	assert_memory_equal(got + 34, expected_tcp, sizeof(expected_tcp));
	assert_int_equal(sum(got + 26, 28, 6 + 20), 0xffff);
	nothing_comes(f);
}

/* The guest's number is the last one there is: what follows is 0. */
static void test_v6(void **state)
{
	struct fixture *f = *state;
	struct frame sent = segment6(SYN | ACK);
	const uint8_t expected_tcp[] = { 0x9c, 0x40, 0, 22, 0, 0, 0, 5, 0, 0, 0, 0, 0x50, ACK, 0x40, 0 };
	const uint8_t *got;

	sends(f, &sent);
	assert_int_equal(passt_receive(&f->passt, &got), 74);
	assert_int_equal(got[14], 0x60);
	assert_int_equal(got[19], 20);
	assert_int_equal(got[20], 6);
	assert_memory_equal(got + 14 + 8, sent.bytes + 14 + 24, 16);
	assert_memory_equal(got + 14 + 24, sent.bytes + 14 + 8, 16);
	assert_memory_equal(got + 54, expected_tcp, sizeof(expected_tcp));
	assert_int_equal(sum(got + 22, 52, 6 + 20), 0xffff);
	nothing_comes(f);
}

static unsigned window_of_answer(struct fixture *f, int guest_scale)
{
	struct frame sent = segment4(SYN | ACK, guest_scale);
	const uint8_t *got;

	sends(f, &sent);
	assert_int_equal(passt_receive(&f->passt, &got), 54);
	return got[48] << 8 | got[49];
}

/* The window is 16 KiB as the peer's own SYN scales it; not scaled at all where the guest did not agree. */
static void test_window(void **state)
{
	struct fixture *f = *state;
	struct frame syn = segment4(SYN, 3);

	peer_sends(f, &syn);
	assert_int_equal(window_of_answer(f, 7), 16384 >> 3);
	syn = segment4(SYN, 14);
	peer_sends(f, &syn);
	assert_int_equal(window_of_answer(f, 2), 1);
	syn = segment4(SYN, 99); /* RFC 7323: as 14 */
	peer_sends(f, &syn);
	assert_int_equal(window_of_answer(f, 2), 1);
	syn = segment4(SYN, -1);
	peer_sends(f, &syn);
	assert_int_equal(window_of_answer(f, 0), 16384);
	assert_int_equal(window_of_answer(f, -1), 16384);
}

/* The guest hears of it when passt has read its SYN,ACK, and not before: what follows must not come to passt in one read. */
static void test_held(void **state)
{
	struct fixture *f = *state;
	struct frame syn = segment4(SYN | ACK, 7), data = segment4(PSH | ACK, -1);
	struct iovec iov[] = { { syn.bytes, syn.len }, { data.bytes, data.len } };
	uint8_t drain[256];
	const uint8_t *got;

	assert_int_equal(passt_send(&f->passt, &iov[0], 1, syn.len), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(passt_ack_held(&f->passt));
		nothing_comes(f);
		peer_sends(f, &data); /* other frames come through */
		assert_int_equal(passt_send(&f->passt, &iov[1], 1, data.len), 0);
	}
	while (recv(f->peer, drain, sizeof(drain), MSG_DONTWAIT) > 0)
		;
	assert_false(passt_ack_held(&f->passt));
	assert_int_equal(passt_receive(&f->passt, &got), 54);
	nothing_comes(f);
}

static void test_not_answered(void **state)
{
	struct fixture *f = *state;
	static const uint8_t flags[] = { SYN, ACK, PSH | ACK, RST | ACK, SYN | ACK | RST, SYN | ACK | 1 };
	struct frame frame;

	for (unsigned i = 0; i < sizeof(flags); i++) {
		frame = segment4(flags[i], 7);
		sends(f, &frame);
		frame = segment6(flags[i]);
		sends(f, &frame);
	}
	frame = segment4(SYN | ACK, 7);
	frame.bytes[20] = 0x20; /* more fragments */
	sends(f, &frame);
	frame.bytes[20] = 0;
	frame.bytes[23] = 17; /* UDP */
	sends(f, &frame);
	frame = segment4(SYN | ACK, 7);
	frame.bytes[46] = 0xf0; /* options beyond the frame */
	sends(f, &frame);
	frame = segment4(SYN | ACK, -1);
	frame.bytes[14] = 0x4f; /* an IP header beyond it */
	sends(f, &frame);
	nothing_comes(f);
}

/* Every cut of a SYN,ACK: nothing is read beyond it. */
static void test_cut(void **state)
{
	struct fixture *f = *state;
	const uint8_t *got;
	int r;

	for (size_t len = 38; len < segment4(0, 7).len; len++) {
		struct frame frame = segment4(SYN | ACK, 7);

		frame.len = len;
		sends(f, &frame);
		r = passt_receive(&f->passt, &got);
		assert_true(r == -EAGAIN);
	}
}

/* More of them than have room are left out: the first come, whole, in order, and the stream goes on. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	struct frame frame;
	const uint8_t *got;

	for (unsigned i = 0; i < PASST_ACKS + 10; i++) {
		frame = segment4(SYN | ACK, 7);
		frame.bytes[37] = i; /* client's port */
		sends(f, &frame);
	}
	for (unsigned i = 0; i < PASST_ACKS; i++) {
		assert_int_equal(passt_receive(&f->passt, &got), 54);
		assert_int_equal(got[35], i);
	}
	nothing_comes(f);
	frame = segment4(PSH | ACK, -1);
	peer_sends(f, &frame);
}

/* The answer to a SYN of 192.168.0.9:40000, and what is not one: what belongs to the connection before does not come to passt. */
static struct frame guest_says(uint8_t flags, uint32_t number)
{
	struct frame frame = segment4(flags, -1);

	number = htonl(number);
	memcpy(frame.bytes + 42, &number, 4);
	return frame;
}

/* 192.168.0.9:40000 asks 10.0.2.15:2525, with the number 41. */
static struct frame peer_asks(void)
{
	struct frame frame = segment4(SYN, 7);
	static const uint8_t way[] = { 192, 168, 0, 9, 10, 0, 2, 15, 40000 >> 8, 40000 & 255, 2525 >> 8, 2525 & 255, 0, 0, 0, 41 };

	memcpy(frame.bytes + 26, way, sizeof(way));
	return frame;
}

static void is_dropped(struct fixture *f, struct frame frame)
{
	struct iovec iov[] = { { frame.bytes, 20 }, { frame.bytes + 20, frame.len - 20 } };
	uint8_t drain[4];

	assert_int_equal(passt_send(&f->passt, iov, 2, frame.len), 0);
	assert_int_equal(recv(f->peer, drain, sizeof(drain), MSG_DONTWAIT), -1);
}

static void test_stale(void **state)
{
	struct fixture *f = *state;
	struct frame frame = guest_says(ACK, 7);
	const uint8_t *got;

	sends(f, &frame); /* nobody has asked yet */
	frame = peer_asks();
	peer_sends(f, &frame);
	is_dropped(f, guest_says(RST | ACK, 7));
	is_dropped(f, guest_says(PSH, 41));
	is_dropped(f, guest_says(RST, 42));
	frame = guest_says(ACK, 7);
	frame.bytes[37]++; /* another client's */
	sends(f, &frame);
	frame = guest_says(ACK, 7);
	frame.bytes[33]++;
	sends(f, &frame);
	frame = guest_says(SYN | ACK, 42);
	sends(f, &frame);
	assert_int_equal(passt_receive(&f->passt, &got), 54); /* in passt's place */
	frame = guest_says(PSH | ACK, 7); /* TCP's own affair from here on */
	sends(f, &frame);
	is_dropped(f, guest_says(SYN | ACK, 42)); /* but for what was said already */

	frame = peer_asks();
	peer_sends(f, &frame);
	frame = guest_says(RST | ACK, 42); /* refused */
	sends(f, &frame);
	frame = guest_says(ACK, 7);
	sends(f, &frame);
}

/* What the guest acknowledges instead of a SYN is reset, and the SYN comes again: once. */
static void test_asked_again(void **state)
{
	struct fixture *f = *state;
	struct frame syn = peer_asks(), frame;
	const uint8_t *got, expected_tcp[] = { 40000 >> 8, 40000 & 255, 2525 >> 8, 2525 & 255, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, RST, 0, 0 };
	static const uint8_t other[] = { ACK, PSH | ACK, SYN | ACK };

	for (unsigned i = 0; i < sizeof(other); i++) {
		peer_sends(f, &syn);
		is_dropped(f, guest_says(other[i], 7));
		is_dropped(f, guest_says(other[i], 7));
		assert_int_equal(passt_receive(&f->passt, &got), 54);
		assert_memory_equal(got + 14 + 12, ((const uint8_t[]){ 192, 168, 0, 9, 10, 0, 2, 15 }), 8);
		assert_memory_equal(got + 34, expected_tcp, sizeof(expected_tcp));
		assert_int_equal(sum(got + 26, 28, 6 + 20), 0xffff);
		assert_int_equal(passt_receive(&f->passt, &got), syn.len);
		assert_memory_equal(got, syn.bytes, syn.len);
		nothing_comes(f);
	}
	frame = guest_says(SYN | ACK, 42);
	sends(f, &frame);
	assert_int_equal(passt_receive(&f->passt, &got), 54);
}

/* Nothing of a connection that passt has reset comes to passt, until one of the two asks again. */
static void test_reset(void **state)
{
	struct fixture *f = *state;
	struct frame syn = peer_asks(), reset = peer_asks(), frame;

	reset.bytes[47] = RST;
	peer_sends(f, &syn);
	peer_sends(f, &reset);
	is_dropped(f, guest_says(SYN | ACK, 42));
	is_dropped(f, guest_says(PSH | ACK, 42));
	is_dropped(f, guest_says(RST | ACK, 42));
	nothing_comes(f);
	frame = guest_says(SYN, 0);
	sends(f, &frame);
	frame = guest_says(ACK, 7);
	sends(f, &frame);
	peer_sends(f, &syn);
	frame = guest_says(RST | ACK, 42);
	sends(f, &frame);
}

/* Behind something of the connection before, which passt takes for an answer, the SYN,ACK comes only when passt has read that. */
static void test_waits(void **state)
{
	struct fixture *f = *state;
	struct frame syn = peer_asks(), last = guest_says(ACK, 7), answer = guest_says(SYN | ACK, 42);
	struct iovec iov[] = { { last.bytes, last.len }, { answer.bytes, answer.len } };
	uint8_t drain[256];
	const uint8_t *got;

	assert_int_equal(passt_send(&f->passt, &iov[0], 1, last.len), 0);
	peer_sends(f, &syn);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(passt_send(&f->passt, &iov[1], 1, answer.len), -EBUSY);
	assert_int_equal(read(f->peer, drain, sizeof(drain)), last.len + 4);
	sends(f, &answer);
	assert_int_equal(passt_receive(&f->passt, &got), 54);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_v4, setup, teardown),
		cmocka_unit_test_setup_teardown(test_v6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
