/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/agent_client.h"
#include "node/monitor_control.h"
#include "node/record.h"

#define STATE_LETTERS "RSDZTtIXPW"

static json_t *row(int32_t id, uint32_t state, uint64_t cpu_ns, const char *name, size_t room)
{
	char word[2] = { state && state < 128 && strchr(STATE_LETTERS, (char)state) ? (char)state : '?', 0 };
	json_t *object = json_object();
	json_object_set_new(object, "id", json_integer(id));
	json_object_set_new(object, "state", json_string(word));
	json_object_set_new(object, "cpu_ns", json_integer((json_int_t)(cpu_ns >> 63 ? 0 : cpu_ns)));
	json_object_set_new(object, "name", json_field(name, room));
	return object;
}

/* ---- the library OS ---- */

static int by_tid(const void *a, const void *b)
{
	const struct lv_thread *x = a, *y = b;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static json_t *of_threads(struct lv_threads *threads, uint32_t *total)
{
	json_t *list = json_array();
	qsort(threads->thread, threads->count, sizeof(*threads->thread), by_tid);
	for (uint32_t i = 0; i < threads->count; i++) {
		const struct lv_thread *thread = &threads->thread[i];
		json_array_append_new(list, row(thread->tid, thread->state, thread->cpu_ns, thread->name, sizeof(thread->name)));
	}
	*total = threads->total;
	return list;
}

static json_t *ask_monitor(const struct vm_info *info, uint32_t *total, struct error *error)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = answer ? control_ask(info->dir.dir, LV_CTL_THREADS, 0, answer, deadline_in(CONTROL_PATIENCE_MS)) : -ENOMEM;
	json_t *list = err ? NULL : of_threads(&answer->threads, total);
	free(answer);
	if (err == -EPROTONOSUPPORT || err == -EOPNOTSUPP)
		error_set(error, -EOPNOTSUPP, "VM %s was started by an older lightvm, whose monitor does not tell of threads", info->dir.id);
	else if (err == -ETIMEDOUT)
		error_set(error, err, "VM %s: its library OS does not answer", info->dir.id);
	else if (err)
		error_set(error, err, "VM %s: its threads: %s", info->dir.id, strerror(-err));
	return list;
}

/* ---- Linux ---- */

static int by_pid(const void *a, const void *b)
{
	const struct lv_agent_process *x = a, *y = b;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* The one that tells it has been started for that (abi/agent.h). */
static size_t drop_teller(struct lv_agent_process *process, size_t count, uint32_t *total)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (strncmp(process[i].name, "lightvm-agent ", 14))
			process[kept++] = process[i];
	*total -= *total < count - kept ? *total : (uint32_t)(count - kept);
	return kept;
}

static json_t *of_processes(struct lv_agent_process *process, size_t count)
{
	json_t *list = json_array();
	qsort(process, count, sizeof(*process), by_pid);
	for (size_t i = 0; i < count; i++) {
		json_t *object = row(process[i].pid, process[i].state, process[i].cpu_ns, process[i].name, sizeof(process[i].name));
		json_object_set_new(object, "parent", json_integer(process[i].parent));
		json_object_set_new(object, "threads", json_integer(process[i].threads));
		json_object_set_new(object, "memory", json_integer((json_int_t)(process[i].memory >> 63 ? 0 : process[i].memory)));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *ask_agent(const struct vm_info *info, uint32_t *total, struct error *error)
{
	size_t count;
	int fd = agent_connect(info, error); /* which waits for a VM that starts, and says what is wrong */
	if (fd < 0)
		return NULL;
	struct lv_agent_process *process = alloc_zero(LV_AGENT_PROCESSES_MAX * sizeof(*process));
	int err = process ? agent_processes(fd, process, &count, total, deadline_in(AGENT_ANSWER_MS), error) : error_set(error, -ENOMEM, "out of memory");
	if (!err)
		count = drop_teller(process, count, total);
	json_t *list = err ? NULL : of_processes(process, count);
	free(process);
	return list;
}

/* A library OS that has no room for an agent tells the monitor of its threads. */
static json_t *ask_whom(const struct vm_info *info, uint32_t *total, struct error *error)
{
	bool is_libos = faccessat(info->dir.dir, "vsock", F_OK, 0);
	json_t *list = ask_agent(info, total, error);
	return list || !is_libos || !vm_alive(&info->dir) ? list : ask_monitor(info, total, error);
}

json_t *vm_top(const struct vm_info *info, uint32_t *total, struct error *error)
{
	if (!info->alive)
		vm_not_alive(info, error);
	else if (info->state == VM_PAUSED)
		error_set(error, -EAGAIN, "VM %s is paused; let it go on with: lightvm resume %s", info->dir.id, info->dir.id);
	else
		return ask_whom(info, total, error);
	return NULL;
}
