/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/describe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parallel.h"

#define AT_ONCE 64 /* ends of VMs that are waited for: each has a control connection and some descriptors open */

const struct option_spec format_options[] = {
	{ "format", 0, OPTION_STRING, offsetof(struct format_options, format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

bool format_is_json(const struct format_options *given)
{
	return given->format && !strcmp(given->format, "json");
}

long long json_number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

int json_print(json_t *value)
{
	struct text out = { 0 };
	/* A program gets the bytes as they are; a terminal would act on some of them, which JSON need not escape. */
	char *json = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15)); /* so many digits of a real are as they were meant: 0.1 is no 0.10000000000000001 */
	if (json)
		text_format(&out, "%s\n", json);
	free(json);
	json_decref(value);
	return text_print(&out);
}

int word_for_each(struct operands operands, int (*each)(const char *word, struct error *error))
{
	int status = 0;
	for (int i = 0; i < operands.argc; i++) {
		struct error error = { 0 };
		if (!each(operands.argv[i], &error))
			continue;
		log_error("%s", error.text);
		status = EXIT_OWN;
	}
	return status;
}

struct visit { /* of every VM that is named */
	struct operands operands;
	struct state state;
	int opened; /* 0, or why there are none */
	int (*each)(const struct state *state, struct vm_info *info, void *context, struct error *error); /* one of the two */
	int (*end)(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context, struct error *error);
	void *context;
	char **said; /* for each word, what went wrong; the visit's */
	bool failed;
};

static int visit_vm(struct visit *visit, const char *word, struct vm_info *info, struct error *error)
{
	struct vm_row row;
	int err = visit->opened ? error_set(error, visit->opened, "there is no VM \"%s\"; none was started yet", word)
		: visit->end	? vm_info_find_row(&visit->state, word, info, &row, error)
				: vm_info_find(&visit->state, word, info, error);
	if (err)
		return err;
	return visit->end ? visit->end(&visit->state, info, &row, visit->context, error) : visit->each(&visit->state, info, visit->context, error);
}

static void visit_one(void *opaque, size_t i)
{
	struct visit *visit = opaque;
	struct error error = { 0 };
	struct vm_info info = { .dir = VM_DIR_NONE };
	int err = visit_vm(visit, visit->operands.argv[i], &info, &error);
	if (err)
		__atomic_store_n(&visit->failed, true, __ATOMIC_RELAXED);
	if (err)
		visit->said[i] = alloc_copy(error.text[0] ? error.text : strerror(-err));
	/* What is done one by one is told at once. */
	if (visit->said[i] && visit->each)
		log_error("%s", visit->said[i]);
	vm_info_close(&info);
}

static int visit_all(struct visit *visit)
{
	struct error error = { 0 };
	size_t count = (size_t)visit->operands.argc;
	int result = 0;
	visit->said = alloc_zero((count + 1) * sizeof(*visit->said));
	visit->opened = state_open(&visit->state, false, &error);
	if (!visit->said || (visit->opened && visit->opened != -ENOENT)) {
		log_error("%s", visit->said ? error.text : "out of memory");
		result = EXIT_OWN;
	} else {
		parallel_each(count, visit->end ? AT_ONCE : 1, visit_one, visit);
	}
	for (size_t i = 0; visit->said && i < count; i++) {
		if (visit->said[i] && visit->end)
			log_error("%s", visit->said[i]);
		free(visit->said[i]);
	}
	free(visit->said);
	state_close(&visit->state);
	return visit->failed ? EXIT_OWN : result;
}

int vm_for_each(struct operands operands, int (*each)(const struct state *state, struct vm_info *info, void *context, struct error *error),
		void *context)
{
	struct visit visit = { .operands = operands, .each = each, .context = context };
	return visit_all(&visit);
}

int vm_for_each_at_once(struct operands operands, int (*each)(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context,
							       struct error *error), void *context)
{
	struct visit visit = { .operands = operands, .end = each, .context = context };
	return visit_all(&visit);
}
