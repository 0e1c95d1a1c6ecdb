/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many VMs that stay, started through node/ as "lightvm run -d" does, in one process:
 *   crowd [-n COUNT] [-i SECONDS] [-t KIB] [-c CYCLES] [-p MS] [-g FILE] [-w] [-l] DIR
 * DIR has a config.json, from which COUNT VMs are made one after the other, with -p after MS of rest each, with -t after KIB for each were touched once. From
 * a pool come those for which a lightvmd has a shell. With a network
 * bridge:... they lie on the bridges crowd0, crowd1 ... of a thousand each, with tap:... each has crowdN, a tap that is there already.
 * JSON, one object a line. For each hundred the median time of a start until the guest runs, and what of the machine's memory (and of a
 * control group's, whose usage is in FILE) each VM takes. Then -c: VMs that are started and ended again beside none and beside all; -i: what all
 * do while idle; who answers on its control socket, and with -w on port 80; the times from the command to the program's first instruction; their
 * end, but for -l, which leaves them.
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/parallel.h"
#include "bench/available.h"
#include "bench/stats.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/monitor_control.h"
#include "node/vm_end.h"
#include "node/vm_info.h"

#define MOST 20000
#define PART 100
#define SETTLED_S 25
#define A_BRIDGE 1000 /* VMs on each */
#define ENDS_AT_ONCE 64 /* as lightvm rm */

struct vm {
	char id[STATE_ID + 1];
	pid_t pid;
	bool claimed;
	uint32_t ip;
	uint64_t start_ns, entry_ns; /* how long the command took; to the program's first instruction */
	uint64_t ours_ns, its_ns;    /* processor time that it took here, and in its monitor until it came to rest */
};

static struct vm vms[MOST];

static uint32_t address_of(unsigned network, unsigned host)
{
	return htonl(10u << 24 | (64 + network) << 16 | (host + 256));
}

static uint64_t processor_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* On the bridge of its thousand, since a bridge has 1,024 ports, or behind a tap of its own; the host is 10.64.0.1, and on other bridges alike. */
static void place(struct net_spec *net, unsigned number)
{
	char name[16];
	unsigned network = net->kind == NET_BRIDGE ? number / A_BRIDGE : 0;
	snprintf(name, sizeof(name), "crowd%u", net->kind == NET_BRIDGE ? network : number);
	free(net->name);
	net->name = strdup(name);
	net->ip = address_of(network, net->kind == NET_BRIDGE ? number % A_BRIDGE : number);
	net->mask = htonl(0xffff0000);
	net->gateway = htonl(10u << 24 | (64 + network) << 16 | 1);
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
	if (!err && (config.net.kind == NET_BRIDGE || config.net.kind == NET_TAP))
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
	made->claimed = launch.claim == LV_CLAIM_HIT;
	made->ip = config.net.ip;
	memcpy(made->id, config.id, sizeof(made->id));
	launch_end(&launch);
	vm_close(&vm);
	config_free(&config);
	return err;
}

