/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices vmm/state/pager.c vmm/state/vm_saved.c vmm/state/host_record.c vmm/state/registers.c vmm/state/irq_state.c vmm/libos/libos_state.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * The state of a VM from any bytes. The first byte chooses: bytes as they are, or records whose checksums are right, beginning with those of a sound
 * state, in which the rest changes bytes here and there. KVM is not there: no call of a vCPU's descriptor succeeds. Checked: what is refused says why.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/error.h"
#include "tests/fuzz/input.h"
#include "vmm/kvm.h"
#include "vmm/state/ram_diff.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/stream.h"
#include "vmm/state/touched.h"
#include "vmm/state/vm_saved.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

#define ROOM 32768
#define RAM (6ull << 20)
#define MUST(x) ((x) ? (void)0 : abort())

/* ---- what belongs to KVM, and to the monitor's other parts ---- */

int kvm_known_kind(const struct vm *vm) { return 0; }
uint64_t kvm_xcr0(const struct vm *vm) { return 7; }
uint32_t kvm_xsave_size(const struct vm *vm) { return 832; }
void kvm_leaf(const struct vm *vm, uint32_t function, uint32_t index, uint32_t reg[4]) { memset(reg, 'x', 16); }
void vcpu_request(struct vcpu *vcpu, unsigned requests) { }
void vcpu_pause_all(struct vm *vm) { }
void vcpu_hold_all(struct vm *vm, bool on) { }
void vcpu_resume_all(struct vm *vm) { }
int libos_describe_restored(struct vm *vm) { return 0; }
int libos_clock_restore(struct vm *vm, const struct libos_time *from, bool advance) { return from->ns[0] > 1ull << 62 ? -1 : 0; }
int libos_measure_image(int fd, uint64_t *size) { return *size = 4096, 0; }
void *libos_at(const struct vm *vm, uint64_t address) { return vm->libos.window + (address - LV_BASE); }
int libos_map_saved(struct vm *vm, uint64_t limit, uint64_t ram) { return vm->ram_limit = limit, mem_add(&vm->mem, LV_RAM, vm->ram_size, libos_at(vm, LV_RAM), true); }
int libos_add_ram(struct vm *vm, uint64_t from, uint64_t bytes) { return -1; }
static int go_on_waiting(struct vcpu *vcpu) { abort(); } /* that there is one lets a state name a wait */

static const struct guest_ops guest = { .kind = LV_GUEST_LIBOS, .name = "library OS", .save = libos_save, .load = libos_load, .on_wait = go_on_waiting };

/* ---- a VM ---- */

static uint8_t window[LV_RAM - LV_BASE + RAM] __attribute__((aligned(4096)));
static struct kvm_run run;
static struct machine_config config = { .state_fd = -1, .memory_fd = -1, .pages_fd = -1, .pager = { -1, -1 }, .memory = 64 << 20 };

static void vm_start(struct vm *vm)
{
	const struct device_config console = { .type = LV_DEV_CONSOLE, .console = { .in = -1, .out = -1, .err = -1, .log = -1 } };
	const char *what;

	memset(vm, 0, sizeof(*vm));
	MUST(loop_init(&vm->loop) == 0);
	vm->config = &config;
	vm->guest = &guest;
	vm->vcpu_count = 1;
	vm->vcpu[0] = (struct vcpu){ .vm = vm, .fd = -1, .run = &run };
	vm->ram_size = RAM;
	vm->ram_limit = vm->libos.reach = 256 << 20;
	vm->fd = -1;
	vm->libos.window = window;
	vm->libos.device_page = libos_at(vm, LV_DEVICE);
	vm->libos.shared = libos_at(vm, LV_SHARED);
	vm->libos.boot_next = LV_RAM;
	vm->libos.more_next = LV_RAM + LV_RAM_EARLY;
	vm->libos.image_size = 4096;
	vm->mem.slot_count = 1;
	vm->mem.slot[0] = (struct mem_slot){ .gpa = LV_BASE, .len = sizeof(window), .hva = window, .kind = MEM_WINDOW };
	devices_init(&vm->devices, &vm->loop);
	vm->devices.mem = &vm->mem;
	vm->devices.shared = vm->libos.shared;
	MUST(devices_add(&vm->devices, &console, &what) == 0);
}

static void vm_end(struct vm *vm)
{
	devices_free(&vm->devices);
	loop_fini(&vm->loop);
}

/* ---- a state ---- */

/* As registers_save() makes it, where it has a KVM. */
static void put_vcpu(struct stream *stream)
{
	static const uint8_t nothing[4096];
	static const uint32_t size[] = { sizeof(struct kvm_sregs), sizeof(struct kvm_regs), sizeof(struct kvm_xcrs), sizeof(struct kvm_xsave),
		sizeof(struct kvm_debugregs), 0 /* no interrupt controllers */, sizeof(struct kvm_vcpu_events), sizeof(struct kvm_mp_state) };

	stream_begin(stream, STREAM_TAG("VCPU"), 1);
	stream_put32(stream, 0);
	stream_put32(stream, sizeof(size) / sizeof(size[0]));
	for (unsigned i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		stream_put32(stream, size[i]);
		stream_put(stream, nothing, size[i] < sizeof(nothing) ? size[i] : sizeof(nothing));
	}
	stream_put32(stream, 2);
	stream_put(stream, nothing, 24);
	stream_put8(stream, 1);
	stream_put64(stream, 99);
	stream_end(stream);
}

