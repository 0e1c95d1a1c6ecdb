/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pools.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "daemon/metrics.h"
#include "node/pool.h"
#include "node/pool_plan.h"
#include "node/state.h"

#define POOLS_MOST 16
#define PLANS "pools.json" /* beside the VMs, so that a daemon that was killed has its pools again */
#define PLANS_MAX 65536

struct pools {
	struct daemon *daemon;
	struct state state;
	int cpuid;
	struct pool *pool[POOLS_MOST];
	unsigned count;
	uint64_t unfit; /* claims that no pool has what they want */
};

struct pools *pools_of(struct daemon *daemon)
{
	return daemon_part_find(daemon, pools_part.name);
}

/* ---- the plans ---- */

static int add(struct pools *pools, const struct pool_plan *plan, bool absent, struct error *error)
{
	for (unsigned i = 0; i < pools->count; i++)
		if (!strcmp(pool_plan(pools->pool[i])->name, plan->name))
			return error_set(error, -EEXIST, "pool %s: there is one of that name", plan->name);
	if (pools->count == POOLS_MOST)
		return error_set(error, -EBUSY, "pool %s: there are %d already", plan->name, POOLS_MOST);
	struct pool *pool = pool_new(&pools->daemon->loop, plan, pools->state.dir, pools->cpuid, absent, error);
	if (!pool)
		return error_prefix(error, "pool %s", plan->name);
	pools->pool[pools->count++] = pool;
	return 0;
}

static json_t *plans_json(const struct pools *pools, const struct pool *but)
{
	json_t *array = json_array();
	for (unsigned i = 0; i < pools->count; i++)
		if (pools->pool[i] != but)
			json_array_append_new(array, pool_plan_to_json(pool_plan(pools->pool[i])));
	return array;
}

