/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times what is done with a VM's state, through node/, as the command line does it: states [-p] [-n ROUNDS] [-k CLONES] VM DIR ADDRESS PORT. In each round the VM is saved to DIR,
 * restored, asked for an answer (an HTTP request, to the first byte), ended at once, and restored once more for the next. With -p the pages that it writes
 * first are known. With -k it is cloned instead, so many at a time. One JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/available.h"
#include "bench/stats.h"
#include "node/save_pages.h"
#include "node/vm_clone.h"
#include "node/vm_end.h"
#include "node/vm_restore.h"
#include "node/vm_save.h"

#define ROUNDS_MOST 1000
#define ANSWER_MS 10000
#define SEEN_MS 50 /* for one to have answered, and come to rest */
#define QUIET_MS 1000 /* for clones to have come to rest */
static const char request[] = "GET / HTTP/1.0\r\n\r\n";

struct bench {
	struct state state;
	const char *vm, *dir;
	struct sockaddr_in server;
	bool prefetch; /* what it writes first is known */
	unsigned claimed, restored;
	uint64_t saved[ROUNDS_MOST], first[ROUNDS_MOST], answered[ROUNDS_MOST], ended[ROUNDS_MOST];
	uint64_t asked[ROUNDS_MOST], configured[ROUNDS_MOST]; /* on the way to first */
};

static int fail(const char *what, int err, const struct error *error)
{
	fprintf(stderr, "states: %s: %s\n", what, error->text[0] ? error->text : strerror(-err));
	return err;
}

static int save(struct bench *b, uint64_t *took, struct error *error)
{
	struct vm_info info;
	const struct save_wish wish = { .path = b->dir };
	char *path = NULL;
	uint64_t began = clock_now();
	int err = vm_info_find(&b->state, b->vm, &info, error);
	if (!err)
		err = vm_save(&info, &wish, &path, error);
	*took = clock_now() - began;
	free(path);
	vm_info_close(&info);
	return err;
}

static uint64_t since(const struct vm_info *info, int step, uint64_t began)
{
	uint64_t ns = info->status.ledger[step].ns;
	return ns > began ? ns - began : 0; /* 0: not on this way */
}

static int restore(struct bench *b, uint64_t began, struct error *error)
{
	struct save saved;
	const struct restore_wish wish = { 0 };
	char id[STATE_ID + 1];
	int status, err = save_open(&saved, b->dir, error);
	if (!err)
		err = vm_restore(&b->state, &saved, &wish, began, NULL, id, &status, error);
	save_close(&saved);
	return err;
}

/* How long it took from the beginning until its vCPU went on, by its own ledger. */
static int look(struct bench *b, uint64_t began, int i, struct error *error)
{
	struct vm_info info;
	int err = vm_info_find(&b->state, b->vm, &info, error);
	if (err)
		return err;
	err = vm_info_refresh(&info, 1000);
	b->asked[i] = since(&info, LV_STEP_CLAIMED, began);
	b->configured[i] = since(&info, LV_STEP_CONFIGURED, began);
	b->first[i] = since(&info, LV_STEP_RESUMED, began);
	b->claimed += info.status.claim == LV_CLAIM_HIT;
	b->restored++;
	vm_info_close(&info);
	if (!err && !b->first[i])
		err = error_set(error, -EPROTO, "its ledger does not say when it went on");
	return err;
}

static int answer(const struct bench *b, struct error *error)
{
	char byte;
	struct timeval patience = { .tv_sec = ANSWER_MS / 1000 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&b->server, sizeof(b->server)) || write(fd, request, sizeof(request) - 1) < 0 || read(fd, &byte, 1) != 1)
		err = error_set(error, errno ? -errno : -EPROTO, "no answer: %s", strerror(errno));
	close(fd);
	return err;
}

static int end(struct bench *b, uint64_t *took, struct error *error)
{
	struct vm_info info;
	int err = vm_info_find(&b->state, b->vm, &info, error);
	uint64_t began = clock_now();
	if (!err)
		err = vm_end(&info, 0, error);
	*took = clock_now() - began;
	vm_info_close(&info);
	return err;
}

/* One that is not counted tells what it has written, and ends. */
static int learn(struct bench *b, struct error *error)
{
	struct save saved;
	struct vm_info info;
	uint64_t took;
	int err = restore(b, clock_now(), error);
	if (!err)
		err = answer(b, error);
	poll(NULL, 0, SEEN_MS);
	if (!err)
		err = vm_info_find(&b->state, b->vm, &info, error);
	if (err)
		return err;
	err = save_open(&saved, b->dir, error);
	if (!err)
		err = save_pages_learn(&saved, info.dir.dir, error);
	save_close(&saved);
	vm_info_close(&info);
	if (!err)
		err = end(b, &took, error);
	poll(NULL, 0, SEEN_MS); /* for the next shell to be made */
	return err;
}

static int one_round(struct bench *b, int i, struct error *error)
{
	uint64_t began;
	int err = save(b, &b->saved[i], error);
	if (!err && b->prefetch)
		err = learn(b, error);
	if (err)
		return err;
	began = clock_now();
	err = restore(b, began, error);
	if (!err)
		err = answer(b, error);
	b->answered[i] = clock_now() - began;
	if (!err)
		err = look(b, began, i, error);
	if (!err)
		err = end(b, &b->ended[i], error);
	if (!err)
		err = restore(b, clock_now(), error);
	return err ? err : answer(b, error); /* so that it is idle, and not on its way */
}

