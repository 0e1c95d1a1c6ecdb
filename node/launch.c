/* SPDX-License-Identifier: Apache-2.0 */
#include "node/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "node/agent_client.h"
#include "node/monitor_control.h"
#include "node/guest_initrd.h"
#include "node/node_paths.h"

#define MESSAGES_MAX 65536
#define KEEP_MAX 32
#define SETTLE_MS 30000

/* ---- the monitor's command line ---- */

static void add_pair(struct strings *argv, const char *option, char *value)
{
	strings_add(argv, option);
	strings_take(argv, value);
}

static void add_fd(struct strings *argv, int *keep, size_t *count, const char *option, int fd)
{
	if (fd < 0)
		return;
	add_pair(argv, option, alloc_format("fd:%d", fd));
	keep[(*count)++] = fd;
}

static void add_devices(const struct launch *launch, struct strings *argv, int *keep, size_t *count)
{
	const struct vm_config *config = launch->config;
	if (launch->net.fd >= 0) {
		struct text net = { 0 };
		link_argument(&config->net, &launch->net, &net);
		add_pair(argv, "--net", net.data);
		keep[(*count)++] = launch->net.fd;
		for (unsigned i = 0; i < launch->net.mores; i++)
			keep[(*count)++] = launch->net.more[i];
	}
	for (size_t i = 0; i < config->disks; i++) {
		const struct config_disk *disk = &config->disk[i];
		add_pair(argv, "--disk", alloc_format("fd:%d%s%s%s", disk->fd, disk->read_only ? ",ro" : "", disk->serial ? ",serial=" : "",
						      disk->serial ? disk->serial : ""));
		keep[(*count)++] = config->disk[i].fd;
	}
}

/* The program, and what it is given: the library OS knows these from the monitor, our PID 1 from its archive. */
static void add_program(const struct vm_config *config, char *libos, struct strings *argv)
{
	add_pair(argv, "--libos", libos);
	add_pair(argv, "--program", alloc_copy(config->program));
	add_pair(argv, "--cwd", alloc_copy(config->cwd));
	add_pair(argv, "--hostname", alloc_copy(config->hostname));
	if (config->uid)
		add_pair(argv, "--uid", alloc_format("%u", config->uid));
	if (config->gid)
		add_pair(argv, "--gid", alloc_format("%u", config->gid));
	for (size_t i = 0; i < config->env.count; i++)
		add_pair(argv, "--env", alloc_copy(config->env.item[i]));
}

static void add_linux(const struct launch *launch, struct strings *argv, int *keep, size_t *count)
{
	const struct config_guest *guest = &launch->config->guest;
	add_fd(argv, keep, count, "--kernel", guest->kernel_fd);
	add_fd(argv, keep, count, "--initrd", guest->bare ? guest->initrd_fd : launch->initrd);
	add_pair(argv, "--cpus", alloc_format("%u", guest->cpus));
	if (guest->bare || guest->append)
		add_pair(argv, "--append", alloc_format("%s%s%s", guest->bare ? "console=ttyS0" : "", guest->bare && guest->append ? " " : "",
							guest->append ? guest->append : ""));
	if (launch->vsock >= 0) {
		add_pair(argv, "--vsock", alloc_format("fd:%d,dir=fd:%d", launch->vsock, launch->vm->dir));
		keep[(*count)++] = launch->vsock;
		keep[(*count)++] = launch->vm->dir;
	}
	if (guest->bare)
		strings_add(argv, "--serial");
	else if (launch->config->terminal)
		strings_add(argv, "--tty");
}

