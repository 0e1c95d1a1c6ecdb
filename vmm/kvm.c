/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of /dev/kvm: a VM with one vCPU that starts in 64-bit mode at level 3 (Documentation/virt/kvm/api.rst). */
#include "vmm/vm.h"
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
#include "vmm/log.h"

#define CR0_START 0x80050033 /* PG WP NE ET MP PE */
#define CR4_START 0x50620    /* PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE; no SMEP, no SMAP: libos' pages are user pages */
#define EFER_START 0xd01     /* SCE, LME, LMA, NXE */
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_TSC 0x10
#define XCR0_AMX (3ull << 17) /* 8 KiB of state for every thread switch: not for tiny guests */

int kvm_open(struct vm *vm)
{
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd >= 0)
		return 0;
	int error = errno;
	if (error == EACCES || error == EPERM)
		log_error("/dev/kvm: no permission: add yourself to its group (sudo usermod -aG kvm $USER) and log in again");
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

int kvm_create_vcpu(struct vm *vm, unsigned id, int *fd, struct kvm_run **run)
{
	*fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (*fd < 0)
		return log_errno("KVM_CREATE_VCPU");
	vm->run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *map = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (map == MAP_FAILED)
		return log_errno("the vCPU's shared page");
	*run = map;
	return 0;
}

int kvm_create(struct vm *vm)
{
	int result = kvm_create_vm(vm);
	return result < 0 ? result : kvm_create_vcpu(vm, 0, &vm->vcpu.fd, &vm->vcpu.run);
}

int kvm_add_slot(struct vm *vm, gpa_t gpa, uint64_t len, void *hva, bool read_only)
{
	struct kvm_userspace_memory_region slot = {.slot = vm->slots, .guest_phys_addr = gpa, .memory_size = len,
		.userspace_addr = (uintptr_t)hva, .flags = read_only ? KVM_MEM_READONLY : 0};
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return log_errno("KVM_SET_USER_MEMORY_REGION");
	vm->slots++;
	return 0;
}

int kvm_add_bell(struct vm *vm, const struct device_bell *bell)
{
	struct kvm_ioeventfd event = {.addr = LV_BELL_GPA + bell->offset, .len = 4, .fd = bell->fd};
	return ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0 ? log_errno("KVM_IOEVENTFD") : 0;
}

/* What the processor and KVM offer: asked once a boot, since each CPUID costs 20-70 us where it is itself virtualised. */
struct cpuid_cache {
	uint64_t magic;
	char boot_id[40];
	uint32_t xsave_size;
	uint32_t kind; /* of KVM: 1 + what probe_kind() answers; 0: nobody has asked yet */
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES];
};
#define CPUID_CACHE_MAGIC 0x34444955504343ull

static bool cache_valid(const struct cpuid_cache *cache, const char *boot_id)
{
	return cache->magic == CPUID_CACHE_MAGIC && memcmp(cache->boot_id, boot_id, sizeof(cache->boot_id)) == 0 &&
	       cache->head.nent <= CPUID_ENTRIES;
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
	return 0;
}

int kvm_read_cpuid(struct vm *vm)
{
	static struct cpuid_cache cache;
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
	int result = ask_cpuid(vm, &cache);
	if (result < 0)
		return result;
	memcpy(cache.boot_id, boot_id, sizeof(boot_id));
	if (boot_id[0] && pwrite(fd, &cache, sizeof(cache), 0) != sizeof(cache) && ftruncate(fd, 0) < 0)
		return log_errno("the CPUID cache"); /* half a cache would be worse than none */
	vm->cpuid = &cache;
	return 0;
}

/* The self-test takes two more VMs' worth of time, so its answer is kept too. */
int kvm_kind(struct vm *vm)
{
	uint32_t kind = vm->cpuid->kind;
	if (kind == 1 || kind == 2)
		return kind - 1;
	int answer = probe_kind(vm);
	kind = answer + 1;
	if (answer < 0 || vm->config->cpuid_fd < 0)
		return answer;
	/* A full disk does not keep a VM from starting: the next one asks again. */
	if (pwrite(vm->config->cpuid_fd, &kind, sizeof(kind), offsetof(struct cpuid_cache, kind)) != sizeof(kind))
		log_errno("keeping the self-test's answer in the CPUID cache");
	return answer;
}

unsigned kvm_cpuid(const struct vm *vm, struct kvm_cpuid_entry2 *entry)
{
	memcpy(entry, vm->cpuid->entry, vm->cpuid->head.nent * sizeof(*entry));
	return vm->cpuid->head.nent;
}

