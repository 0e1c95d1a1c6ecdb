/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/host_record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "vmm/state/stream.h"
#include "vmm/kvm.h"
#include "vmm/vm_state.h"

#define HOST_TAG STREAM_TAG("HOST")
#define HOST_VERSION 1

/* Words of CPUID in which each bit is something that programs may have found and use (Intel SDM volume 2, CPUID). */
static const struct word {
	uint32_t function, index, reg;
	const char *name;
} words[] = {
	{ 1, 0, 2, "1.ECX" }, { 1, 0, 3, "1.EDX" }, { 7, 0, 1, "7.EBX" }, { 7, 0, 2, "7.ECX" }, { 7, 0, 3, "7.EDX" }, { 7, 1, 0, "7.1.EAX" },
	{ 0xd, 1, 0, "D.1.EAX" }, { 0x80000001, 0, 2, "80000001.ECX" }, { 0x80000001, 0, 3, "80000001.EDX" }, { 0x80000008, 0, 1, "80000008.EBX" },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

struct host {
	uint32_t kind; /* of KVM, as kvm_known_kind answers, plus one */
	char vendor[12];
	uint64_t xcr0;
	uint32_t xsave_size;
	uint32_t word[WORDS];
};

static void ask(const struct vm *vm, struct host *host)
{
	uint32_t reg[4];

	*host = (struct host){ .kind = (uint32_t)(kvm_known_kind(vm) + 1), .xcr0 = kvm_xcr0(vm), .xsave_size = kvm_xsave_size(vm) };
	kvm_leaf(vm, 0, 0, reg);
	memcpy(host->vendor, &reg[1], 4);
	memcpy(host->vendor + 4, &reg[3], 4);
	memcpy(host->vendor + 8, &reg[2], 4);
	for (unsigned i = 0; i < WORDS; i++) {
		kvm_leaf(vm, words[i].function, words[i].index, reg);
		host->word[i] = reg[words[i].reg];
	}
}

int host_save(const struct vm *vm, struct stream *stream)
{
	struct host host;

	ask(vm, &host);
	stream_begin(stream, HOST_TAG, HOST_VERSION);
	stream_put32(stream, host.kind);
	stream_put(stream, host.vendor, sizeof(host.vendor));
	stream_put64(stream, host.xcr0);
	stream_put32(stream, host.xsave_size);
	stream_put32(stream, WORDS);
	for (unsigned i = 0; i < WORDS; i++)
		stream_put32(stream, host.word[i]);
	return stream_end(stream);
}

/* It is shown to a user. */
static bool is_name(const char *vendor, size_t len)
{
	bool good = true;

	for (size_t i = 0; i < len; i++)
		good &= vendor[i] >= ' ' && vendor[i] <= '~';
	return good;
}

static int read_host(struct host *host, struct stream *stream)
{
	stream_begin(stream, HOST_TAG, HOST_VERSION);
	host->kind = stream_get32(stream);
	stream_get(stream, host->vendor, sizeof(host->vendor));
	host->xcr0 = stream_get64(stream);
	host->xsave_size = stream_get32(stream);
	if (stream_get32(stream) != WORDS || !is_name(host->vendor, sizeof(host->vendor)))
		stream_refuse(stream);
	for (unsigned i = 0; i < WORDS; i++)
		host->word[i] = stream_get32(stream);
	return stream_end(stream);
}

static const char *kind_name(uint32_t kind)
{
	return kind == 1 ? "page-table KVM" : kind == 2 ? "hardware KVM" : "a KVM of an unknown kind";
}

int host_check(const struct vm *vm, struct stream *stream, struct error *error)
{
	struct host saved, here;
	int err = read_host(&saved, stream);

	if (err)
		return err;
	ask(vm, &here);
	if (memcmp(saved.vendor, here.vendor, sizeof(here.vendor)) != 0)
		return error_set(error, -ENOTSUP, "it was saved on a processor of %.12s, and this one is of %.12s", saved.vendor, here.vendor);
	if (saved.kind != here.kind)
		return error_set(error, -ENOTSUP, "it was saved on %s, and this machine has %s", kind_name(saved.kind), kind_name(here.kind));
	if (saved.xcr0 != here.xcr0 || saved.xsave_size != here.xsave_size)
		return error_set(error, -ENOTSUP, "its vector registers are %#llx in %u bytes, and this machine's are %#llx in %u", (unsigned long long)saved.xcr0,
				 saved.xsave_size, (unsigned long long)here.xcr0, here.xsave_size);
	for (unsigned i = 0; i < WORDS; i++)
		if (saved.word[i] & ~here.word[i])
			return error_set(error, -ENOTSUP, "its processor had features that this one lacks: CPUID %s, bits %#x", words[i].name, saved.word[i] & ~here.word[i]);
	return 0;
}
