/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest uses, out of /proc and sysinfo(2). */
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "abi/agent.h"
#include "guest/guest_agent.h"

#define NS 1000000000ull

static void read_memory(struct lv_agent_resources *resources)
{
	char line[128], key[32];
	unsigned long long kib;
	FILE *file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%31[^:]: %llu", key, &kib) != 2)
			continue;
		if (!strcmp(key, "MemTotal"))
			resources->memory_total = kib << 10;
		else if (!strcmp(key, "MemFree"))
			resources->memory_free = kib << 10;
		else if (!strcmp(key, "MemAvailable"))
			resources->memory_available = kib << 10;
		else if (!strcmp(key, "Cached"))
			resources->memory_cached = kib << 10;
	}
	if (file)
		fclose(file);
}

/* Fields of the line "cpu": user nice system idle iowait irq softirq steal, in ticks. */
static void read_processors(struct lv_agent_resources *resources)
{
	unsigned long long t[8] = { 0 }, tick = NS / (unsigned long long)sysconf(_SC_CLK_TCK);
	FILE *file = fopen("/proc/stat", "re");
	if (file && fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", t, t + 1, t + 2, t + 3, t + 4, t + 5, t + 6, t + 7) >= 4) {
		resources->cpu_busy_ns = (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) * tick;
		resources->cpu_idle_ns = (t[3] + t[4]) * tick;
	}
	if (file)
		fclose(file);
}

void resources_read(struct lv_agent_resources *resources)
{
	struct sysinfo info;
	struct timespec up;
	memset(resources, 0, sizeof(*resources));
	clock_gettime(CLOCK_BOOTTIME, &up);
	resources->uptime_ns = (uint64_t)up.tv_sec * NS + (uint64_t)up.tv_nsec;
	resources->processors = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!sysinfo(&info)) {
		resources->processes = info.procs;
		for (int i = 0; i < 3; i++)
			resources->load[i] = (uint32_t)(info.loads[i] * 100ull >> SI_LOAD_SHIFT);
	}
	read_memory(resources);
	read_processors(resources);
}
