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
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "node/agent_client.h"
#include "node/monitor_control.h"
#include "node/guest_initrd.h"
#include "node/node_paths.h"
#include "base/spawn.h"
#include "cli/terminal.h"
#include "cli/verb.h"

#define INTERRUPTS_TO_KILL 3 /* a user who presses Ctrl-C this often means it */
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
		net_argument(&config->net, &launch->net, &net);
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
	struct spawn spawn = { .argv = argv.item, .keep = keep, .keep_count = count, .in = in,
		.out = keeps_stdin ? null : detached ? launch->messages : -1, .err = detached ? launch->messages : -1, .inherit_in = !detached, .session = detached, .die_with_us = !detached,
		.ignore_keys = !detached };
	pid_t pid = spawn_start(&spawn, monitor, error);
	strings_free(&argv);
	free(monitor);
	if (in >= 0)
		close(in);
	if (null >= 0)
		close(null);
	if (pid < 0)
		return pid;
	launch->monitor = pid;
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

int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error)
{
	*launch = (struct launch){ .config = config, .vm = vm, .net = NET_LINK_NONE, .control = -1, .vsock = -1, .initrd = -1, .cpuid = -1, .log = -1, .messages = -1 };
	int err = net_check_ports(&config->net, error);
	if (!err)
		err = open_files(launch, error);
	if (!err)
		err = net_start(&config->net, launch->messages, &launch->net, error);
	if (!err && config->guest.is_linux && !config->guest.bare)
		err = (launch->initrd = guest_initrd(config, error)) < 0 ? launch->initrd : 0;
	if (!err)
		err = start_monitor(launch, start_ns, error);
	return err;
}

void launch_end(struct launch *launch)
{
	net_close(&launch->net);
	int *fds[] = { &launch->control, &launch->vsock, &launch->initrd, &launch->cpuid, &launch->log, &launch->messages };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* ---- foreground ---- */

static void forwarded(sigset_t *set)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(set, signals[i]);
}

