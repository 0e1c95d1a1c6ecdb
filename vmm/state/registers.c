/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/registers.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "vmm/state/irq_state.h"
#include "vmm/state/stream.h"

#define VCPU_TAG STREAM_TAG("VCPU")
#define VCPU_VERSION 1
#define MSR_TSC 0x10 /* these two: a guest's clock is told anew, by its kind */
#define MSR_TSC_ADJUST 0x3b

/* In the order in which they are set: what later ones are checked against comes first. */
static const struct part {
	const char *name;
	unsigned long get, set;
	size_t offset;
	uint32_t size;
	bool may_lack; /* an old KVM, or one of another kind, has no such call */
} parts[] = {
#define PART(name, field, lack) { #name, KVM_GET_##name, KVM_SET_##name, offsetof(struct registers, field), sizeof(((struct registers *)0)->field), lack }
	PART(SREGS, sregs, false), PART(REGS, regs, false), PART(XCRS, xcrs, false), PART(XSAVE, xsave, false),
	PART(DEBUGREGS, debugregs, true), PART(LAPIC, lapic, true), PART(VCPU_EVENTS, events, false), PART(MP_STATE, mp_state, true),
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void *place(const struct registers *registers, const struct part *part)
{
	return (char *)registers + part->offset;
}

/* ---- model-specific registers ---- */

void registers_list(int kvm_fd, struct msr_list *list)
{
	struct { struct kvm_msr_list head; uint32_t index[REGISTERS_MSRS]; } all = { .head.nmsrs = REGISTERS_MSRS };

	list->count = 0;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &all) < 0)
		return;
	for (unsigned i = 0; i < all.head.nmsrs && i < REGISTERS_MSRS; i++)
		if (all.index[i] != MSR_TSC && all.index[i] != MSR_TSC_ADJUST)
			list->index[list->count++] = all.index[i];
}

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[REGISTERS_MSRS];
};

/* Of what is in msrs, that which KVM answers for this vCPU: it stops at the first one that it does not, which is left out. */
static void get_msrs(int fd, struct msrs *msrs)
{
	unsigned good = 0, left = msrs->head.nmsrs;
	struct { struct kvm_msrs head; struct kvm_msr_entry entry[REGISTERS_MSRS]; } some;

	while (left) {
		some.head = (struct kvm_msrs){ .nmsrs = left };
		memcpy(some.entry, msrs->entry + msrs->head.nmsrs - left, left * sizeof(some.entry[0]));
		int n = ioctl(fd, KVM_GET_MSRS, &some);
		unsigned got = n < 0 ? 0 : (unsigned)n;
		memcpy(msrs->entry + good, some.entry, got * sizeof(some.entry[0]));
		good += got;
		left -= got < left ? got + 1 : got;
	}
	msrs->head.nmsrs = good;
}

static void list_msrs(const struct msr_list *list, struct msrs *msrs)
{
	msrs->head = (struct kvm_msrs){ .nmsrs = list->count };
	for (unsigned i = 0; i < list->count; i++)
		msrs->entry[i] = (struct kvm_msr_entry){ .index = list->index[i] };
}

static const struct kvm_msr_entry *find_msr(const struct msrs *msrs, uint32_t index)
{
	for (unsigned i = 0; i < msrs->head.nmsrs; i++)
		if (msrs->entry[i].index == index)
			return &msrs->entry[i];
	return NULL;
}

/* What is as it should be is left alone: of some registers KVM takes no write but says what they are. */
static int load_msrs(const struct vcpu *vcpu, const struct registers *registers, const struct msr_list *list, struct error *error)
{
	struct msrs now;

	list_msrs(list, &now);
	get_msrs(vcpu->fd, &now);
	for (unsigned i = 0; i < registers->msrs; i++) {
		const uint32_t index = registers->msr[i].index;
		const uint64_t value = registers->msr[i].value;
		const struct kvm_msr_entry *has = find_msr(&now, index);
		struct { struct kvm_msrs head; struct kvm_msr_entry entry; } one = { { .nmsrs = 1 }, { .index = index, .data = value } };

		if (has && has->data == value)
			continue;
		if (!has || ioctl(vcpu->fd, KVM_SET_MSRS, &one) != 1)
			return error_set(error, -EINVAL, "this machine's KVM does not take %#llx for register %#x", (unsigned long long)value, index);
	}
	return 0;
}