/* but: is about to go; NULL: none is. */
static int keep_plans(const struct pools *pools, const struct pool *but, struct error *error)
{
	json_t *json = plans_json(pools, but);
	char *text = json_dumps(json, JSON_INDENT(1));
	int err = text ? file_write(pools->state.dir, PLANS, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	json_decref(json);
	return err ? error_set(error, err, PLANS ": %s", strerror(-err)) : 0;
}

static int add_json(struct pools *pools, const json_t *json, bool absent, struct error *error)
{
	struct pool_plan plan;
	int err = pool_plan_from_json(&plan, json, error);
	return err ? err : add(pools, &plan, absent, error);
}

/* A file that cannot be read is no reason not to start: it is told, and the pools are those of a daemon that never had one. */
static int read_plans(struct pools *pools, struct error *error)
{
	char *text = NULL;
	size_t size, i;
	json_t *json = NULL, *one;
	int err = file_read(pools->state.dir, PLANS, PLANS_MAX, &text, &size);
	if (!err && !(json = json_loads(text, JSON_REJECT_DUPLICATES, NULL)))
		log_warn("%s/" PLANS " is damaged: the pools are as at first", pools->state.path);
	free(text);
	json_array_foreach(json, i, one)
		if (add_json(pools, one, true, error))
			log_warn("%s/" PLANS ": %s", pools->state.path, error->text);
	bool known = json_is_array(json);
	json_decref(json);
	if (known)
		return 0;
	struct pool_plan plan = POOL_PLAN_DEFAULT;
	return add(pools, &plan, false, error);
}

/* ---- its life ---- */

static void stop(struct daemon *daemon, void *part)
{
	struct pools *pools = part;
	if (!pools)
		return;
	for (unsigned i = 0; i < pools->count; i++)
		pool_free(pools->pool[i]);
	if (pools->cpuid >= 0)
		close(pools->cpuid);
	state_close(&pools->state);
	free(pools);
}

static int start(struct daemon *daemon, void **part, struct error *error)
{
	struct pools *pools = alloc_zero(sizeof(*pools));
	if (!pools)
		return error_set(error, -ENOMEM, "out of memory");
	*pools = (struct pools){ .daemon = daemon, .state = STATE_NONE, .cpuid = -1 };
	*part = pools;
	int err = state_open(&pools->state, true, error);
	if (err)
		return err;
	pools->cpuid = openat(pools->state.dir, "cpuid", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return read_plans(pools, error);
}

/* ---- figures ---- */

static void put_shells(const struct pools *pools, struct text *out)
{
	static const char *const name = "lightvm_pool_shells";
	metric_head(out, name, "gauge", "Shells: ready, being made, and how many are wanted.");
	for (unsigned i = 0; i < pools->count; i++) {
		struct pool_state now;
		pool_look(pools->pool[i], &now);
		const struct { const char *state; unsigned count; } line[] = { { "ready", now.ready }, { "making", now.making }, { "wanted", now.wanted } };
		for (size_t k = 0; k < sizeof(line) / sizeof(*line); k++)
			metric_line(out, name, (const char *const[]){ "pool", pool_plan(pools->pool[i])->name, "state", line[k].state, NULL }, line[k].count);
	}
}

/* By what came of them; "none" and "flavour" are never a pool's. */
static void put_pool_claims(const struct pools *pools, struct text *out)
{
	static const char *const name = "lightvm_pool_claims_total";
	metric_head(out, name, "counter", "Claims of shells: hits, and misses by reason.");
	for (unsigned i = 0; i < pools->count; i++) {
		struct pool_state now;
		pool_look(pools->pool[i], &now);
		for (uint32_t claim = LV_CLAIM_HIT; claim < LV_CLAIMS; claim++)
			metric_line(out, name, (const char *const[]){ "pool", pool_plan(pools->pool[i])->name, "result", metrics_claim(claim), NULL }, now.claims[claim]);
	}
	metric_one(out, "lightvm_pool_unfit_claims_total", "counter", "Claims of what no pool has.", pools->unfit);
}

static const struct {
	const char *name, *type, *help;
	size_t offset;
	bool ns;
} figures[] = {
	{ "lightvm_pool_made_total", "counter", "Shells that were made.", offsetof(struct pool_state, made), false },
	{ "lightvm_pool_failed_total", "counter", "Shells that could not be made.", offsetof(struct pool_state, failed), false },
	{ "lightvm_pool_ended_total", "counter", "Shells that ended before anybody claimed them.", offsetof(struct pool_state, ended), false },
	{ "lightvm_pool_make_seconds", "gauge", "How long one takes to make, on the average.", offsetof(struct pool_state, make_ns), true },
	{ "lightvm_pool_saved_seconds_total", "counter", "What requests did not have to wait for.", offsetof(struct pool_state, saved_ns), true },
};

static void put_metrics(struct daemon *daemon, void *part, struct text *out)
{
	const struct pools *pools = part;
	put_shells(pools, out);
	put_pool_claims(pools, out);
	for (size_t k = 0; k < sizeof(figures) / sizeof(*figures); k++) {
		metric_head(out, figures[k].name, figures[k].type, figures[k].help);
		for (unsigned i = 0; i < pools->count; i++) {
			struct pool_state now;
			uint64_t value;
			pool_look(pools->pool[i], &now);
			memcpy(&value, (const char *)&now + figures[k].offset, sizeof(value));
			(figures[k].ns ? metric_line_seconds : metric_line)(out, figures[k].name, (const char *const[]){ "pool", pool_plan(pools->pool[i])->name, NULL }, value);
		}
	}
	metric_head(out, "lightvm_pool_memory_bytes", "gauge", "Resident memory of the shells that are ready.");
	for (unsigned i = 0; i < pools->count; i++)
		metric_line(out, "lightvm_pool_memory_bytes", (const char *const[]){ "pool", pool_plan(pools->pool[i])->name, NULL }, pool_memory(pools->pool[i]));
}

/* Perhaps for a shell: no other one is made now. */
static void connected(struct daemon *daemon, void *part)
{
	const struct pools *pools = part;
	for (unsigned i = 0; pools && i < pools->count; i++)
		pool_expect(pools->pool[i]);
}

const struct daemon_part pools_part = { .name = "pools", .connected = connected, .metrics = put_metrics, .start = start, .stop = stop };

/* ---- claims ---- */

/* Of those alone that suit, or do not. best: what came of the others. */
static enum lv_claim claim_among(struct pools *pools, const struct pool_wish *wish, bool suits, enum lv_claim best, struct shell *shell, struct pool **from)
{
	for (unsigned i = 0; best != LV_CLAIM_HIT && i < pools->count; i++)
		if (pool_fits(pools->pool[i], wish) && pool_suits(pools->pool[i], wish) == suits)
			best = pool_claim(*from = pools->pool[i], wish, shell);
	return best;
}

static enum lv_claim claim_from(struct pools *pools, const struct pool_wish *wish, struct shell *shell, struct pool **from)
{
	struct pool_wish any = *wish;
	memset(any.build.ahead, 0, sizeof(any.build.ahead));
	enum lv_claim best = wish->build.ahead[1] ? claim_among(pools, wish, true, LV_CLAIM_FLAVOUR, shell, from) : LV_CLAIM_FLAVOUR;
	best = claim_among(pools, &any, true, best, shell, from);
	best = claim_among(pools, &any, false, best, shell, from);
	pools->unfit += best == LV_CLAIM_FLAVOUR;
	return best;
}

static void untaken(void *context)
{
	pool_untaken(context);
}

static int claim(struct local_call *call, struct local_reply *reply, struct error *error)
{
	struct pools *pools = pools_of(call->daemon);
	struct lv_daemon_claim asked = { 0 };
	struct shell shell = SHELL_NONE;
	struct pool *from = NULL;
	if (call->head.size != sizeof(asked) && call->head.size != offsetof(struct lv_daemon_claim, ahead))
		return error_set(error, -EBADMSG, "a claim of %u bytes, not %zu", call->head.size, sizeof(asked));
	memcpy(&asked, call->body, call->head.size);
	struct pool_wish wish = { .memory = asked.memory, .image = asked.image, .ram = (uint64_t)asked.ram_mib << 20, .build = { .first_user = asked.first_user, .users = asked.users } };
	memcpy(wish.build.libos, asked.libos, sizeof(asked.libos));
	memcpy(wish.build.monitor, asked.monitor, sizeof(asked.monitor));
	memcpy(wish.build.ahead, asked.ahead, sizeof(asked.ahead));
	struct lv_daemon_claimed claimed = { .claim = LV_CLAIM_FLAVOUR };
	/* A monitor of one user for another would have rights that were not asked for. */
	if (asked.user == call->daemon->uid)
		claimed.claim = claim_from(pools, &wish, &shell, &from);
	else
		pools->unfit++;
	if (claimed.claim == LV_CLAIM_HIT) {
		claimed.pid = (uint32_t)shell.monitor.pid;
		reply->fds[reply->fd_count++] = shell.socket;
		reply->fds[reply->fd_count++] = shell.monitor.pidfd;
		reply->untaken = untaken;
		reply->context = from;
	}
	text_add(&reply->body, &claimed, sizeof(claimed));
	return 0;
}

/* ---- what users set ---- */

static int find(const struct pools *pools, const char *name, unsigned *at, struct error *error)
{
	for (*at = 0; name && *at < pools->count; ++*at)
		if (!strcmp(pool_plan(pools->pool[*at])->name, name))
			return 0;
	return error_set(error, -ENOENT, "pool %.40s: there is none of that name", name ? name : "without a name");
}

/* The last one of the list takes its place. */
static void take_away(struct pools *pools, unsigned at)
{
	pool_free(pools->pool[at]);
	pools->pool[at] = pools->pool[--pools->count];
}

/* What cannot be kept is not done: the next daemon would not have it. */
int pools_add(struct pools *pools, const json_t *json, struct error *error)
{
	int err = add_json(pools, json, false, error);
	if (!err && (err = keep_plans(pools, NULL, error)))
		take_away(pools, pools->count - 1);
	return err;
}

int pools_set(struct pools *pools, const char *name, const json_t *bounds, struct error *error)
{
	unsigned at;
	int err = find(pools, name, &at, error);
	if (err)
		return err;
	struct pool *pool = pools->pool[at];
	struct pool_plan old = *pool_plan(pool), plan = old;
	err = pool_plan_change(&plan, bounds, error);
	if (err)
		return err;
	pool_bound(pool, plan.least, plan.most);
	err = keep_plans(pools, NULL, error);
	if (err)
		pool_bound(pool, old.least, old.most);
	return err;
}

int pools_remove(struct pools *pools, const char *name, struct error *error)
{
	unsigned at;
	int err = find(pools, name, &at, error);
	if (!err)
		err = keep_plans(pools, pools->pool[at], error);
	if (!err)
		take_away(pools, at);
	return err;
}

json_t *pools_json(const struct pools *pools, const char *name, struct error *error)
{
	unsigned at;
	if (name && find(pools, name, &at, error))
		return NULL;
	json_t *json = name ? pool_to_json(pools->pool[at]) : json_array();
	for (unsigned i = 0; json && !name && i < pools->count; i++)
		json_array_append_new(json, pool_to_json(pools->pool[i]));
	if (!name)
		json = json_pack("{s:o, s:I}", "pools", json, "unfit", (json_int_t)pools->unfit);
	if (!json)
		error_set(error, -ENOMEM, "out of memory");
	return json;
}

const struct local_op pools_claim_ops[] = { { LV_DMN_CLAIM, claim }, { 0 } };
