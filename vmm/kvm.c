/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of /dev/kvm for every kind of guest (Documentation/virt/kvm/api.rst). */
#include "vmm/kvm.h"
#include "vmm/vm_state.h"
#include "vmm/x86_64/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "abi/shared.h"
#include "base/log.h"

#define XCR0_AMX (3ull << 17) /* 8 KiB of state for every thread switch: not for tiny guests */

int kvm_open(struct vm *vm)
{
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd >= 0)
		return 0;
	int error = errno;
	if (error == EACCES || error == EPERM)
		log_error("/dev/kvm: no permission; \"lightvm doctor\" tells how to get it");
	else if (error == ENOENT)
		log_error("/dev/kvm: not there: load the kernel's module (sudo modprobe kvm-intel, or kvm-amd), or turn on virtualisation in the firmware");
	else
		log_error("/dev/kvm: %s", strerror(error));
	return -error;
}

int kvm_create_vm(struct vm *vm)
{
	int version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return log_error("/dev/kvm speaks API version %d, not %d", version, KVM_API_VERSION), -ENOTSUP;
	do
		vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	return vm->fd < 0 ? log_errno("KVM_CREATE_VM") : 0;
}

int kvm_create_vcpu(struct vm *vm)
{
	struct vcpu *vcpu = &vm->vcpu[vm->vcpu_count];
	*vcpu = (struct vcpu){ .vm = vm, .index = vm->vcpu_count, .fd = ioctl(vm->fd, KVM_CREATE_VCPU, vm->vcpu_count) };
	if (vcpu->fd < 0)
		return log_errno("KVM_CREATE_VCPU");
	vm->vcpu_count++;
	vcpu->run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *map = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (map == MAP_FAILED)
		return log_errno("the vCPU's shared page");
	vcpu->run = map;
	return 0;
}

/* 0 where KVM does not know, or refuses: a guest's clock cannot be made of that. */
int kvm_tsc_khz(struct vcpu *vcpu, uint32_t *khz)
{
	int answer = vcpu->tsc_khz ? (int)vcpu->tsc_khz : ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	if (answer <= 0)
		return log_error("KVM_GET_TSC_KHZ: %s", answer < 0 ? strerror(errno) : "the frequency of the time-stamp counter is not known"), -ENOTSUP;
	*khz = vcpu->tsc_khz = (uint32_t)answer;
	return 0;
}

/* What the processor and KVM offer: asked once a boot, since each CPUID costs 20-70 us where it is itself virtualised. */
struct cpuid_cache {
	uint64_t magic;
	char boot_id[40];
	uint32_t xsave_size;
	uint32_t kind; /* of KVM: 1 + what probe_kind() answers; 0: nobody has asked yet */
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES];
	/* what a library-OS guest gets of it: ready, so that no VM has a copy of its own */
	struct kvm_cpuid2 libos_head;
	struct kvm_cpuid_entry2 libos_entry[CPUID_ENTRIES];
	/* and what it read, asked in a VM */
	uint32_t leaves;
	struct lv_cpuid_leaf leaf[LV_CPUID_LEAVES];
};
#define CPUID_CACHE_MAGIC 0x36444955504343ull

static bool cache_valid(const struct cpuid_cache *cache, const char *boot_id)
{
	return cache->magic == CPUID_CACHE_MAGIC && memcmp(cache->boot_id, boot_id, sizeof(cache->boot_id)) == 0 &&
	       cache->head.nent <= CPUID_ENTRIES && cache->libos_head.nent <= CPUID_ENTRIES &&
	       cache->leaves <= LV_CPUID_LEAVES;
}

/* Mapped, so that all monitors share its pages. NULL: there is none yet, or it is damaged or from before this boot. */
static const struct cpuid_cache *map_cache(int fd, const char *boot_id)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size != sizeof(struct cpuid_cache))
		return NULL;
	const struct cpuid_cache *cache = mmap(NULL, sizeof(*cache), PROT_READ, MAP_PRIVATE, fd, 0);
	return cache != MAP_FAILED && cache_valid(cache, boot_id) ? cache : NULL;
}

static const struct kvm_cpuid_entry2 *find_leaf(const struct cpuid_cache *cache, uint32_t function)
{
	for (unsigned i = 0; i < cache->head.nent; i++)
		if (cache->entry[i].function == function && cache->entry[i].index == 0)
			return &cache->entry[i];
	return NULL;
}

/* The guest may use what KVM supports; XCR0 is what leaf 0xd says of it. */
static uint64_t cache_xcr0(const struct cpuid_cache *cache)
{
	const struct kvm_cpuid_entry2 *leaf = find_leaf(cache, 0xd);
	return leaf ? (leaf->eax | (uint64_t)leaf->edx << 32) & ~XCR0_AMX : 3;
}

/* Bytes of the standard XSAVE layout. The processor's own sum counts what the host has enabled, AMX's 8 KiB too. */
static uint32_t xsave_size(uint64_t xcr0)
{
	unsigned eax, ebx, ecx, edx, size = 576; /* legacy area and header */
	for (unsigned i = 2; i < 63; i++) {
		if (!(xcr0 >> i & 1))
			continue;
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		if (ebx + eax > size)
			size = ebx + eax;
	}
	return size;
}

