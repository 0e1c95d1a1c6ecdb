/* SPDX-License-Identifier: Apache-2.0 */
#include "node/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "node/agent_client.h"
#include "node/claim.h"
#include "node/config_message.h"
#include "node/machine_limits.h"
#include "node/monitor_control.h"
#include "node/guest_initrd.h"
#include "node/shell.h"
#include "node/vm_files.h"
#include "node/vm_jail.h"
#include "node/node_paths.h"
#include "node/prefault.h"
#include "node/vm_policy.h"
#include "node/vm_row.h"

#define MESSAGES_MAX 65536
#define SETTLE_MS 30000
#define OWN_ERROR 125 /* exit status of a monitor that failed itself */

/* ---- starting ---- */

/* The library OS' monitor makes its VM while we find out what to tell it. */
static bool early(const struct vm_config *config)
{
	return !config->guest.is_linux;
}

static uint64_t image_size(const struct vm_config *config)
{
	struct stat st;
	return config->image_fd >= 0 && !fstat(config->image_fd, &st) ? (uint64_t)st.st_size : 0;
}

static int open_log(int dir, const char *name, struct error *error)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? error_set(error, -errno, "%s: %s", name, strerror(errno)) : fd;
}

/* Beside all VMs: what KVM offers is asked once a boot. Without it the monitor asks. */
static int cpuid_cache(int dir, const char *path)
{
	return openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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
	launch->cpuid = cpuid_cache(dir, "../../cpuid");
	const bool records = config->record && !config->guest.is_linux && config->state.state < 0;
	if (records && (launch->files = vm_files_make(launch->vm, config->record, image_size(config), error)) < 0)
		return launch->files;
	launch->prefault = prefault_open(config);
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
	volume_links_close(&launch->volumes);
}

/* What a VM of the library OS has at once, since it goes on from a state: as much as lies in its memory file behind libos. */
static uint64_t ram_size(const struct vm_config *config)
{
	struct stat st;
	uint64_t size = config->state.memory >= 0 && !fstat(config->state.memory, &st) ? (uint64_t)st.st_size : 0, ram = size > LV_RAM - LV_BASE ? size - (LV_RAM - LV_BASE) : 0;
	return ram < config->memory ? ram : config->memory;
}

/* A clone that has all of its memory copied may find that done. */
static struct claim_wish claim_wish(const struct vm_config *config)
{
	struct claim_wish wish = { .memory = config_machine_memory(config), .image = image_size(config), .ram = ram_size(config) };
	const struct config_state *from = &config->state;
	const uint32_t copied = LV_RESTORE_CLONE | LV_RESTORE_WHOLE;
	struct stat st;
	if (from->memory >= 0 && (from->flags & copied) == copied && !from->below_count && !fstat(from->memory, &st)) {
		wish.ahead[0] = st.st_dev;
		wish.ahead[1] = st.st_ino;
	}
	return wish;
}

struct place { /* of the file of users: dir, or the way from there */
	int dir;
	const char *users;
};

/* From here on it makes its VM. *theirs, the monitor's end of the socket, stays open until all is in it: then it cannot break. */
static int make_shell(const struct vm_config *config, struct place place, int cpuid, int messages, struct shell *shell, int *theirs, struct error *error)
{
	struct jail_users users;
	int err = jail_users_read(&users, error), libos = err || !early(config) ? -1 : shell_libos(error);
	if (err || (libos < 0 && early(config)))
		return err ? err : libos;
	int held = jail_users_hold(place.dir, place.users);
	const struct shell_order order = { .name = config->name ? config->name : config->id, .is_linux = config->guest.is_linux, .memory = config_machine_memory(config),
		.room = image_size(config), .ram = ram_size(config), .libos = libos, .cpuid = cpuid, .messages = messages, .user = jail_user_find(&users, config->id, held), .held = held,
		.foreground = !config->detached };
	err = shell_start(&order, shell, theirs, error);
	if (libos >= 0)
		close(libos);
	return err;
}

static void take_shell(struct launch *launch, struct shell *shell)
{
	launch->configured = shell->socket;
	launch->monitor = shell->monitor;
	launch->held = shell->held;
	*shell = SHELL_NONE;
}

static int start_monitor(struct launch *launch, int *theirs, struct error *error)
{
	const struct vm_config *config = launch->config;
	struct shell shell = SHELL_NONE;
	int err = make_shell(config, (struct place){ launch->vm->dir, "../../users" }, launch->cpuid, config->detached ? launch->messages : -1, &shell, theirs, error);
	take_shell(launch, &shell);
	return err;
}

