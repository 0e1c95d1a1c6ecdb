/* SPDX-License-Identifier: Apache-2.0 */
/* What libos asks the monitor for (abi/shared.h). All in the vCPU's thread. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/layout.h"
#include "vmm/vm.h"

#define HUGE (2ull << 20)

/* ---- memory ---- */

/* More or less of what the guest has, under the lock: the limit may change meanwhile. 0 or -ENOMEM. */
static int take(struct vm *vm, int64_t bytes)
{
	loop_lock(&vm->loop);
	int err = bytes > 0 && (uint64_t)bytes > vm->ram_limit - vm->ram_size ? -ENOMEM : 0;
	if (!err)
		vm->status.record.ram_size = vm->ram_size += bytes;
	loop_unlock(&vm->loop);
	return err;
}

static int grow(struct vm *vm, uint64_t bytes)
{
	if (bytes == 0 || bytes > LV_RAM_MAX)
		return -ENOMEM;
	bytes = (bytes + HUGE - 1) & ~(HUGE - 1);
	gpa_t gpa = LV_RAM + vm->ram_size;
	if (take(vm, (int64_t)bytes))
		return -ENOMEM;
	if (libos_add_ram(vm, gpa - LV_RAM, bytes) < 0)
		return take(vm, -(int64_t)bytes), -ENOMEM;
	/* Large memory is worth large pages: programs that touch it will touch it in large areas. */
	madvise(libos_at(vm, gpa), bytes, MADV_HUGEPAGE);
	vm->libos.device_page->ram_size = vm->ram_size;
	return 0;
}

static int release_range(struct vm *vm, const struct lv_range *range)
{
	return range->gpa < LV_RAM ? -EINVAL : mem_drop(&vm->mem, range->gpa, range->len);
}

static int fetch(struct vm *vm, gpa_t to, gpa_t from, uint64_t len)
{
	void *target = len && len <= LV_FETCH_MAX && to % LV_PAGE == 0 && len % LV_PAGE == 0 && to >= LV_RAM ? mem_at(&vm->mem, to, len) : NULL;
	const void *source = from ? mem_at_ro(&vm->mem, from, len) : NULL;
	if (!target || (from && !source))
		return -EINVAL;
	libos_populate(vm, to, to + len);
	if (source && !libos_prefault_read(vm, target, from, len))
		memmove(target, source, len);
	return 0;
}

static int64_t release(struct vm *vm, uint64_t count)
{
	if (count > LV_RELEASE_SLOTS)
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		struct lv_range range = vm->libos.shared->release[i];
		int err = release_range(vm, &range);
		if (err)
			return err;
	}
	return 0;
}

/* ---- waiting ---- */

int libos_wait(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	if (!vcpu_sleep(vcpu, libos_clock_to_host(vm, vcpu->wait.deadline)))
		return VCPU_RUNNING; /* goes on later */
	if (!atomic_load(&vm->libos.ticking))
		libos_arm_tick(vm, true);
	vm->libos.shared->result = 0;
	return VCPU_RUNNING;
}

static int begin_wait(struct vcpu *vcpu, uint64_t deadline, uint64_t bells)
{
	volatile struct lv_shared *shared = vcpu->vm->libos.shared;
	libos_ring_bells(vcpu->vm, bells);
	status_memory(&vcpu->vm->status);
	shared->result = 0;
	if (!shared->need_wake || shared->signals || shared->ask_threads || shared->lines)
		return VCPU_RUNNING;
	vcpu->wait = (struct vcpu_wait){ .underway = true, .deadline = deadline };
	return VCPU_RUNNING;
}

/* ---- all of them ---- */

static int crash(struct vm *vm, uint64_t signal)
{
	loop_lock(&vm->loop);
	vm->status.record.crashed = 1;
	loop_unlock(&vm->loop);
	return signal & 0x7f ? (int)(signal & 0x7f) : SIGABRT;
}

/* The record belongs to who holds the loop's lock. */
static void listens(struct vm *vm)
{
	loop_lock(&vm->loop);
	status_write(&vm->status, LV_STATE_RUNNING);
	control_listens(&vm->control);
	loop_unlock(&vm->loop);
}

