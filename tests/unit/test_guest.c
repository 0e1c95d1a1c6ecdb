/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in a Linux guest, tried as ordinary processes: configuration, DHCP messages, small parts. Sessions of the agent: test_agent.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "guest/config.h"
#include "guest/dhcp.h"
#include "guest/pump.h"
#include "tests/unit/guest_records.h"
#include "tinyx/cpio.h"

/* ---- configuration ---- */

static void whole_configuration(void **state)
{
	struct text bytes = { 0 };
	struct guest_config config;
	struct lv_guest_net net = { .ip = 1, .mtu = 1500 };
	const char *why;
	unsigned number;
	begin(&bytes);
	string(&bytes, LV_GUEST_PROGRAM, "/bin/x");
	string(&bytes, LV_GUEST_ARG, "x");
	string(&bytes, LV_GUEST_ARG, "");
	string(&bytes, LV_GUEST_ENV, "A=b=c");
	string(&bytes, LV_GUEST_CWD, "/tmp");
	record(&bytes, LV_GUEST_NET, &net, sizeof(net));
	assert_int_equal(config_parse(&config, bytes.data, bytes.size, &why, &number), 0);
	assert_string_equal(config.program, "/bin/x");
	assert_int_equal(config.argc, 2);
	assert_string_equal(config.argv[1], "");
	assert_null(config.argv[2]);
	assert_string_equal(env_get(config.env, "A"), "b=c");
	assert_null(env_get(config.env, "AA"));
	assert_string_equal(config.cwd, "/tmp");
	assert_true(config.has_net && config.net.mtu == 1500);
	config_free(&config);
	text_free(&bytes);
}

static void refuses(const struct text *bytes, size_t size, const char *reason)
{
	struct guest_config config;
	const char *why = "";
	unsigned number;
	assert_int_equal(config_parse(&config, bytes->data, size, &why, &number), -EINVAL);
	assert_string_equal(why, reason);
	config_free(&config);
}

static void damaged_configurations(void **state)
{
	struct text bytes = { 0 };
	begin(&bytes);
	refuses(&bytes, 3, "its size is impossible");
	refuses(&bytes, bytes.size, "it is cut short"); /* size still 0 */
	string(&bytes, LV_GUEST_ARG, "x");
	refuses(&bytes, bytes.size, "it names no program");
	string(&bytes, LV_GUEST_PROGRAM, "/p");
	refuses(&bytes, bytes.size - 4, "it is cut short");
	string(&bytes, LV_GUEST_PROGRAM, "/p");
	refuses(&bytes, bytes.size, "a record is there twice");
	text_free(&bytes);

	begin(&bytes);
	record(&bytes, LV_GUEST_PROGRAM, "ab", 2);
	refuses(&bytes, bytes.size, "a string does not end where its record ends");
	((struct lv_records *)bytes.data)->version = 9;
	refuses(&bytes, bytes.size, "it has another version");
	((struct lv_records *)bytes.data)->magic = 9;
	refuses(&bytes, bytes.size, "it does not begin like one");
	text_free(&bytes);

	begin(&bytes);
	record(&bytes, 77, "", 0);
	refuses(&bytes, bytes.size, "a record is of an unknown type");
	((struct lv_records *)bytes.data)->records = 2;
	((struct lv_record *)(bytes.data + 16))->type = LV_GUEST_NET;
	refuses(&bytes, bytes.size, "a record has the wrong size");
	((struct lv_record *)(bytes.data + 16))->size = 0xffffffff;
	refuses(&bytes, bytes.size, "a record is longer than the rest");
	((struct lv_records *)bytes.data)->records = 0xffffffff;
	refuses(&bytes, bytes.size, "it has too many records");
	text_free(&bytes);

	begin(&bytes);
	string(&bytes, LV_GUEST_PROGRAM, "p");
	string(&bytes, LV_GUEST_ARG, "p");
	string(&bytes, LV_GUEST_ENV, "=x");
	refuses(&bytes, bytes.size, "its environment has something that is not NAME=VALUE");
	text_free(&bytes);
}

