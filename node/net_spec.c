/* SPDX-License-Identifier: Apache-2.0 */
#include "node/net_spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "abi/device_page.h"
#include "base/number.h"
#include "base/text.h"
#include "node/json_rows.h"

/* The addresses behind passt: the same for every VM, since nobody else sees them. */
#define PASST_IP "10.0.2.15/24"
#define PASST_GATEWAY "10.0.2.2"
#define PASST_DNS "10.0.2.3"
#define PASST_MTU 65520

/* ---- parsing ---- */

static int parse_port_number(const char *word, const char *digits, size_t len, uint16_t *out, struct error *error)
{
	char text[8];
	uint64_t number;
	if (!len || len >= sizeof(text))
		return error_set(error, -EINVAL, "-p %s: not [IP:]HOST:GUEST[/tcp|/udp]", word);
	memcpy(text, digits, len);
	text[len] = 0;
	if (number_parse(text, &number))
		return error_set(error, -EINVAL, "-p %s: \"%s\" is not a port number", word, text);
	if (number < 1 || number > 65535)
		return error_set(error, -ERANGE, "-p %s: port %s is not between 1 and 65535", word, text);
	*out = (uint16_t)number;
	return 0;
}

/* [IP:]HOST:GUEST[/udp], or PORT for PORT:PORT */
static int parse_port(const char *word, struct net_port *port, struct error *error)
{
	*port = (struct net_port){ 0 };
	const char *slash = strchr(word, '/'), *end = slash ? slash : word + strlen(word);
	if (slash && strcmp(slash, "/udp") && strcmp(slash, "/tcp"))
		return error_set(error, -EINVAL, "-p %s: \"%s\" is neither /tcp nor /udp", word, slash);
	port->protocol = slash && slash[1] == 'u' ? NET_UDP : NET_TCP;
	const char *last = memrchr(word, ':', (size_t)(end - word));
	const char *guest = last ? last + 1 : word;
	int err = parse_port_number(word, guest, (size_t)(end - guest), &port->guest, error);
	if (err || !last) {
		port->host = port->guest;
		return err;
	}
	const char *first = memrchr(word, ':', (size_t)(last - word)), *host = first ? first + 1 : word;
	if (first) {
		char *ip = alloc_format("%.*s", (int)(first - word), word);
		if (!ip)
			return error_set(error, -ENOMEM, "out of memory");
		err = ip_parse(ip, &port->host_ip) ? error_set(error, -EINVAL, "-p %s: \"%s\" is not an IPv4 address", word, ip) : 0;
		free(ip);
	}
	return err ? err : parse_port_number(word, host, (size_t)(last - host), &port->host, error);
}

static int parse_ports(struct net_spec *spec, const struct strings *words, struct error *error)
{
	if (!words || !words->count)
		return 0;
	spec->port = alloc_zero(words->count * sizeof(*spec->port));
	if (!spec->port)
		return error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < words->count; i++) {
		int err = parse_port(words->item[i], &spec->port[i], error);
		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (spec->port[j].host == spec->port[i].host && spec->port[j].protocol == spec->port[i].protocol &&
			    spec->port[j].host_ip == spec->port[i].host_ip)
				return error_set(error, -EINVAL, "-p %s: host port %u is given twice", words->item[i], spec->port[i].host);
		spec->ports++;
	}
	return 0;
}

static int parse_key(struct net_spec *spec, const char *word, const char *key, struct error *error)
{
	if (!strcmp(key, "spoof=on") || !strcmp(key, "spoof=off")) {
		spec->spoof = !strcmp(key, "spoof=on");
		return 0;
	}
	uint64_t mtu;
	if (text_starts(key, "mtu=")) {
		if (number_parse(key + strlen("mtu="), &mtu) || mtu < NET_MTU_MIN || mtu > UINT16_MAX)
			return error_set(error, -EINVAL, "--net %s: \"%s\" is not mtu=%d to mtu=%d", word, key, NET_MTU_MIN, UINT16_MAX);
		spec->mtu = (uint16_t)mtu;
		return 0;
	}
	unsigned queues = strlen(key) == strlen("queues=N") && text_starts(key, "queues=") ? (unsigned)(key[strlen("queues=")] - '0') : 0;
	if (queues < 1 || queues > NET_QUEUES)
		return error_set(error, -EINVAL, "--net %s: \"%s\" is none of queues=1 to queues=%d, mtu=N and spoof=on", word, key, NET_QUEUES);
	spec->queues = queues;
	return 0;
}

