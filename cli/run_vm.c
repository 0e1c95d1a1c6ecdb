/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "cli/foreground.h"
#include "cli/terminal.h"
#include "cli/verb.h"
#include "node/call_report.h"
#include "node/crash_report.h"
#include "node/place.h"
#include "node/record.h"
#include "node/vm_files.h"
#include "tinyx/image_file.h"

/* The library OS kills a program that touches more memory than there is; the program cannot say so itself. */
static bool out_of_memory(const struct lv_status *status)
{
	return status->state == LV_STATE_EXITED && WIFSIGNALED(status->wait_status) && WTERMSIG(status->wait_status) == SIGKILL &&
	       status->ram_limit && status->memory_used > status->ram_limit / 8 * 7;
}

/* Files are memory, and what a program says of a full disk is often nothing. */
static void report_full(const struct lv_status *status)
{
	char limit[24];
	if (status->files_full)
		log_warn("the VM's files, which are in its memory, had no more room: %u writes were refused; it may use %s, give more with --memory",
			 status->files_full, size_print(status->ram_limit, limit, sizeof(limit)));
}

/* Where standard output or error could not be written, the note of the console; NULL: all went where it was meant to. */
static const char *output_lost(const struct lv_status *status)
{
	for (uint32_t i = 0; i < status->device_count && i < LV_MAX_DEVICES; i++)
		if (status->device[i].type == LV_DEV_CONSOLE && text_starts(status->device[i].error, LV_OUTPUT_LOST))
			return status->device[i].error;
	return NULL;
}

