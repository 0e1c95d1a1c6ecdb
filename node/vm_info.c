/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_info.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/number.h"
#include "node/monitor_control.h"
#include "node/vm_config.h"

int vm_exit_code(int wait_status)
{
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/* A Linux guest gives out its memory without a word: what it has touched is what its monitor holds. */
static uint64_t resident_bytes(uint32_t pid)
{
	char path[32], text[128];
	unsigned long long pages = 0;
	snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static enum vm_state living_state(uint32_t state)
{
	switch (state) {
	case LV_STATE_CREATED:
	case LV_STATE_CONFIGURED: return VM_CREATED;
	case LV_STATE_RUNNING: return VM_RUNNING;
	case LV_STATE_PAUSED: return VM_PAUSED;
	default: return VM_STARTING;
	}
}

/* It ended by the word that ends a VM which was saved, and says where; that is still there. place, path: of its directory. */
static bool was_saved(const struct vm_info *info, int place, const char *path)
{
	char link[STATE_ID + sizeof("/" STATE_SAVED)];
	if (info->state != VM_EXITED || info->alive || info->status.wait_status != SIGKILL)
		return false;
	snprintf(link, sizeof(link), "%s%s" STATE_SAVED, path, *path ? "/" : "");
	return !faccessat(place, link, F_OK, 0);
}

static void judge(struct vm_info *info, int place, const char *path)
{
	/* The lock first: a monitor that ends between the two looks has written its last record before. */
	info->alive = vm_alive(&info->dir);
	int err = vm_status(&info->dir, &info->status), wait_status = info->status.wait_status;
	if (info->alive && !err && info->status.guest == LV_GUEST_LINUX)
		info->status.memory_used = resident_bytes(info->status.pid);
	info->exit_code = -1;
	if ((!err || err == -EPROTONOSUPPORT) && info->status.state == LV_STATE_EXITED) {
		info->state = info->status.crashed ? VM_CRASHED : VM_EXITED;
		info->exit_code = vm_exit_code(wait_status);
	} else if (!info->alive) {
		info->state = !err && info->status.state == LV_STATE_CREATED && !info->status.pid ? VM_CREATED : VM_DEAD;
	} else {
		info->state = living_state(info->status.state);
	}
	if (was_saved(info, place, path))
		info->state = VM_SAVED;
}

void vm_info_judge(struct vm_info *info)
{
	judge(info, info->dir.dir, "");
}

void vm_info_settle(struct vm_info *info)
{
	if (info->alive && !vm_runs(&info->dir))
		vm_info_judge(info);
}

void vm_info_judge_in(struct vm_info *info, int vms)
{
	judge(info, vms, info->dir.id);
}

static int fill(struct vm_info *info)
{
	info->config = config_read(info->dir.dir);
	if (!info->config)
		info->config = json_object();
	vm_info_judge(info);
	return 0;
}

int vm_info_refresh(struct vm_info *info, int patience_ms)
{
	uint64_t held = info->status.memory_used;
	int err = info->alive ? control_status(info->dir.dir, patience_ms, &info->status) : -ESRCH;
	if (!err && info->status.guest == LV_GUEST_LINUX)
		info->status.memory_used = held; /* its monitor does not know it */
	return err;
}

int vm_info_open(const struct state *state, const char *id, struct vm_info *info)
{
	*info = (struct vm_info){ .dir = VM_DIR_NONE };
	int err = vm_open(state, id, &info->dir);
	return err ? err : fill(info);
}

int vm_info_find(const struct state *state, const char *word, struct vm_info *info, struct error *error)
{
	*info = (struct vm_info){ .dir = VM_DIR_NONE };
	int err = vm_find(state, word, &info->dir, error);
	return err ? err : fill(info);
}

int vm_info_find_row(const struct state *state, const char *word, struct vm_info *info, struct vm_row *row, struct error *error)
{
	*info = (struct vm_info){ .dir = VM_DIR_NONE };
	int err = vm_find(state, word, &info->dir, error);
	if (err)
		return err;
	if (vm_row_read_in(info->dir.dir, row)) {
		json_t *config = config_read(info->dir.dir);
		vm_row_from_json(config, row);
		json_decref(config);
	}
	vm_info_judge(info);
	return 0;
}

int vm_info_glance(int vms, const char *id, struct vm_info *info)
{
	char path[STATE_ID + sizeof("/status")];
	*info = (struct vm_info){ .dir = VM_DIR_NONE };
	if (strlen(id) != STATE_ID)
		return -ENOENT;
	memcpy(info->dir.id, id, STATE_ID + 1);
	memcpy(path, id, STATE_ID);
	memcpy(path + STATE_ID, "/status", sizeof("/status"));
	info->dir.status = openat(vms, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (info->dir.status < 0)
		return -errno;
	vm_info_judge_in(info, vms);
	close(info->dir.status);
	info->dir.status = -1;
	return 0;
}

void vm_info_close(struct vm_info *info)
{
	vm_close(&info->dir);
	json_decref(info->config);
	info->config = NULL;
}

const char *vm_state_word(enum vm_state state)
{
	static const char *const words[] = { "starting", "created", "running", "paused", "exited", "exited", "dead", "saved" };
	return words[state];
}

char *vm_state_text(const struct vm_info *info)
{
	int status = info->status.wait_status;
	switch (info->state) {
	case VM_EXITED:
		if (WIFSIGNALED(status))
			return alloc_format("exited (%s)", signal_name(WTERMSIG(status)));
		return alloc_format("exited (%d)", info->exit_code);
	case VM_CRASHED: return alloc_format("crashed (%s)", signal_name((int)info->status.crash_signal));
	case VM_DEAD: return alloc_copy(info->status.error[0] ? "dead: the monitor failed" : "dead: its monitor was killed");
	default: return alloc_copy(vm_state_word(info->state));
	}
}

bool vm_is_litter(const struct vm_info *info)
{
	return !info->alive && info->state != VM_CREATED && json_is_true(json_object_get(info->config, "remove"));
}

int vm_not_alive(const struct vm_info *info, struct error *error)
{
	if (info->state == VM_CREATED)
		return error_set(error, -ESRCH, "VM %s has not been started yet; start it with: lightvm start %s", info->dir.id, info->dir.id);
	if (info->state == VM_SAVED)
		return error_set(error, -ESRCH, "VM %s has ended and was saved; it goes on with: lightvm restore %s", info->dir.id, info->dir.id);
	return error_set(error, -ESRCH, "VM %s has ended", info->dir.id);
}

int vm_info_remove(const struct state *state, struct vm_info *info, struct error *error)
{
	return vm_remove(state, &info->dir, config_string(info->config, "name"), error);
}
