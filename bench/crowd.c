/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts many VMs that stay, through node/ as "lightvm run -d" does, in one process:
 *   crowd [-n COUNT] [-i SECONDS] DIR
 * DIR has a config.json, from which COUNT VMs are made one after the other. JSON, one object a line: for each hundred the median time of
 * a start (until the guest runs); then what all cost the machine together, what they do while idle (-i), how each answers, and their end.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "bench/stats.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/monitor_control.h"
#include "node/vm_end.h"
#include "node/vm_info.h"

#define MOST 20000
#define PART 100
#define A_BRIDGE 1000 /* VMs on each */

struct vm {
	char id[STATE_ID + 1];
	pid_t pid;
	uint64_t start_ns, entry_ns; /* how long the command took; to the program's first instruction */
	uint64_t ours_ns, its_ns;    /* processor time that it took here, and in its monitor until it came to rest */
};

static struct vm vms[MOST];
static const char *bridges = "crowd"; /* crowd0, crowd1 ... */

static uint64_t processor_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* On the bridge of its thousand, with an address in that bridge's network: a bridge has 1,024 ports. */
static void place(struct net_spec *net, unsigned i)
{
	char name[16];
	snprintf(name, sizeof(name), "%.8s%u", bridges, i / A_BRIDGE);
	free(net->name);
	net->name = strdup(name);
	net->ip = htonl(10u << 24 | (64 + i / A_BRIDGE) << 16 | (i % A_BRIDGE + 256));
	net->mask = htonl(0xffff0000);
	lv_mac_of_ip(net->mac, net->ip);
}

static int start(const struct state *state, int template, unsigned number, struct vm *made, struct error *error)
{
	struct vm_config config;
	struct vm_dir vm = VM_DIR_NONE;
	struct launch launch = LAUNCH_NONE;
	uint64_t began = clock_now(), used = processor_ns();
	config_init(&config);
	int err = config_load(&config, template, error);
	config.detached = true;
	free(config.name);
	config.name = NULL;
	if (!err)
		err = vm_new_id(config.id, error);
	if (!err && config.net.kind == NET_BRIDGE)
		place(&config.net, number);
	if (!err)
		err = config_validate(&config, error);
	if (!err)
		err = config_open(&config, error);
	if (!err)
		err = launch_create(state, &config, &vm, error);
	if (!err)
		err = launch_start(&launch, &config, &vm, began, error);
	if (!err)
		err = launch_settle(&launch, error);
	made->start_ns = clock_now() - began;
	made->ours_ns = processor_ns() - used;
	made->pid = launch.monitor.pid;
	memcpy(made->id, config.id, sizeof(made->id));
	launch_end(&launch);
	vm_close(&vm);
	config_free(&config);
	return err;
}

/* ---- what they cost ---- */

static uint64_t sum_of(const char *path, const char *format)
{
	char line[128];
	unsigned long long sum = 0, number;
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &number) == 1)
			sum += number;
	if (file)
		fclose(file);
	return sum;
}

static uint64_t available_kib(void)
{
	return sum_of("/proc/meminfo", "MemAvailable: %llu") + sum_of("/proc/zoneinfo", " count: %llu") * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Processor time of all threads, and how often they were scheduled. */
static void add_time(pid_t pid, uint64_t *ns, uint64_t *turns)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		unsigned long long run, wait, count;
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", pid, entry->d_name);
		FILE *file = fopen(path, "r");
		if (file && fscanf(file, "%llu %llu %llu", &run, &wait, &count) == 3)
			*ns += run, *turns += count;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
}

static void idle(int n, int seconds)
{
	uint64_t ns[2] = { 0 }, turns[2] = { 0 }, at[2];
	for (int look = 0; look < 2; look++) {
		at[look] = clock_now();
		for (int i = 0; i < n; i++)
			add_time(vms[i].pid, &ns[look], &turns[look]);
		if (!look)
			nanosleep(&(struct timespec){ .tv_sec = seconds }, NULL);
	}
	printf("{\"what\": \"idle\", \"vms\": %d, \"seconds\": %.1f, \"percent_of_a_processor\": %.3f, \"wakeups_per_vm_s\": %.4f}\n", n,
	       (at[1] - at[0]) / 1e9, 100.0 * (ns[1] - ns[0]) / (at[1] - at[0]), (double)(turns[1] - turns[0]) / n / ((at[1] - at[0]) / 1e9));
}

/*
 * A machine that is itself virtual gets a page from its hypervisor when it first touches it, which takes several times as long as to clear
 * one: what the VMs will need is touched before, all at once, so that the kernel's own pages come from it, too.
 */
static void touch(size_t size)
{
	size_t most = (size_t)available_kib() * 512;
	if (size > most)
		size = most;
	volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t at = 0; memory != MAP_FAILED && at < size; at += 4096)
		memory[at] = 1;
	if (memory != MAP_FAILED)
		munmap((void *)memory, size);
}

static double median(uint64_t (*of)(const struct vm *), int from, int n)
{
	uint64_t part[PART];
	for (int i = 0; i < n; i++)
		part[i] = of(&vms[from + i]);
	qsort(part, n, sizeof(*part), stats_order);
	return part[n / 2] / 1e3;
}

