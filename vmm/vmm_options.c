/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-vmm's command line. Each option is one line of a table: its name, what it wants, its help, what it sets. */
#include "vmm/vmm_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/disk_claim.h"
#include "base/own_open.h"
#include "vmm/host/vsock_unix.h"
#include "base/error.h"
#include "base/log.h"
#include "base/number.h"

#define LEAST_MEMORY (4ull << 20)

struct option {
	const char *name, *value, *help; /* value NULL: a flag */
	int (*set)(struct machine_config *config, const char *option, const char *value);
};

/* ---- values ---- */

static int parse_number(const char *option, const char *value, uint64_t most, uint64_t *number)
{
	int err = number_parse(value, number);
	if (err == -EINVAL)
		return log_error("--%s: '%s' is not a number", option, value);
	if (err || *number > most)
		return log_error("--%s: %s is more than %llu", option, value, (unsigned long long)most);
	return 0;
}

static int parse_size(const char *option, const char *value, uint64_t *bytes)
{
	return size_parse(value, bytes) ? log_error("--%s: '%s' is not a size (examples: 64M, 1G, 33554432)", option, value) : 0;
}

/* A path, or fd:N for a descriptor that is open already. */
static int open_file(const char *option, const char *value, int flags, int *fd)
{
	uint64_t number;
	if (strncmp(value, "fd:", 3) == 0) {
		if (parse_number(option, value + 3, 1 << 20, &number) < 0)
			return -1;
		if (fcntl(number, F_GETFD) < 0)
			return log_error("--%s: descriptor %s is not open", option, value + 3);
		*fd = number;
		fcntl(*fd, F_SETFD, FD_CLOEXEC);
		return 0;
	}
	*fd = open(value, flags | O_CLOEXEC, 0644);
	return *fd < 0 ? log_error("--%s: %s: %s", option, value, strerror(errno)) : 0;
}

/* ---- options ---- */

static int set_libos(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDONLY, &c->libos_fd); }
static int set_image(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDONLY, &c->image_fd); }
static int set_kernel(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDONLY, &c->kernel_fd); }
static int set_initrd(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDONLY, &c->initrd_fd); }
static int set_append(struct machine_config *c, const char *o, const char *v) { c->append = v; return 0; }
static int set_kernel_kept(struct machine_config *c, const char *o, const char *v) { c->kernel_kept = true; return 0; }
static int set_serial(struct machine_config *c, const char *o, const char *v) { c->serial = true; return 0; }
static int set_tty(struct machine_config *c, const char *o, const char *v) { c->tty = true; return 0; }
static int set_control(struct machine_config *c, const char *o, const char *v)
{
	int fd, listens = 0;
	socklen_t size = sizeof(listens);
	if (open_file(o, v, O_RDWR, &fd) < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return log_error("--%s: %s: %s", o, v, strerror(errno));
	*(listens ? &c->control_fd : &c->configure_fd) = fd;
	return 0;
}

static int set_status(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDWR | O_CREAT, &c->status_fd); }
static int set_log(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDWR | O_CREAT, &c->log_fd); }
static int set_cpuid(struct machine_config *c, const char *o, const char *v) { return open_file(o, v, O_RDWR | O_CREAT, &c->cpuid_fd); }
static int set_program(struct machine_config *c, const char *o, const char *v) { c->program = v; return 0; }
static int set_cwd(struct machine_config *c, const char *o, const char *v) { c->cwd = v; return 0; }
static int set_hostname(struct machine_config *c, const char *o, const char *v) { c->hostname = v; return 0; }
static int set_name(struct machine_config *c, const char *o, const char *v) { c->name = v; return 0; }
static int set_detached(struct machine_config *c, const char *o, const char *v) { c->console.in = c->console.out = c->console.err = -1; return 0; }
static int set_probe(struct machine_config *c, const char *o, const char *v) { c->probe = true; return 0; }
static int set_image_ns(struct machine_config *c, const char *o, const char *v) { return parse_number(o, v, UINT64_MAX, &c->image_ns); }
static int set_start(struct machine_config *c, const char *o, const char *v) { return parse_number(o, v, UINT64_MAX, &c->start_ns); }

