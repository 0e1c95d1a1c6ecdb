/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/describe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int json_print(json_t *value)
{
	struct text out = { 0 };
	/* A program gets the bytes as they are; a terminal would act on some of them, which JSON need not escape. */
	char *json = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	if (json)
		text_format(&out, "%s\n", json);
	free(json);
	json_decref(value);
	return text_print(&out);
}

int vm_for_each(struct operands operands, int (*each)(const struct state *state, struct vm_info *info, void *context, struct error *error),
		void *context)
{
	struct state state;
	struct error error = { 0 };
	int result = 0, err = state_open(&state, false, &error);
	if (err && err != -ENOENT) {
		log_error("%s", error.text);
		result = EXIT_OWN;
	}
	for (int i = 0; i < operands.argc && (!err || err == -ENOENT); i++) {
		struct vm_info info = { .dir = VM_DIR_NONE };
		int failed = err ? error_set(&error, err, "there is no VM \"%s\"; none was started yet", operands.argv[i])
				 : vm_info_find(&state, operands.argv[i], &info, &error);
		if (!failed)
			failed = each(&state, &info, context, &error);
		if (failed) {
			log_error("%s", error.text[0] ? error.text : strerror(-failed));
			result = EXIT_OWN;
		}
		vm_info_close(&info);
	}
	state_close(&state);
	return result;
}
