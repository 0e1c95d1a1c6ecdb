/* SPDX-License-Identifier: Apache-2.0 */
#include "node/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/own_open.h"
#include "base/spawn.h"
#include "node/agent_client.h"
#include "node/claim.h"
#include "node/config_encode.h"
#include "node/machine_limits.h"
#include "node/monitor_control.h"
#include "node/guest_initrd.h"
#include "node/shell.h"
#include "node/vm_jail.h"
#include "node/memory_file.h"
#include "node/node_paths.h"
#include "node/vm_policy.h"
#include "node/vm_row.h"

#define MESSAGES_MAX 65536
#define SETTLE_MS 30000
#define OWN_ERROR 125 /* exit status of a monitor that failed itself */

/* ---- what the monitor is told ---- */

/* The library OS' monitor makes its VM while we find out what to tell it. */
static bool early(const struct vm_config *config)
{
	return !config->guest.is_linux;
}

static int put_message(int socket, int records, const struct fd_list *fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE((LV_VM_FDS_MAX + 1) * sizeof(int))];
	} space = { 0 };
	struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_CONFIGURE };
	struct iovec iov = { &request, sizeof(request) };
	size_t size = (fds->count + 1) * sizeof(int);
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), &records, sizeof(int));
	memcpy(CMSG_DATA(header) + sizeof(int), fds->fd, fds->count * sizeof(int));
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
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

struct console {
	int in, out, err;
	uint32_t own; /* LV_VM_OWN_IN and its like: opened for it, and shared with nobody */
};

/* A description of its own, or that of everybody. */
static void share(struct console *console, int *fd, int standard, int access, uint32_t flag)
{
	int own = own_open(standard, access);
	*fd = own < 0 ? standard : own;
	console->own |= own < 0 ? 0 : flag;
}

/* Of a connection the program has both ways; its standard error is the log's. With input kept open it has streams, too; what it prints is read from the log alone. */
static struct console open_console(const struct vm_config *config)
{
	struct console console = { -1, -1, -1, 0 };
	if (config->stream_fd >= 0) {
		console = (struct console){ fcntl(config->stream_fd, F_DUPFD_CLOEXEC, 3), fcntl(config->stream_fd, F_DUPFD_CLOEXEC, 3),
			open("/dev/null", O_WRONLY | O_CLOEXEC), LV_VM_OWN_IN | LV_VM_OWN_OUT | LV_VM_OWN_ERR };
	} else if (!config->detached) {
		share(&console, &console.in, STDIN_FILENO, O_RDONLY, LV_VM_OWN_IN);
		share(&console, &console.out, STDOUT_FILENO, O_WRONLY, LV_VM_OWN_OUT);
		share(&console, &console.err, STDERR_FILENO, O_WRONLY, LV_VM_OWN_ERR);
	} else if (config->keeps_stdin) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		console = (struct console){ endless_input(), null, null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, 3), LV_VM_OWN_IN | LV_VM_OWN_OUT | LV_VM_OWN_ERR };
	}
	return console;
}

static void close_console(const struct console *console)
{
	const struct { int fd; uint32_t flag; } ours[] = { { console->in, LV_VM_OWN_IN }, { console->out, LV_VM_OWN_OUT }, { console->err, LV_VM_OWN_ERR } };
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (console->own & ours[i].flag && ours[i].fd >= 0)
			close(ours[i].fd);
}

