/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "guest/guest_net.h"
#include "guest/mounts.h"
#include "guest/guest_ports.h"
#include "guest/program.h"
#include "guest/report.h"

#define PORT_PATIENCE_MS 10000 /* for the host to announce its ports */
#define END_PATIENCE_MS 2000 /* for processes that were killed */
#define DRAIN_PATIENCE_MS 30000 /* for a host that does not read */

/* ---- streams ---- */

/* The console takes the place of a port that is not there: output is seen, though in another place. */
static int open_port(const char *name, int flags)
{
	int fd = port_open(name, flags, PORT_PATIENCE_MS);
	if (fd >= 0)
		return fd;
	report_error("streams: the console is used in place of the port", name, fd);
	fd = open(flags == O_RDONLY ? "/dev/null" : "/dev/console", flags | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 ? fd : -errno;
}

/* One stream: the program's end of a pipe, and a pump between ours and the port. */
static int open_stream(struct pump *pump, int *theirs, const char *name, bool input)
{
	int pair[2], port = open_port(name, input ? O_RDONLY : O_WRONLY);
	if (port < 0)
		return report_error("streams", name, port);
	if (pipe2(pair, O_CLOEXEC))
		return report_error("streams: pipe for", name, errno);
	*theirs = pair[!input];
	int ours = pair[input];
	fcntl(ours, F_SETFL, O_NONBLOCK);
	int err = pump_init(pump, input ? port : ours, input ? ours : port);
	return err ? report_error("streams: buffer for", name, err) : 0;
}

static int open_pipes(struct supervisor *supervisor, struct program *program, uint32_t flags)
{
	int err = 0;
	if (flags & LV_GUEST_NO_STDIN)
		err = (program->in = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0 ? report_error("open", "/dev/null", errno) : 0;
	else
		err = open_stream(&supervisor->in, &program->in, LV_GUEST_PORT_STDIN, true);
	if (!err)
		err = open_stream(&supervisor->out, &program->out, LV_GUEST_PORT_STDOUT, false);
	if (!err && flags & LV_GUEST_STDERR_SAME)
		program->err = fcntl(program->out, F_DUPFD_CLOEXEC, 3);
	else if (!err)
		err = open_stream(&supervisor->err, &program->err, LV_GUEST_PORT_STDERR, false);
	return err;
}

/* Of a kernel that notes which of its functions are called: goes where the program's messages go, once it has ended. */
static void open_evidence(struct supervisor *supervisor)
{
	int file = open(LV_GUEST_EVIDENCE, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	int port = fcntl(supervisor->err.to >= 0 ? supervisor->err.to : supervisor->out.to, F_DUPFD_CLOEXEC, 3);
	int err = port < 0 ? -errno : pump_init(&supervisor->evidence, file, port);
	if (port < 0)
		close(file);
	if (err)
		report_error("evidence", LV_GUEST_EVIDENCE, err);
}

static int open_streams(struct supervisor *supervisor, struct program *program)
{
	const struct lv_guest_streams *streams = &program->config->streams;
	if (!(streams->flags & LV_GUEST_TERMINAL))
		return open_pipes(supervisor, program, streams->flags);
	supervisor->terminal = program->in = port_open_terminal(PORT_PATIENCE_MS);
	if (program->in < 0)
		return report_error("terminal", "/dev/hvc0", program->in);
	program->terminal = true;
	terminal_resize(program->in, streams->rows, streams->columns);
	return 0;
}

static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static int watch_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* ---- running ---- */

/* Everybody who has ended: the program, sessions of the agent, and orphans that came to us. */
static void reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != supervisor->world.program) {
			for (unsigned i = 0; i < supervisor->sessions; i++)
				if (supervisor->session[i] == pid)
					supervisor->session[i] = supervisor->session[--supervisor->sessions];
			continue;
		}
		supervisor->world.program = 0;
		supervisor->status = status;
	}
}

