/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM costs whoever makes one: a static program that does what KVM asks for and nothing else. One VM, its vCPU, a slot of memory, CPUID,
 * registers, and a guest of one instruction, which leaves at once. No library OS, program, devices, jail, record or command line. Told as bench/boots and bench/runs tell it:
 *   bare [-n RUNS] [-l LABEL]          from just before the exec to the guest's exit ("entry_us") and to the end of the process ("end_us")
 *   bare [-n RUNS] [-l LABEL] -j       the same by way of a process in between, which has it in mount, IPC, UTS and PID namespaces of its own: the way of "lightvm run"
 *   bare [-n RUNS] [-l LABEL] -k       all stay, as with bench/boots -k
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/layout.h"
#include "bench/kept.h"
#include "bench/stats.h"

#define MOST_RUNS 10000
#define MEMORY (16 << 20)
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, PT = 0x4000, CODE = 0x5000, BELL = 0x6000 };
enum { P = 1, W = 2, U = 4 };
#define NOWHERE 0xd0000000ull /* no memory: who writes there leaves the guest */

struct shared {
	uint64_t entry_ns; /* 0: not yet */
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[128];
};
static struct shared *shared;
static uint64_t entry[MOST_RUNS], end[MOST_RUNS], in_order[MOST_RUNS];

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the VM, in a process that has just been executed ---- */

static void build_tables(uint8_t *memory)
{
	static const uint8_t code[] = { 0xbf, BELL & 0xff, BELL >> 8, 0, 0, 0x89, 0x07 }; /* mov $BELL, %edi; mov %eax, (%rdi) */
	*(uint64_t *)(memory + PML4) = PDPT | P | W | U;
	*(uint64_t *)(memory + PDPT) = PD | P | W | U;
	*(uint64_t *)(memory + PD) = PT | P | W | U;
	((uint64_t *)(memory + PT))[CODE >> 12] = CODE | P | U;
	((uint64_t *)(memory + PT))[BELL >> 12] = NOWHERE | P | W | U;
	memcpy(memory + CODE, code, sizeof(code));
}

static void set_registers(int vcpu)
{
	struct kvm_sregs s;
	must(!ioctl(vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cr0 = 0x80050033;
	s.cr3 = PML4;
	s.cr4 = 0x50620;
	s.efer = 0xd01;
	s.cs = (struct kvm_segment){ .limit = -1, .selector = LV_CS3, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1 };
	s.ss = (struct kvm_segment){ .limit = -1, .selector = LV_SS3, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1 };
	s.ds = s.es = s.fs = s.gs = s.ss;
	must(!ioctl(vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	struct kvm_regs r = { .rip = CODE, .rflags = 2 };
	must(!ioctl(vcpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
}

/* Afterwards it ends, or stays as a VM that waits. */
static int be_a_vm(bool stay)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	must(vcpu >= 0, "KVM_CREATE_VCPU");
	struct kvm_run *run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = MEMORY, .userspace_addr = (uintptr_t)memory };
	must(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	build_tables(memory);
	must(!ioctl(vcpu, KVM_SET_CPUID2, &shared->head), "KVM_SET_CPUID2");
	set_registers(vcpu);
	must(!ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	shared->entry_ns = now_ns();
	must(run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == NOWHERE, "the guest left otherwise than it was to");
	while (stay)
		pause();
	return 0;
}

/* ---- who starts them ---- */

struct child {
	char **argv;
	int error;
};

static int exec_child(void *context)
{
	struct child *child = context;
	execv("/proc/self/exe", child->argv);
	child->error = errno;
	_exit(1);
}

/* Stands between, as the command line does: what it starts has namespaces of its own from birth. */
static int be_between(char *fd)
{
	static _Alignas(16) char stack[16384];
	int status = -1;
	struct child child = { .argv = (char *[]){ "bare", "--vm", fd, NULL } };
	pid_t pid = clone(exec_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | SIGCHLD, &child);
	errno = child.error ? child.error : errno;
	must(pid > 0 && !child.error && waitpid(pid, &status, 0) == pid, "a process in namespaces of its own");
	return status != 0;
}

struct way {
	const char *role;
	char fd[12];
	pid_t *stay; /* NULL: each is waited for */
	int count;
};

static uint64_t one(struct way *way, uint64_t *end_ns)
{
	char *argv[] = { "bare", (char *)way->role, way->fd, NULL }, *nothing[] = { NULL };
	pid_t pid;
	int status = 0;
	uint64_t seen, began = now_ns();
	shared->entry_ns = 0;
	must(!(errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, nothing)), "posix_spawn");
	if (!way->stay) {
		must(waitpid(pid, &status, 0) == pid && !status, "a VM");
		*end_ns = now_ns() - began;
		return shared->entry_ns - began;
	}
	way->stay[way->count++] = pid;
	while (!(seen = __atomic_load_n(&shared->entry_ns, __ATOMIC_ACQUIRE))) {
		must(!waitpid(pid, &status, WNOHANG) && now_ns() - began < 10000000000ull, "a VM");
		nap(200000);
	}
	nap(5000000); /* as those of bench/boots, it comes to rest before the next one */
	return seen - began;
}

static uint64_t one_more(void *way)
{
	return one(way, NULL);
}

static void print_ended(const char *label, int runs, struct way *way)
{
	one(way, &end[0]); /* files into the page cache */
	for (int i = 0; i < runs; i++)
		entry[i] = one(way, &end[i]);
	qsort(entry, runs, sizeof(*entry), stats_order);
	qsort(end, runs, sizeof(*end), stats_order);
	printf("{\"what\": \"%s\", \"n\": %d, \"entry_us\": %.1f, \"end_us\": %.1f}\n", label, runs, stats_us(entry, runs, 0.5), stats_us(end, runs, 0.5));
}

static void share(struct way *way)
{
	int fd = memfd_create("bare", 0), kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	must(fd >= 0 && !ftruncate(fd, sizeof(*shared)), "memfd");
	must(kvm >= 0, "/dev/kvm");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(shared != MAP_FAILED, "mmap");
	shared->head.nent = sizeof(shared->entry) / sizeof(*shared->entry);
	must(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &shared->head), "KVM_GET_SUPPORTED_CPUID");
	close(kvm);
	snprintf(way->fd, sizeof(way->fd), "%d", fd);
}

int main(int argc, char **argv)
{
	const char *label = "bare VM";
	static pid_t stay[MOST_RUNS + 1];
	struct way way = { .role = "--vm" };
	int runs = 20, option;
	if (argc == 3 && argv[1][0] == '-' && argv[1][1] == '-') {
		if (!strcmp(argv[1], "--between"))
			return be_between(argv[2]);
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
		must(shared != MAP_FAILED, "mmap");
		return be_a_vm(!strcmp(argv[1], "--stay"));
	}
	while ((option = getopt(argc, argv, "n:l:jk")) != -1) {
		if (option == 'n')
			runs = atoi(optarg);
		else if (option == 'l')
			label = optarg;
		else if (option == 'j')
			way.role = "--between";
		else if (option == 'k')
			way.role = "--stay", way.stay = stay;
		else
			return 2;
	}
	if (optind != argc || runs < 1 || runs > MOST_RUNS) {
		fprintf(stderr, "usage: bare [-n RUNS] [-l LABEL] [-j|-k]\n");
		return 2;
	}
	share(&way);
	if (!way.stay)
		print_ended(label, runs, &way);
	else
		kept_print(label, runs, in_order, one_more, &way);
	while (way.count)
		kill(stay[--way.count], SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