/* Waits in the socket until the monitor is there to read it, and is all that will come: a monitor that refuses it ends. */
static int send_configuration(const struct launch *launch, uint64_t start_ns, struct error *error)
{
	struct text records = { 0 };
	struct fd_list fds = { 0 };
	const struct console console = open_console(launch->config);
	const struct monitor_files files = { .link = &launch->net, .libos = -1, .initrd = launch->initrd, .vsock = launch->vsock,
		.control = launch->control, .status = launch->vm->status, .log = launch->log, .cpuid = early(launch->config) ? -1 : launch->cpuid,
		.in = console.in, .out = console.out, .err = console.err, .own = console.own,
		.messages = launch->config->detached ? launch->messages : STDERR_FILENO, .claim = launch->claim, .claim_ns = launch->claim_ns };
	int err = config_encode(launch->config, &files, start_ns, &records, &fds, error);
	int fd = err ? err : memory_file("configuration", &records, NULL, error);
	text_free(&records);
	err = fd < 0 ? fd : put_message(launch->configured, fd, &fds);
	if (fd >= 0)
		close(fd);
	close_console(&console);
	shutdown(launch->configured, SHUT_WR);
	return fd >= 0 && err ? error_set(error, err, "the monitor's configuration: %s", strerror(-err)) : err;
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

/* What is the monitor's alone from now on: its end closes passt's socket too. */
static void hand_over(struct launch *launch)
{
	int *fds[] = { &launch->control, &launch->vsock, &launch->net.fd };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	while (launch->net.mores)
		close(launch->net.more[--launch->net.mores]);
}

static uint64_t image_size(const struct vm_config *config)
{
	struct stat st;
	return config->image_fd >= 0 && !fstat(config->image_fd, &st) ? (uint64_t)st.st_size : 0;
}

/* Is there one that is ready? True: launch has it. */
static bool claim(struct launch *launch)
{
	const struct vm_config *config = launch->config;
	struct shell shell = SHELL_NONE;
	if (config->guest.is_linux)
		return false; /* what its machine is, its configuration says */
	launch->claim = claim_shell(config->memory, image_size(config), &shell);
	if (launch->claim != LV_CLAIM_HIT)
		return false;
	launch->claim_ns = clock_now();
	launch->configured = shell.socket;
	launch->monitor = shell.monitor;
	return true;
}

/* From here on it makes its VM. *theirs, the monitor's end of the socket, stays open until all is in it: then it cannot break. */
static int start_monitor(struct launch *launch, int *theirs, struct error *error)
{
	const struct vm_config *config = launch->config;
	struct jail_users users;
	if (claim(launch))
		return 0;
	int err = jail_users_read(&users, error), libos = err || !early(config) ? -1 : shell_libos(error);
	if (err || (libos < 0 && early(config)))
		return err ? err : libos;
	const struct shell_order order = { .name = config->name ? config->name : config->id, .is_linux = config->guest.is_linux, .memory = config->memory,
		.room = image_size(config), .libos = libos, .cpuid = launch->cpuid, .messages = config->detached ? launch->messages : -1,
		.user = jail_user_find(&users, config->id), .foreground = !config->detached };
	struct shell shell;
	err = shell_start(&order, &shell, theirs, error);
	launch->configured = shell.socket;
	launch->monitor = shell.monitor;
	if (libos >= 0)
		close(libos);
	return err;
}

static int configure_monitor(struct launch *launch, uint64_t start_ns, struct error *error)
{
	const struct vm_config *config = launch->config;
	int err = link_open(&config->net, launch->messages, &launch->net, error);
	if (!err && config->guest.is_linux && !config->guest.bare)
		err = (launch->initrd = guest_initrd(config, error)) < 0 ? launch->initrd : 0;
	if (!err)
		err = send_configuration(launch, start_ns, error);
	if (!err)
		hand_over(launch);
	return err;
}

/* One that was claimed is no child of ours: how it ended says its record; and if it has none, that it refused its configuration, its answer. */
static int claimed_end(struct launch *launch)
{
	struct lv_control_reply reply = { 0 };
	struct lv_status status;
	spawned_ends(&launch->monitor, -1);
	spawned_leave(&launch->monitor);
	if (!vm_status(launch->vm, &status) && status.state == LV_STATE_EXITED)
		return WIFEXITED(status.wait_status) ? status.wait_status : (128 + WTERMSIG(status.wait_status)) << 8;
	recv(launch->configured, &reply, sizeof(reply), MSG_DONTWAIT | MSG_TRUNC);
	return reply.result < 0 ? OWN_ERROR << 8 : SIGKILL;
}

static int monitor_wait(struct launch *launch)
{
	return launch->claim_ns && launch->monitor.pid ? claimed_end(launch) : spawned_wait(&launch->monitor);
}

void launch_kill(const struct launch *launch)
{
	if (launch->monitor.pid)
		syscall(SYS_pidfd_send_signal, launch->monitor.pidfd, SIGKILL, NULL, 0);
}

/* It has not run anything yet. */
static void abandon_monitor(struct launch *launch)
{
	launch_kill(launch);
	monitor_wait(launch);
}

int launch_create(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error)
{
	int err = vm_create(state, config->id, vm, error);
	if (err)
		return err;
	err = config_write(config, vm->dir, error);
	if (err)
		error_prefix(error, "%s/vms/%s", state->path, vm->id);
	else
		vm_row_write(config, vm->dir);
	/* Nobody waits for its end: whoever comes by then removes it. */
	if (!err && config->detached && config->remove)
		err = vm_mark_litter(vm, error);
	if (!err)
		err = vm_publish(state, vm, config->name, error);
	if (err)
		vm_abandon(state, vm);
	return err;
}

/* Which limit of the machine it was, if it was one. */
static int explain(int err, const struct vm_config *config, struct error *error)
{
	const struct limits_need need = { .memory = LIMIT_IDLE_MEMORY, .is_linux = config->guest.is_linux, .vcpus = 1, .net = &config->net };
	if (err)
		limits_explain(&need, error);
	return err;
}

int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error)
{
	*launch = LAUNCH_NONE;
	launch->config = config;
	launch->vm = vm;
	int theirs = -1, err = link_check_ports(&config->net, error);
	if (!err)
		err = open_files(launch, error);
	if (!err)
		err = start_monitor(launch, &theirs, error);
	if (!err)
		err = configure_monitor(launch, start_ns, error);
	if (theirs >= 0)
		close(theirs);
	if (err)
		abandon_monitor(launch);
	return explain(err, config, error);
}