/* ---- DHCP ---- */

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };

/* A server's answer out of the client's own message. */
static size_t answer(uint8_t *message, uint8_t type, const char *ip)
{
	uint32_t address = inet_addr(ip), mask = inet_addr("255.255.255.0"), gateway = inet_addr("10.9.8.1");
	dhcp_build(message, DHCP_DISCOVER, 0x12345678, mac, NULL);
	message[0] = 2;
	memcpy(message + 16, &address, 4);
	uint8_t *at = message + 240;
	*at++ = 0; /* padding */
	memcpy(at, (uint8_t[]){ 53, 1, type, 1, 4 }, 5);
	memcpy(at + 5, &mask, 4);
	memcpy(at + 9, (uint8_t[]){ 3, 4 }, 2);
	memcpy(at + 11, &gateway, 4);
	memcpy(at + 15, (uint8_t[]){ 51, 4, 0, 0, 14, 16, 255 }, 7);
	return 240 + 1 + 22;
}

static void dhcp_messages(void **state)
{
	uint8_t message[DHCP_MESSAGE];
	struct dhcp_lease lease;
	size_t size = answer(message, DHCP_OFFER, "10.9.8.7");
	assert_int_equal(dhcp_parse(message, size, 0x12345678, mac, &lease), DHCP_OFFER);
	assert_int_equal(lease.net.ip, inet_addr("10.9.8.7"));
	assert_int_equal(lease.net.gateway, inet_addr("10.9.8.1"));
	assert_int_equal(lease.lease_s, 3600);
	assert_int_equal(dhcp_parse(message, size, 0x12345679, mac, &lease), -EAGAIN);
	for (size_t cut = 0; cut < size; cut++)
		assert_true(dhcp_parse(message, cut, 0x12345678, mac, &lease) != DHCP_ACK);
	message[242] = 255; /* an option that is longer than the message */
	assert_int_equal(dhcp_parse(message, size, 0x12345678, mac, &lease), -EPROTO);
	assert_int_equal(dhcp_build(message, DHCP_DISCOVER, 1, mac, NULL), 300);
}

/* ---- small parts ---- */

static void pump_moves_and_ends(void **state)
{
	int in[2], out[2];
	struct pump pump;
	struct pollfd fds[2];
	char got[8];
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&pump, in[0], out[1]), 0);
	assert_int_equal(write(in[1], "abc", 3), 3);
	pump_poll(&pump, fds);
	assert_int_equal(poll(fds, 2, 1000), 1);
	pump_move(&pump, fds);
	assert_int_equal(read(out[0], got, sizeof(got)), 3);
	close(in[1]);
	pump_poll(&pump, fds);
	assert_int_equal(poll(fds, 2, 1000), 1);
	pump_move(&pump, fds);
	assert_int_equal(pump.from, -1);
	assert_int_equal(read(out[0], got, sizeof(got)), 0);
	close(out[0]);
}

static void archive(void **state)
{
	struct text out = { 0 };
	cpio_add(&out, "dev/console", S_IFCHR | 0600, 0x501, "", 0);
	cpio_add(&out, "x", S_IFREG | 0644, 0, "12345", 5);
	cpio_end(&out);
	assert_int_equal(out.size % 4, 0);
	assert_memory_equal(out.data, "0707010000000000002180", 22);
	assert_memory_equal(out.data + 78, "00000005" "00000001", 16); /* rdev */
	assert_string_equal(out.data + 110, "dev/console");
	assert_memory_equal(out.data + 124 + 112, "12345\0\0\0" "070701", 14);
	text_free(&out);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_configuration), cmocka_unit_test(damaged_configurations), cmocka_unit_test(dhcp_messages),
		cmocka_unit_test(pump_moves_and_ends), cmocka_unit_test(archive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