/* libos: taken, NULL for a Linux guest. */
static void monitor_arguments(const struct launch *launch, char *libos, uint64_t start_ns, struct strings *argv, int *keep, size_t *count)
{
	const struct vm_config *config = launch->config;
	strings_add(argv, "lightvm-vmm");
	if (libos)
		add_program(config, libos, argv);
	else
		add_linux(launch, argv, keep, count);
	add_fd(argv, keep, count, "--cpuid-cache", launch->cpuid);
	add_fd(argv, keep, count, "--image", config->image_fd);
	add_fd(argv, keep, count, "--status", launch->vm->status);
	add_fd(argv, keep, count, "--control", launch->control);
	add_fd(argv, keep, count, "--console-log", launch->log);
	add_pair(argv, "--mem", alloc_format("%" PRIu64, config->memory));
	add_pair(argv, "--start-ns", alloc_format("%" PRIu64, start_ns));
	if (config->image_ns)
		add_pair(argv, "--image-ns", alloc_format("%" PRIu64, config->image_ns));
	add_pair(argv, "--name", alloc_copy(config->name ? config->name : config->id));
	if (config->detached && !config->keeps_stdin)
		strings_add(argv, "--detach-console");
	add_devices(launch, argv, keep, count);
	if (!libos)
		return;
	strings_add(argv, "--");
	for (size_t i = 0; i < config->args.count; i++)
		strings_add(argv, config->args.item[i]);
}

/* ---- starting ---- */

static int open_log(int dir, const char *name, struct error *error)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? error_set(error, -errno, "%s: %s", name, strerror(errno)) : fd;
}

static int open_files(struct launch *launch, struct error *error)
{
	const struct vm_config *config = launch->config;
	int dir = launch->vm->dir;
	/* Nobody could read the log of a foreground VM that leaves nothing behind. */
	bool keeps_log = config->detached || !config->remove;
	if (keeps_log && (launch->log = open_log(dir, "console.log", error)) < 0)
		return launch->log;
	if ((config->detached || config->net.kind == NET_PASST) && (launch->messages = open_log(dir, "monitor.log", error)) < 0)
		return launch->messages;
	/* Beside all VMs: what KVM offers is asked once a boot. Without it the monitor asks. */
	launch->cpuid = openat(dir, "../../cpuid", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	launch->control = control_listen(dir);
	if (launch->control < 0)
		return error_set(error, launch->control, "control socket: %s", strerror(-launch->control));
	if (!config->guest.is_linux || config->guest.bare)
		return 0;
	launch->vsock = agent_listen(dir);
	return launch->vsock < 0 ? error_set(error, launch->vsock, "vsock socket: %s", strerror(-launch->vsock)) : 0;
}

/* A pipe that we hold open at both ends through one descriptor: it never ends, whoever attaches and leaves. */
static int endless_input(void)
{
	char path[64];
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pair[0]);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	close(pair[0]);
	close(pair[1]);
	return fd;
}

static int start_monitor(struct launch *launch, uint64_t start_ns, struct error *error)
{
	struct strings argv = { 0 };
	int keep[KEEP_MAX];
	size_t count = 0;
	bool is_linux = launch->config->guest.is_linux;
	char *libos = is_linux ? NULL : paths_libos(error), *monitor = is_linux || libos ? paths_monitor(error) : NULL;
	if (!monitor) {
		free(libos);
		return -ENOENT;
	}
	monitor_arguments(launch, libos, start_ns, &argv, keep, &count);
	bool detached = launch->config->detached, keeps_stdin = launch->config->keeps_stdin;
	/* With input kept open the console is on 0, 1 and 2; what the program prints is read from the log alone. */
	int in = keeps_stdin ? endless_input() : -1, null = keeps_stdin ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
	struct spawn spawn = { .argv = argv.item, .keep = keep, .keep_count = count, .cgroup = -1, .in = in,
		.out = keeps_stdin ? null : detached ? launch->messages : -1, .err = detached ? launch->messages : -1,
		.inherit_in = !detached, .session = detached, .die_with_us = !detached, .ignore_keys = !detached };
	int err = spawn_start(&spawn, monitor, &launch->monitor, error);
	strings_free(&argv);
	free(monitor);
	if (in >= 0)
		close(in);
	if (null >= 0)
		close(null);
	if (err)
		return err;
	/* From now on only the monitor answers, and its end closes passt's socket too. */
	close(launch->control);
	launch->control = -1;
	if (launch->vsock >= 0)
		close(launch->vsock);
	launch->vsock = -1;
	if (launch->net.fd >= 0)
		close(launch->net.fd);
	launch->net.fd = -1;
	while (launch->net.mores)
		close(launch->net.more[--launch->net.mores]);
	return 0;
}

