/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/device_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/vm_records.h"
#include "base/disk_claim.h"
#include "base/log.h"
#include "base/number.h"
#include "vmm/host/vsock_unix.h"
#include "vmm/option_values.h"

static struct device_config *new_device(struct machine_config *c, const char *option)
{
	if (c->device_count == sizeof(c->device) / sizeof(c->device[0])) {
		log_error("--%s: more than %u devices", option, c->device_count);
		return NULL;
	}
	struct device_config *device = &c->device[c->device_count++];
	*device = (struct device_config){ 0 };
	return device;
}

static int parse_address(const char *key, const char *value, uint32_t *ip)
{
	return ip_parse(value, ip) ? log_error("--net: %s=%s is not an IPv4 address", key, value) : 0;
}

static int parse_network(const char *value, struct lv_net_config *net)
{
	return cidr_parse(value, &net->ip, &net->netmask) ? log_error("--net: ip=%s is not an IPv4 address, or one with /BITS", value) : 0;
}

static int set_net_key(struct lv_net_config *net, char *key)
{
	char *value = strchr(key, '=');
	uint64_t mtu;
	if (!value)
		return log_error("--net: '%s' is not of the form key=value", key);
	*value++ = 0;
	if (strcmp(key, "mac") == 0)
		return mac_parse(value, net->mac) ? log_error("--net: mac=%s is not a unicast MAC address", value) : 0;
	if (strcmp(key, "ip") == 0)
		return parse_network(value, net);
	if (strcmp(key, "gw") == 0)
		return parse_address(key, value, &net->gateway);
	if (strcmp(key, "dns") == 0)
		return parse_address(key, value, &net->dns);
	if (strcmp(key, "mtu") != 0)
		return log_error("--net: there is no key '%s' (mac, ip, gw, dns, mtu, spoof)", key);
	int result = option_number("net mtu", value, 65535, &mtu);
	net->mtu = mtu;
	return result < 0 || mtu >= 576 ? result : log_error("--net: mtu=%s is less than 576", value);
}

/* A further queue of the tap. */
static int add_queue(struct device_config *device, const char *value)
{
	if (device->net.passt || device->net.more == NET_PAIRS_MAX - 1)
		return log_error("--net: %s: %s", value, device->net.passt ? "passt has one queue" : "a tap has at most 4 queues");
	return option_file("net", value, 0, &device->net.more_fd[device->net.more++]);
}

static int set_spoof(struct device_config *device, const char *value)
{
	device->net.spoof = strcmp(value, "on") == 0;
	return device->net.spoof || strcmp(value, "off") == 0 ? 0 : log_error("--net: spoof=%s is neither on nor off", value);
}

/* tap:fd:N[,fd:M...][,key=value...] or passt:fd:N[,...] */
int option_set_net(struct machine_config *c, const char *option, const char *value)
{
	char text[256], *save = NULL;
	struct device_config *device = new_device(c, option);
	if (!device)
		return -1;
	if (strlen(value) >= sizeof(text))
		return log_error("--net: '%s' is too long", value);
	strcpy(text, value);
	char *backend = strtok_r(text, ",", &save);
	*device = (struct device_config){.type = LV_DEV_NET, .net = {.fd = -1, .config = {.mtu = 1500, .mac = {2, 'l', 'v', 0, 0, 1}}}};
	if (backend && strncmp(backend, "tap:", 4) == 0)
		backend += 4;
	else if (backend && strncmp(backend, "passt:", 6) == 0)
		device->net.passt = true, backend += 6;
	else
		return log_error("--net: '%s' is neither tap:fd:N nor passt:fd:N", value);
	if (strncmp(backend, "fd:", 3) != 0)
		return log_error("--net: '%s': the monitor takes an open descriptor, fd:N", value);
	if (option_file("net", backend, 0, &device->net.fd) < 0)
		return -1;
	for (char *key; (key = strtok_r(NULL, ",", &save));)
		if ((strncmp(key, "fd:", 3) == 0 ? add_queue(device, key) :
		     strncmp(key, "spoof=", 6) == 0 ? set_spoof(device, key + 6) : set_net_key(&device->net.config, key)) < 0)
			return -1;
	return 0;
}

/* The lock of a disk that has none yet. Its name, for messages, is what the descriptor leads to. */
static int claim_disk(struct device_block *block, struct error *error)
{
	char message[512], path[64], name[256];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", block->fd);
	ssize_t n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	int err = disk_claim(block->fd, n > 0 ? name : "the disk", block->read_only, &block->lock, message, sizeof(message));
	return err ? error_set(error, err, "--disk: %s", message) : 0;
}

