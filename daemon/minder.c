/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/minder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/keeper.h"
#include "daemon/task.h"
#include "daemon/tell.h"
#include "node/kept.h"
#include "node/launch.h"
#include "node/record.h"
#include "node/vm_again.h"
#include "node/vm_end.h"
#include "node/vm_policy.h"

#define NEW_MS 20 /* until a VM whose record names no process yet is looked at again */
#define STOP_MS 10000

struct minder {
	struct daemon *daemon;
	struct state state;
	int kept; /* locked: of two that mind the same VMs one would start what the other one just has */
	struct minded *first;
};

struct minded { /* a VM with a policy that may have to be started again */
	struct minder *minder;
	struct minded *next, **before;
	char id[STATE_ID + 1];
	struct config_restart restart;
	struct loop_watch process;
	struct loop_timer again;
	struct task task;
	bool due;      /* again starts it; otherwise it looks */
	bool starting; /* the task runs */
	uint64_t seen_ns; /* CLOCK_MONOTONIC when it was found running; 0: it was not */
};

static void look(struct minded *minded);

static struct loop *loop_of(struct minded *minded)
{
	return &minded->minder->daemon->loop;
}

static void let_go(struct minded *minded)
{
	if (minded->process.fd >= 0) {
		loop_update(loop_of(minded), &minded->process, 0);
		close(minded->process.fd);
		minded->process.fd = -1;
	}
	loop_timer_set(loop_of(minded), &minded->again, 0);
}

static void forget(struct minded *minded)
{
	let_go(minded);
	*minded->before = minded->next;
	if (minded->next)
		minded->next->before = minded->before;
	free(minded);
}

/* ---- starting again: in a process of its own ---- */

static int start_again(const char *id, struct error *error)
{
	struct state state = STATE_NONE;
	struct vm_info info = { .dir = VM_DIR_NONE };
	struct restart_record record;
	int err = state_open(&state, false, error);
	if (!err && (err = vm_info_open(&state, id, &info)))
		error_set(error, err, "VM %s was removed", id);
	if (!err && policy_stopped(id))
		err = error_set(error, -ECANCELED, "VM %s was stopped meanwhile", id);
	if (!err)
		err = vm_start(&info, clock_now(), error);
	if (!err) {
		policy_load(info.dir.dir, &record);
		record.restarts++;
		record.next_ns = 0;
		free(record.error);
		record.error = NULL;
		policy_save(info.dir.dir, &record);
	}
	vm_info_close(&info);
	/* Whoever stopped it while it was on its way has seen a VM that does not run. */
	if (!err && policy_stopped(id) && !vm_info_open(&state, id, &info)) {
		vm_end(&info, STOP_MS, NULL);
		vm_info_close(&info);
	}
	state_close(&state);
	return err;
}

static void work(void *context, int out)
{
	const struct minded *minded = context;
	struct error error = { 0 };
	int err = start_again(minded->id, &error);
	struct text said = { 0 };
	text_format(&said, "%d %s", err, error.text);
	fd_write(out, said.data, said.size);
	text_free(&said);
}

/* ---- its end, and what follows ---- */

static void set_timer(struct minded *minded, uint64_t milliseconds)
{
	loop_timer_set(loop_of(minded), &minded->again, clock_now() + milliseconds * NS_PER_MS);
}

/* Decides, and notes what was decided where inspect and the next daemon find it. */
static void follow(struct minded *minded, int vm_dir, bool failed, uint64_t lasted_ms, const char *problem, bool counts)
{
	struct daemon *daemon = minded->minder->daemon;
	struct restart_record record;
	policy_load(vm_dir, &record);
	record.restarts += counts;
	free(record.error);
	record.error = problem ? alloc_copy(problem) : NULL;
	bool due = restart_due(&minded->restart, &record, failed, lasted_ms);
	uint64_t delay_ms = record.delay_ms;
	if (due)
		record.next_ns = clock_wall() + delay_ms * NS_PER_MS;
	if (policy_save(vm_dir, &record))
		log_warn("VM %s: what its restart policy does cannot be noted", minded->id);
	if (due && problem)
		daemon_tell(daemon, EVENT_RESTART, minded->id, NULL, "failed", "%s; the next try is in %llu ms", problem, (unsigned long long)delay_ms);
	else if (due)
		daemon_tell(daemon, EVENT_RESTART, minded->id, NULL, "due", "it has ended, and starts again in %llu ms", (unsigned long long)delay_ms);
	else
		daemon_tell(daemon, EVENT_RESTART, minded->id, NULL, "over", "it has ended, and stays so by its policy after %u restarts", record.restarts);
	policy_clear(&record);
	minded->due = due;
	if (due)
		set_timer(minded, delay_ms);
	else
		forget(minded);
}

