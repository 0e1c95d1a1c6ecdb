/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "node/demand.h"
#include "node/pressure.h"
#include "node/priority.h"
#include "node/vm_jail.h"
#include "node/vm_template.h"

#define MS 1000000ull
#define QUIET (5 * MS)       /* without a request, before a shell is made */
#define LATER (1000 * MS)    /* after one could not be made */
#define LOOK (2000 * MS)     /* at the machine's memory and at whether there are too many */
#define PATIENCE (10000 * MS) /* for a shell to become ready */
#define FIRST_GUESS (3 * MS) /* how long one takes to make, before one was made */

enum slot_state { SLOT_MAKING, SLOT_READY, SLOT_ENDING };

struct slot { /* one monitor that is ours */
	struct pool *pool;
	struct slot *next, **before;
	struct shell shell;
	struct shell_build build;
	struct loop_watch answer, end;
	enum slot_state state;
	bool gives_way; /* to whoever wants the processor, until it is ready */
	uint64_t began_ns;
};

struct pool {
	struct loop *loop;
	struct pool_plan plan;
	struct template_files template; /* of plan.template */
	int dir, cpuid; /* the state directory, and what in it the machine can */
	uint32_t next_user; /* so that no two that are made ahead become the same */
	struct slot *slots;
	unsigned count[3]; /* by state */
	struct demand demand;
	struct pool_state state;
	uint64_t claimed_ns; /* the last request, or what may have been one */
	struct loop_timer refill, look;
};

static void plan_refill(struct pool *pool, uint64_t at)
{
	loop_timer_set(pool->loop, &pool->refill, at);
}

/* ---- one of them ---- */

static void set_state(struct slot *slot, enum slot_state state)
{
	slot->pool->count[slot->state]--;
	slot->pool->count[state]++;
	slot->state = state;
}

/* What is left of it is the caller's, or has ended. */
static void forget(struct slot *slot)
{
	struct pool *pool = slot->pool;
	loop_update(pool->loop, &slot->answer, 0);
	loop_update(pool->loop, &slot->end, 0);
	shell_let_go(&slot->shell);
	pool->count[slot->state]--;
	*slot->before = slot->next;
	if (slot->next)
		slot->next->before = slot->before;
	free(slot);
}

/* Its end is heard of later. */
static void end(struct slot *slot)
{
	if (slot->state == SLOT_ENDING)
		return;
	set_state(slot, SLOT_ENDING);
	loop_update(slot->pool->loop, &slot->answer, 0);
	close(slot->shell.socket);
	slot->shell.socket = -1;
	syscall(SYS_pidfd_send_signal, slot->shell.monitor.pidfd, SIGKILL, NULL, 0);
}

static void on_end(void *context, uint32_t events)
{
	struct slot *slot = context;
	struct pool *pool = slot->pool;
	bool itself = slot->state != SLOT_ENDING;
	if (itself) {
		pool->state.ended++;
		snprintf(pool->state.error, sizeof(pool->state.error), "monitor %d ended by itself, %s", slot->shell.monitor.pid,
			 slot->state == SLOT_MAKING ? "before it was ready" : "having been ready");
	}
	if (slot->shell.socket >= 0)
		close(slot->shell.socket);
	waitpid(slot->shell.monitor.pid, NULL, WNOHANG);
	bool failed = itself && slot->state == SLOT_MAKING;
	loop_update(pool->loop, &slot->end, 0);
	close(slot->shell.monitor.pidfd);
	forget(slot);
	if (itself)
		plan_refill(pool, clock_now() + (failed ? LATER : QUIET));
}

static void on_answer(void *context, uint32_t events)
{
	struct slot *slot = context;
	struct pool *pool = slot->pool;
	int err = shell_answer(&slot->shell);
	if (err == -EAGAIN)
		return;
	if (err) { /* its end tells more */
		loop_update(pool->loop, &slot->answer, 0);
		return;
	}
	uint64_t took = clock_now() - slot->began_ns;
	pool->state.make_ns = pool->state.made ? (7 * pool->state.make_ns + took) / 8 : took;
	pool->state.made++;
	pool->state.error[0] = 0;
	loop_update(pool->loop, &slot->answer, 0);
	if (slot->gives_way)
		priority_restore(slot->shell.monitor.pid);
	shell_let_go(&slot->shell);
	set_state(slot, SLOT_READY);
	plan_refill(pool, clock_now());
}

/* ---- making them ---- */

static uint32_t next_user(struct pool *pool, int held, struct error *error)
{
	struct jail_users users;
	char id[16];
	if (jail_users_read(&users, error))
		return 0;
	snprintf(id, sizeof(id), "%08x", pool->next_user++);
	return jail_user_find(&users, id, held);
}

static int use_template(struct pool *pool, struct error *error)
{
	struct pool_plan *plan = &pool->plan;
	int err = plan->template[0] ? template_files_open(&pool->template, plan->template, error) : 0;
	if (err || !plan->template[0])
		return err;
	plan->memory = pool->template.memory;
	plan->room = pool->template.room;
	plan->ram = pool->template.ram;
	return 0;
}

