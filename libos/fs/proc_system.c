/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc and /sys say of the machine. */
#include "libos/fs/procfs.h"
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

static uint64_t up_ns(void)
{
	return clock_monotonic() - device_page->monotonic_base_ns;
}

static void show_uptime(struct text *text, int key)
{
	uint64_t up = up_ns() / 10000000, busy = process_cpu_ns() / 10000000, idle = up > busy ? up - busy : 0;
	text_add(text, "%lu.%02lu %lu.%02lu\n", up / 100, up % 100, idle / 100, idle % 100);
}

static void show_stat(struct text *text, int key)
{
	uint64_t busy = process_cpu_ns() / 10000000, up = up_ns() / 10000000, idle = up > busy ? up - busy : 0;
	for (int i = 0; i < 2; i++)
		text_add(text, "cpu%s %lu 0 0 %lu 0 0 0 0 0 0\n", i ? "0" : " ", busy, idle);
	text_add(text, "intr 0\nctxt 0\nbtime %lu\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		 (uint64_t)((clock_realtime() - up_ns()) / NS_PER_S));
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

static void show_filesystems(struct text *text, int key)
{
	text_add(text, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\n\terofs\n");
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

static void show_boot_id(struct text *text, int key)
{
	static uint8_t id[16];
	static bool made;
	if (!made)
		random_bytes(id, sizeof(id));
	made = true;
	show_uuid_of(text, id);
}

#define NUMBER(name_, value_)                                  \
	static void show_##name_(struct text *text, int key)   \
	{                                                      \
		text_add(text, "%s\n", value_);                \
	}
NUMBER(pid_max, "32768")
NUMBER(threads_max, "32768")
NUMBER(one, "1")
NUMBER(zero, "0")
NUMBER(somaxconn, "4096")
NUMBER(file_max, "1048576")
NUMBER(max_map_count, "65530")
NUMBER(two, "2")
NUMBER(entropy, "256")
NUMBER(ports, "32768\t60999")
NUMBER(cap_last, "40")
NUMBER(empty_line, "")

/* ---- the trees ---- */

#define DIR_(name_, children_) { .name = name_, .mode = S_IFDIR | 0555, .children = children_ }
#define FILE_(name_, show_) { .name = name_, .mode = S_IFREG | 0444, .show = show_ }
#define LINK_(name_, target_) { .name = name_, .mode = S_IFLNK | 0777, .target = target_ }

static const struct node random_files[] = { FILE_("boot_id", show_boot_id), FILE_("uuid", show_uuid), FILE_("entropy_avail", show_entropy),
	FILE_("poolsize", show_entropy), { 0 } };
static const struct node kernel_files[] = { FILE_("ostype", show_ostype), FILE_("osrelease", show_osrelease), FILE_("version", show_os_version),
	FILE_("hostname", show_hostname), FILE_("pid_max", show_pid_max), FILE_("threads-max", show_threads_max),
	FILE_("cap_last_cap", show_cap_last), FILE_("randomize_va_space", show_two), FILE_("ngroups_max", show_file_max),
	DIR_("random", random_files), { 0 } };
static const struct node vm_files[] = { FILE_("overcommit_memory", show_one), FILE_("max_map_count", show_max_map_count),
	FILE_("swappiness", show_zero), { 0 } };
static const struct node core_files[] = { FILE_("somaxconn", show_somaxconn), { 0 } };
static const struct node ipv4_files[] = { FILE_("ip_local_port_range", show_ports), { 0 } };
static const struct node net_dirs[] = { DIR_("core", core_files), DIR_("ipv4", ipv4_files), { 0 } };
static const struct node fs_files[] = { FILE_("file-max", show_file_max), FILE_("nr_open", show_file_max), { 0 } };
static const struct node sysctl_dirs[] = { DIR_("kernel", kernel_files), DIR_("vm", vm_files), DIR_("net", net_dirs), DIR_("fs", fs_files), { 0 } };

const struct node proc_tree[] = {
	LINK_("self", proc_self_target), LINK_("thread-self", proc_task_target), LINK_("mounts", proc_mounts_target), LINK_("net", proc_net_target),
	FILE_("cpuinfo", show_cpuinfo), FILE_("meminfo", show_meminfo), FILE_("stat", show_stat), FILE_("uptime", show_uptime),
	FILE_("loadavg", show_loadavg), FILE_("version", show_version), FILE_("filesystems", show_filesystems),
	FILE_("cmdline", show_empty_line), DIR_("sys", sysctl_dirs), { 0 },
};

static const struct node node_files[] = { FILE_("online", show_zero), FILE_("possible", show_zero), { 0 } };
static const struct node cpu0_files[] = { FILE_("online", show_one), { 0 } };
static const struct node cpu_files[] = { FILE_("online", show_zero), FILE_("possible", show_zero), FILE_("present", show_zero),
	DIR_("cpu0", cpu0_files), { 0 } };
static const struct node system_dirs[] = { DIR_("cpu", cpu_files), DIR_("node", node_files), { 0 } };
static const struct node devices_dirs[] = { DIR_("system", system_dirs), { 0 } };
const struct node sys_tree[] = { DIR_("devices", devices_dirs), { 0 } };