uint64_t kvm_xcr0(const struct vm *vm)
{
	return cache_xcr0(vm->cpuid);
}

static int set_cpuid(struct vm *vm, uint64_t *xcr0)
{
	const struct cpuid_cache *cache = vm->cpuid;
	*xcr0 = cache_xcr0(cache);
	return ioctl(vm->vcpu.fd, KVM_SET_CPUID2, &cache->head) < 0 ? log_errno("KVM_SET_CPUID2") : 0;
}

static int set_xcr0(struct vm *vm, uint64_t xcr0)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = xcr0}};
	if (ioctl(vm->vcpu.fd, KVM_SET_XCRS, &xcrs) < 0)
		return log_errno("KVM_SET_XCRS");
	if (vm->cpuid->xsave_size > LV_PAGE)
		return log_error("this processor's vector state takes %u bytes; libos keeps a page for it", vm->cpuid->xsave_size), -ENOTSUP;
	vm->device_page->xcr0 = xcr0;
	vm->device_page->xsave_size = vm->cpuid->xsave_size;
	const struct kvm_cpuid_entry2 *features = find_leaf(vm->cpuid, 1);
	vm->device_page->cpu_features = features ? features->edx : 0;
	return 0;
}

/*
 * The guest reads the host's time-stamp counter, so that the boot ledger has one clock. Page-table KVM never
 * intercepts or offsets RDTSC; hardware has an offset, which is set to nothing.
 */
static void set_tsc(struct vm *vm)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset};
	if (ioctl(vm->vcpu.fd, KVM_SET_DEVICE_ATTR, &attr) == 0)
		return;
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } msr = {.head.nmsrs = 1,
		.entry = {.index = MSR_TSC, .data = __builtin_ia32_rdtsc()}};
	ioctl(vm->vcpu.fd, KVM_SET_MSRS, &msr); /* kernels before 5.16: as close as one instruction */
}

static int set_msrs(struct vm *vm)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry[3]; } msrs = {.head.nmsrs = 3, .entry = {
		{.index = MSR_STAR, .data = (uint64_t)(LV_CS3 - 16) << 48 | (uint64_t)LV_CS0 << 32},
		{.index = MSR_LSTAR, .data = vm->syscall_entry},
		{.index = MSR_SFMASK, .data = 0x47700}}}; /* TF IF DF IOPL NT AC */
	return ioctl(vm->vcpu.fd, KVM_SET_MSRS, &msrs) != 3 ? log_errno("KVM_SET_MSRS") : 0;
}

static int set_sregs(struct vm *vm)
{
	struct kvm_sregs s;
	if (ioctl(vm->vcpu.fd, KVM_GET_SREGS, &s) < 0)
		return log_errno("KVM_GET_SREGS");
	s.cr0 = CR0_START;
	s.cr3 = LV_PML4;
	s.cr4 = CR4_START;
	s.efer = EFER_START;
	s.cs = (struct kvm_segment){.limit = -1, .selector = LV_CS3, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
	s.ss = (struct kvm_segment){.limit = -1, .selector = LV_SS3, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
	s.ds = s.es = s.fs = s.gs = s.ss;
	s.gdt = (struct kvm_dtable){.base = LV_DESC, .limit = LV_TR + 15};
	s.idt = (struct kvm_dtable){.base = LV_DESC + 0x200, .limit = 32 * 16 - 1};
	s.tr = (struct kvm_segment){.base = LV_DESC + 0x100, .limit = 103, .selector = LV_TR, .type = 11, .present = 1};
	return ioctl(vm->vcpu.fd, KVM_SET_SREGS, &s) < 0 ? log_errno("KVM_SET_SREGS") : 0;
}

int kvm_set_start(struct vm *vm)
{
	uint64_t xcr0;
	int result = set_cpuid(vm, &xcr0);
	if (result == 0)
		result = set_sregs(vm);
	if (result == 0)
		result = set_xcr0(vm, xcr0);
	if (result == 0)
		result = set_msrs(vm);
	if (result < 0)
		return result;
	set_tsc(vm);
	struct kvm_regs regs = {.rip = vm->entry, .rsp = vm->boot_stack, .rflags = LV_RFLAGS};
	return ioctl(vm->vcpu.fd, KVM_SET_REGS, &regs) < 0 ? log_errno("KVM_SET_REGS") : 0;
}

void kvm_close(struct vm *vm)
{
	struct kvm_run *run = vm->vcpu.run;
	vm->vcpu.run = NULL; /* a signal may still ask for a kick */
	if (run)
		munmap(run, vm->run_size);
	if (vm->vcpu.fd >= 0)
		close(vm->vcpu.fd);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
}
