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
#include "abi/vm_records.h"
#include "base/own_open.h"
#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "vmm/device_options.h"
#include "vmm/option_values.h"

#define LEAST_MEMORY (4ull << 20)

struct option {
	const char *name, *value, *help; /* value NULL: a flag */
	int (*set)(struct machine_config *config, const char *option, const char *value);
};

/* ---- options ---- */

static int set_libos(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->libos_fd); }
static int set_image(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->image_fd); }
static int set_kernel(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->kernel_fd); }
static int set_initrd(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->initrd_fd); }
static int set_pages(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->pages_fd); }
static int set_ahead_image(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->ahead_image_fd); }
static int set_ahead_state(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->ahead_state_fd); }
static int set_ahead_memory(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDONLY, &c->ahead_memory_fd); }
static int set_prefault(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDWR | O_CREAT, &c->prefault_fd); }
static int set_prefault_always(struct machine_config *c, const char *o, const char *v) { c->prefault_always = true; return 0; }
static int set_append(struct machine_config *c, const char *o, const char *v) { c->append = v; return 0; }
static int set_kernel_kept(struct machine_config *c, const char *o, const char *v) { c->kernel_kept = true; return 0; }
static int set_serial(struct machine_config *c, const char *o, const char *v) { c->serial = true; return 0; }
static int set_tty(struct machine_config *c, const char *o, const char *v) { c->tty = true; return 0; }
static int set_control(struct machine_config *c, const char *o, const char *v)
{
	int fd, listens = 0;
	socklen_t size = sizeof(listens);
	if (option_file(o, v, O_RDWR, &fd) < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return log_error("--%s: %s: %s", o, v, strerror(errno));
	*(listens ? &c->control_fd : &c->configure_fd) = fd;
	return 0;
}

static int set_status(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDWR | O_CREAT, &c->status_fd); }
static int set_log(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDWR | O_CREAT, &c->log_fd); }
static int set_cpuid(struct machine_config *c, const char *o, const char *v) { return option_file(o, v, O_RDWR | O_CREAT, &c->cpuid_fd); }
static int set_program(struct machine_config *c, const char *o, const char *v) { c->program = v; return 0; }
static int set_cwd(struct machine_config *c, const char *o, const char *v) { c->cwd = v; return 0; }
static int set_hostname(struct machine_config *c, const char *o, const char *v) { c->hostname = v; return 0; }
static int set_name(struct machine_config *c, const char *o, const char *v) { c->name = v; return 0; }
static int set_detached(struct machine_config *c, const char *o, const char *v) { c->console.in = c->console.out = c->console.err = -1; return 0; }
static int set_probe(struct machine_config *c, const char *o, const char *v) { c->probe = true; return 0; }
static int set_image_ns(struct machine_config *c, const char *o, const char *v) { return option_number(o, v, UINT64_MAX, &c->image_ns); }
static int set_start(struct machine_config *c, const char *o, const char *v) { return option_number(o, v, UINT64_MAX, &c->start_ns); }

static int set_id(const char *option, const char *value, uint32_t *id)
{
	uint64_t number;
	int result = option_number(option, value, UINT32_MAX - 1, &number);
	*id = number;
	return result;
}
static int set_uid(struct machine_config *c, const char *o, const char *v) { return set_id(o, v, &c->uid); }
static int set_gid(struct machine_config *c, const char *o, const char *v) { return set_id(o, v, &c->gid); }

static int set_memory(struct machine_config *c, const char *o, const char *v)
{
	if (option_size(o, v, &c->memory) < 0)
		return -1;
	if (c->memory < LEAST_MEMORY || c->memory > LV_RAM_MAX)
		return log_error("--%s: %s is not between 4M and 64G", o, v);
	return 0;
}

static int set_image_room(struct machine_config *c, const char *o, const char *v)
{
	if (option_size(o, v, &c->image_room) < 0)
		return -1;
	return c->image_room <= LV_IMAGE_MAX ? 0 : log_error("--%s: %s is more than an image can have", o, v);
}

