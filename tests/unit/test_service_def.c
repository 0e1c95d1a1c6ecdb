/* SPDX-License-Identifier: Apache-2.0 */
/* What a service is, from JSON: defaults, what is written reads back to the same, what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include "daemon/service_def.h"

#define BRIDGE "\"net\": {\"kind\": \"bridge\", \"name\": \"br0\", \"ip\": \"10.0.0.7\", \"netmask\": \"255.255.255.0\"}"

static int read_text(struct service_def *def, const char *text, struct error *error)
{
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	*error = (struct error){ 0 };
	int err = service_def_read(def, json, error);
	json_decref(json);
	return err;
}

static void defaults(void **state)
{
	struct service_def def;
	struct error error;
	assert_int_equal(read_text(&def, "{\"name\": \"web\", \"port\": 80, \"vm\": {}}", &error), 0);
	assert_string_equal(def.name, "web");
	assert_int_equal(def.address, 0);
	assert_int_equal(def.guest_port, 80);
	assert_int_equal(def.idle_ms, SERVICE_IDLE_MS);
	assert_int_equal(def.wait_ms, SERVICE_WAIT_MS);
	assert_int_equal(def.max, SERVICE_MAX);
	assert_int_equal(def.share, SERVICE_SHARE);
	assert_false(def.per_connection);
	service_def_free(&def);
	assert_int_equal(read_text(&def, "{\"name\": \"web\", \"port\": 80, \"per_connection\": true, \"vm\": {}}", &error), 0);
	assert_int_equal(def.max, SERVICE_MAX_EACH);
	service_def_free(&def);
}

/* Its MAC address is the one that its VMs will have. */
static void by_address(void **state)
{
	static const uint8_t of_ip[] = { 0x02, 0x4c, 10, 0, 0, 7 }, given[] = { 2, 0, 0, 0, 0, 9 };
	struct service_def def;
	struct error error;
	assert_int_equal(read_text(&def, "{\"name\": \"edge\", \"vm\": {" BRIDGE "}}", &error), 0);
	assert_int_equal(def.port, 0);
	assert_int_equal(def.guest_port, 0);
	assert_int_equal(def.max, 1);
	assert_int_equal(def.net.kind, NET_BRIDGE);
	assert_string_equal(def.net.name, "br0");
	assert_int_equal(def.net.ip, inet_addr("10.0.0.7"));
	assert_memory_equal(def.net.mac, of_ip, sizeof(of_ip));
	service_def_free(&def);
	assert_int_equal(read_text(&def, "{\"name\": \"edge\", \"vm\": {\"net\": {\"kind\": \"tap\", \"name\": \"t\", \"ip\": \"10.0.0.7\", "
					 "\"netmask\": \"255.0.0.0\", \"mac\": \"02:00:00:00:00:09\"}}}", &error), 0);
	assert_int_equal(def.net.kind, NET_TAP);
	assert_memory_equal(def.net.mac, given, sizeof(given));
	service_def_free(&def);
}