static int set_id(const char *option, const char *value, uint32_t *id)
{
	uint64_t number;
	int result = parse_number(option, value, UINT32_MAX - 1, &number);
	*id = number;
	return result;
}
static int set_uid(struct machine_config *c, const char *o, const char *v) { return set_id(o, v, &c->uid); }
static int set_gid(struct machine_config *c, const char *o, const char *v) { return set_id(o, v, &c->gid); }

static int set_memory(struct machine_config *c, const char *o, const char *v)
{
	if (parse_size(o, v, &c->memory) < 0)
		return -1;
	if (c->memory < LEAST_MEMORY || c->memory > LV_RAM_MAX)
		return log_error("--%s: %s is not between 4M and 64G", o, v);
	return 0;
}

static int set_image_room(struct machine_config *c, const char *o, const char *v)
{
	if (parse_size(o, v, &c->image_room) < 0)
		return -1;
	return c->image_room <= LV_IMAGE_MAX ? 0 : log_error("--%s: %s is more than an image can have", o, v);
}

static int set_cpus(struct machine_config *c, const char *o, const char *v)
{
	uint64_t number;
	if (parse_number(o, v, VM_MAX_CPUS, &number) < 0)
		return -1;
	c->cpus = number;
	return number ? 0 : log_error("--%s: a VM has at least one", o);
}

static int set_env(struct machine_config *c, const char *o, const char *v)
{
	if (!strchr(v, '='))
		return log_error("--env: '%s' is not of the form NAME=VALUE", v);
	if (c->envc == VM_ENV_MAX)
		return log_error("--env: more than %d variables", VM_ENV_MAX);
	c->env[c->envc++] = v;
	return 0;
}

static int set_jail(struct machine_config *c, const char *o, const char *v)
{
	c->jail_full = strcmp(v, "full") == 0;
	c->jail_basic = strcmp(v, "basic") == 0;
	c->jail_off = strcmp(v, "off") == 0;
	c->jail_log = strcmp(v, "log") == 0;
	if (!c->jail_full && !c->jail_basic && !c->jail_off && !c->jail_log && strcmp(v, "best") != 0)
		return log_error("--jail: '%s' is none of best, full, basic, log, off", v);
	return 0;
}

static int set_number(const char *option, const char *value, uint32_t *out)
{
	uint64_t number;
	int err = parse_number(option, value, UINT32_MAX - 1, &number);
	*out = err ? 0 : number;
	return err;
}

static int set_try_jail(struct machine_config *c, const char *o, const char *v)
{
	c->try_jail = true;
	return 0;
}

static int set_outer_pid(struct machine_config *c, const char *o, const char *v) { return set_number(o, v, &c->outer_pid); }
static int set_jail_uid(struct machine_config *c, const char *o, const char *v) { return set_number(o, v, &c->jail_uid); }

static struct device_config *new_device(struct machine_config *c, const char *option)
{
	if (c->device_count == sizeof(c->device) / sizeof(c->device[0])) {
		log_error("--%s: more than %u devices", option, c->device_count);
		return NULL;
	}
	return &c->device[c->device_count++];
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
	int result = parse_number("net mtu", value, 65535, &mtu);
	net->mtu = mtu;
	return result < 0 || mtu >= 576 ? result : log_error("--net: mtu=%s is less than 576", value);
}

/* A further queue of the tap. */
static int add_queue(struct device_config *device, const char *value)
{
	if (device->net.passt || device->net.more == NET_PAIRS_MAX - 1)
		return log_error("--net: %s: %s", value, device->net.passt ? "passt has one queue" : "a tap has at most 4 queues");
	return open_file("net", value, 0, &device->net.more_fd[device->net.more++]);
}

static int set_spoof(struct device_config *device, const char *value)
{
	device->net.spoof = strcmp(value, "on") == 0;
	return device->net.spoof || strcmp(value, "off") == 0 ? 0 : log_error("--net: spoof=%s is neither on nor off", value);
}