static int set_first_ram(struct machine_config *c, const char *o, const char *v)
{
	if (option_size(o, v, &c->first_ram) < 0)
		return -1;
	return c->first_ram >= LV_RAM_SMALL && c->first_ram <= LV_RAM_MAX ? 0 : log_error("--%s: %s is not between 6M and 64G", o, v);
}

static int set_cpus(struct machine_config *c, const char *o, const char *v)
{
	uint64_t number;
	if (option_number(o, v, VM_MAX_CPUS, &number) < 0)
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
	int err = option_number(option, value, UINT32_MAX - 1, &number);
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

static int set_below(struct machine_config *c, const char *path)
{
	if (c->below_count == LV_VM_BELOW_MAX)
		return log_error("--restore: more than %d of below=FILE", LV_VM_BELOW_MAX);
	c->below_fd[c->below_count] = -1;
	return option_file("--restore", path, O_RDONLY, &c->below_fd[c->below_count++]);
}

static int set_restore_word(struct machine_config *c, const char *word)
{
	static const struct { const char *word; uint32_t flag; } words[] = { { "advance", LV_RESTORE_ADVANCE }, { "clone", LV_RESTORE_CLONE },
		{ "reset-connections", LV_RESTORE_RESET_CONNECTIONS }, { "paused", LV_RESTORE_PAUSED } };
	if (strncmp(word, "below=", 6) == 0)
		return set_below(c, word + 6);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i].word) == 0)
			return c->restore |= words[i].flag, 0;
	return log_error("--restore: '%s' is none of advance, clone, reset-connections, paused, below=FILE", word);
}