void launch_hold_signals(void)
{
	sigset_t set;
	forwarded(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void forward(const struct launch *launch, int number, int *interrupts)
{
	bool kill_now = number == SIGINT && ++*interrupts >= INTERRUPTS_TO_KILL;
	int dir = launch->vm->dir, err = kill_now ? control_ask(dir, LV_CTL_KILL, number, NULL) : vm_signal(dir, number);
	if (err || kill_now) {
		/* A monitor that does not answer is ended; one that was asked to end shows that by ending. */
		log_debug("signal %d: %s", number, err ? strerror(-err) : "killed");
		if (err != -ENOSYS && err)
			kill(launch->monitor, SIGKILL);
	}
}

/* The window of a VM's terminal is as large as ours. By the agent where there is one: kernels disagree on the console's message. */
static void resize(const struct launch *launch)
{
	uint16_t rows, columns;
	if (!launch->config->terminal || !terminal_size(&rows, &columns))
		return;
	if (agent_resize(launch->vm->dir, rows, columns))
		control_ask(launch->vm->dir, LV_CTL_RESIZE, (int64_t)rows << 16 | columns, NULL);
}

static void on_signal(const struct launch *launch, int number, int *interrupts)
{
	if (number == SIGWINCH)
		resize(launch);
	else if (number != SIGCHLD)
		forward(launch, number, interrupts);
}

/* Said once, with passt's own words if it has left any. */
static void passt_failed(const struct launch *launch)
{
	char *text = NULL;
	size_t size = 0;
	file_read(launch->vm->dir, "monitor.log", 65536, &text, &size);
	while (size && text[size - 1] == '\n')
		text[--size] = 0;
	log_warn("passt ended, the network is gone%s%s", size ? ": " : "", size ? text : "");
	free(text);
}

/* 1: the monitor has ended, with *status. passt's end is only noted: the program may not need the network any more. */
static int reap(struct launch *launch, int *status)
{
	int pid, state;
	while ((pid = waitpid(-1, &state, WNOHANG)) > 0) {
		if (pid == launch->monitor) {
			*status = state;
			return 1;
		}
		if (pid != launch->net.passt)
			continue;
		launch->net.passt = 0;
		if (state)
			passt_failed(launch);
	}
	return 0;
}

/* passt ends with the monitor; its ports are free again when we say that the VM has ended. */
static void end_passt(struct launch *launch)
{
	if (launch->net.passt <= 0)
		return;
	kill(launch->net.passt, SIGTERM);
	waitpid(launch->net.passt, NULL, 0);
	launch->net.passt = 0;
}

static int exit_status(int status, struct error *error)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return error_set(error, -EIO, "the monitor was ended by %s", signal_name(WTERMSIG(status)));
}

/* The guest's first packet, or the end of the monitor. A network that cannot start is no reason to end the program. */
static void on_packet(struct launch *launch, short events)
{
	struct error error = { 0 };
	if (net_has_traffic(launch->net.peer)) {
		if (net_wake(&launch->config->net, launch->messages, &launch->net, &error))
			log_warn("the network cannot start: %s", error.text);
	} else if (events & (POLLHUP | POLLERR)) {
		close(launch->net.peer);
		launch->net.peer = -1;
	}
}

int launch_wait(struct launch *launch, struct error *error)
{
	int status = 0, interrupts = 0;
	struct signalfd_siginfo info;
	sigset_t set;
	forwarded(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGWINCH);
	struct pollfd fds[] = { { .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN }, { .events = POLLIN } };
	if (fds[0].fd < 0)
		return error_set(error, -errno, "signalfd: %s", strerror(errno));
	while (!reap(launch, &status)) {
		fds[1].fd = launch->net.peer;
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			on_packet(launch, fds[1].revents);
		if (fds[0].revents && read(fds[0].fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			on_signal(launch, (int)info.ssi_signo, &interrupts);
	}
	close(fds[0].fd);
	launch->monitor = 0;
	end_passt(launch);
	return exit_status(status, error);
}

/* ---- detached ---- */

static int monitor_failed(const struct launch *launch, int status, struct error *error)
{
	char *text = NULL;
	size_t size;
	if (file_read(launch->vm->dir, "monitor.log", 65536, &text, &size) || !size) {
		free(text);
		return error_set(error, -EIO, "the monitor ended with status 0x%x and no message", (unsigned)status);
	}
	while (size && text[size - 1] == '\n')
		text[--size] = 0;
	error_set(error, -EIO, "%s", text_starts(text, "lightvm-vmm: ") ? text + 13 : text);
	free(text);
	return -EIO;
}

static bool has_begun(const struct launch *launch)
{
	struct lv_status status;
	return !vm_status(launch->vm, &status) && status.state >= LV_STATE_RUNNING;
}

/* The status file changes when the guest starts; the process descriptor becomes readable when the monitor ends. */
static int wait_begun(const struct launch *launch, int watch, int process, struct error *error)
{
	struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = process, .events = POLLIN } };
	while (!has_begun(launch)) {
		char events[512];
		int n = poll(fds, 2, SETTLE_MS), status = 0;
		if (n == 0)
			return error_set(error, -ETIMEDOUT, "the VM did not start within %d s", SETTLE_MS / 1000);
		if (fds[0].revents)
			(void)!read(watch, events, sizeof(events));
		if (fds[1].revents && !has_begun(launch)) {
			waitpid(launch->monitor, &status, 0);
			return monitor_failed(launch, status, error);
		}
	}
	return 0;
}

int launch_settle(struct launch *launch, struct error *error)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", launch->vm->status);
	int watch = inotify_init1(IN_CLOEXEC), process = (int)syscall(SYS_pidfd_open, launch->monitor, 0), err = 0;
	if (watch < 0 || process < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		err = error_set(error, -errno, "cannot watch the monitor: %s", strerror(errno));
	if (!err)
		err = wait_begun(launch, watch, process, error);
	if (!err && (err = net_wait(&launch->net, error)))
		passt_failed(launch);
	if (!err)
		err = net_leave(&launch->config->net, launch->messages, &launch->net, error);
	if (watch >= 0)
		close(watch);
	if (process >= 0)
		close(process);
	if (err)
		kill(launch->monitor, SIGKILL); /* with a network that did not come up, or one that hangs */
	return err;
}