/* Another one under the same name: what was made of the old one is nobody's. */
static int look_at_template(struct pool *pool, struct error *error)
{
	if (!pool->plan.template[0] || template_files_current(&pool->template, pool->plan.template))
		return 0;
	for (struct slot *slot = pool->slots; slot; slot = slot->next)
		end(slot);
	template_files_close(&pool->template);
	return use_template(pool, error);
}

static int start(struct pool *pool, struct slot *slot, struct error *error)
{
	int libos = shell_libos(error), held = jail_users_hold(pool->dir, "users"), theirs = -1, err = libos < 0 ? libos : shell_build(&slot->build, error);
	const struct shell_order order = { .name = pool->plan.name, .memory = pool->plan.memory, .room = pool->plan.room, .ram = pool->plan.ram, .libos = libos, .cpuid = pool->cpuid,
		.messages = -1, .user = next_user(pool, held, error), .held = held, .ahead = pool->plan.template[0] ? &pool->template.fd : NULL };
	memcpy(slot->build.ahead, pool->template.id, sizeof(slot->build.ahead));
	slot->shell.held = held;
	if (!err)
		err = shell_start(&order, &slot->shell, &theirs, error);
	slot->gives_way = !err && priority_lower(slot->shell.monitor.pid);
	if (theirs >= 0)
		close(theirs);
	if (libos >= 0)
		close(libos);
	if (!err && (err = shell_ask(&slot->shell)))
		error_set(error, err, "a monitor that was just started: %s", strerror(-err));
	if (err)
		shell_end(&slot->shell);
	return err;
}

static int make(struct pool *pool, struct error *error)
{
	struct slot *slot = alloc_zero(sizeof(*slot));
	if (!slot)
		return error_set(error, -ENOMEM, "out of memory");
	*slot = (struct slot){ .pool = pool, .shell = SHELL_NONE, .state = SLOT_MAKING, .began_ns = clock_now() };
	int err = look_at_template(pool, error);
	if (!err)
		err = start(pool, slot, error);
	if (err) {
		free(slot);
		return err;
	}
	slot->answer = (struct loop_watch){ .fd = slot->shell.socket, .ready = on_answer, .context = slot };
	slot->end = (struct loop_watch){ .fd = slot->shell.monitor.pidfd, .ready = on_end, .context = slot };
	slot->next = pool->slots;
	slot->before = &pool->slots;
	if (slot->next)
		slot->next->before = &slot->next;
	pool->slots = slot;
	pool->count[SLOT_MAKING]++;
	err = loop_update(pool->loop, &slot->end, EPOLLIN);
	if (!err)
		err = loop_update(pool->loop, &slot->answer, EPOLLIN);
	if (err)
		end(slot);
	return err ? error_set(error, err, "the loop: %s", strerror(-err)) : 0;
}

static unsigned wanted(const struct pool *pool)
{
	if (pool->state.pressed)
		return 0;
	uint64_t make_ns = pool->state.made ? pool->state.make_ns : FIRST_GUESS;
	struct demand demand = pool->demand; /* as it is now */
	return demand_wanted(&demand, clock_now(), make_ns + QUIET, pool->plan.least, pool->plan.most);
}

/* One at a time, and not while requests come. */
static void on_refill(void *context)
{
	struct pool *pool = context;
	struct error error = { 0 };
	unsigned want = wanted(pool);
	uint64_t now = clock_now();
	if (pool->count[SLOT_READY] >= want)
		demand_full(&pool->demand);
	if (pool->count[SLOT_MAKING] || pool->count[SLOT_READY] >= want)
		return;
	if (pool->claimed_ns && now < pool->claimed_ns + QUIET && pool->count[SLOT_READY]) {
		plan_refill(pool, pool->claimed_ns + QUIET);
		return;
	}
	if (!make(pool, &error))
		return;
	pool->state.failed++;
	snprintf(pool->state.error, sizeof(pool->state.error), "%.*s", (int)sizeof(pool->state.error) - 1, error.text);
	plan_refill(pool, now + LATER);
}

/* What memory pressure or a lesser demand makes too many; and one that does not become ready. */
static void on_look(void *context)
{
	struct pool *pool = context;
	uint64_t now = clock_now();
	struct error error = { 0 };
	if (look_at_template(pool, &error))
		snprintf(pool->state.error, sizeof(pool->state.error), "%.*s", (int)sizeof(pool->state.error) - 1, error.text);
	pool->state.pressed = memory_pressed();
	unsigned want = wanted(pool), extra = pool->count[SLOT_READY] > want ? pool->count[SLOT_READY] - want : 0;
	for (struct slot *slot = pool->slots; slot; slot = slot->next) {
		if (slot->state == SLOT_READY && extra) {
			end(slot);
			extra--;
		} else if (slot->state == SLOT_MAKING && now > slot->began_ns + PATIENCE) {
			snprintf(pool->state.error, sizeof(pool->state.error), "monitor %d did not become ready in time", slot->shell.monitor.pid);
			pool->state.failed++;
			end(slot);
		}
	}
	loop_timer_set(pool->loop, &pool->look, now + LOOK);
	plan_refill(pool, now);
}

