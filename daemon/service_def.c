/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/service_def.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/json_rows.h"
#include "node/state.h"

#define MS_MAX 86400000u
#define VMS_MAX 10000

#define ROW(...) JSON_ROW(struct service_def, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("name", ROW_TEXT, name),
	ROW("address", ROW_IP, address),
	ROW("port", ROW_U16, port, .high = 65535),
	ROW("guest_port", ROW_U16, guest_port, .high = 65535),
	ROW("idle_ms", ROW_U32, idle_ms, .low = 1, .high = MS_MAX),
	ROW("wait_ms", ROW_U32, wait_ms, .low = 1, .high = MS_MAX),
	ROW("max", ROW_U32, max, .low = 1, .high = VMS_MAX),
	ROW("share", ROW_U32, share, .low = 1, .high = VMS_MAX),
	ROW("per_connection", ROW_BOOL, per_connection),
	{ 0 },
};
#undef ROW
static const char *const more[] = { "version", "vm", NULL };

/* What the service says of the VM itself. */
static int check_vm(const json_t *vm, struct error *error)
{
	static const char *const ours[] = { "name", "remove", "restart", "restart_most", "keeps_stdin", "terminal" };
	if (!json_is_object(vm))
		return error_set(error, -EINVAL, "vm: missing, or not an object: what is to run");
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (json_object_get(vm, ours[i]))
			return error_set(error, -EINVAL, "vm.%s: is not for a service's VM to say", ours[i]);
	return 0;
}

/* Everything that its tap needs; the rest of the wish is looked at when a VM is made of it. */
static int check_address(struct service_def *def, struct error *error)
{
	int err = net_from_json(&def->net, json_object_get(def->vm, "net"), "0", error);
	if (err)
		return err;
	if ((def->net.kind != NET_BRIDGE && def->net.kind != NET_TAP) || !def->net.ip)
		return error_set(error, -EINVAL, "port: missing: where the service listens; or vm.net: a tap or bridge, and an ip there, whose packets start the VM");
	if (def->guest_port || def->address)
		return error_set(error, -EINVAL, "%s: is for a service with a port; this one is all of its VM's address", def->guest_port ? "guest_port" : "address");
	if (def->per_connection || def->max != 1)
		return error_set(error, -EINVAL, "%s: an address has one VM", def->per_connection ? "per_connection" : "max");
	if (def->net.queues != 1)
		return error_set(error, -EINVAL, "vm.net.queues: %u: one that waits for packets has one queue", def->net.queues);
	return net_validate(&def->net, error);
}

static int check(struct service_def *def, const json_t *json, struct error *error)
{
	const json_t *version = json_object_get(json, "version");
	if (version && json_integer_value(version) != SERVICE_VERSION)
		return error_set(error, -EINVAL, "version: not %d, which is the one that is known", SERVICE_VERSION);
	if (!def->name || !vm_name_valid(def->name))
		return error_set(error, -EINVAL, "name: \"%.100s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", def->name ? def->name : "");
	if (!json_object_get(json, "max"))
		def->max = def->per_connection ? SERVICE_MAX_EACH : SERVICE_MAX;
	int err = check_vm(json_object_get(json, "vm"), error);
	if (!err && !(def->vm = json_deep_copy(json_object_get(json, "vm"))))
		err = error_set(error, -ENOMEM, "out of memory");
	if (err || !def->port)
		return err ? err : check_address(def, error);
	if (!def->guest_port)
		def->guest_port = def->port;
	return 0;
}

int service_def_read(struct service_def *def, const json_t *json, struct error *error)
{
	*def = (struct service_def){ .idle_ms = SERVICE_IDLE_MS, .wait_ms = SERVICE_WAIT_MS, .max = SERVICE_MAX, .share = SERVICE_SHARE };
	int err = rows_read(rows, more, def, json, "", error);
	return err ? err : check(def, json, error);
}

json_t *service_def_write(const struct service_def *def)
{
	json_t *json = rows_write(rows, def);
	if (json && (json_object_set_new(json, "version", json_integer(SERVICE_VERSION)) || json_object_set_new(json, "vm", json_deep_copy(def->vm)))) {
		json_decref(json);
		return NULL;
	}
	return json;
}

void service_def_free(struct service_def *def)
{
	free(def->name);
	json_decref(def->vm);
	net_free(&def->net);
	*def = (struct service_def){ 0 };
}