static uint64_t start_of(const struct vm *vm) { return vm->start_ns; }
static uint64_t entry_of(const struct vm *vm) { return vm->entry_ns; }
static uint64_t ours_of(const struct vm *vm) { return vm->ours_ns; }
static uint64_t its_of(const struct vm *vm) { return vm->its_ns; }

static int answers(const struct state *state, int n)
{
	int good = 0;
	uint64_t began = clock_now();
	for (int i = 0; i < n; i++) {
		struct vm_dir vm;
		struct lv_status status = { 0 };
		if (!vm_open(state, vms[i].id, &vm) && !control_status(vm.dir, 5000, &status)) {
			good++;
			vms[i].entry_ns = status.ledger[LV_STEP_PROGRAM].ns - status.ledger[LV_STEP_COMMAND].ns;
		}
		vm_close(&vm);
	}
	printf("{\"what\": \"answers\", \"vms\": %d, \"of\": %d, \"us_each\": %.1f}\n", good, n, (clock_now() - began) / 1e3 / n);
	return good;
}

static void end_one(const struct state *state, const char *id)
{
	struct error error = { 0 };
	struct vm_info info;
	if (!vm_info_open(state, id, &info) && !vm_end(&info, 0, &error))
		vm_info_remove(state, &info, NULL);
	vm_info_close(&info);
}

/* Starts and ends beside the VMs that are there: what one start costs among so many, with memory that is used again and again. */
static int cycles(const struct state *state, int template, int made, int count, struct error *error)
{
	static struct vm one;
	static uint64_t start_ns[MOST], end_ns[MOST], ours_ns[MOST];
	int err = 0;
	for (int i = 0; i < count && !err; i++) {
		err = start(state, template, (unsigned)made, &one, error);
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL); /* until it has come to rest */
		uint64_t began = clock_now();
		if (!err)
			end_one(state, one.id);
		waitpid(one.pid, NULL, 0);
		end_ns[i] = clock_now() - began;
		start_ns[i] = one.start_ns;
		ours_ns[i] = one.ours_ns;
	}
	qsort(start_ns, count, sizeof(*start_ns), stats_order);
	qsort(end_ns, count, sizeof(*end_ns), stats_order);
	qsort(ours_ns, count, sizeof(*ours_ns), stats_order);
	printf("{\"what\": \"cycles\", \"beside\": %d, \"start_us\": %.1f, \"toolstack_cpu_us\": %.1f, \"end_us\": %.1f}\n", made, start_ns[count / 2] / 1e3,
	       ours_ns[count / 2] / 1e3, end_ns[count / 2] / 1e3);
	return err;
}

static void end_all(const struct state *state, int n)
{
	uint64_t began = clock_now();
	for (int i = 0; i < n; i++)
		end_one(state, vms[i].id);
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("{\"what\": \"end\", \"vms\": %d, \"us_each\": %.1f}\n", n, (clock_now() - began) / 1e3 / n);
}

int main(int argc, char **argv)
{
	struct state state = STATE_NONE;
	struct error error = { 0 };
	int option, n = 100, seconds = 0, turns = 0, made = 0;
	size_t touched = 0;
	bool leave = false;
	while ((option = getopt(argc, argv, "n:i:t:c:l")) != -1) {
		if (option == 'n')
			n = atoi(optarg);
		else if (option == 'i')
			seconds = atoi(optarg);
		else if (option == 'l')
			leave = true;
		else if (option == 'c')
			turns = atoi(optarg);
		else if (option == 't')
			touched = (size_t)atoi(optarg) << 10;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	int template = argc == optind + 1 ? open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int err = template < 0 || n < 1 || n > MOST ? error_set(&error, -EINVAL, "usage: crowd [-n COUNT] [-i SECONDS] DIR") : state_open(&state, true, &error);
	uint64_t before = available_kib();
	if (!err && turns)
		err = cycles(&state, template, 0, turns, &error);
	if (touched)
		touch(touched * (size_t)n);
	for (int i = 0; i < n && !err; i++) {
		err = start(&state, template, (unsigned)i, &vms[i], &error);
		made += !err;
		if (made % PART == 0)
			printf("{\"what\": \"start\", \"vms\": %d, \"start_us\": %.1f, \"kib_each\": %.1f}\n", made, median(start_of, made - PART, PART),
			       ((double)before - (double)available_kib()) / made);
	}
	if (err)
		fprintf(stderr, "crowd: VM %d: %s\n", made + 1, error.text);
	if (seconds && made)
		idle(made, seconds);
	if (!err && turns)
		err = cycles(&state, template, made, turns, &error);
	for (int i = 0; i < made; i++)
		add_time(vms[i].pid, &vms[i].its_ns, &(uint64_t){ 0 });
	if (made)
		answers(&state, made);
	for (int i = PART; i <= made; i += PART)
		if (i == PART || i + PART > made || i % 1000 == 0)
			printf("{\"what\": \"entry\", \"vms\": %d, \"entry_us\": %.1f, \"toolstack_cpu_us\": %.1f, \"monitor_cpu_us\": %.1f}\n", i,
			       median(entry_of, i - PART, PART), median(ours_of, i - PART, PART), median(its_of, i - PART, PART));
	if (!leave)
		end_all(&state, made);
	state_close(&state);
	return err ? 1 : 0;
}