static void rest(int ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* ---- what they cost ---- */

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

/* After a while: a network stack has timers for 20 s after its last frame. */
static void idle(int n, int seconds)
{
	rest(SETTLED_S * 1000);
	uint64_t ns[2] = { 0 }, turns[2] = { 0 }, at[2];
	for (int look = 0; look < 2; look++) {
		at[look] = clock_now();
		for (int i = 0; i < n; i++)
			add_time(vms[i].pid, &ns[look], &turns[look]);
		if (!look)
			rest(seconds * 1000);
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

/* A request of HTTP, and the beginning of its answer. */
static bool serves(uint32_t ip)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	const struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = { ip } };
	const struct timeval limit = { .tv_sec = 5 };
	char answer[16] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	bool good = !connect(fd, (const struct sockaddr *)&at, sizeof(at)) && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
		recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0 && !strncmp(answer, "HTTP/1.", 7);
	close(fd);
	return good;
}

static void requests(int n)
{
	int good = 0;
	uint64_t began = clock_now();
	for (int i = 0; i < n; i++)
		good += serves(vms[i].ip);
	printf("{\"what\": \"serves\", \"vms\": %d, \"of\": %d, \"us_each\": %.1f}\n", good, n, (clock_now() - began) / 1e3 / n);
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
		rest(3); /* until it has come to rest */
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

static void end_numbered(void *state, size_t i)
{
	end_one(state, vms[i].id);
}

static void end_all(struct state *state, int n)
{
	uint64_t began = clock_now();
	parallel_each((size_t)n, ENDS_AT_ONCE, end_numbered, state);
	while (waitpid(-1, NULL, 0) > 0)
		;
	printf("{\"what\": \"end\", \"vms\": %d, \"us_each\": %.1f}\n", n, (clock_now() - began) / 1e3 / n);
}

/* ---- the run ---- */

struct wish {
	int count, idle_s, cycles, rest_ms;
	size_t touched;
	const char *group; /* file with the usage of our control group */
	bool web, leave;
};

static uint64_t group_bytes(const struct wish *wish)
{
	return wish->group ? sum_of(wish->group, "%llu") : 0;
}

static int start_all(const struct state *state, int template, const struct wish *wish, struct error *error)
{
	int err = 0, made = 0;
	if (wish->touched)
		touch(wish->touched * (size_t)wish->count);
	uint64_t before = available_kib(), group = group_bytes(wish);
	while (made < wish->count && !(err = start(state, template, (unsigned)made, &vms[made], error))) {
		rest(wish->rest_ms);
		if (++made % PART)
			continue;
		printf("{\"what\": \"start\", \"vms\": %d, \"start_us\": %.1f, \"kib_each\": %.1f, \"group_kib_each\": %.1f}\n", made,
		       median(start_of, made - PART, PART), ((double)before - (double)available_kib()) / made,
		       ((double)group_bytes(wish) - (double)group) / 1024 / made);
	}
	if (err)
		fprintf(stderr, "crowd: VM %d: %s\n", made + 1, error->text);
	return made;
}

static void tell_claims(int made)
{
	int hits = 0;
	for (int i = 0; i < made; i++)
		hits += vms[i].claimed;
	printf("{\"what\": \"claims\", \"vms\": %d, \"of\": %d}\n", hits, made);
}

static void tell_entries(int made)
{
	for (int i = PART; i <= made; i += PART)
		printf("{\"what\": \"entry\", \"vms\": %d, \"entry_us\": %.1f, \"toolstack_cpu_us\": %.1f, \"monitor_cpu_us\": %.1f}\n", i,
		       median(entry_of, i - PART, PART), median(ours_of, i - PART, PART), median(its_of, i - PART, PART));
}

static int run(struct state *state, int template, const struct wish *wish, struct error *error)
{
	int err = wish->cycles ? cycles(state, template, 0, wish->cycles, error) : 0;
	int made = err ? 0 : start_all(state, template, wish, error);
	if (made && wish->cycles)
		cycles(state, template, made, wish->cycles, error);
	for (int i = 0; i < made; i++)
		add_time(vms[i].pid, &vms[i].its_ns, &(uint64_t){ 0 });
	if (made)
		answers(state, made);
	if (made && wish->web)
		requests(made);
	if (made && wish->idle_s)
		idle(made, wish->idle_s);
	tell_entries(made);
	tell_claims(made);
	if (!wish->leave && made)
		end_all(state, made);
	return err || made < wish->count;
}

int main(int argc, char **argv)
{
	struct state state = STATE_NONE;
	struct error error = { 0 };
	struct wish wish = { .count = 100 };
	for (int option; (option = getopt(argc, argv, "n:i:t:c:p:g:wl")) != -1;) {
		switch (option) {
		case 'n': wish.count = atoi(optarg); break;
		case 'i': wish.idle_s = atoi(optarg); break;
		case 't': wish.touched = (size_t)atoi(optarg) << 10; break;
		case 'c': wish.cycles = atoi(optarg); break;
		case 'p': wish.rest_ms = atoi(optarg); break;
		case 'g': wish.group = optarg; break;
		case 'w': wish.web = true; break;
		case 'l': wish.leave = true; break;
		default: return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	int template = argc == optind + 1 ? open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int err = template < 0 || wish.count < 1 || wish.count > MOST || wish.cycles > MOST || wish.rest_ms < 0
		? error_set(&error, -EINVAL, "usage: crowd [-n COUNT] [-i SECONDS] [-t KIB] [-c CYCLES] [-p MS] [-g FILE] [-w] [-l] DIR")
		: state_open(&state, true, &error);
	if (err)
		fprintf(stderr, "crowd: %s\n", error.text);
	else
		err = run(&state, template, &wish, &error);
	state_close(&state);
	return err ? 1 : 0;
}