/* NAME[,queues=N][,mtu=N][,spoof=on] */
static int parse_name(struct net_spec *spec, const char *word, const char *text, struct error *error)
{
	const char *comma = strchr(text, ',');
	spec->name = alloc_format("%.*s", comma ? (int)(comma - text) : (int)strlen(text), text);
	if (!spec->name)
		return error_set(error, -ENOMEM, "out of memory");
	while (comma) {
		const char *key = comma + 1;
		comma = strchr(key, ',');
		char *copy = alloc_format("%.*s", comma ? (int)(comma - key) : (int)strlen(key), key);
		int err = copy ? parse_key(spec, word, copy, error) : error_set(error, -ENOMEM, "out of memory");
		free(copy);
		if (err)
			return err;
	}
	return 0;
}

static int parse_kind(struct net_spec *spec, const char *word, struct error *error)
{
	if (!word) {
		spec->kind = NET_PASST;
		return 0;
	}
	if (!strcmp(word, "none") || !strcmp(word, "passt") || !strcmp(word, "passt,host")) {
		spec->kind = word[0] == 'n' ? NET_NONE : NET_PASST;
		spec->host_loopback = !!strchr(word, ',');
		return 0;
	}
	if (text_starts(word, "passt,"))
		return error_set(error, -EINVAL, "--net %s: \"%s\" is not host", word, strchr(word, ',') + 1);
	spec->kind = text_starts(word, "bridge:") ? NET_BRIDGE : NET_TAP;
	if (!text_starts(word, "bridge:") && !text_starts(word, "tap:"))
		return error_set(error, -EINVAL, "--net %s: none of none, passt[,host], tap:NAME, bridge:NAME", word);
	int err = parse_name(spec, word, strchr(word, ':') + 1, error);
	if (err)
		return err;
	if (!*spec->name || strlen(spec->name) >= IFNAMSIZ || strchr(spec->name, '/'))
		return error_set(error, -EINVAL, "--net %s: \"%s\" is not an interface name of 1 to %d characters", word, spec->name, IFNAMSIZ - 1);
	return 0;
}

static int parse_addresses(struct net_spec *spec, const struct net_request *request, struct error *error)
{
	if (request->ip && cidr_parse(request->ip, &spec->ip, &spec->mask))
		return error_set(error, -EINVAL, "--ip: \"%s\" is not A.B.C.D/BITS", request->ip);
	if (request->gateway && ip_parse(request->gateway, &spec->gateway))
		return error_set(error, -EINVAL, "--gateway: \"%s\" is not an IPv4 address", request->gateway);
	if (request->ip6 && ip6_parse(request->ip6, spec->ip6))
		return error_set(error, -EINVAL, "--ip6: \"%s\" is not an IPv6 address of one host, alone or with /64", request->ip6);
	if (request->gateway6 && inet_pton(AF_INET6, request->gateway6, spec->gateway6) != 1)
		return error_set(error, -EINVAL, "--gateway6: \"%s\" is not an IPv6 address", request->gateway6);
	if (request->dns && ip_parse(request->dns, &spec->dns))
		return error_set(error, -EINVAL, "--dns: \"%s\" is not an IPv4 address", request->dns);
	if (request->mac && mac_parse(request->mac, spec->mac))
		return error_set(error, -EINVAL, "--mac: \"%s\" is not a MAC address of one host", request->mac);
	return 0;
}

/* Locally administered, and the same for the whole life of the VM. */
static void mac_from_id(uint8_t mac[6], const char *id)
{
	unsigned long long bits = strtoull(id, NULL, 16);
	mac[0] = 0x02;
	for (int i = 1; i < 6; i++)
		mac[i] = (uint8_t)(bits >> (8 * (5 - i)));
}

static void use_defaults(struct net_spec *spec, const char *id)
{
	*spec = (struct net_spec){ .queues = 1 };
	mac_from_id(spec->mac, id);
}

static void use_passt(struct net_spec *spec)
{
	cidr_parse(PASST_IP, &spec->ip, &spec->mask);
	ip_parse(PASST_GATEWAY, &spec->gateway);
	ip_parse(PASST_DNS, &spec->dns);
	spec->mtu = PASST_MTU;
}

/* Passt's networks are alone, and their VMs all have one address. */
static void use_mac_of_ip(struct net_spec *spec)
{
	if ((spec->kind == NET_TAP || spec->kind == NET_BRIDGE) && spec->ip)
		lv_mac_of_ip(spec->mac, spec->ip);
}

int net_parse(struct net_spec *spec, const struct net_request *request, struct error *error)
{
	use_defaults(spec, request->id);
	int err = parse_ports(spec, request->ports, error);
	if (!err)
		err = parse_kind(spec, request->net, error);
	if (!err && spec->kind == NET_PASST)
		use_passt(spec);
	if (!err)
		err = parse_addresses(spec, request, error);
	if (!err && spec->ports && spec->kind != NET_PASST)
		err = error_set(error, -EINVAL, "-p needs --net passt: with --net %s the VM has an address of its own", request->net);
	if (!err && spec->kind == NET_NONE && (request->ip || request->ip6 || request->gateway6 || request->mac))
		err = error_set(error, -EINVAL, "--ip, --ip6, --gateway6 and --mac need a network: --net passt, tap:NAME or bridge:NAME");
	if (!err && spec->kind == NET_NONE)
		net_free(spec);
	if (!err && !request->mac)
		use_mac_of_ip(spec);
	return err;
}