/* STATE,MEMORY[,advance][,clone][,reset-connections][,paused][,below=FILE]... */
static int set_restore(struct machine_config *c, const char *option, const char *value)
{
	char text[4096], *save = NULL;
	if (strlen(value) >= sizeof(text))
		return log_error("--restore: '%.64s...' is too long", value);
	strcpy(text, value);
	const char *state = strtok_r(text, ",", &save), *memory = strtok_r(NULL, ",", &save);
	if (!memory)
		return log_error("--restore: '%s' names no two files: that with the state, and that with the memory", value);
	int err = option_file(option, state, O_RDONLY, &c->state_fd);
	if (!err)
		err = option_file(option, memory, O_RDONLY, &c->memory_fd);
	for (const char *word; !err && (word = strtok_r(NULL, ",", &save));)
		err = set_restore_word(c, word);
	return err;
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
	{"tty", NULL, "the console is a terminal of the guest's own", set_tty},
	{"program", "PATH", "path of the program in the image (default: ARGV0)", set_program},
	{"mem", "SIZE", "the most memory the guest may use (default 256M)", set_memory},
	{"image-room", "SIZE", "with --libos and a connected --control: an image up to this size needs no memory slot of its own (default 8M)", set_image_room},
	{"first-ram", "SIZE", "RAM up to this size needs no memory slot of its own (default 6M; the library OS)", set_first_ram},
	{"ahead-image", "FILE", "with --libos, a connected --control and the next two: the image of a saved VM, of which the configuration will ask for a clone, and nothing else", set_ahead_image},
	{"ahead-state", "FILE", "its state; --mem is the memory that the clone may have", set_ahead_state},
	{"ahead-memory", "FILE", "its memory, which is copied before the configuration comes", set_ahead_memory},
	{"prefault", "FILE", "keep here which pages a start of the image touches, or have them there before if the file says it (the library OS, page-table KVM)", set_prefault},
	{"prefault-always", NULL, "the same on hardware KVM", set_prefault_always},
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
	{"net", "tap:fd:N[,fd:N...]|passt:fd:N[,mac=,ip=,gw=,dns=,mtu=]", "a network device", option_set_net},
	{"disk", "FILE[,ro][,serial=S]", "a block device; may be repeated", option_set_disk},
	{"vsock", "DIR|fd:N[,dir=DIR][,cid=N]", "a vsock device: hosts connect to the socket DIR/vsock, the guest to DIR/vsock_PORT (Linux guests)", option_set_vsock},
	{"restore", "STATE,MEMORY[,advance][,clone][,reset-connections][,paused][,below=FILE]...", "a VM that was saved to these files goes on, instead of a program or kernel that starts", set_restore},
	{"restore-pages", "FILE", "with --restore: pages that it gets at once, as LV_CTL_TOUCHED told them of another VM", set_pages},
	{"start-ns", "NS", "CLOCK_MONOTONIC when the command started, for the boot ledger", set_start},
	{"image-ns", "NS", "CLOCK_MONOTONIC when the image was there, for the boot ledger", set_image_ns},
	{"name", "NAME", "name of the VM in messages", set_name},
	{"jail", "best|full|basic|log|off", "which rights are dropped (default best: full where the machine allows it; full is basic with namespaces and an empty root; log is basic that notes forbidden calls in the kernel's log)", set_jail},
	{"jail-uid", "N", "the user and group that the monitor becomes (default: it stays who started it)", set_jail_uid},
	{"outer-pid", "N", "the monitor was started in mount, IPC, UTS and PID namespaces of its own, and outside its number is N", set_outer_pid},
	{"try-jail", NULL, "find out whether the full jail is possible on this machine, and exit", set_try_jail},
	{"probe", NULL, "find out which kind of KVM this machine has, print it, and exit", set_probe},
};
#define HELP_COLUMN 31
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void print_help(void)
{
	printf("usage: lightvm-vmm --libos FILE --image FILE [OPTIONS] -- ARGV0 [ARG...]\n"
	       "       lightvm-vmm --kernel FILE [OPTIONS]\n"
	       "Runs one program as one virtual machine. FILE is a path, or fd:N for an open descriptor.\n\n");
	for (unsigned i = 0; i < OPTIONS; i++) {
		int left = printf("  --%s %s", options[i].name, options[i].value ? options[i].value : "");
		/* One that is wider than the column has its text below. */
		printf(left < HELP_COLUMN ? "%*s%s\n" : "\n%*s%s\n", left < HELP_COLUMN ? HELP_COLUMN - left : HELP_COLUMN, "", options[i].help);
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

static int check_hostname(const struct machine_config *config, struct error *error)
{
	if (strlen(config->hostname) >= sizeof(((struct lv_device_page *)0)->hostname))
		return error_set(error, -EINVAL, "--hostname: '%.64s...' is longer than 63 characters", config->hostname);
	return 0;
}

static int check_program(struct machine_config *config, struct error *error)
{
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
	return check_hostname(config, error);
}

int options_check(struct machine_config *config, struct error *error)
{
	if (config->memory < LEAST_MEMORY || config->memory > LV_RAM_MAX)
		return error_set(error, -EINVAL, "--mem: %llu is not between 4M and 64G", (unsigned long long)config->memory);
	int err = option_claim_disks(config, error);
	if (err)
		return err;
	if (config->kernel_fd >= 0)
		return check_linux(config, error);
	if (config->libos_fd < 0)
		return error_set(error, -EINVAL, "--libos is missing (or --kernel, for a Linux guest)");
	if (config->initrd_fd >= 0 || config->append[0] || config->cpus > 1 || config->serial)
		return error_set(error, -EINVAL, "--initrd, --append, --cpus and --serial are for Linux guests (--kernel)");
	for (unsigned i = 0; i < config->device_count; i++)
		if (config->device[i].type == LV_DEV_NET && config->device[i].net.more)
			return error_set(error, -EINVAL, "--net: several queues are for Linux guests (--kernel)");
	if (option_has_vsock(config))
		return error_set(error, -EINVAL, "--vsock is for Linux guests (--kernel)");
	if (config->image_fd < 0)
		return error_set(error, -EINVAL, "--image is missing");
	return config->state_fd < 0 ? check_program(config, error) : check_hostname(config, error);
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
	const bool ahead = config->ahead_state_fd >= 0, whole = ahead == (config->ahead_image_fd >= 0) && ahead == (config->ahead_memory_fd >= 0);
	if (!whole || (ahead && (config->configure_fd < 0 || config->libos_fd < 0)))
		return log_error("--ahead-image, --ahead-state and --ahead-memory go together, with --libos and a connected --control");
	if (config->probe || config->try_jail || config->configure_fd >= 0)
		return 0;
	own_console(config);
	struct error error = { 0 };
	return options_check(config, &error) ? log_error("%s", error.text) : 0;
}