static void reads_back(void **state)
{
	static const char *const texts[] = {
		"{\"version\": 1, \"name\": \"a.b-c_d\", \"address\": \"127.0.0.1\", \"port\": 65535, \"guest_port\": 1, \"idle_ms\": 1, \"wait_ms\": 86400000, "
		"\"max\": 10000, \"share\": 7, \"vm\": {\"image\": \"/i\", \"args\": [\"x\"]}}",
		"{\"name\": \"f\", \"port\": 1, \"per_connection\": true, \"vm\": {}}",
		"{\"name\": \"edge\", \"vm\": {" BRIDGE "}}",
	};
	struct service_def def;
	struct error error;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(read_text(&def, texts[i], &error), 0);
		json_t *first = service_def_write(&def), *second;
		service_def_free(&def);
		assert_non_null(first);
		assert_int_equal(service_def_read(&def, first, &error), 0);
		second = service_def_write(&def);
		service_def_free(&def);
		assert_true(json_equal(first, second));
		json_decref(first);
		json_decref(second);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *says;
	} bad[] = {
		{ "[]", -EINVAL, "not an object" },
		{ "{}", -EINVAL, "name: \"\" is not 1 to 63" },
		{ "{\"name\": 1, \"port\": 80, \"vm\": {}}", -EINVAL, "name: not a text" },
		{ "{\"name\": \"a/b\", \"port\": 80, \"vm\": {}}", -EINVAL, "name: \"a/b\"" },
		{ "{\"name\": \"../x\", \"port\": 80, \"vm\": {}}", -EINVAL, "name: \"../x\"" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": {}, \"version\": 2}", -EINVAL, "version: not 1" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": {}, \"version\": \"1\"}", -EINVAL, "version: not 1" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": {}, \"prot\": 1}", -EINVAL, "prot: there is no such key" },
		{ "{\"name\": \"x\", \"port\": 65536, \"vm\": {}}", -ERANGE, "port: 65536 is not between" },
		{ "{\"name\": \"x\", \"port\": -1, \"vm\": {}}", -ERANGE, "port: -1 is not between" },
		{ "{\"name\": \"x\", \"port\": \"80\", \"vm\": {}}", -EINVAL, "port: not a whole number" },
		{ "{\"name\": \"x\", \"port\": 80.5, \"vm\": {}}", -EINVAL, "port: not a whole number" },
		{ "{\"name\": \"x\", \"port\": 80, \"address\": \"::1\", \"vm\": {}}", -EINVAL, "address: not an IPv4 address" },
		{ "{\"name\": \"x\", \"port\": 80, \"idle_ms\": 0, \"vm\": {}}", -ERANGE, "idle_ms: 0 is not between" },
		{ "{\"name\": \"x\", \"port\": 80, \"wait_ms\": 86400001, \"vm\": {}}", -ERANGE, "wait_ms: 86400001 is not between" },
		{ "{\"name\": \"x\", \"port\": 80, \"max\": 0, \"vm\": {}}", -ERANGE, "max: 0 is not between" },
		{ "{\"name\": \"x\", \"port\": 80, \"share\": 10001, \"vm\": {}}", -ERANGE, "share: 10001 is not between" },
		{ "{\"name\": \"x\", \"port\": 80, \"per_connection\": 1, \"vm\": {}}", -EINVAL, "per_connection: neither true nor false" },
		{ "{\"name\": \"x\", \"port\": 80}", -EINVAL, "vm: missing" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": []}", -EINVAL, "vm: missing, or not an object" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": {\"name\": \"y\"}}", -EINVAL, "vm.name: is not for" },
		{ "{\"name\": \"x\", \"port\": 80, \"vm\": {\"restart\": null}}", -EINVAL, "vm.restart: is not for" },
		{ "{\"name\": \"x\", \"vm\": {}}", -EINVAL, "port: missing: where the service listens; or vm.net" },
		{ "{\"name\": \"x\", \"vm\": {\"net\": {\"kind\": \"passt\"}}}", -EINVAL, "port: missing" },
		{ "{\"name\": \"x\", \"vm\": {\"net\": {\"kind\": \"bridge\", \"name\": \"br0\"}}}", -EINVAL, "port: missing" },
		{ "{\"name\": \"x\", \"vm\": {\"net\": []}}", -EINVAL, "net: not an object" },
		{ "{\"name\": \"x\", \"vm\": {\"net\": {\"kind\": \"bridge\", \"name\": \"br0\", \"ip\": \"10.0.0.7\"}}}", -EINVAL, "net.netmask: not a mask" },
		{ "{\"name\": \"x\", \"vm\": {\"net\": {\"kind\": \"bridge\", \"name\": \"abcdefghijklmnop\", \"ip\": \"10.0.0.7\", \"netmask\": \"255.0.0.0\"}}}", -EINVAL,
		  "net.name: \"abcdefghijklmnop\" is not an interface name" },
		{ "{\"name\": \"x\", \"max\": 2, \"vm\": {" BRIDGE "}}", -EINVAL, "max: an address has one VM" },
		{ "{\"name\": \"x\", \"per_connection\": true, \"vm\": {" BRIDGE "}}", -EINVAL, "per_connection: an address has one VM" },
		{ "{\"name\": \"x\", \"guest_port\": 80, \"vm\": {" BRIDGE "}}", -EINVAL, "guest_port: is for a service with a port" },
		{ "{\"name\": \"x\", \"address\": \"1.2.3.4\", \"vm\": {" BRIDGE "}}", -EINVAL, "address: is for a service with a port" },
	};
	struct service_def def;
	struct error error;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int err = read_text(&def, bad[i].text, &error);
		if (err != bad[i].err || !strstr(error.text, bad[i].says))
			fail_msg("%s: %d, \"%s\", not %d, \"%s\"", bad[i].text, err, error.text, bad[i].err, bad[i].says);
		service_def_free(&def);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(by_address),
		cmocka_unit_test(reads_back),
		cmocka_unit_test(refused),
	};
	return cmocka_run_group_tests_name("service_def", tests, NULL, NULL);
}