static bool is_alone(const struct net_spec *spec)
{
	return spec->kind == NET_PASST;
}

/* Addresses mean something in networks of one sort: a VM's own, behind passt, or one with others. */
static int change_kind(struct net_spec *spec, const struct net_request *request, struct error *error)
{
	struct net_spec next;
	use_defaults(&next, request->id);
	int err = parse_kind(&next, request->net, error);
	if (!err && is_alone(&next) && (spec->kind == NET_TAP || spec->kind == NET_BRIDGE))
		err = error_set(error, -EINVAL, "--net %s: its program goes on with a device that leaves checksums and segments to a tap or a bridge, which passt does not make; "
						"name another one: tap:NAME or bridge:NAME", request->net);
	if (!err && is_alone(&next))
		use_passt(&next);
	memcpy(next.mac, spec->mac, sizeof(next.mac));
	if (!err && is_alone(&next) == is_alone(spec)) {
		next.ip = spec->ip;
		next.mask = spec->mask;
		next.gateway = spec->gateway;
		next.dns = spec->dns;
		memcpy(next.ip6, spec->ip6, sizeof(next.ip6));
		memcpy(next.gateway6, spec->gateway6, sizeof(next.gateway6));
		next.port = spec->port;
		next.ports = spec->ports;
		spec->port = NULL;
	}
	if (err) {
		net_free(&next);
		return err;
	}
	net_free(spec);
	*spec = next;
	return 0;
}

bool net_answers_loopback(const struct net_spec *spec)
{
	if (spec->kind != NET_PASST || spec->host_loopback || !spec->gateway)
		return false;
	for (size_t i = 0; i < spec->ports; i++) {
		const struct net_port *port = &spec->port[i];
		if (port->protocol == NET_UDP && (!port->host_ip || ntohl(port->host_ip) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET))
			return true;
	}
	return false;
}

bool net_asked(const struct net_request *request)
{
	return request->net || request->ip || request->ip6 || request->gateway || request->gateway6 || request->dns || request->mac || (request->ports && request->ports->count);
}

int net_change(struct net_spec *spec, const struct net_request *request, struct error *error)
{
	int err = request->net ? change_kind(spec, request, error) : 0;
	if (!err && request->ports && request->ports->count) {
		free(spec->port);
		spec->port = NULL;
		spec->ports = 0;
		err = parse_ports(spec, request->ports, error);
	}
	if (!err)
		err = parse_addresses(spec, request, error);
	if (!err && spec->ports && spec->kind != NET_PASST)
		err = error_set(error, -EINVAL, "-p needs --net passt: in its network the VM has an address of its own");
	return err;
}

void net_renew(struct net_spec *spec, const char *id)
{
	if ((spec->kind == NET_TAP || spec->kind == NET_BRIDGE) && spec->ip)
		lv_mac_of_ip(spec->mac, spec->ip);
	else if (spec->kind != NET_NONE)
		mac_from_id(spec->mac, id);
}

void net_free(struct net_spec *spec)
{
	free(spec->port);
	free(spec->name);
	*spec = (struct net_spec){ 0 };
}

/* ---- as JSON ---- */

static const char *const kind_words[] = { "none", "passt", "tap", "bridge", NULL };
static const char *const protocol_words[] = { "tcp", "udp", NULL };
#define ROW(...) JSON_ROW(struct net_spec, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("kind", ROW_WORD, kind, .words = kind_words),
	ROW("host_loopback", ROW_BOOL, host_loopback),
	ROW("spoof", ROW_BOOL, spoof),
	ROW("name", ROW_TEXT, name),
	ROW("queues", ROW_U32, queues, .low = 1, .high = NET_QUEUES),
	ROW("mac", ROW_MAC, mac),
	ROW("ip", ROW_IP, ip),
	ROW("netmask", ROW_IP, mask),
	ROW("gateway", ROW_IP, gateway),
	ROW("dns", ROW_IP, dns),
	ROW("ip6", ROW_IP6, ip6),
	ROW("gateway6", ROW_IP6, gateway6),
	ROW("mtu", ROW_U16, mtu),
	{ 0 },
};
static const char *const more[] = { "ports", NULL };
#undef ROW
#define ROW(...) JSON_ROW(struct net_port, __VA_ARGS__)
static const struct json_row port_rows[] = {
	ROW("host_ip", ROW_IP, host_ip),
	ROW("host", ROW_U16, host, .low = 1),
	ROW("guest", ROW_U16, guest, .low = 1),
	ROW("protocol", ROW_WORD, protocol, .words = protocol_words),
	{ 0 },
};