/* ---- saving ---- */

static int get_parts(const struct vcpu *vcpu, struct registers *registers, struct error *error)
{
	for (unsigned i = 0; i < PARTS; i++) {
		if (ioctl(vcpu->fd, parts[i].get, place(registers, &parts[i])) == 0)
			registers->has |= 1u << i;
		else if (!parts[i].may_lack)
			return error_set(error, -errno, "vCPU %u: KVM_GET_%s: %s", vcpu->index, parts[i].name, strerror(errno));
	}
	return 0;
}

static void put_msrs(const struct vcpu *vcpu, const struct msr_list *list, struct stream *stream)
{
	struct msrs msrs;

	list_msrs(list, &msrs);
	get_msrs(vcpu->fd, &msrs);
	stream_put32(stream, msrs.head.nmsrs);
	for (unsigned i = 0; i < msrs.head.nmsrs; i++) {
		stream_put32(stream, msrs.entry[i].index);
		stream_put64(stream, msrs.entry[i].data);
	}
}

int registers_save(const struct vcpu *vcpu, const struct msr_list *list, struct stream *stream, struct error *error)
{
	struct registers registers = { .has = 0 };
	int err = get_parts(vcpu, &registers, error);

	if (err)
		return err;
	stream_begin(stream, VCPU_TAG, VCPU_VERSION);
	stream_put32(stream, vcpu->index);
	stream_put32(stream, PARTS);
	for (unsigned i = 0; i < PARTS; i++) {
		uint32_t size = registers.has >> i & 1 ? parts[i].size : 0;

		stream_put32(stream, size);
		stream_put(stream, place(&registers, &parts[i]), size);
	}
	put_msrs(vcpu, list, stream);
	stream_put8(stream, vcpu->wait.underway);
	stream_put64(stream, vcpu->wait.deadline);
	return stream_end(stream);
}

/* ---- loading ---- */

static void read_parts(struct registers *registers, struct stream *stream)
{
	for (unsigned i = 0; i < PARTS; i++) {
		uint32_t size = stream_get32(stream);

		if (size == parts[i].size) {
			stream_get(stream, place(registers, &parts[i]), size);
			registers->has |= 1u << i;
		} else if (size || !parts[i].may_lack) {
			stream_refuse(stream);
		}
	}
}

static void read_msrs(struct registers *registers, struct stream *stream)
{
	registers->msrs = stream_get32(stream);
	if (registers->msrs > REGISTERS_MSRS) {
		registers->msrs = 0;
		stream_refuse(stream);
	}
	for (unsigned i = 0; i < registers->msrs; i++) {
		registers->msr[i].index = stream_get32(stream);
		registers->msr[i].value = stream_get64(stream);
	}
}

int registers_read(struct registers *registers, struct stream *stream)
{
	memset(registers, 0, sizeof(*registers));
	stream_begin(stream, VCPU_TAG, VCPU_VERSION);
	registers->index = stream_get32(stream);
	if (stream_get32(stream) != PARTS)
		stream_refuse(stream);
	read_parts(registers, stream);
	if (!irq_lapic_can_be(&registers->lapic)) /* one that is not there is all zero */
		stream_refuse(stream);
	read_msrs(registers, stream);
	registers->wait.underway = stream_get_bool(stream);
	registers->wait.deadline = stream_get64(stream);
	return stream_end(stream);
}

int registers_load(struct vcpu *vcpu, const struct registers *registers, const struct msr_list *list, struct error *error)
{
	for (unsigned i = 0; i < PARTS; i++)
		if (registers->has >> i & 1 && ioctl(vcpu->fd, parts[i].set, place(registers, &parts[i])) < 0)
			return error_set(error, -EINVAL, "vCPU %u: KVM_SET_%s: %s", vcpu->index, parts[i].name, strerror(errno));
	int err = load_msrs(vcpu, registers, list, error);

	if (!err)
		vcpu->wait = registers->wait;
	return err;
}
