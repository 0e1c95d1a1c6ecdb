/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times claims: claims [-n ROUNDS] [-k AT-ONCE] DIR. DIR has a config.json of a program that ends at once; for each VM its start is asked for by a
 * process of its own, AT-ONCE of them at the same time, as the command line asks for it. From there to the program's first instruction, in us: median
 * and 99th percentile over all, over those that were claimed (of these also by stage, and from the request on the daemon's socket), and the share that started cold. Between two rounds the pools are left time to be full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/state.h"

#define MOST 20000

/* What a claim is made of, each until this step of its ledger. */
static const struct { const char *name; enum lv_step step; } stages[] = {
	{ "prepared", LV_STEP_CLAIMED }, { "configured", LV_STEP_CONFIGURED }, { "memory", LV_STEP_MEMORY }, { "resumed", LV_STEP_RESUMED },
	{ "ready", LV_STEP_READY }, { "program", LV_STEP_PROGRAM },
};
#define STAGES (sizeof(stages) / sizeof(*stages))

struct result {
	uint64_t ns; /* 0: it failed */
	uint64_t asked_ns; /* from the request on the daemon's socket, if there was one that was met */
	uint64_t stage_ns[STAGES];
	uint32_t claim;
};

static int prepare(const char *dir, struct vm_config *config, struct error *error)
{
	int template = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	config_init(config);
	int err = template < 0 ? error_set(error, -errno, "%s: %s", dir, strerror(errno)) : config_load(config, template, error);
	free(config->name);
	config->name = NULL;
	config->detached = false;
	if (!err)
		err = vm_new_id(config->id, error);
	return err ? err : config_open(config, error);
}

static void keep(struct result *result, const struct lv_status *status, uint64_t began)
{
	uint64_t last = began;
	result->claim = status->claim;
	for (size_t i = 0; i < STAGES; i++) {
		uint64_t at = status->ledger[stages[i].step].ns;
		result->stage_ns[i] = at > last ? at - last : 0;
		last = at ? at : last;
	}
	result->ns = status->ledger[LV_STEP_PROGRAM].ns - began;
	result->asked_ns = result->ns - result->stage_ns[0];
}

/* Waits for the start of the round, then does what "lightvm run" does. */
static int one(const char *dir, int go, struct result *result, struct error *error)
{
	struct vm_config config;
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	struct launch launch;
	struct lv_status status;
	char byte;
	int err = prepare(dir, &config, error);
	if (!err)
		err = state_open(&state, true, error);
	if (!err)
		err = launch_create(&state, &config, &vm, error);
	if (err || read(go, &byte, 1) < 0)
		return err ? err : -errno;
	uint64_t began = clock_now();
	err = launch_start(&launch, &config, &vm, began, error);
	if (!err && launch_reap(&launch) == 0 && !vm_status(&vm, &status) && status.ledger[LV_STEP_PROGRAM].ns)
		keep(result, &status, began);
	launch_end(&launch);
	vm_remove(&state, &vm, NULL, NULL);
	return err;
}

static int round_of(const char *dir, unsigned at_once, struct result *results)
{
	int go[2], bad = 0, status;
	if (pipe2(go, O_CLOEXEC))
		return -1;
	for (unsigned i = 0; i < at_once; i++) {
		pid_t pid = fork();
		if (pid < 0)
			return -1;
		if (!pid) {
			struct error error = { 0 };
			close(go[1]);
			if (one(dir, go[0], &results[i], &error))
				fprintf(stderr, "claims: %s\n", error.text);
			_exit(results[i].ns ? 0 : 1);
		}
	}
	usleep(20000 + 5000 * at_once); /* all are at the gate, and the pool is full again */
	close(go[0]);
	close(go[1]);
	while (wait(&status) > 0)
		bad |= status;
	return bad;
}

static int by_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void print(const char *key, uint64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), by_ns);
	printf("\"%s_median_us\": %.1f, \"%s_p99_us\": %.1f, ", key, n ? (double)ns[n / 2] / 1000 : 0, key, n ? (double)ns[n * 99 / 100] / 1000 : 0);
}

static void report(const struct result *results, size_t n)
{
	static uint64_t all[MOST], hits[MOST];
	size_t count = 0, hit = 0;
	for (size_t i = 0; i < n; i++)
		if (results[i].ns) {
			all[count++] = results[i].ns;
			if (results[i].claim == LV_CLAIM_HIT)
				hits[hit++] = results[i].ns;
		}
	printf("{");
	print("all", all, count);
	print("hit", hits, hit);
	for (size_t k = 0; k <= STAGES; k++) {
		hit = 0;
		for (size_t i = 0; i < n; i++)
			if (results[i].ns && results[i].claim == LV_CLAIM_HIT)
				hits[hit++] = k < STAGES ? results[i].stage_ns[k] : results[i].asked_ns;
		print(k < STAGES ? stages[k].name : "asked", hits, hit);
	}
	printf("\"vms\": %zu, \"cold\": %.4f}\n", count, count ? 1 - (double)hit / (double)count : 1);
}

int main(int argc, char **argv)
{
	unsigned rounds = 100, at_once = 1;
	for (int c; (c = getopt(argc, argv, "n:k:")) != -1;)
		*(c == 'n' ? &rounds : &at_once) = (unsigned)atoi(optarg);
	if (optind + 1 != argc || !rounds || !at_once || (size_t)rounds * at_once > MOST) {
		fprintf(stderr, "usage: claims [-n ROUNDS] [-k AT-ONCE] DIR\n");
		return 2;
	}
	struct result *results = mmap(NULL, MOST * sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		return 1;
	round_of(argv[optind], 1, results); /* uncounted */
	memset(results, 0, sizeof(*results));
	for (unsigned i = 0; i < rounds; i++)
		if (round_of(argv[optind], at_once, results + (size_t)i * at_once))
			return 1;
	report(results, (size_t)rounds * at_once);
	return 0;
}
