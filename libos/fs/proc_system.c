/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc and /sys say of the machine. */
#include "libos/dev/dev.h"
#include "libos/fs/procfs.h"
#include "libos/ipc/ipc.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <cpuid.h>

/* ---- the processor ---- */

struct feature { /* one bit of CPUID, by the name Linux gives it */
	const char *name;
	uint32_t leaf;
	uint8_t reg, bit; /* reg: 0 eax .. 3 edx */
};

static const struct feature features[] = {
	{ "fpu", 1, 3, 0 }, { "tsc", 1, 3, 4 }, { "cx8", 1, 3, 8 }, { "cmov", 1, 3, 15 }, { "clflush", 1, 3, 19 }, { "mmx", 1, 3, 23 },
	{ "fxsr", 1, 3, 24 }, { "sse", 1, 3, 25 }, { "sse2", 1, 3, 26 }, { "syscall", 0x80000001, 3, 11 }, { "nx", 0x80000001, 3, 20 },
	{ "rdtscp", 0x80000001, 3, 27 }, { "lm", 0x80000001, 3, 29 }, { "pni", 1, 2, 0 }, { "pclmulqdq", 1, 2, 1 }, { "ssse3", 1, 2, 9 },
	{ "fma", 1, 2, 12 }, { "cx16", 1, 2, 13 }, { "sse4_1", 1, 2, 19 }, { "sse4_2", 1, 2, 20 }, { "movbe", 1, 2, 22 },
	{ "popcnt", 1, 2, 23 }, { "aes", 1, 2, 25 }, { "xsave", 1, 2, 26 }, { "avx", 1, 2, 28 }, { "f16c", 1, 2, 29 }, { "rdrand", 1, 2, 30 },
	{ "lahf_lm", 0x80000001, 2, 0 }, { "abm", 0x80000001, 2, 5 }, { "fsgsbase", 7, 1, 0 }, { "bmi1", 7, 1, 3 }, { "avx2", 7, 1, 5 },
	{ "bmi2", 7, 1, 8 }, { "erms", 7, 1, 9 }, { "avx512f", 7, 1, 16 }, { "avx512dq", 7, 1, 17 }, { "rdseed", 7, 1, 18 }, { "adx", 7, 1, 19 },
	{ "clflushopt", 7, 1, 23 }, { "avx512cd", 7, 1, 28 }, { "sha_ni", 7, 1, 29 }, { "avx512bw", 7, 1, 30 }, { "avx512vl", 7, 1, 31 },
	{ "gfni", 7, 2, 8 }, { "vaes", 7, 2, 9 }, { "vpclmulqdq", 7, 2, 10 }, { "fsrm", 7, 3, 4 },
};

static bool has_feature(const struct feature *feature)
{
	uint32_t reg[4], most;
	__cpuid(feature->leaf & 0x80000000, most, reg[1], reg[2], reg[3]);
	if (feature->leaf > most)
		return false;
	__cpuid_count(feature->leaf, 0, reg[0], reg[1], reg[2], reg[3]);
	return reg[feature->reg] >> feature->bit & 1;
}

static void show_model(struct text *text)
{
	uint32_t name[13] = { 0 }, most, b, c, d, version;
	__cpuid(0, most, name[0], name[2], name[1]);
	__cpuid(1, version, b, c, d);
	uint32_t family = (version >> 8 & 15) + ((version >> 8 & 15) == 15 ? version >> 20 & 0xff : 0);
	text_add(text, "vendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", (const char *)name, family, (version >> 4 & 15) | (version >> 12 & 0xf0));
	__cpuid(0x80000000, most, b, c, d);
	for (uint32_t i = 0; i < 3 && most >= 0x80000004; i++)
		__cpuid(0x80000002 + i, name[i * 4], name[i * 4 + 1], name[i * 4 + 2], name[i * 4 + 3]);
	text_add(text, "model name\t: %s\nstepping\t: %u\n", (const char *)name, version & 15);
}