int option_claim_disks(struct machine_config *config, struct error *error)
{
	int err = 0;
	for (unsigned i = 0; i < config->device_count && !err; i++)
		if (config->device[i].type == LV_DEV_BLOCK && config->device[i].block.lock < 0)
			err = claim_disk(&config->device[i].block, error);
	return err;
}

/* FILE|fd:N[,ro][,serial=S] */
int option_set_disk(struct machine_config *c, const char *option, const char *value)
{
	char text[4096], *save = NULL;
	struct device_config *device = new_device(c, option);
	if (!device)
		return -1;
	if (strlen(value) >= sizeof(text))
		return log_error("--disk: '%.64s...' is too long", value);
	strcpy(text, value);
	char *file = strtok_r(text, ",", &save);
	*device = (struct device_config){.type = LV_DEV_BLOCK, .block = {.fd = -1, .lock = -1}};
	for (char *key; (key = strtok_r(NULL, ",", &save));) {
		if (strcmp(key, "ro") == 0)
			device->block.read_only = true;
		else if (strncmp(key, "serial=", 7) == 0 && strlen(key + 7) <= sizeof(device->block.serial))
			memcpy(device->block.serial, key + 7, strlen(key + 7));
		else
			return log_error("--disk: '%s' is neither ro nor serial=S of at most 20 characters", key);
	}
	if (!file)
		return log_error("--disk: no file");
	if (option_file("disk", file, device->block.read_only ? O_RDONLY : O_RDWR, &device->block.fd) < 0)
		return -1;
	return 0;
}

static int set_vsock_key(struct machine_config *c, struct device_config *device, const char *key)
{
	if (strncmp(key, "dir=", 4) == 0) {
		if (option_file("vsock", key + 4, O_DIRECTORY | O_RDONLY, &c->vsock_dir) < 0)
			return -1;
	} else if (strncmp(key, "cid=", 4) == 0) {
		if (option_number("vsock", key + 4, UINT32_MAX - 1, &device->vsock.cid) < 0)
			return -1;
		if (device->vsock.cid < 3)
			return log_error("--vsock: cid=%s: 0, 1 and 2 are taken by convention", key + 4);
	} else {
		return log_error("--vsock: '%s' is neither dir=DIR nor cid=N", key);
	}
	return 0;
}

/* DIR, where the monitor makes the socket "vsock"; or fd:N, a listening socket, and the directory with those of the host. */
static int open_vsock(struct machine_config *c, struct device_config *device, const char *where)
{
	if (strncmp(where, "fd:", 3) == 0)
		return option_file("vsock", where, 0, &device->vsock.listener);
	if (option_file("vsock", where, O_DIRECTORY | O_RDONLY, &c->vsock_dir) < 0)
		return -1;
	device->vsock.listener = vsock_unix_listen(c->vsock_dir);
	if (device->vsock.listener == -EADDRINUSE)
		return log_error("--vsock: %s/vsock is there already; remove it if no VM uses it", where);
	return device->vsock.listener < 0 ? log_error("--vsock: %s/vsock: %s", where, strerror(-device->vsock.listener)) : 0;
}

bool option_has_vsock(const struct machine_config *c)
{
	for (unsigned i = 0; i < c->device_count; i++)
		if (c->device[i].type == LV_DEV_VSOCK)
			return true;
	return false;
}

/* DIR|fd:N[,dir=DIR][,cid=N] */
int option_set_vsock(struct machine_config *c, const char *option, const char *value)
{
	char text[4096], *save = NULL;
	if (option_has_vsock(c))
		return log_error("--vsock: a VM has one vsock device");
	struct device_config *device = new_device(c, option);
	if (!device)
		return -1;
	if (strlen(value) >= sizeof(text))
		return log_error("--vsock: '%.64s...' is too long", value);
	strcpy(text, value);
	char *where = strtok_r(text, ",", &save);
	*device = (struct device_config){.type = LV_DEV_VSOCK, .vsock = {.listener = -1, .cid = 3}};
	if (!where || open_vsock(c, device, where) < 0)
		return where ? -1 : log_error("--vsock: no directory");
	for (char *key; (key = strtok_r(NULL, ",", &save));)
		if (set_vsock_key(c, device, key) < 0)
			return -1;
	device->vsock.outgoing = c->vsock_dir >= 0;
	return 0;
}