json_t *net_to_json(const struct net_spec *spec)
{
	if (spec->kind == NET_NONE)
		return json_pack("{s:s}", "kind", kind_words[NET_NONE]);
	json_t *object = rows_write(rows, spec), *ports = json_array();
	for (size_t i = 0; i < spec->ports && ports; i++)
		if (json_array_append_new(ports, rows_write(port_rows, &spec->port[i]))) {
			json_decref(ports);
			ports = NULL;
		}
	if (!json_object_set_new(object, "ports", ports)) /* takes ports in any case */
		return object;
	json_decref(object);
	return NULL;
}

static int ports_from_json(struct net_spec *spec, const json_t *json, struct error *error)
{
	size_t count = json_array_size(json);
	if (json && !json_is_array(json))
		return error_set(error, -EINVAL, "net.ports: not a list");
	spec->port = count ? calloc(count, sizeof(*spec->port)) : NULL;
	if (count && !spec->port)
		return error_set(error, -ENOMEM, "out of memory");
	int err = 0;
	for (; spec->ports < count && !err; spec->ports++) {
		struct net_port *port = &spec->port[spec->ports];
		err = rows_read(port_rows, NULL, port, json_array_get(json, spec->ports), "net.ports", error);
		if (!err && !port->host)
			err = error_set(error, -EINVAL, "net.ports: a port without \"host\"");
		if (!port->guest)
			port->guest = port->host;
	}
	return err;
}

static bool is_set(const uint8_t ip6[16])
{
	static const uint8_t none[16];
	return memcmp(ip6, none, sizeof(none));
}

bool net_has_ip6(const struct net_spec *spec)
{
	return is_set(spec->ip6);
}

static int validate_ip6(const struct net_spec *spec, bool shared, struct error *error)
{
	if (!is_set(spec->ip6))
		return is_set(spec->gateway6) ? error_set(error, -EINVAL, "net.gateway6: without an ip6 (--gateway6 needs --ip6)") : 0;
	if (!shared)
		return error_set(error, -EINVAL, "net.ip6: only on a tap or bridge has a VM an address of IPv6 (--ip6 needs --net tap:NAME or bridge:NAME)");
	if (!ip6_is_host(spec->ip6))
		return error_set(error, -EINVAL, "net.ip6: not an address of one host");
	return spec->gateway6[0] == 0xff ? error_set(error, -EINVAL, "net.gateway6: not an address of one host") : 0;
}

int net_validate(const struct net_spec *spec, struct error *error)
{
	bool named = spec->kind == NET_TAP || spec->kind == NET_BRIDGE;
	if (spec->kind == NET_NONE)
		return 0;
	if (named && (!spec->name || !*spec->name || strlen(spec->name) >= IFNAMSIZ || strchr(spec->name, '/')))
		return error_set(error, -EINVAL, "net.name: \"%s\" is not an interface name of 1 to %d characters", spec->name ? spec->name : "", IFNAMSIZ - 1);
	if (spec->kind == NET_PASST && (spec->queues != 1 || !spec->ip))
		return error_set(error, -EINVAL, "net: passt has one queue and a fixed address");
	if (spec->mtu < NET_MTU_MIN && (spec->mtu || !named))
		return error_set(error, -EINVAL, "net.mtu: %u is not %d to %d%s", spec->mtu, NET_MTU_MIN, UINT16_MAX, named ? ", or 0: that of the tap or bridge" : "");
	if (spec->ports && spec->kind != NET_PASST)
		return error_set(error, -EINVAL, "net.ports: only passt forwards ports");
	int err = validate_ip6(spec, named, error);
	if (err)
		return err;
	uint32_t mask = ntohl(spec->mask);
	if (spec->ip && (!mask || (~mask & (~mask + 1))))
		return error_set(error, -EINVAL, "net.netmask: not a mask");
	return 0;
}

int net_from_json(struct net_spec *spec, const json_t *json, const char *id, struct error *error)
{
	*spec = (struct net_spec){ 0 };
	if (!json)
		return 0;
	use_defaults(spec, id);
	int err = rows_read(rows, more, spec, json, "net", error);
	if (!err && spec->kind == NET_NONE) {
		net_free(spec);
		return json_object_size(json) <= 1 ? 0 : error_set(error, -EINVAL, "net: a network of the kind \"none\" has nothing else");
	}
	if (!err && !json_object_get(json, "mac"))
		use_mac_of_ip(spec);
	if (!err && spec->kind == NET_PASST && !spec->ip)
		use_passt(spec);
	return err ? err : ports_from_json(spec, json_object_get(json, "ports"), error);
}