static void show_cpuinfo(struct text *text, int key)
{
	uint64_t khz = device_page->tsc_hz / 1000;
	text_add(text, "processor\t: 0\n");
	show_model(text);
	text_add(text, "cpu MHz\t\t: %lu.%03lu\ncache size\t: 0 KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\n", khz / 1000, khz % 1000);
	text_add(text, "fpu\t\t: yes\nflags\t\t:");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (has_feature(&features[i]))
			text_add(text, " %s", features[i].name);
	text_add(text, "\nbogomips\t: %lu.%02lu\nclflush size\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\n\n", khz / 500, khz / 5 % 100);
}

/* ---- memory, time ---- */

static void show_meminfo(struct text *text, int key)
{
	uint64_t total = page_total_bytes() / 1024, available = page_free_bytes() / 1024;
	static const char *const zero[] = { "Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Dirty", "Writeback",
		"Mapped", "Shmem", "Slab", "CommitLimit" };
	text_add(text, "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n", total, available, available);
	for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
		text_add(text, "%s:%*s%8u kB\n", zero[i], (int)(15 - strlen(zero[i])), "", 0u);
	text_add(text, "Committed_AS:   %8lu kB\nHugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n", total - available);
}

static void show_uptime(struct text *text, int key)
{
	uint64_t up = clock_uptime() / 10000000, busy = processes_cpu_ns() / 10000000, idle = up > busy ? up - busy : 0;
	text_add(text, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
}

static void show_stat(struct text *text, int key)
{
	uint64_t busy = processes_cpu_ns() / 10000000, up = clock_uptime() / 10000000, idle = up > busy ? up - busy : 0;
	for (int i = 0; i < 2; i++)
		text_add(text, "cpu%s %lu 0 0 %lu 0 0 0 0 0 0\n", i ? "0" : " ", busy, idle);
	text_add(text, "intr 0\nctxt 0\nbtime %lu\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		 (uint64_t)((clock_realtime() - clock_uptime()) / NS_PER_S));
}

static void show_loadavg(struct text *text, int key)
{
	text_add(text, "0.00 0.00 0.00 1/%d %d\n", thread_count, current_tid());
}

/* ---- names and numbers ---- */

static void show_version(struct text *text, int key)
{
	text_add(text, "Linux version %s (lightvm) %s\n", LV_UNAME_RELEASE, LV_UNAME_VERSION);
}

static const char *const filesystems[] = { "sysfs", "tmpfs", "proc", "devtmpfs", "overlay", "erofs" };

static void show_filesystems(struct text *text, int key)
{
	for (size_t i = 0; i < ARRAY_SIZE(filesystems); i++)
		text_add(text, "%s\t%s\n", i + 1 < ARRAY_SIZE(filesystems) ? "nodev" : "", filesystems[i]);
}

/* The same, by number: sysfs(2) has nothing to do with /sys. */
SYSCALL(sysfs)
{
	char name[16];
	int64_t len;

	switch ((int)a[0]) {
	case 1:
		len = user_string(name, a[1], sizeof(name));
		if (len == -EFAULT)
			return -EFAULT;
		for (size_t i = 0; len > 0 && i < ARRAY_SIZE(filesystems); i++)
			if (!strcmp(name, filesystems[i]))
				return (long)i;
		break;
	case 2:
		if ((uint64_t)a[1] < ARRAY_SIZE(filesystems))
			return user_write(a[2], filesystems[a[1]], strlen(filesystems[a[1]]) + 1);
		break;
	case 3:
		return ARRAY_SIZE(filesystems);
	}
	return -EINVAL;
}

static void show_ostype(struct text *text, int key)
{
	text_add(text, "Linux\n");
}

static void show_osrelease(struct text *text, int key)
{
	text_add(text, "%s\n", LV_UNAME_RELEASE);
}

static void show_os_version(struct text *text, int key)
{
	text_add(text, "%s\n", LV_UNAME_VERSION);
}

static void show_hostname(struct text *text, int key)
{
	text_add(text, "%s\n", process_hostname());
}

static void show_uuid_of(struct text *text, const uint8_t *id)
{
	for (int i = 0; i < 16; i++)
		text_add(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", i == 6 ? (id[i] & 15) | 0x40 : i == 8 ? (id[i] & 63) | 0x80 : id[i]);
	text_add(text, "\n");
}

static void show_uuid(struct text *text, int key)
{
	uint8_t id[16];
	random_bytes(id, sizeof(id));
	show_uuid_of(text, id);
}

static uint8_t boot_id[16];

/* A VM that was restored alone is the one that booted once; a clone never booted, and must not say that it is the one that did. */
static void renew_boot_id(void)
{
	if (device_page->restored & LV_RESTORED_CLONE)
		random_bytes(boot_id, sizeof(boot_id));
}

static void show_boot_id(struct text *text, int key)
{
	static struct generation_hook generation;
	if (!generation.changed) {
		generation.changed = renew_boot_id;
		random_bytes(boot_id, sizeof(boot_id));
		generation_add(&generation);
	}
	show_uuid_of(text, boot_id);
}

static void show_diskstats(struct text *text, int key)
{
	struct block_facts disk;
	for (int i = 0; block_facts(i, &disk); i++)
		text_add(text, " 254 %7d vd%c %lu 0 %lu 0 %lu 0 %lu 0 0 0 0 0 0 0 0 0 0\n", i * 16, 'a' + i, disk.reads, disk.read_sectors, disk.writes, disk.written_sectors);
}

static void show_partitions(struct text *text, int key)
{
	struct block_facts disk;
	for (int i = 0; block_facts(i, &disk); i++)
		text_add(text, "%s 254 %8d %10lu vd%c\n", i ? "" : "major minor  #blocks  name\n\n", i * 16, disk.sectors / 2, 'a' + i);
}

static void show_vmstat(struct text *text, int key)
{
	static const char *const zero[] = { "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "oom_kill" };
	text_add(text, "nr_free_pages %lu\nnr_mapped %lu\n", page_free_bytes() / 4096, (page_total_bytes() - page_free_bytes()) / 4096);
	for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
		text_add(text, "%s 0\n", zero[i]);
}

static void show_schedstat(struct text *text, int key)
{
	text_add(text, "version 15\ntimestamp %lu\ncpu0 0 0 0 0 0 0 %lu 0 0\n", clock_monotonic() / 4000000, process_cpu_ns(current->process));
}

static void show_zoneinfo(struct text *text, int key)
{
	uint64_t free = page_free_bytes() / 4096, all = page_total_bytes() / 4096;
	text_add(text, "Node 0, zone   Normal\n  pages free     %lu\n        min      0\n        low      0\n        high     0\n        spanned  %lu\n"
		 "        present  %lu\n        managed  %lu\n      nr_free_pages %lu\n", free, all, all, all, free);
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* ---- the trees ---- */

#define DIR_(name_, children_) { .name = name_, .mode = S_IFDIR | 0555, .children = children_ }
#define FILE_(name_, show_) { .name = name_, .mode = S_IFREG | 0444, .show = show_ }
#define LINK_(name_, target_) { .name = name_, .mode = S_IFLNK | 0777, .target = target_ }

static const struct node random_files[] = { FILE_("boot_id", show_boot_id), FILE_("uuid", show_uuid), PROC_FIXED("entropy_avail", "256"),
	PROC_FIXED("poolsize", "256"), { 0 } };
static const struct node kernel_files[] = { FILE_("ostype", show_ostype), FILE_("osrelease", show_osrelease), FILE_("version", show_os_version),
	FILE_("hostname", show_hostname), DIR_("random", random_files), PROC_FIXED("domainname", "(none)"), PROC_FIXED("pid_max", "32768"),
	PROC_FIXED("threads-max", "32768"), PROC_FIXED("cap_last_cap", "40"), PROC_FIXED("randomize_va_space", "2"), PROC_FIXED("ngroups_max", "65536"),
	PROC_FIXED("core_pattern", "core"), PROC_FIXED("core_uses_pid", "0"), PROC_FIXED("tainted", "0"), PROC_FIXED("printk", "4\t4\t1\t7"),
	PROC_FIXED("perf_event_paranoid", "3"), PROC_FIXED("kptr_restrict", "1"), PROC_FIXED("dmesg_restrict", "1"), PROC_FIXED("sysrq", "0"),
	PROC_FIXED("panic", "0"), PROC_FIXED("shmmax", "18446744073692774399"), PROC_FIXED("shmall", "18446744073692774399"),
	PROC_FIXED("shmmni", TEXT(IPC_SHM_SEGMENTS)), PROC_FIXED("sem", TEXT(IPC_SEM_IN_SET) "\t1024000000\t" TEXT(IPC_SEM_OPS) "\t" TEXT(IPC_SEM_SETS)),
	PROC_FIXED("msgmax", TEXT(IPC_MSG_BYTES)), PROC_FIXED("msgmnb", TEXT(IPC_MSG_QUEUE_BYTES)), PROC_FIXED("msgmni", TEXT(IPC_MSG_QUEUES)),
	PROC_FIXED("sched_rt_runtime_us", "950000"), PROC_FIXED("sched_rt_period_us", "1000000"), PROC_FIXED("unprivileged_bpf_disabled", "2"), { 0 } };
static const struct node sysctl_dirs[] = { DIR_("kernel", kernel_files), DIR_("vm", sysctl_vm), DIR_("net", sysctl_net), DIR_("fs", sysctl_fs), { 0 } };

const struct node proc_tree[] = {
	LINK_("self", proc_self_target), LINK_("thread-self", proc_task_target), LINK_("mounts", proc_mounts_target), LINK_("net", proc_net_target),
	FILE_("cpuinfo", show_cpuinfo), FILE_("meminfo", show_meminfo), FILE_("stat", show_stat), FILE_("uptime", show_uptime),
	FILE_("loadavg", show_loadavg), FILE_("version", show_version), FILE_("filesystems", show_filesystems),
	PROC_FIXED("cmdline", ""), DIR_("sys", sysctl_dirs), DIR_("sysvipc", proc_sysvipc), FILE_("vmstat", show_vmstat), FILE_("schedstat", show_schedstat), FILE_("diskstats", show_diskstats), FILE_("partitions", show_partitions),
	FILE_("zoneinfo", show_zoneinfo), PROC_FIXED("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"), { .name = "modules", .mode = S_IFREG | 0444 },
	PROC_FIXED("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n 10 misc\n\nBlock devices:\n254 virtblk"), PROC_FIXED("interrupts", "           CPU0       "),
	PROC_FIXED("softirqs", "                    CPU0       "), PROC_FIXED("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled"), { 0 },
};

static const struct node node_files[] = { PROC_FIXED("online", "0"), PROC_FIXED("possible", "0"), { 0 } };
static const struct node cpu0_files[] = { PROC_FIXED("online", "1"), { 0 } };
static const struct node cpu_files[] = { PROC_FIXED("online", "0"), PROC_FIXED("possible", "0"), PROC_FIXED("present", "0"),
	DIR_("cpu0", cpu0_files), { 0 } };
static const struct node system_dirs[] = { DIR_("cpu", cpu_files), DIR_("node", node_files), { 0 } };
static const struct node devices_dirs[] = { DIR_("system", system_dirs), { 0 } };
const struct node sys_tree[] = { DIR_("devices", devices_dirs), DIR_("class", sys_class), DIR_("kernel", sys_kernel), { 0 } };
