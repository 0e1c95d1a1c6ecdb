/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as users write them, and what wakes passt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/link.h"

static int parse_net(struct net_spec *spec, const char *net, const char *port, const char *ip, struct error *error)
{
	struct strings ports = { 0 };
	struct net_request request = { .net = net, .ip = ip, .ports = &ports, .id = "0123456789ab" };
	if (port)
		strings_add(&ports, port);
	int err = net_parse(spec, &request, error);
	strings_free(&ports);
	return err;
}

/* As JSON, which has every field. */
static void assert_spec(const char *net, const char *ip, const char *want)
{
	struct net_spec spec;
	struct error error = { 0 };
	assert_int_equal(parse_net(&spec, net, NULL, ip, &error), 0);
	json_t *json = net_to_json(&spec);
	char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, want);
	free(text);
	json_decref(json);
	net_free(&spec);
}

#define MAC "\"mac\":\"02:23:45:67:89:ab\","
#define NO_IP "\"ip\":null,\"netmask\":null,\"gateway\":null,\"dns\":null,\"ip6\":null,\"gateway6\":null,\"mtu\":0,\"ports\":[]}"

static void assert_refused(const char *net, const char *port, const char *ip, const char *message)
{
	struct net_spec spec;
	struct error error = { 0 };
	assert_true(parse_net(&spec, net, port, ip, &error) < 0);
	assert_string_equal(error.text, message);
	net_free(&spec);
}

/* With these addresses: as JSON reads, or the message. */
static void assert_ip6(const char *net, const char *ip6, const char *gateway6, const char *want)
{
	struct net_spec spec;
	struct error error = { 0 };
	struct net_request request = { .net = net, .ip6 = ip6, .gateway6 = gateway6, .id = "0123456789ab" };
	int err = net_parse(&spec, &request, &error);
	if (!err)
		err = net_validate(&spec, &error);
	if (err) {
		assert_string_equal(error.text, want);
	} else {
		json_t *json = net_to_json(&spec);
		assert_string_equal(json_string_value(json_object_get(json, "ip6")), want);
		if (gateway6)
			assert_string_equal(json_string_value(json_object_get(json, "gateway6")), gateway6);
		json_decref(json);
	}
	net_free(&spec);
}

static void ip6(void **state)
{
	assert_ip6("tap:lvm0", "fd00:0::2", NULL, "fd00::2");
	assert_ip6("bridge:br0", "2001:db8::5/64", "fe80::1", "2001:db8::5");
	assert_ip6("bridge:br0", "2001:db8::5/48", NULL, "--ip6: \"2001:db8::5/48\" is not an IPv6 address of one host, alone or with /64");
	assert_ip6("bridge:br0", "ff02::1", NULL, "--ip6: \"ff02::1\" is not an IPv6 address of one host, alone or with /64");
	assert_ip6("bridge:br0", "::1", NULL, "--ip6: \"::1\" is not an IPv6 address of one host, alone or with /64");
	assert_ip6("bridge:br0", "::ffff:10.0.0.1", NULL, "--ip6: \"::ffff:10.0.0.1\" is not an IPv6 address of one host, alone or with /64");
	assert_ip6("bridge:br0", "fe80::2", NULL, "--ip6: \"fe80::2\" is not an IPv6 address of one host, alone or with /64");
	assert_ip6("bridge:br0", "fd00::2", "10.0.0.1", "--gateway6: \"10.0.0.1\" is not an IPv6 address");
	assert_ip6("bridge:br0", "fd00::2", "ff02::2", "net.gateway6: not an address of one host");
	assert_ip6("none", NULL, "fe80::1", "--ip, --ip6, --gateway6 and --mac need a network: --net passt, tap:NAME or bridge:NAME");
	assert_ip6("bridge:br0", NULL, "fe80::1", "net.gateway6: without an ip6 (--gateway6 needs --ip6)");
	assert_ip6(NULL, "fd00::2", NULL, "net.ip6: only on a tap or bridge has a VM an address of IPv6 (--ip6 needs --net tap:NAME or bridge:NAME)");
}