static int make_message(const struct launch *launch, uint64_t start_ns, struct config_message *message, struct error *error)
{
	const struct monitor_files files = { .link = &launch->net, .libos = -1, .initrd = launch->initrd, .vsock = launch->vsock, .control = launch->control,
		.status = launch->vm->status, .log = launch->log, .cpuid = early(launch->config) ? -1 : launch->cpuid, .files = launch->files, .prefault = launch->prefault,
		.messages = launch->config->detached ? launch->messages : STDERR_FILENO, .volumes = &launch->volumes, .claim = launch->claim };
	return config_message_make(launch->config, files, start_ns, message, error);
}

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

/* A helper has said why it failed where only we look. */
static int with_messages(const struct launch *launch, struct error *error)
{
	const struct error told = *error;
	char *text = launch_messages(launch);
	if (text)
		error_set(error, told.code, "%s: %s", told.text, text);
	free(text);
	return told.code;
}

/* What of the host the VM is given: its network, and the servers of its volumes. */
static int open_link(struct launch *launch, struct error *error)
{
	const struct vm_config *config = launch->config;
	int err = volume_servers_start(config, config->detached ? launch->messages : -1, &launch->volumes, error);
	if (err)
		return config->detached ? with_messages(launch, error) : err;
	if (!config->link)
		return link_open(&config->net, launch->messages, &launch->net, error);
	launch->net = *config->link;
	*config->link = NET_LINK_NONE;
	return 0;
}

static void take_keys(struct launch *launch, struct config_message *message)
{
	launch->keys = message->keys;
	message->keys = -1;
}

/* What can be done while lightvmd looks for one is done meanwhile. launch->claim says what came of it. */
static int start_claimed(struct launch *launch, int daemon, uint64_t start_ns, struct error *error)
{
	struct config_message message;
	struct shell shell = SHELL_NONE;
	int err = open_link(launch, error);
	if (err || launch->claim != LV_CLAIM_HIT)
		return err;
	err = make_message(launch, start_ns, &message, error);
	if (err)
		return err;
	launch->claim_ns = clock_now();
	launch->claim = claim_take(daemon, &shell);
	take_shell(launch, &shell);
	if (launch->claim == LV_CLAIM_HIT)
		err = config_message_send(&message, launch->configured, launch->claim_ns, error);
	else
		launch->claim_ns = 0;
	launch->records = message.records;
	message.records = -1;
	if (launch->claim == LV_CLAIM_HIT)
		take_keys(launch, &message);
	config_message_free(&message);
	return err;
}

static int start_cold(struct launch *launch, bool linked, uint64_t start_ns, struct error *error)
{
	const struct vm_config *config = launch->config;
	struct config_message message = CONFIG_MESSAGE_NONE;
	int theirs = -1, err = 0;
	if (config->shell)
		take_shell(launch, config->shell);
	else
		err = start_monitor(launch, &theirs, error);
	if (!err && !linked)
		err = open_link(launch, error);
	if (!err && config->guest.is_linux && !config->guest.bare)
		err = (launch->initrd = guest_initrd(config, error)) < 0 ? launch->initrd : 0;
	if (!err)
		err = make_message(launch, start_ns, &message, error);
	if (!err)
		err = config_message_send(&message, launch->configured, launch->claim_ns, error);
	take_keys(launch, &message);
	config_message_free(&message);
	if (theirs >= 0)
		close(theirs);
	return err;
}

/* As its monitor's own end would say it. */
static bool recorded_end(const struct launch *launch, int *status)
{
	struct lv_status record;
	if (vm_status(launch->vm, &record) || record.state != LV_STATE_EXITED)
		return false;
	*status = WIFEXITED(record.wait_status) ? record.wait_status : (128 + WTERMSIG(record.wait_status)) << 8;
	return true;
}

/* One that was claimed is no child of ours: how it ended says its record; and if it has none, that it refused its configuration, its answer. */
static int claimed_end(struct launch *launch)
{
	struct lv_control_reply reply = { 0 };
	int status;
	spawned_ends(&launch->monitor, -1);
	spawned_leave(&launch->monitor);
	if (recorded_end(launch, &status))
		return status;
	recv(launch->configured, &reply, sizeof(reply), MSG_DONTWAIT | MSG_TRUNC);
	return launch->refused || reply.result < 0 ? OWN_ERROR << 8 : SIGKILL;
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

int launch_prepare(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error)
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
	if (err)
		vm_abandon(state, vm);
	return err;
}