/* What the guest says of its threads, copied once. */
static int tell_threads(struct vm *vm, gpa_t list, uint64_t count, uint64_t total)
{
	struct lv_threads told = { .count = (uint32_t)count, .total = total > UINT32_MAX ? UINT32_MAX : (uint32_t)total };
	const void *from = count && count <= LV_THREADS_MAX ? mem_at_ro(&vm->mem, list, count * sizeof(struct lv_thread)) : NULL;
	if (count && !from)
		return -EINVAL;
	if (from)
		memcpy(told.thread, from, count * sizeof(struct lv_thread));
	loop_lock(&vm->loop);
	control_threads(&vm->control, &told);
	loop_unlock(&vm->loop);
	return 0;
}

/* ---- templates ---- */

static int tell_template(struct vm *vm, uint64_t ready)
{
	if (ready > 1)
		return -EINVAL;
	loop_lock(&vm->loop);
	vm->status.record.template_ready = (uint32_t)ready;
	status_write(&vm->status, LV_STATE_RUNNING);
	if (ready)
		control_template(&vm->control);
	loop_unlock(&vm->loop);
	return 0;
}

struct request { /* as it is written to the guest */
	char *to;
	uint64_t room, size;
};

static void request_add(struct request *request, const char *bytes, size_t n)
{
	uint64_t left = request->size < request->room ? request->room - request->size : 0;

	memcpy(request->to + (left ? request->size : 0), bytes, n < left ? n : left);
	request->size += n;
}

static void request_record(struct request *request, const char *key, const char *value)
{
	request_add(request, key, strlen(key));
	request_add(request, value, strlen(value) + 1);
}

static int64_t write_request(struct vm *vm, gpa_t gpa, uint64_t room)
{
	const struct machine_config *config = vm->config;
	char nowhere;
	struct request request = { .to = room ? mem_at(&vm->mem, gpa, room) : &nowhere, .room = room };

	if (!request.to)
		return -EINVAL;
	for (int i = 0; i < config->argc; i++)
		request_record(&request, "arg=", config->argv[i]);
	for (int i = 0; config->argc && i < config->envc; i++)
		request_record(&request, "env=", config->env[i]);
	if (config->argc)
		request_record(&request, "cwd=", config->cwd);
	return (int64_t)request.size;
}

int libos_hypercall(struct vcpu *vcpu, uint32_t number)
{
	struct vm *vm = vcpu->vm;
	volatile struct lv_shared *shared = vm->libos.shared;
	const uint64_t a0 = shared->arg[0], a1 = shared->arg[1], a2 = shared->arg[2];
	switch (number) {
	case LV_HC_WAIT:
		return begin_wait(vcpu, a0, a1);
	case LV_HC_EXIT:
		libos_prefault_started(vm);
		return a0 & 0xffff;
	case LV_HC_CRASH:
		return crash(vm, a0);
	case LV_HC_GROW:
		shared->result = grow(vm, a0);
		status_memory(&vm->status);
		return VCPU_RUNNING;
	case LV_HC_RELEASE:
		shared->result = release(vm, a0);
		return VCPU_RUNNING;
	case LV_HC_FETCH:
		shared->result = fetch(vm, a0, a1, a2);
		return VCPU_RUNNING;
	case LV_HC_READY:
		shared->result = vm->libos.configured ? -EALREADY : 0;
		return vm->libos.configured ? VCPU_RUNNING : VCPU_READY;
	case LV_HC_THREADS:
		shared->result = tell_threads(vm, a0, a1, a2);
		return VCPU_RUNNING;
	case LV_HC_TEMPLATE:
		shared->result = tell_template(vm, a0);
		return VCPU_RUNNING;
	case LV_HC_REQUEST:
		shared->result = write_request(vm, a0, a1);
		return VCPU_RUNNING;
	case LV_HC_USED:
		shared->result = libos_file_used(vm, a0, a1);
		return VCPU_RUNNING;
	case LV_HC_LACKS:
		shared->result = libos_file_lacks(vm, a0, a1);
		return VCPU_RUNNING;
	case LV_HC_AGENT:
		shared->result = libos_line_call(vm, a0, a1, a2);
		return VCPU_RUNNING;
	case LV_HC_LISTEN:
		libos_prefault_started(vm);
		shared->result = 0;
		listens(vm);
		return VCPU_RUNNING;
	}
	shared->result = -ENOSYS;
	return VCPU_RUNNING;
}