static double median_us(uint64_t *sample, int n)
{
	qsort(sample, (size_t)n, sizeof(*sample), stats_order);
	return stats_us(sample, n, 0.5);
}

static int rounds(struct bench *b, int n, struct error *error)
{
	for (int i = 0; i < n; i++) {
		int err = one_round(b, i, error);
		if (err)
			return err;
	}
	printf("{\"n\": %d, \"save_us\": %.1f, \"asked_us\": %.1f, \"configured_us\": %.1f, \"first_us\": %.1f, \"answer_us\": %.1f, \"end_us\": %.1f, \"claimed\": %.2f}\n", n, median_us(b->saved, n),
	       median_us(b->asked, n), median_us(b->configured, n), median_us(b->first, n), median_us(b->answered, n), median_us(b->ended, n), (double)b->claimed / b->restored);
	return 0;
}

/* ---- clones ---- */

struct held { /* KiB that are a VM's alone */
	uint64_t guest, all;
};

/* Where the guest's memory begins: where the beginning of the shared memory file would be mapped, some of which is read, not mapped. 0: it is not there. */
static uint64_t memory_base(uint32_t pid)
{
	char path[64], line[512];
	unsigned long long from, offset;
	uint64_t base = 0;
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	FILE *file = fopen(path, "r");
	while (file && !base && fgets(line, sizeof(line), file))
		if (strstr(line, "memfd:lightvm memory") && sscanf(line, "%llx-%*x %*s %llx", &from, &offset) == 2)
			base = from - offset;
	if (file)
		fclose(file);
	return base;
}

static struct held held_by(uint32_t pid, uint64_t memory)
{
	char path[64], line[512];
	struct held held = { 0 };
	const uint64_t base = memory_base(pid);
	unsigned long long from, kib;
	bool inside = false;
	snprintf(path, sizeof(path), "/proc/%u/smaps", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (line[strspn(line, "0123456789abcdef")] == '-' && sscanf(line, "%llx", &from) == 1)
			inside = base && from >= base && from < base + memory;
		else if (sscanf(line, "Anonymous: %llu", &kib) == 1 && inside)
			held.guest += kib;
	}
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%u/smaps_rollup", pid);
	held.all = sum_of(path, "Private_Dirty: %llu") + sum_of(path, "Private_Clean: %llu");
	return held;
}

static void weigh(const struct bench *b, const struct clone *clones, unsigned count, struct held *sum, unsigned *claimed)
{
	for (unsigned i = 0; i < count; i++) {
		struct vm_info info;
		if (!vm_info_open(&b->state, clones[i].id, &info)) {
			struct held one = held_by(info.status.pid, info.status.ram_limit);
			sum->guest += one.guest;
			sum->all += one.all;
			*claimed += info.status.claim == LV_CLAIM_HIT;
		}
		vm_info_close(&info);
	}
}

static void remove_all(const struct bench *b, const struct clone *clones, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct vm_info info;
		if (!vm_info_open(&b->state, clones[i].id, &info) && !vm_end(&info, 0, NULL))
			vm_info_remove(&b->state, &info, NULL);
		vm_info_close(&info);
	}
}

static int clone_all(struct bench *b, unsigned count, struct error *error)
{
	struct vm_info info;
	struct held held = { 0 };
	unsigned claimed = 0;
	const struct clone_wish wish = { .count = count, .accept_shared_random = true };
	struct clone *clones = calloc(count, sizeof(*clones));
	int err = clones ? vm_info_find(&b->state, b->vm, &info, error) : -ENOMEM;
	if (err)
		return err;
	uint64_t before = available_kib(), began = clock_now();
	err = vm_clone(&b->state, &info, &wish, began, clones, error);
	uint64_t took = clock_now() - began;
	poll(NULL, 0, QUIET_MS);
	uint64_t after = available_kib();
	weigh(b, clones, count, &held, &claimed);
	remove_all(b, clones, count);
	vm_info_close(&info);
	free(clones);
	if (!err)
		printf("{\"n\": %u, \"all_ms\": %.2f, \"guest_kib\": %.1f, \"private_kib\": %.1f, \"available_kib\": %.1f, \"claimed\": %.2f}\n", count, (double)took / 1e6,
		       (double)held.guest / count, (double)held.all / count, ((double)before - (double)after) / count, (double)claimed / count);
	return err;
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct error error = { 0 };
	int n = 20, clones = 0, option;
	while ((option = getopt(argc, argv, "pn:k:")) != -1)
		if (option == 'p')
			b.prefetch = true;
		else
			*(option == 'n' ? &n : &clones) = atoi(optarg);
	if (argc - optind != 4 || n < 1 || n > ROUNDS_MOST || clones < 0)
		return fail("usage: states [-p] [-n ROUNDS] [-k CLONES] VM DIR ADDRESS PORT", -EINVAL, &error), 2;
	b.vm = argv[optind];
	b.dir = argv[optind + 1];
	b.server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[optind + 3])) };
	inet_pton(AF_INET, argv[optind + 2], &b.server.sin_addr);
	int err = state_open(&b.state, false, &error);
	if (!err)
		err = clones ? clone_all(&b, (unsigned)clones, &error) : rounds(&b, n, &error);
	if (err)
		fail(b.vm, err, &error);
	state_close(&b.state);
	return err ? 1 : 0;
}