/* tap:fd:N[,fd:M...][,key=value...] or passt:fd:N[,...] */
static int set_net(struct machine_config *c, const char *option, const char *value)
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
	if (open_file("net", backend, 0, &device->net.fd) < 0)
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

static int claim_disks(struct machine_config *config, struct error *error)
{
	int err = 0;
	for (unsigned i = 0; i < config->device_count && !err; i++)
		if (config->device[i].type == LV_DEV_BLOCK && config->device[i].block.lock < 0)
			err = claim_disk(&config->device[i].block, error);
	return err;
}

/* FILE|fd:N[,ro][,serial=S] */
static int set_disk(struct machine_config *c, const char *option, const char *value)
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
	if (open_file("disk", file, device->block.read_only ? O_RDONLY : O_RDWR, &device->block.fd) < 0)
		return -1;
	return 0;
}

static int set_vsock_key(struct machine_config *c, struct device_config *device, const char *key)
{
	if (strncmp(key, "dir=", 4) == 0) {
		if (open_file("vsock", key + 4, O_DIRECTORY | O_RDONLY, &c->vsock_dir) < 0)
			return -1;
	} else if (strncmp(key, "cid=", 4) == 0) {
		if (parse_number("vsock", key + 4, UINT32_MAX - 1, &device->vsock.cid) < 0)
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
		return open_file("vsock", where, 0, &device->vsock.listener);
	if (open_file("vsock", where, O_DIRECTORY | O_RDONLY, &c->vsock_dir) < 0)
		return -1;
	device->vsock.listener = vsock_unix_listen(c->vsock_dir);
	if (device->vsock.listener == -EADDRINUSE)
		return log_error("--vsock: %s/vsock is there already; remove it if no VM uses it", where);
	return device->vsock.listener < 0 ? log_error("--vsock: %s/vsock: %s", where, strerror(-device->vsock.listener)) : 0;
}

static bool has_vsock(const struct machine_config *c)
{
	for (unsigned i = 0; i < c->device_count; i++)
		if (c->device[i].type == LV_DEV_VSOCK)
			return true;
	return false;
}

/* DIR|fd:N[,dir=DIR][,cid=N] */
static int set_vsock(struct machine_config *c, const char *option, const char *value)
{
	char text[4096], *save = NULL;
	if (has_vsock(c))
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

static const struct option options[] = {
	{"libos", "FILE", "the library OS", set_libos},
	{"image", "FILE", "the EROFS image with the program and its files; a Linux guest's first disk", set_image},
	{"kernel", "FILE", "a Linux kernel instead of the library OS: an ELF vmlinux with a PVH entry, or a bzImage", set_kernel},
	{"kernel-kept", NULL, "nobody writes to the kernel's file while the VM runs: its pages may be shared with other VMs", set_kernel_kept},
	{"initrd", "FILE", "its initial RAM disk", set_initrd},
	{"append", "TEXT", "its command line", set_append},
	{"cpus", "N", "number of vCPUs, 1 to 32 (Linux guests; default 1)", set_cpus},
	{"serial", NULL, "the guest's serial port is on descriptors 0 and 1, instead of the console (Linux guests)", set_serial},
	{"tty", NULL, "the console is a terminal (Linux guests)", set_tty},
	{"program", "PATH", "path of the program in the image (default: ARGV0)", set_program},
	{"mem", "SIZE", "the most memory the guest may use (default 256M)", set_memory},
	{"image-room", "SIZE", "with --libos and a connected --control: an image up to this size needs no memory slot of its own (default 8M)", set_image_room},
	{"cwd", "DIR", "working directory of the program", set_cwd},
	{"uid", "N", "user of the program", set_uid},
	{"gid", "N", "group of the program", set_gid},
	{"hostname", "NAME", "host name of the guest", set_hostname},
	{"env", "NAME=VALUE", "a variable of the program's environment; may be repeated", set_env},
	{"console-log", "FILE", "keep a copy of the output here", set_log},
	{"control", "fd:N", "SOCK_SEQPACKET socket: a listening one, for requests; or a connected one, over which the whole configuration comes by message", set_control},
	{"status", "FILE", "the status record is kept here", set_status},
	{"cpuid-cache", "FILE", "keep the answer of KVM_GET_SUPPORTED_CPUID here until the next boot (one per machine, private to the user)", set_cpuid},
	{"detach-console", NULL, "the console is not on descriptors 0, 1 and 2", set_detached},
	{"net", "tap:fd:N[,fd:N...]|passt:fd:N[,mac=,ip=,gw=,dns=,mtu=]", "a network device", set_net},
	{"disk", "FILE[,ro][,serial=S]", "a block device; may be repeated", set_disk},
	{"vsock", "DIR|fd:N[,dir=DIR][,cid=N]", "a vsock device: hosts connect to the socket DIR/vsock, the guest to DIR/vsock_PORT (Linux guests)", set_vsock},
	{"start-ns", "NS", "CLOCK_MONOTONIC when the command started, for the boot ledger", set_start},
	{"image-ns", "NS", "CLOCK_MONOTONIC when the image was there, for the boot ledger", set_image_ns},
	{"name", "NAME", "name of the VM in messages", set_name},
	{"jail", "best|full|basic|log|off", "which rights are dropped (default best: full where the machine allows it; full is basic with namespaces and an empty root; log is basic that notes forbidden calls in the kernel's log)", set_jail},
	{"jail-uid", "N", "the user and group that the monitor becomes (default: it stays who started it)", set_jail_uid},
	{"outer-pid", "N", "the monitor was started in mount, IPC, UTS and PID namespaces of its own, and outside its number is N", set_outer_pid},
	{"try-jail", NULL, "find out whether the full jail is possible on this machine, and exit", set_try_jail},
	{"probe", NULL, "find out which kind of KVM this machine has, print it, and exit", set_probe},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void print_help(void)
{
	printf("usage: lightvm-vmm --libos FILE --image FILE [OPTIONS] -- ARGV0 [ARG...]\n"
	       "       lightvm-vmm --kernel FILE [OPTIONS]\n"
	       "Runs one program as one virtual machine. FILE is a path, or fd:N for an open descriptor.\n\n");
	for (unsigned i = 0; i < OPTIONS; i++) {
		char left[80];
		snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].value ? options[i].value : "");
		printf("  %-28s %s\n", left, options[i].help);
	}
}

static const struct option *find_option(const char *name, size_t len)
{
	for (unsigned i = 0; i < OPTIONS; i++)
		if (strncmp(options[i].name, name, len) == 0 && options[i].name[len] == 0)
			return &options[i];
	return NULL;
}

/* One option at argv[*at]; moves on past it and its value. */
static int parse_option(struct machine_config *config, int argc, char **argv, int *at)
{
	const char *text = argv[(*at)++];
	if (strncmp(text, "--", 2) != 0)
		return log_error("'%s' is not an option; the program comes after --", text);
	const char *equals = strchr(text, '=');
	const struct option *option = find_option(text + 2, equals ? (size_t)(equals - text - 2) : strlen(text + 2));
	if (!option)
		return log_error("there is no option %s; --help lists them", text);
	const char *value = equals ? equals + 1 : NULL;
	if (option->value && !value) {
		if (*at >= argc)
			return log_error("%s wants a value: %s", text, option->value);
		value = argv[(*at)++];
	}
	if (!option->value && value)
		return log_error("--%s takes no value", option->name);
	return option->set(config, option->name, value);
}

/* What a Linux guest runs comes from its disks: our PID 1 is told by its initial RAM disk. */
static int check_linux(const struct machine_config *config, struct error *error)
{
	if (config->libos_fd >= 0)
		return error_set(error, -EINVAL, "--kernel is for Linux guests, --libos for the others: one of them");
	if (config->argc > 0 || config->program)
		return error_set(error, -EINVAL, "a Linux guest is told by its initial RAM disk which program to run");
	if (config->uid || config->gid || config->envc || strcmp(config->cwd, MACHINE_CWD) != 0 || strcmp(config->hostname, MACHINE_HOSTNAME) != 0)
		return error_set(error, -EINVAL, "--uid, --gid, --cwd, --env and --hostname are for the library OS (--libos): a Linux guest has them from its initial RAM disk");
	return 0;
}

int options_check(struct machine_config *config, struct error *error)
{
	if (config->memory < LEAST_MEMORY || config->memory > LV_RAM_MAX)
		return error_set(error, -EINVAL, "--mem: %llu is not between 4M and 64G", (unsigned long long)config->memory);
	int err = claim_disks(config, error);
	if (err)
		return err;
	if (config->kernel_fd >= 0)
		return check_linux(config, error);
	if (config->libos_fd < 0)
		return error_set(error, -EINVAL, "--libos is missing (or --kernel, for a Linux guest)");
	if (config->initrd_fd >= 0 || config->append[0] || config->cpus > 1 || config->serial || config->tty)
		return error_set(error, -EINVAL, "--initrd, --append, --cpus, --serial and --tty are for Linux guests (--kernel)");
	for (unsigned i = 0; i < config->device_count; i++)
		if (config->device[i].type == LV_DEV_NET && config->device[i].net.more)
			return error_set(error, -EINVAL, "--net: several queues are for Linux guests (--kernel)");
	if (has_vsock(config))
		return error_set(error, -EINVAL, "--vsock is for Linux guests (--kernel)");
	if (config->image_fd < 0)
		return error_set(error, -EINVAL, "--image is missing");
	if (config->argc == 0 && config->program) { /* then its own name is its only argument */
		config->argv[0] = (char *)config->program; /* where the list ended */
		config->argc = 1;
	}
	if (config->argc == 0)
		return error_set(error, -EINVAL, "no program: it comes after --");
	if (!config->program)
		config->program = config->argv[0];
	if (strlen(config->program) >= sizeof(((struct lv_device_page *)0)->program))
		return error_set(error, -EINVAL, "--program: '%.64s...' is too long", config->program);
	if (strlen(config->cwd) >= sizeof(((struct lv_device_page *)0)->cwd))
		return error_set(error, -EINVAL, "--cwd: '%.64s...' is too long", config->cwd);
	if (strlen(config->hostname) >= sizeof(((struct lv_device_page *)0)->hostname))
		return error_set(error, -EINVAL, "--hostname: '%.64s...' is longer than 63 characters", config->hostname);
	return 0;
}

static void own_stream(struct machine_config *config, int *fd, int access, unsigned bit)
{
	int own = *fd < 0 ? -1 : own_open(*fd, access);
	if (own < 0)
		return;
	*fd = own;
	config->console.own |= bit;
}

/* Nothing is opened any more once the library OS runs. */
static void own_console(struct machine_config *config)
{
	own_stream(config, &config->console.in, O_RDONLY, CONSOLE_IN);
	own_stream(config, &config->console.out, O_WRONLY, CONSOLE_OUT);
	own_stream(config, &config->console.err, O_WRONLY, CONSOLE_ERR);
}

int options_parse(struct machine_config *config, int argc, char **argv)
{
	machine_config_init(config);
	config->console.in = STDIN_FILENO;
	config->console.out = STDOUT_FILENO;
	config->console.err = STDERR_FILENO;
	int at = 1;
	while (at < argc && strcmp(argv[at], "--") != 0) {
		if (strcmp(argv[at], "--help") == 0) {
			print_help();
			exit(0);
		}
		if (parse_option(config, argc, argv, &at) < 0)
			return -1;
	}
	if (at < argc)
		at++;
	config->argv = argv + at;
	config->argc = argc - at;
	config->rng = config->balloon = config->kernel_fd >= 0;
	if (config->configure_fd >= 0) /* the message says where the console is */
		config->console.in = config->console.out = config->console.err = -1;
	if (config->probe || config->try_jail || config->configure_fd >= 0)
		return 0;
	own_console(config);
	struct error error = { 0 };
	return options_check(config, &error) ? log_error("%s", error.text) : 0;
}