static void take_signals(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;
	while (read(supervisor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD && supervisor->world.program)
			kill(supervisor->world.program, (int)info.ssi_signo);
		else if (info.ssi_signo != SIGCHLD && supervisor->world.starting)
			supervisor->asked = (int)info.ssi_signo;
	reap(supervisor);
}

static void accept_session(struct supervisor *supervisor)
{
	supervisor->world.crowded = supervisor->sessions >= AGENT_SESSIONS;
	pid_t pid = agent_accept(supervisor->listener, &supervisor->world);
	if (pid > 0)
		supervisor->session[supervisor->sessions++] = pid;
}

/* Those who come when there are even more sessions than the reserve allows wait until one has ended. */
static bool has_place(const struct supervisor *supervisor)
{
	return supervisor->sessions < sizeof(supervisor->session) / sizeof(*supervisor->session);
}

/* Waits until something has happened, and does what it asks for. */
static void turn(struct supervisor *supervisor)
{
	struct pump *pump[] = { &supervisor->in, &supervisor->out, &supervisor->err };
	struct pollfd fds[9] = { { .fd = supervisor->signals, .events = POLLIN },
		{ .fd = has_place(supervisor) ? supervisor->listener : -1, .events = POLLIN }, { .fd = supervisor->network, .events = POLLIN } };
	for (int i = 0; i < 3; i++)
		pump_poll(pump[i], &fds[3 + 2 * i]);
	if (poll(fds, 9, -1) < 0)
		return;
	for (int i = 0; i < 3; i++)
		pump_move(pump[i], &fds[3 + 2 * i]);
	if (fds[1].revents)
		accept_session(supervisor);
	if (fds[2].revents) {
		close(supervisor->network);
		supervisor->network = -1;
	}
	if (fds[0].revents)
		take_signals(supervisor);
}

/* ---- starting the VM's program ---- */

static int start_program(struct supervisor *supervisor)
{
	const struct guest_config *config = supervisor->world.config;
	struct program program = { .config = config, .env = config->env, .in = -1, .out = -1, .err = -1, .first = true };
	int err = open_streams(supervisor, &program);
	if (!err) {
		if (!program.terminal)
			open_evidence(supervisor);
		pid_t pid = program_start(&program);
		err = pid < 0 ? report_error("start: fork for", config->program, pid) : 0;
		supervisor->world.program = pid < 0 ? 0 : pid;
		supervisor->world.starting = false;
	}
	/* With them open here, the pipes would never end. The terminal stays: its last output is waited for. */
	if (!program.terminal)
		close_fd(program.in);
	close_fd(program.out);
	close_fd(program.err);
	return err;
}

/* Where an address has to be asked for, by a process that goes on with it: PID 1 waits for nobody. */
static int start_network(struct supervisor *supervisor)
{
	const struct guest_config *config = supervisor->world.config;
	int pair[2];
	net_up(config);
	if (!net_wants_lease(config))
		return 0;
	if (pipe2(pair, O_CLOEXEC))
		return report_error("network: pipe", NULL, errno);
	pid_t pid = fork();
	if (!pid) {
		close_fd(pair[0]);
		close_fd(supervisor->listener);
		close_fd(supervisor->signals);
		report_for_first();
		net_keep_lease(config, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0)
		close(pair[0]);
	supervisor->network = pid < 0 ? -1 : pair[0];
	return pid < 0 ? report_error("network: fork", NULL, errno) : 0;
}

int supervise_start(struct supervisor *supervisor, const struct guest_config *config)
{
	*supervisor = (struct supervisor){ .world = { .config = config, .starting = true }, .signals = -1, .terminal = -1, .network = -1,
		.in = PUMP_NONE, .out = PUMP_NONE, .err = PUMP_NONE, .evidence = PUMP_NONE };
	/* Before all that takes time: who starts a VM and then asks the agent shall not be told that there is none. */
	supervisor->listener = agent_listen();
	supervisor->signals = watch_signals();
	if (supervisor->signals < 0)
		return report_error("signalfd", NULL, errno);
	int err = start_network(supervisor);
	while (!err && supervisor->network >= 0 && !supervisor->asked)
		turn(supervisor);
	if (!err && !supervisor->asked)
		err = mounts_freeze(config);
	return err || supervisor->asked ? err : start_program(supervisor);
}

int supervise_run(struct supervisor *supervisor)
{
	while (supervisor->world.program)
		turn(supervisor);
	/* Whoever ended it before it had begun. */
	return supervisor->asked ? supervisor->asked : supervisor->status;
}

/* All that were killed: a file that one still has open for writing keeps its file system from being closed. */
static void await_ends(int signals)
{
	uint64_t deadline = deadline_in(END_PATIENCE_MS);
	struct signalfd_siginfo info;
	for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) >= 0;)
		if (!pid && (signals < 0 || deadline_readable(signals, deadline) || read(signals, &info, sizeof(info)) < 0))
			break;
}

void supervise_finish(struct supervisor *supervisor)
{
	close_fd(supervisor->listener);
	kill(-1, SIGKILL);
	await_ends(supervisor->signals);
	pump_close(&supervisor->in);
	pump_drain(&supervisor->out, DRAIN_PATIENCE_MS);
	pump_drain(&supervisor->err, DRAIN_PATIENCE_MS);
	pump_drain(&supervisor->evidence, DRAIN_PATIENCE_MS);
	if (supervisor->terminal >= 0) {
		ioctl(supervisor->terminal, TCSBRK, 1); /* waits until all is out */
		close(supervisor->terminal);
	}
	close_fd(supervisor->signals);
}