static uint64_t lasted(const struct minded *minded, const struct lv_status *status)
{
	uint64_t ran_ns = ledger_ran(status);
	if (ran_ns)
		return ran_ns / NS_PER_MS;
	return minded->seen_ns ? (clock_now() - minded->seen_ns) / NS_PER_MS : 0;
}

static void on_end(void *context, uint32_t events)
{
	look(context);
}

static void watch(struct minded *minded, const struct vm_info *info)
{
	int fd = vm_monitor_open(info);
	if (fd < 0) { /* it has just ended, or just begun */
		set_timer(minded, NEW_MS);
		return;
	}
	minded->process = (struct loop_watch){ .fd = fd, .ready = on_end, .context = minded };
	if (!minded->seen_ns)
		minded->seen_ns = clock_now();
	if (loop_update(loop_of(minded), &minded->process, EPOLLIN)) {
		let_go(minded);
		set_timer(minded, NEW_MS);
	}
}

/* What it does now, and what is to be done about it. May forget it. */
static void look(struct minded *minded)
{
	struct vm_info info;
	let_go(minded);
	minded->due = false;
	if (vm_info_open(&minded->minder->state, minded->id, &info)) {
		vm_info_close(&info);
		forget(minded);
		return;
	}
	minded->restart = policy_of(info.config);
	if (info.alive && minded->restart.policy != RESTART_NO)
		watch(minded, &info);
	else if (info.alive || info.state == VM_CREATED || minded->restart.policy == RESTART_NO || policy_stopped(minded->id))
		forget(minded);
	else
		follow(minded, info.dir.dir, info.exit_code != 0, lasted(minded, &info.status), NULL, false);
	vm_info_close(&info);
}

static void start_failed(struct minded *minded, const char *problem)
{
	struct vm_dir vm;
	if (vm_open(&minded->minder->state, minded->id, &vm) || policy_stopped(minded->id)) {
		vm_close(&vm);
		forget(minded);
		return;
	}
	follow(minded, vm.dir, true, 0, problem, true);
	vm_close(&vm);
}

static void done(void *context, struct text *said, int failed)
{
	struct minded *minded = context;
	char *text = NULL;
	long err = said->size ? strtol(said->data, &text, 10) : failed;
	minded->starting = false;
	if (!failed && !err)
		daemon_tell(minded->minder->daemon, EVENT_RESTART, minded->id, NULL, "started", "it runs again");
	minded->seen_ns = 0;
	if (!err || err == -EBUSY || err == -ECANCELED) /* it runs, by us or by a user; or is not to */
		look(minded);
	else
		start_failed(minded, text && *text ? text + 1 : strerror(failed ? -failed : EIO));
}

static void on_again(void *context)
{
	struct minded *minded = context;
	struct daemon *daemon = minded->minder->daemon;
	if (!minded->due) {
		look(minded);
		return;
	}
	if (daemon->ending) /* the next one finds it due */
		return;
	minded->task = (struct task){ .work = work, .done = done, .context = minded, .keep = -1 };
	minded->starting = !task_start(daemon->tasks, &minded->task);
	if (!minded->starting)
		set_timer(minded, RESTART_FIRST_MS);
}

/* ---- finding them ---- */

static struct minded *find(struct minder *minder, const char *id)
{
	struct minded *minded = minder->first;
	while (minded && strcmp(minded->id, id))
		minded = minded->next;
	return minded;
}

static struct minded *add(struct minder *minder, const char *id)
{
	struct minded *minded = alloc_zero(sizeof(*minded));
	if (!minded)
		return NULL;
	*minded = (struct minded){ .minder = minder, .next = minder->first, .before = &minder->first, .process = { .fd = -1 } };
	minded->again = (struct loop_timer){ .fire = on_again, .context = minded };
	memcpy(minded->id, id, STATE_ID);
	if (minded->next)
		minded->next->before = &minded->next;
	minder->first = minded;
	return minded;
}

/* The machine has been restarted: its directory, as it was before the first start. */
static int rebuild(struct minder *minder, const char *id, struct error *error)
{
	struct vm_config config;
	struct vm_dir vm = VM_DIR_NONE;
	char half[STATE_ID + 8];
	config_init(&config);
	snprintf(half, sizeof(half), "vms/.%s", id);
	tree_remove(minder->state.dir, half); /* of a daemon that was killed at this point */
	json_t *json = kept_read(minder->kept, id, error);
	int err = json ? config_from_json(&config, json, error) : error->code;
	if (!err && strcmp(config.id, id))
		err = error_set(error, -EINVAL, "its configuration is that of %s", config.id);
	if (!err)
		err = config_validate(&config, error);
	bool stopped = kept_marked(minder->kept, id);
	if (!err)
		err = launch_create(&minder->state, &config, &vm, error);
	if (!err)
		err = vm_mark_created(&vm, error);
	if (stopped)
		kept_mark(minder->kept, id, true);
	if (err && json) /* its name may be another's by now: that is not the end of it */
		kept_write(minder->kept, id, json, NULL);
	vm_close(&vm);
	config_free(&config);
	json_decref(json);
	return err;
}