static void networks(void **state)
{
	assert_spec("none", NULL, "{\"kind\":\"none\"}");
	assert_spec(NULL, NULL, "{\"kind\":\"passt\",\"host_loopback\":false,\"spoof\":false,\"name\":null,\"queues\":1," MAC "\"ip\":\"10.0.2.15\",\"netmask\":"
				"\"255.255.255.0\",\"gateway\":\"10.0.2.2\",\"dns\":\"10.0.2.3\",\"ip6\":null,\"gateway6\":null,\"mtu\":65520,\"ports\":[]}");
	assert_spec("tap:lvm0", NULL, "{\"kind\":\"tap\",\"host_loopback\":false,\"spoof\":false,\"name\":\"lvm0\",\"queues\":1," MAC NO_IP);
	assert_spec("bridge:br0", "10.1.2.3/16", "{\"kind\":\"bridge\",\"host_loopback\":false,\"spoof\":false,\"name\":\"br0\",\"queues\":1,\"mac\":\"02:4c:0a:01:02:03\","
			"\"ip\":\"10.1.2.3\",\"netmask\":\"255.255.0.0\",\"gateway\":null,\"dns\":null,\"ip6\":null,\"gateway6\":null,\"mtu\":0,\"ports\":[]}");
	assert_spec("tap:lvm0,queues=3", NULL, "{\"kind\":\"tap\",\"host_loopback\":false,\"spoof\":false,\"name\":\"lvm0\",\"queues\":3," MAC NO_IP);
	assert_spec("tap:lvm0,mtu=9000", NULL, "{\"kind\":\"tap\",\"host_loopback\":false,\"spoof\":false,\"name\":\"lvm0\",\"queues\":1," MAC
			"\"ip\":null,\"netmask\":null,\"gateway\":null,\"dns\":null,\"ip6\":null,\"gateway6\":null,\"mtu\":9000,\"ports\":[]}");
	assert_spec("tap:lvm0,queues=3,spoof=on", NULL, "{\"kind\":\"tap\",\"host_loopback\":false,\"spoof\":true,\"name\":\"lvm0\",\"queues\":3," MAC NO_IP);
	assert_refused("tap:lvm0,spoof=maybe", NULL, NULL, "--net tap:lvm0,spoof=maybe: \"spoof=maybe\" is none of queues=1 to queues=4, mtu=N and spoof=on");
	assert_refused("tap:lvm0,mtu=100", NULL, NULL, "--net tap:lvm0,mtu=100: \"mtu=100\" is not mtu=576 to mtu=65535");
	assert_refused("tap:lvm0,queues=5", NULL, NULL, "--net tap:lvm0,queues=5: \"queues=5\" is none of queues=1 to queues=4, mtu=N and spoof=on");
	assert_refused("tap:lvm0,queues=", NULL, NULL, "--net tap:lvm0,queues=: \"queues=\" is none of queues=1 to queues=4, mtu=N and spoof=on");
	assert_refused("tap:lvm0,speed=9", NULL, NULL, "--net tap:lvm0,speed=9: \"speed=9\" is none of queues=1 to queues=4, mtu=N and spoof=on");
	assert_refused("tap:", NULL, NULL, "--net tap:: \"\" is not an interface name of 1 to 15 characters");
	assert_refused("tap:0123456789abcdef", NULL, NULL, "--net tap:0123456789abcdef: \"0123456789abcdef\" is not an interface name of 1 to 15 characters");
	assert_refused("wifi", NULL, NULL, "--net wifi: none of none, passt[,host], tap:NAME, bridge:NAME");
	assert_refused("passt,hosts", NULL, NULL, "--net passt,hosts: \"hosts\" is not host");
	assert_refused("none", "80:80", NULL, "-p needs --net passt: with --net none the VM has an address of its own");
	assert_refused("none", NULL, "10.0.0.1", "--ip, --ip6, --gateway6 and --mac need a network: --net passt, tap:NAME or bridge:NAME");
	assert_refused("tap:x", NULL, "10.0.0", "--ip: \"10.0.0\" is not A.B.C.D/BITS");
}