/* The rest of the input: pairs of a place and a byte. */
static void change(struct input *in, uint8_t *record, size_t size)
{
	while (in->at < in->end && take(in) != 0xff)
		record[take_word(in) % size] ^= take(in);
}

static void seal(uint8_t *bytes, size_t size, struct input *in)
{
	struct stream stream = stream_writer(bytes, ROOM);
	static uint8_t old[ROOM];

	memcpy(old, bytes, size);
	for (size_t at = 0; at + 16 <= size;) {
		uint32_t word[3];

		memcpy(word, old + at, sizeof(word));
		if (word[2] > size - at - 16)
			break;
		if (word[2])
			change(in, old + at + 12, word[2]);
		stream_begin(&stream, word[0], word[1]);
		stream_put(&stream, old + at + 12, word[2]);
		stream_end(&stream);
		at += 16 + word[2];
	}
}

static size_t sound(struct vm *vm, uint8_t *bytes)
{
	struct stream stream = stream_writer(bytes, ROOM);
	extern int host_save(const struct vm *vm, struct stream *stream);

	stream_begin(&stream, STREAM_TAG("LVVM"), 1);
	stream_put32(&stream, LV_GUEST_LIBOS);
	stream_put32(&stream, 1);
	stream_put64(&stream, LV_BASE);
	stream_put64(&stream, sizeof(window));
	stream_put32(&stream, 1);
	stream_put32(&stream, LV_DEV_CONSOLE);
	stream_put32(&stream, vm->devices.device[0]->queues);
	stream_put64(&stream, 0);
	stream_end(&stream);
	host_save(vm, &stream);
	put_vcpu(&stream);
	libos_save(vm, &stream);
	devices_save(&vm->devices, &stream);
	stream_begin(&stream, STREAM_TAG("END."), 1);
	MUST(stream_end(&stream) == 0);
	return stream.at;
}

/* ---- the list of pages ---- */

static size_t page_list(uint8_t *bytes, struct input *in)
{
	struct stream stream = stream_writer(bytes, ROOM);

	stream_begin(&stream, STREAM_TAG("PAGE"), 1);
	while (in->at < in->end && stream.at < ROOM - 64)
		stream_put8(&stream, take(in));
	MUST(stream_end(&stream) == 0);
	return stream.at;
}

/* ---- the target ---- */

static int file_with(const void *bytes, size_t size)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	return fd;
}

/* Whatever it says, memory that is none of its own is not touched: what follows the window cannot be. */
static void load_pages(const uint8_t *bytes, size_t size)
{
	struct mem mem = { .file_count = 1, .file[0] = { .hva = window, .len = 64 * 4096, .fd = config.memory_fd, .offset = 16 * 4096 } };
	struct error error = { 0 };
	int fd = file_with(bytes, size), err = touched_populate(&mem, fd, &error);

	MUST(!err == !error.text[0]);
	close(fd);
}

/* The records behind a memory of 16 pages: any bytes, or with right checksums, a count and what follows it. */
static void map_runs(struct input *in, bool raw)
{
	const struct mem_file place = { .hva = window, .len = 8 * 4096, .offset = 4 * 4096 };
	static uint8_t bytes[ROOM];
	struct stream stream = stream_writer(bytes, ROOM);
	struct ram_runs runs;
	struct mem mem = { 0 };
	uint64_t size;

	for (unsigned part = 0; part < 2; part++) {
		stream_begin(&stream, part ? STREAM_TAG("TAIL") : STREAM_TAG("DIFF"), 1);
		while (!part && in->at < in->end && stream.at < ROOM - 64)
			stream_put8(&stream, take(in));
		if (part)
			stream_put64(&stream, raw ? take_word(in) : 16 * 4096);
		MUST(stream_end(&stream) == 0);
	}
	struct mem_file top = place;
	top.fd = memfd_create("memory", MFD_CLOEXEC);
	MUST(top.fd >= 0 && pwrite(top.fd, bytes, stream.at, 16 * 4096) == (ssize_t)stream.at);
	int err = ram_runs_read(&runs, top.fd, &size);
	for (unsigned i = 0; !err && i < runs.count; i++)
		MUST(runs.run[i].pages && (uint64_t)runs.run[i].first + runs.run[i].pages <= size / 4096);
	ram_runs_free(&runs);
	MUST(!ram_layers_map(&mem, &top, &config.memory_fd, 1) == !err);
	close(top.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm vm, saver;
	static uint8_t bytes[ROOM];
	struct input in = { data, data + size };
	struct error error = { 0 };
	const uint8_t which = take(&in);
	const bool raw = which & 1;

	if (config.memory_fd < 0)
		MUST((config.memory_fd = memfd_create("memory", 0)) >= 0 && ftruncate(config.memory_fd, sizeof(window)) == 0);
	if (which & 4) {
		map_runs(&in, raw);
		return 0;
	}
	if (which & 2) {
		load_pages(bytes, page_list(bytes, &in));
		return 0;
	}
	vm_start(&saver);
	size_t len = sound(&saver, bytes);
	vm_end(&saver);
	if (!raw)
		seal(bytes, len, &in);
	config.state_fd = raw ? file_with(in.at, (size_t)(in.end - in.at)) : file_with(bytes, len);
	vm_start(&vm);
	MUST(vm_saved_load(&vm, &error) < 0 && error.text[0]); /* at the latest when a vCPU gets its registers */
	MUST(size > 1 || which || strstr(error.text, "KVM_SET_SREGS")); /* the sound one gets that far; it is every run's first input, of no byte */
	vm_end(&vm);
	close(config.state_fd);
	return 0;
}