int launch_create(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error)
{
	int err = vm_create(state, config->id, vm, error);
	if (err)
		return err;
	err = config_write(config, vm->dir, error);
	/* Nobody waits for its end: whoever comes by then removes it. */
	if (!err && config->detached && config->remove)
		err = vm_mark_litter(vm, error);
	if (!err)
		err = vm_publish(state, vm, config->name, error);
	if (err)
		vm_abandon(state, vm);
	return err;
}

int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error)
{
	*launch = (struct launch){ .config = config, .vm = vm, .monitor = SPAWNED_NONE, .net = NET_LINK_NONE,
	 .control = -1, .vsock = -1, .initrd = -1, .cpuid = -1, .log = -1, .messages = -1 };
	int err = link_check_ports(&config->net, error);
	if (!err)
		err = open_files(launch, error);
	if (!err)
		err = link_open(&config->net, launch->messages, &launch->net, error);
	if (!err && config->guest.is_linux && !config->guest.bare)
		err = (launch->initrd = guest_initrd(config, error)) < 0 ? launch->initrd : 0;
	if (!err)
		err = start_monitor(launch, start_ns, error);
	return err;
}

void launch_end(struct launch *launch)
{
	link_close(&launch->net);
	spawned_leave(&launch->monitor);
	int *fds[] = { &launch->control, &launch->vsock, &launch->initrd, &launch->cpuid, &launch->log, &launch->messages };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* ---- detached ---- */

char *launch_messages(const struct launch *launch)
{
	char *text = NULL;
	size_t size = 0;
	if (file_read(launch->vm->dir, "monitor.log", MESSAGES_MAX, &text, &size))
		return NULL;
	while (size && text[size - 1] == '\n')
		text[--size] = 0;
	if (!size) {
		free(text);
		text = NULL;
	}
	return text;
}

static int monitor_failed(struct launch *launch, struct error *error)
{
	int status = spawned_wait(&launch->monitor);
	char *text = launch_messages(launch);
	if (text)
		error_set(error, -EIO, "%s", text_starts(text, "lightvm-vmm: ") ? text + 13 : text);
	else
		error_set(error, -EIO, "the monitor ended with status 0x%x and no message", (unsigned)status);
	free(text);
	return -EIO;
}

/* What is published is refused, then, and passt has said why. */
static int network_failed(const struct launch *launch, struct error *error)
{
	char *text = launch_messages(launch);
	if (text)
		error_set(error, error->code, "the network is gone: %s", text);
	free(text);
	return error->code;
}

static bool has_begun(const struct launch *launch)
{
	struct lv_status status;
	return !vm_status(launch->vm, &status) && status.state >= LV_STATE_RUNNING && !status.own_error;
}

/* The status file changes when the guest starts; the process descriptor becomes readable when the monitor ends. */
static int wait_begun(struct launch *launch, int watch, struct error *error)
{
	struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = launch->monitor.pidfd, .events = POLLIN } };
	while (!has_begun(launch)) {
		char events[512];
		int n = poll(fds, 2, SETTLE_MS);
		if (n == 0)
			return error_set(error, -ETIMEDOUT, "the VM did not start within %d s", SETTLE_MS / 1000);
		if (fds[0].revents)
			(void)!read(watch, events, sizeof(events));
		if (fds[1].revents && !has_begun(launch))
			return monitor_failed(launch, error);
	}
	return 0;
}

int launch_settle(struct launch *launch, struct error *error)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", launch->vm->status);
	int watch = inotify_init1(IN_CLOEXEC), err = 0;
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		err = error_set(error, -errno, "cannot watch the monitor: %s", strerror(errno));
	if (!err)
		err = wait_begun(launch, watch, error);
	if (!err && (err = link_wait(&launch->net, error)))
		err = network_failed(launch, error);
	if (!err)
		err = link_leave(&launch->config->net, launch->messages, &launch->net, error);
	if (watch >= 0)
		close(watch);
	if (err && launch->monitor.pid) {
		kill(launch->monitor.pid, SIGKILL); /* with a network that did not come up, or one that hangs */
		spawned_wait(&launch->monitor);
	}
	return err;
}