static int ask_cpuid(const struct vm *vm, struct cpuid_cache *cache)
{
	cache->magic = CPUID_CACHE_MAGIC;
	cache->head.nent = CPUID_ENTRIES;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &cache->head) < 0)
		return log_errno("KVM_GET_SUPPORTED_CPUID");
	cache->xsave_size = xsave_size(cache_xcr0(cache));
	cpuid_name_caches(cache->entry, cache->head.nent);
	cache->libos_head = cache->head;
	memcpy(cache->libos_entry, cache->entry, sizeof(cache->entry));
	cpuid_filter(cache->libos_entry, cache->head.nent, LV_GUEST_LIBOS);
	return 0;
}

static struct cpuid_cache own; /* where no file has it yet: once a boot */

int kvm_read_cpuid(struct vm *vm)
{
	char boot_id[40] = "";
	int fd = vm->config->cpuid_fd;
	if (fd >= 0) {
		int boot = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
		if (boot >= 0) {
			if (read(boot, boot_id, 36) != 36)
				boot_id[0] = 0;
			close(boot);
		}
		vm->cpuid = boot_id[0] ? map_cache(fd, boot_id) : NULL;
		if (vm->cpuid)
			return 0;
	}
	int result = ask_cpuid(vm, &own);
	if (result < 0)
		return result;
	memcpy(own.boot_id, boot_id, sizeof(boot_id));
	if (boot_id[0] && pwrite(fd, &own, sizeof(own), 0) != sizeof(own) && ftruncate(fd, 0) < 0)
		return log_errno("the CPUID cache"); /* half a cache would be worse than none */
	vm->cpuid = &own;
	return 0;
}

int kvm_known_kind(const struct vm *vm)
{
	uint32_t kind = vm->cpuid->kind;
	return kind == 1 || kind == 2 ? (int)kind - 1 : -1;
}

static void ask_processor(uint32_t function, uint32_t index, uint32_t reg[4])
{
	__cpuid_count(function, index, reg[0], reg[1], reg[2], reg[3]);
}

/* A full disk does not keep a VM from starting: the next one asks again. */
void kvm_keep_kind(struct vm *vm, int answer, unsigned (*leaves)(const struct vm *vm, struct lv_cpuid_leaf *leaf))
{
	if (vm->cpuid != &own)
		own = *vm->cpuid;
	own.kind = answer + 1;
	if (answer == 0)
		cpuid_add_working(own.libos_entry, own.libos_head.nent, cache_xcr0(&own), ask_processor);
	vm->cpuid = &own;
	own.leaves = leaves(vm, own.leaf);
	if (own.boot_id[0] && vm->config->cpuid_fd >= 0 && pwrite(vm->config->cpuid_fd, &own, sizeof(own), 0) != sizeof(own) &&
	    ftruncate(vm->config->cpuid_fd, 0) < 0)
		log_errno("keeping the self-test's answer in the CPUID cache");
}

const struct kvm_cpuid2 *kvm_libos_cpuid(const struct vm *vm)
{
	return &vm->cpuid->libos_head;
}

unsigned kvm_libos_leaves(const struct vm *vm, struct lv_cpuid_leaf *leaf)
{
	memcpy(leaf, vm->cpuid->leaf, vm->cpuid->leaves * sizeof(*leaf));
	return vm->cpuid->leaves;
}

uint32_t kvm_libos_features(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->cpuid->libos_head.nent; i++)
		if (vm->cpuid->libos_entry[i].function == 1)
			return vm->cpuid->libos_entry[i].edx;
	return 0;
}

unsigned kvm_cpuid(const struct vm *vm, struct kvm_cpuid_entry2 *entry)
{
	memcpy(entry, vm->cpuid->entry, vm->cpuid->head.nent * sizeof(*entry));
	return vm->cpuid->head.nent;
}

void kvm_leaf(const struct vm *vm, uint32_t function, uint32_t index, uint32_t reg[4])
{
	memset(reg, 0, 4 * sizeof(reg[0]));
	for (unsigned i = 0; i < vm->cpuid->head.nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &vm->cpuid->entry[i];
		if (entry->function == function && entry->index == index)
			memcpy(reg, (const uint32_t[]){ entry->eax, entry->ebx, entry->ecx, entry->edx }, 4 * sizeof(reg[0]));
	}
}

uint64_t kvm_xcr0(const struct vm *vm)
{
	return cache_xcr0(vm->cpuid);
}

uint32_t kvm_xsave_size(const struct vm *vm)
{
	return vm->cpuid->xsave_size;
}

static void close_vcpu(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->vm->vcpus.lock);
	struct kvm_run *run = vcpu->run;
	vcpu->run = NULL; /* somebody may still ask for a kick */
	pthread_mutex_unlock(&vcpu->vm->vcpus.lock);
	if (run)
		munmap(run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->fd = -1;
}

void kvm_close(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		close_vcpu(&vm->vcpu[i]);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	vm->fd = vm->kvm_fd = -1;
}