/* ---- for others ---- */

struct pool *pool_new(struct loop *loop, const struct pool_plan *plan, int dir, int cpuid, bool absent, struct error *error)
{
	struct pool *pool = alloc_zero(sizeof(*pool));
	if (!pool) {
		error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	*pool = (struct pool){ .loop = loop, .plan = *plan, .dir = dir, .cpuid = cpuid, .next_user = (uint32_t)clock_wall(), .template = TEMPLATE_FILES_NONE };
	if (use_template(pool, error) && !absent) {
		free(pool);
		return NULL;
	}
	pool->refill = (struct loop_timer){ .fire = on_refill, .context = pool };
	pool->look = (struct loop_timer){ .fire = on_look, .context = pool };
	loop_timer_set(loop, &pool->look, clock_now());
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	loop_timer_set(pool->loop, &pool->refill, 0);
	loop_timer_set(pool->loop, &pool->look, 0);
	for (struct slot *slot = pool->slots; slot; slot = slot->next)
		end(slot); /* all at once, and then their ends */
	while (pool->slots) {
		struct slot *slot = pool->slots;
		loop_update(pool->loop, &slot->end, 0);
		spawned_wait(&slot->shell.monitor);
		forget(slot);
	}
	template_files_close(&pool->template);
	free(pool);
}

const struct pool_plan *pool_plan(const struct pool *pool)
{
	return &pool->plan;
}

void pool_bound(struct pool *pool, unsigned least, unsigned most)
{
	pool->plan.least = least;
	pool->plan.most = most;
	loop_timer_set(pool->loop, &pool->look, clock_now());
}

void pool_look(const struct pool *pool, struct pool_state *state)
{
	*state = pool->state;
	state->ready = pool->count[SLOT_READY];
	state->making = pool->count[SLOT_MAKING];
	state->wanted = wanted(pool);
	state->saved_ns = pool->state.claims[LV_CLAIM_HIT] * pool->state.make_ns;
}

bool pool_ahead(const struct pool *pool, const struct pool_wish *wish)
{
	return pool->plan.template[0] && wish->build.ahead[1] && !memcmp(pool->template.id, wish->build.ahead, sizeof(wish->build.ahead));
}

bool pool_fits(const struct pool *pool, const struct pool_wish *wish)
{
	return pool->plan.template[0] ? pool_ahead(pool, wish) && wish->memory == pool->plan.memory : !wish->build.ahead[1] && wish->memory <= pool->plan.memory;
}

bool pool_suits(const struct pool *pool, const struct pool_wish *wish)
{
	return wish->image <= pool->plan.room && wish->ram <= pool->plan.ram;
}

static bool has_ended(const struct slot *slot)
{
	struct pollfd poll_fd = { .fd = slot->shell.monitor.pidfd, .events = POLLIN };
	return poll(&poll_fd, 1, 0) != 0;
}

/* Of another build than the request's, or dead: it is of no use to anybody with this one. */
static struct slot *find(struct pool *pool, const struct pool_wish *wish, bool *stale)
{
	for (struct slot *slot = pool->slots; slot; slot = slot->next) {
		if (slot->state != SLOT_READY)
			continue;
		if (!memcmp(&slot->build, &wish->build, sizeof(slot->build)) && !has_ended(slot))
			return slot;
		*stale = true;
		end(slot);
	}
	return NULL;
}

void pool_expect(struct pool *pool)
{
	pool->claimed_ns = clock_now();
}

enum lv_claim pool_claim(struct pool *pool, const struct pool_wish *wish, struct shell *shell)
{
	bool stale = false;
	uint64_t now = clock_now();
	enum lv_claim claim = LV_CLAIM_FLAVOUR;
	if (pool_fits(pool, wish)) {
		struct slot *slot = find(pool, wish, &stale);
		claim = slot ? LV_CLAIM_HIT : stale ? LV_CLAIM_STALE : LV_CLAIM_EMPTY;
		demand_came(&pool->demand, now);
		pool->claimed_ns = now;
		if (slot) {
			*shell = slot->shell;
			forget(slot);
		}
		plan_refill(pool, now + QUIET);
	}
	pool->state.claims[claim]++;
	return claim;
}

void pool_untaken(struct pool *pool)
{
	pool->state.claims[LV_CLAIM_HIT]--;
	pool->state.claims[LV_CLAIM_LATE]++;
}

uint64_t pool_memory(const struct pool *pool)
{
	uint64_t pages = 0;
	for (const struct slot *slot = pool->slots; slot; slot = slot->next) {
		char path[64], text[64] = "";
		unsigned long long size, resident = 0, shared = 0;
		snprintf(path, sizeof(path), "/proc/%d/statm", slot->shell.monitor.pid);
		int fd = slot->state == SLOT_READY ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%llu %llu %llu", &size, &resident, &shared) == 3)
			pages += resident - shared;
		close(fd);
	}
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