/* Once for all VMs in this directory, which is gone with the next boot. */
static void tell_jail(const struct vm_dir *vm, const struct lv_status *status)
{
	if (status->jail != LV_JAIL_BASIC || !isatty(STDERR_FILENO))
		return;
	int fd = openat(vm->dir, "../../jail-told", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	close(fd);
	log_warn("this machine refuses the monitor namespaces of its own; what holds it is its system-call filter (\"lightvm doctor\" tells more; this is said once)");
}

/* By another command: what ends here goes on some other time. */
static bool report_saved(const struct vm_dir *vm, const struct lv_status *status)
{
	char path[4096];
	ssize_t n = status->state == LV_STATE_EXITED && status->wait_status == SIGKILL ? readlinkat(vm->dir, STATE_SAVED, path, sizeof(path) - 1) : -1;
	path[n > 0 ? n : 0] = 0;
	if (n > 0)
		log_warn("the VM was saved to %s; it goes on with: lightvm restore %s", path, path);
	return n > 0;
}

/* What nobody else sees of a program that is slow. */
static void report_calls(const struct vm_dir *vm, const struct lv_status *status, const char *image)
{
	struct lv_report said;
	struct text line = { 0 };
	if (!isatty(STDERR_FILENO) || status->guest != LV_GUEST_LIBOS || vm_report(vm, &said))
		return;
	call_report_warn(status, &said.calls, image, &line);
	if (line.size)
		log_warn("%s", line.data);
	text_free(&line);
}

static void report(const struct vm_dir *vm, const struct vm_config *config)
{
	struct lv_status status;
	struct lv_report said;
	struct text out = { 0 };
	char used[24], limit[24];
	if (vm_status(vm, &status))
		return;
	tell_jail(vm, &status);
	for (uint32_t i = 0; i < status.device_count && i < LV_MAX_DEVICES; i++)
		if (status.device[i].needs_reset)
			log_warn("the %s device was stopped, as the guest broke a rule of its rings: %.*s", device_name(status.device[i].type),
				 (int)sizeof(status.device[i].error), status.device[i].error);
	report_full(&status);
	report_calls(vm, &status, config->image);
	if (report_saved(vm, &status))
		return;
	if (status.crashed && !vm_report(vm, &said))
		crash_report(&status, &said, config->image, &out);
	else if (status.state == LV_STATE_EXITED && status.error[0])
		log_error("%.*s", (int)sizeof(status.error), status.error);
	else if (out_of_memory(&status))
		log_error("the VM ran out of memory: it used %s of %s; give more with --memory", size_print(status.memory_used, used, sizeof(used)),
			  size_print(status.ram_limit, limit, sizeof(limit)));
	if (out.size)
		fd_write(STDERR_FILENO, out.data, out.size);
	text_free(&out);
}

/* A program that is told of a file says "not found" of one that the user sees: it lies on this machine only. */
static void report_missing(const struct vm_config *config)
{
	struct image image;
	if (!config->image || config->guest.is_linux || config->args.count < 2)
		return;
	const char *word = NULL;
	struct strings volumes = { 0 };
	for (size_t i = 0; i < config->mounts; i++)
		if (config->mount[i].kind == MOUNT_VOLUME)
			strings_add(&volumes, config->mount[i].path);
	if (!image_open(&image, config->image, NULL))
		word = image_lacks(&image, &volumes, config->args.item + 1, config->args.count - 1, config->cwd ? config->cwd : "/");
	if (word && word[0] == '/')
		log_warn("%s is on this machine, but not in the VM; add it with: -v %s:%s", word, word, word);
	else if (word && !strncmp(word, "..", 2))
		log_warn("%s is on this machine, but not in the VM; add its directory with: -v DIR:/PATH", word);
	else if (word)
		log_warn("%s is on this machine, but not in the VM; add its directory with: -v .:/work -w /work", word);
	strings_free(&volumes);
	image_close(&image);
}

/* What a trimmed image lacks and was looked for, with the command that brings it back. */
static void report_trimmed(const struct vm_dir *vm, const struct vm_config *config, bool failed)
{
	struct image image = IMAGE_CLOSED;
	struct vm_files files = { 0 };
	struct text out = { 0 };
	if (!(config->record & LV_RECORD_LACKS) || vm_files_open(&files, vm) || image_open(&image, config->image, NULL)) {
		vm_files_close(&files);
		return;
	}
	vm_files_left(&files, &image, failed, &out);
	char *save = NULL;
	for (char *line = out.size ? strtok_r(out.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		log_warn("%s", line);
	text_free(&out);
	image_close(&image);
	vm_files_close(&files);
}

/* A program that could not know that its output is lost has not done what it was asked for. */
static int check_output(const struct vm_dir *vm, int status)
{
	struct lv_status record;
	const char *lost = vm_status(vm, &record) ? NULL : output_lost(&record);
	if (!lost)
		return status;
	log_error("%s", lost);
	return !status || status == 128 + SIGPIPE ? EXIT_OWN : status;
}

static int run_foreground(struct launch *launch, struct vm_dir *vm, const struct vm_config *config, struct error *error)
{
	struct terminal terminal = { 0 };
	int status = config->terminal ? terminal_enter(&terminal) : 0;
	if (status) {
		error_set(error, status, "the terminal: %s", strerror(-status));
	} else {
		status = launch_renew(launch, error);
		if (!status)
			status = foreground_wait(launch, &terminal, error);
	}
	terminal_leave(&terminal);
	report(vm, config);
	if (status >= 0)
		status = check_output(vm, status);
	if (status > 0)
		report_missing(config);
	report_trimmed(vm, config, status);
	return status;
}

static int run_detached(struct launch *launch, struct vm_dir *vm, const struct vm_config *config, struct error *error)
{
	int err = launch_settle(launch, error);
	struct lv_status status;
	if (!err && !vm_status(vm, &status))
		tell_jail(vm, &status);
	if (!err) {
		struct text out = { 0 };
		text_format(&out, "%s\n", vm->id);
		err = text_print(&out);
	}
	return err;
}

/*
 * We failed, and not the program: its own exit status may be any number, 125 too, so that the record is asked. Only the monitor
 * writes it, and its last word is who has ended: the program, or itself.
 */
static bool never_ran(const struct vm_dir *vm, const struct vm_config *config, int status)
{
	struct lv_status record;
	if (status < 0 || config->detached)
		return status < 0;
	return status == EXIT_OWN && (vm_status(vm, &record) || record.state != LV_STATE_EXITED || record.own_error);
}

/* For whoever minds the VM by its process; one that it cannot mind does not run. */
static int write_pid(struct launch *launch, struct error *error)
{
	char word[24];
	const char *path = launch->config->pid_file;
	int n = snprintf(word, sizeof(word), "%d\n", launch->monitor.pid);
	int err = path ? file_write(AT_FDCWD, path, word, (size_t)n, 0644) : 0;
	if (!err)
		return 0;
	launch_kill(launch);
	launch_reap(launch);
	return error_set(error, err, "--pid-file %s: %s", path, strerror(-err));
}

int vm_run(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error)
{
	struct launch launch;
	if (!config->detached)
		foreground_hold_signals();
	int status = launch_start(&launch, config, vm, start_ns, error);
	if (!status && launch.claim == LV_CLAIM_HIT)
		place_adopt(launch.monitor.pid);
	if (!status)
		status = write_pid(&launch, error);
	if (!status)
		status = config->detached ? run_detached(&launch, vm, config, error) : run_foreground(&launch, vm, config, error);
	launch_end(&launch);
	*failed = never_ran(vm, config, status);
	return status;
}
