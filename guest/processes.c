/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's processes, out of /proc. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/agent.h"
#include "guest/guest_agent.h"

#define NS 1000000000ull

/* "PID (NAME) STATE PARENT ...": the name may hold anything, so that its last parenthesis is looked for. */
static int read_stat(const char *text, struct lv_agent_process *process)
{
	const char *begin = strchr(text, '('), *end = strrchr(text, ')');
	unsigned long long user, system;
	char state;
	long long resident;
	if (!begin || !end || end < begin ||
	    sscanf(end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %u %*d %*u %*u %lld", &state, &process->parent, &user, &system,
		   &process->threads, &resident) != 6)
		return -1;
	process->state = (unsigned char)state;
	process->cpu_ns = (user + system) * (NS / (unsigned long long)sysconf(_SC_CLK_TCK));
	process->memory = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	snprintf(process->name, sizeof(process->name), "[%.*s]", (int)(end - begin - 1), begin + 1);
	return 0;
}

static size_t read_proc(const char *pid, const char *file, char *text, size_t room)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
	FILE *from = fopen(path, "re");
	size_t n = from ? fread(text, 1, room - 1, from) : 0;
	if (from)
		fclose(from);
	text[n] = 0;
	return n;
}

/* Its command line, if it has one: the kernel's own threads have none, and are passed over (false). */
static bool read_one(const char *pid, struct lv_agent_process *process)
{
	char text[1024];
	*process = (struct lv_agent_process){ .pid = atoi(pid) };
	if (!read_proc(pid, "stat", text, sizeof(text)) || read_stat(text, process))
		return false;
	size_t n = read_proc(pid, "cmdline", text, sizeof(process->name));
	if (!n)
		return process->state == 'Z';
	while (n && !text[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = ' ';
	memset(process->name, 0, sizeof(process->name));
	memcpy(process->name, text, n);
	return true;
}

size_t processes_read(struct lv_agent_process *process, size_t room, uint32_t *total)
{
	size_t n = 0;
	DIR *proc = opendir("/proc");
	struct lv_agent_process one;
	*total = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		if (entry->d_name[strspn(entry->d_name, "0123456789")] || !read_one(entry->d_name, &one))
			continue;
		++*total;
		if (n < room)
			process[n++] = one;
	}
	if (proc)
		closedir(proc);
	return n;
}