int launch_create(const struct state *state, const struct vm_config *config, struct vm_dir *vm, struct error *error)
{
	int err = launch_prepare(state, config, vm, error);
	if (err)
		return err;
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

int launch_ahead(const struct state *state, const struct vm_config *config, struct shell *shell, int *theirs, struct error *error)
{
	int cpuid = cpuid_cache(state->dir, "cpuid"), err = make_shell(config, (struct place){ state->dir, "users" }, cpuid, -1, shell, theirs, error);
	if (cpuid >= 0)
		close(cpuid);
	return explain(err, config, error);
}

int launch_start(struct launch *launch, const struct vm_config *config, struct vm_dir *vm, uint64_t start_ns, struct error *error)
{
	*launch = LAUNCH_NONE;
	launch->config = config;
	launch->vm = vm;
	/* What a Linux guest's machine is, its configuration says: there is none ahead. Connected first, since that wakes the daemon meanwhile. */
	int daemon = config->guest.is_linux || config->shell ? -1 : claim_open(&launch->claim), err = config->link ? 0 : link_check_ports(&config->net, error);
	const struct claim_wish wish = claim_wish(config);
	if (!err && daemon >= 0)
		launch->claim = claim_ask(daemon, &wish);
	if (!err)
		err = open_files(launch, error);
	if (!err && daemon >= 0)
		err = start_claimed(launch, daemon, start_ns, error);
	if (!err && launch->claim != LV_CLAIM_HIT)
		err = start_cold(launch, daemon >= 0, start_ns, error);
	if (daemon >= 0)
		close(daemon);
	if (err)
		abandon_monitor(launch);
	else
		hand_over(launch);
	return explain(err, config, error);
}

bool launch_hear(struct launch *launch)
{
	struct lv_control_reply reply = { 0 };
	recv(launch->configured, &reply, sizeof(reply), MSG_DONTWAIT | MSG_TRUNC);
	launch->refused = reply.result < 0;
	close(launch->configured);
	launch->configured = -1;
	launch->over = recorded_end(launch, &launch->end);
	/* The lock is ours as well as the monitor's: nobody has to wait for that of a VM whose end is known. */
	if (launch->over)
		flock(launch->vm->status, LOCK_UN);
	return launch->over;
}

int launch_quietly(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error)
{
	struct launch launch;
	int err = launch_start(&launch, config, vm, start_ns, error);
	if (!err)
		err = launch_settle(&launch, error);
	launch_end(&launch);
	*failed = err < 0;
	return err;
}

int launch_reap(struct launch *launch)
{
	int status = launch->over ? launch->end : monitor_wait(launch);
	if (launch->over)
		spawned_leave(&launch->monitor);
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
	volume_links_close(&launch->volumes);
	spawned_leave(&launch->monitor);
	int *fds[] = { &launch->configured, &launch->control, &launch->vsock, &launch->initrd, &launch->cpuid, &launch->files, &launch->prefault, &launch->log, &launch->messages, &launch->records, &launch->held, &launch->keys };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* ---- detached ---- */

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

int launch_renew(const struct launch *launch, struct error *error)
{
	const struct vm_config *config = launch->config;
	if (config->state.state < 0 || !config->guest.is_linux || config->state.flags & LV_RESTORE_PAUSED)
		return 0;
	int err = agent_renew(launch->vm->dir, true, config->hostname, deadline_in(AGENT_ANSWER_MS));
	if (!err || !(config->state.flags & LV_RESTORE_CLONE))
		return 0;
	return error_set(error, err, "the clone could not be told that it is one (PID 1: %s): its random numbers would be those of others", strerror(-err));
}

int launch_settle(struct launch *launch, struct error *error)
{
	int err = wait_begun(launch, error);
	if (!err && (err = link_wait(&launch->net, error)))
		err = network_failed(launch, error);
	if (!err)
		err = link_leave(&launch->config->net, launch->messages, launch->monitor.pidfd, &launch->net, error);
	if (!err)
		err = launch_renew(launch, error);
	if (!err && launch->config->restart.policy != RESTART_NO)
		policy_tell(launch->config->id);
	if (err)
		abandon_monitor(launch); /* with a network that did not come up, or one that hangs */
	return explain(err, launch->config, error);
}