int launch_reap(struct launch *launch)
{
	int status = monitor_wait(launch);
	/* passt ends with the monitor; its ports are free again when we say that the VM has ended. */
	if (launch->net.helper.pid)
		kill(launch->net.helper.pid, SIGTERM);
	if (launch->net.helper.pid && !spawned_ends(&launch->net.helper, LINK_END_MS))
		kill(launch->net.helper.pid, SIGKILL);
	spawned_wait(&launch->net.helper);
	return status;
}

void launch_end(struct launch *launch)
{
	link_close(&launch->net);
	spawned_leave(&launch->monitor);
	int *fds[] = { &launch->configured, &launch->control, &launch->vsock, &launch->initrd, &launch->cpuid, &launch->log, &launch->messages };
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
	int status = monitor_wait(launch);
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

/* The monitor says when the guest runs; the socket ends without a word when the monitor does. */
static int wait_begun(struct launch *launch, struct error *error)
{
	struct pollfd poll_fd = { .fd = launch->configured, .events = POLLIN };
	struct lv_control_reply reply;
	int n;
	while ((n = poll(&poll_fd, 1, SETTLE_MS)) < 0 && errno == EINTR)
		;
	if (n == 0)
		return error_set(error, -ETIMEDOUT, "the VM did not start within %d s", SETTLE_MS / 1000);
	if (recv(launch->configured, &reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply) && !reply.result)
		return 0;
	if (!spawned_ends(&launch->monitor, SETTLE_MS))
		return error_set(error, -ETIMEDOUT, "the monitor neither starts the VM nor ends");
	return monitor_failed(launch, error);
}

int launch_settle(struct launch *launch, struct error *error)
{
	int err = wait_begun(launch, error);
	if (!err && (err = link_wait(&launch->net, error)))
		err = network_failed(launch, error);
	if (!err)
		err = link_leave(&launch->config->net, launch->messages, launch->monitor.pidfd, &launch->net, error);
	if (!err && launch->config->restart.policy != RESTART_NO)
		policy_tell(launch->config->id);
	if (err)
		abandon_monitor(launch); /* with a network that did not come up, or one that hangs */
	return explain(err, launch->config, error);
}
