/* SPDX-License-Identifier: Apache-2.0 */
#include "node/net_spec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"

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
	port->udp = slash && slash[1] == 'u';
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
	for (size_t i = 0; i < words->count; i++) {
		int err = parse_port(words->item[i], &spec->port[i], error);
		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (spec->port[j].host == spec->port[i].host && spec->port[j].udp == spec->port[i].udp &&
			    spec->port[j].host_ip == spec->port[i].host_ip)
				return error_set(error, -EINVAL, "-p %s: host port %u is given twice", words->item[i], spec->port[i].host);
		spec->ports++;
	}
	return 0;
}

/* NAME[,queues=N] */
static int parse_name(struct net_spec *spec, const char *word, const char *text, struct error *error)
{
	const char *comma = strchr(text, ',');
	spec->name = alloc_format("%.*s", comma ? (int)(comma - text) : (int)strlen(text), text);
	if (!comma)
		return 0;
	if (!text_starts(comma + 1, "queues=") || strlen(comma) != strlen(",queues=N"))
		return error_set(error, -EINVAL, "--net %s: \"%s\" is not queues=1 to queues=%d", word, comma + 1, NET_QUEUES);
	spec->queues = (unsigned)(comma[strlen(",queues=")] - '0');
	if (spec->queues < 1 || spec->queues > NET_QUEUES)
		return error_set(error, -EINVAL, "--net %s: \"%s\" is not queues=1 to queues=%d", word, comma + 1, NET_QUEUES);
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

int net_parse(struct net_spec *spec, const struct net_request *request, struct error *error)
{
	*spec = (struct net_spec){ .mtu = 1500, .queues = 1 };
	mac_from_id(spec->mac, request->id);
	int err = parse_ports(spec, request->ports, error);
	if (!err)
		err = parse_kind(spec, request->net, error);
	if (!err && spec->kind == NET_PASST) {
		cidr_parse(PASST_IP, &spec->ip, &spec->mask);
		ip_parse(PASST_GATEWAY, &spec->gateway);
		ip_parse(PASST_DNS, &spec->dns);
		spec->mtu = PASST_MTU;
	}
	if (!err)
		err = parse_addresses(spec, request, error);
	if (!err && spec->ports && spec->kind != NET_PASST)
		err = error_set(error, -EINVAL, "-p needs --net passt: with --net %s the VM has an address of its own", request->net);
	if (!err && spec->kind == NET_NONE && (request->ip || request->mac))
		err = error_set(error, -EINVAL, "--ip and --mac need a network: --net passt, tap:NAME or bridge:NAME");
	return err;
}

void net_free(struct net_spec *spec)
{
	free(spec->port);
	free(spec->name);
	*spec = (struct net_spec){ 0 };
}

/* ---- as JSON ---- */

static void json_ip(json_t *object, const char *key, uint32_t ip)
{
	char word[INET_ADDRSTRLEN];
	if (ip)
		json_object_set_new(object, key, json_string(inet_ntop(AF_INET, &ip, word, sizeof(word))));
}

json_t *net_json(const struct net_spec *spec)
{
	static const char *const kinds[] = { "none", "passt", "tap", "bridge" };
	json_t *object = json_object(), *ports = json_array();
	json_object_set_new(object, "kind", json_string(kinds[spec->kind]));
	if (spec->kind == NET_NONE) {
		json_decref(ports);
		return object;
	}
	if (spec->kind == NET_PASST)
		json_object_set_new(object, "host_loopback", json_boolean(spec->host_loopback));
	if (spec->name)
		json_object_set_new(object, "name", json_string(spec->name));
	char *mac = alloc_format("%02x:%02x:%02x:%02x:%02x:%02x", spec->mac[0], spec->mac[1], spec->mac[2], spec->mac[3], spec->mac[4],
				 spec->mac[5]);
	json_object_set_new(object, "mac", json_string(mac));
	free(mac);
	json_ip(object, "ip", spec->ip);
	json_ip(object, "netmask", spec->ip ? spec->mask : 0);
	json_ip(object, "gateway", spec->gateway);
	json_ip(object, "dns", spec->dns);
	json_object_set_new(object, "mtu", json_integer(spec->mtu));
	for (size_t i = 0; i < spec->ports; i++) {
		json_t *port = json_object();
		json_ip(port, "host_ip", spec->port[i].host_ip);
		json_object_set_new(port, "host", json_integer(spec->port[i].host));
		json_object_set_new(port, "guest", json_integer(spec->port[i].guest));
		json_object_set_new(port, "protocol", json_string(spec->port[i].udp ? "udp" : "tcp"));
		json_array_append_new(ports, port);
	}
	json_object_set_new(object, "ports", ports);
	return object;
}