/* Of a VM that does not run when we come to life. */
static void begin(struct minder *minder, const char *id, struct vm_info *info)
{
	struct config_restart restart = policy_of(info->config);
	bool stopped = policy_stopped(id), ended = info->state != VM_CREATED;
	struct restart_record record;
	struct minded *minded;
	if (!restart_at_start(&restart, stopped, ended, info->exit_code != 0) || !(minded = add(minder, id)))
		return;
	if (stopped)
		policy_begin(&info->dir);
	policy_load(info->dir.dir, &record);
	bool over = ended && restart.most && record.restarts >= restart.most;
	uint64_t now = clock_wall(), wait_ms = record.next_ns > now ? (record.next_ns - now) / NS_PER_MS : 0;
	minded->restart = restart;
	if (!record.next_ns)
		record.next_ns = now;
	if (!over)
		policy_save(info->dir.dir, &record);
	policy_clear(&record);
	minded->due = !over;
	if (over)
		forget(minded);
	else
		set_timer(minded, wait_ms < RESTART_LAST_MS ? wait_ms : RESTART_LAST_MS);
}

static int find_one(void *context, const char *id)
{
	struct minder *minder = context;
	struct vm_info info;
	struct error error = { 0 };
	if (strlen(id) != STATE_ID || strspn(id, "0123456789abcdef") != STATE_ID || find(minder, id))
		return 0;
	int err = vm_info_open(&minder->state, id, &info);
	if (err == -ENOENT && !(err = rebuild(minder, id, &error)))
		err = vm_info_open(&minder->state, id, &info);
	if (err) {
		log_warn("VM %s, which has a restart policy, is not there and cannot be made anew: %s", id, error.text[0] ? error.text : strerror(-err));
	} else if (info.alive) {
		struct minded *minded = add(minder, id);
		if (minded)
			look(minded);
	} else {
		begin(minder, id, &info);
	}
	vm_info_close(&info);
	return 0;
}

/* ---- the part ---- */

static int open_all(struct minder *minder, struct error *error)
{
	int err = state_open(&minder->state, true, error);
	if (!err)
		minder->kept = kept_open(KEPT_VM, true, error);
	if (!err && minder->kept < 0)
		err = minder->kept;
	if (!err && kept_lock(minder->kept, minder->daemon->keeper ? KEEPER_LOCK_MS : 0))
		err = error_set(error, -EBUSY, "another lightvmd minds the restart policies of this user");
	return err;
}

static void minder_stop(struct daemon *daemon, void *part)
{
	struct minder *minder = part;
	while (minder->first)
		forget(minder->first);
	if (minder->kept >= 0)
		close(minder->kept);
	state_close(&minder->state);
	free(minder);
}

/* Something is kept, also what a user has stopped: it may come back with the machine. */
static bool minder_busy(struct daemon *daemon, void *part)
{
	const struct minder *minder = part;
	return minder && (minder->first || kept_any(minder->kept));
}

/* A daemon that cannot mind VMs is still a daemon. A worker ends when nobody is connected, and leaves this to its user's keeper. */
static int minder_start(struct daemon *daemon, void **part, struct error *error)
{
	struct error why = { 0 };
	struct minder *minder = daemon->worker && !daemon->keeper ? NULL : alloc_zero(sizeof(*minder));
	if (!minder)
		return 0;
	*minder = (struct minder){ .daemon = daemon, .state = STATE_NONE, .kept = -1 };
	int err = open_all(minder, &why);
	if (err) {
		log_warn("restart policies are not minded: %s", why.text[0] ? why.text : strerror(-err));
		minder_stop(daemon, minder);
		return 0;
	}
	*part = minder;
	kept_each(minder->kept, find_one, minder);
	return 0;
}

const struct daemon_part minder_part = { .name = "restart", .start = minder_start, .stop = minder_stop, .busy = minder_busy };

static int mind(struct local_call *call, struct local_reply *reply, struct error *error)
{
	struct minder *minder = daemon_part_find(call->daemon, minder_part.name);
	char id[STATE_ID + 1] = "";
	if (!minder)
		return error_set(error, -EOPNOTSUPP, "it does not mind VMs; its log says why");
	if (!call->head.size)
		return 0;
	if (call->head.size != STATE_ID || strspn(call->body, "0123456789abcdef") < STATE_ID)
		return error_set(error, -EBADMSG, "not the id of a VM");
	memcpy(id, call->body, STATE_ID);
	struct minded *minded = find(minder, id);
	if (!minded && !(minded = add(minder, id)))
		return error_set(error, -ENOMEM, "out of memory");
	if (!minded->starting) {
		minded->seen_ns = 0;
		look(minded);
	}
	return 0;
}

const struct local_op minder_ops[] = { { LV_DMN_MIND, mind, .keeper = true }, { 0 } };