static void ports(void **state)
{
	static const struct { const char *word; struct net_port port; } good[] = {
		{ "80", { 0, 80, 80, false } }, { "8080:80", { 0, 8080, 80, false } }, { "53:5353/udp", { 0, 53, 5353, true } },
		{ "127.0.0.1:1:65535/tcp", { 0x0100007f, 1, 65535, false } },
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct net_spec spec;
		assert_int_equal(parse_net(&spec, NULL, good[i].word, NULL, NULL), 0);
		assert_int_equal(spec.kind, NET_PASST);
		assert_int_equal(spec.port[0].host_ip, good[i].port.host_ip);
		assert_int_equal(spec.port[0].host, good[i].port.host);
		assert_int_equal(spec.port[0].guest, good[i].port.guest);
		assert_int_equal(spec.port[0].protocol, good[i].port.protocol);
		net_free(&spec);
	}
	assert_refused(NULL, "99999:80", NULL, "-p 99999:80: port 99999 is not between 1 and 65535");
	assert_refused(NULL, "0:80", NULL, "-p 0:80: port 0 is not between 1 and 65535");
	assert_refused(NULL, "x:80", NULL, "-p x:80: \"x\" is not a port number");
	assert_refused(NULL, ":80", NULL, "-p :80: not [IP:]HOST:GUEST[/tcp|/udp]");
	assert_refused(NULL, "1.2.3:80:80", NULL, "-p 1.2.3:80:80: \"1.2.3\" is not an IPv4 address");
	assert_refused(NULL, "80:80/sctp", NULL, "-p 80:80/sctp: \"/sctp\" is neither /tcp nor /udp");
}

/* For whom passt lets the gateway's address lead to the loopback, and the monitor has to hold back what is no answer. */
static void answers_of_ports(void **state)
{
	static const struct { const char *net, *port; bool answers; } cases[] = {
		{ NULL, NULL, false }, { NULL, "53:53", false }, { NULL, "127.0.0.1:53:53", false }, { NULL, "53:53/udp", true }, { NULL, "127.0.0.1:53:53/udp", true },
		{ NULL, "127.9.9.9:53:53/udp", true }, { NULL, "128.0.0.1:53:53/udp", false }, { NULL, "192.0.2.1:53:53/udp", false }, { "passt,host", "53:53/udp", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct net_spec spec;

		assert_int_equal(parse_net(&spec, cases[i].net, cases[i].port, NULL, NULL), 0);
		assert_int_equal(net_answers_loopback(&spec), cases[i].answers);
		spec.gateway = 0; /* which address passt takes then is not known */
		assert_false(net_answers_loopback(&spec));
		net_free(&spec);
	}
}

static void send_frame(int fd, const uint8_t *frame, size_t size)
{
	uint8_t head[4] = { 0, 0, (uint8_t)(size >> 8), (uint8_t)size };
	assert_int_equal(write(fd, head, 4), 4);
	assert_int_equal(write(fd, frame, size), size);
}

static void announcements_wake_nobody(void **state)
{
	uint8_t arp[42] = { [12] = 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, [28] = 10, 0, 2, 15, [38] = 10, 0, 2, 15 }, ipv6[60] = { [12] = 0x86, 0xdd };
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_false(link_has_traffic(pair[1]));
	send_frame(pair[0], arp, sizeof(arp));
	send_frame(pair[0], ipv6, sizeof(ipv6));
	assert_false(link_has_traffic(pair[1]));
	/* of an endless row of them so many a call: the caller has signals to see to */
	for (unsigned i = 0; i < 100; i++)
		send_frame(pair[0], arp, sizeof(arp));
	assert_false(link_has_traffic(pair[1]));
	assert_true(recv(pair[1], &(uint8_t){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
	for (unsigned i = 0; i < 4; i++)
		assert_false(link_has_traffic(pair[1]));
	assert_true(recv(pair[1], &(uint8_t){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
	arp[41] = 2; /* somebody else's address: a question that wants an answer */
	send_frame(pair[0], ipv6, sizeof(ipv6));
	send_frame(pair[0], arp, sizeof(arp));
	assert_true(link_has_traffic(pair[1]));
	/* and it is still there for passt, from its length on */
	uint8_t bytes[64];
	assert_int_equal(read(pair[1], bytes, sizeof(bytes)), 4 + sizeof(arp));
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks), cmocka_unit_test(ip6), cmocka_unit_test(ports), cmocka_unit_test(answers_of_ports), cmocka_unit_test(announcements_wake_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
