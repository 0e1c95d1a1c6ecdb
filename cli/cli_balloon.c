/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm balloon: how much memory a Linux guest hands over to the host, and what it says of the rest. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "cli/all_verbs.h"
#include "node/monitor_control.h"
#include "cli/describe.h"
#include "node/record.h"

struct request {
	const struct format_options *given;
	const char *size; /* NULL: tell only */
	uint64_t bytes;
};

static int print_table(const struct lv_balloon *balloon)
{
	struct text out = { 0 };
	char number[32];
	json_t *object = balloon_json(balloon), *value;
	const char *key;
	json_object_foreach(object, key, value) {
		uint64_t n = (uint64_t)json_integer_value(value);
		if (balloon_is_count(key))
			snprintf(number, sizeof(number), "%" PRIu64, n);
		else
			size_print(n, number, sizeof(number));
		text_format(&out, "%-18s %s\n", key, number);
	}
	json_decref(object);
	return text_print(&out);
}

static int refusal(const struct vm_info *info, int err, struct error *error)
{
	const char *id = info->dir.id;
	if (err == -ENODEV)
		return error_set(error, err, "VM %s has no balloon: it runs on the library OS, which gives memory back by itself", id);
	if (err == -ENOTCONN)
		return error_set(error, err, "VM %s: its kernel has no driver for the balloon, or has not come to it yet", id);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "VM %s: its kernel does not answer", id);
	return error_set(error, err, "VM %s: balloon: %s", id, strerror(-err));
}

static int balloon_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct request *request = context;
	if (!info->alive)
		return vm_not_alive(info, error);
	if (request->size && request->bytes >= info->status.ram_size)
		return error_set(error, -ERANGE, "%s is all the memory of VM %s, or more", request->size, info->dir.id);
	struct control_answer *reply = alloc_zero(sizeof(*reply));
	int err = control_ask(info->dir.dir, LV_CTL_BALLOON, request->size ? (int64_t)request->bytes : -1, reply, deadline_in(CONTROL_PATIENCE_MS));
	if (err)
		err = refusal(info, err, error);
	else if (format_is_json(request->given))
		err = json_print(balloon_json(&reply->status.balloon)) ? -EIO : 0;
	else if (!request->size)
		err = print_table(&reply->status.balloon) ? -EIO : 0;
	free(reply);
	return err;
}

static int balloon(const struct context *context, void *given, struct operands operands, struct error *error)
{
	struct request request = { .given = given };
	if (operands.argc == 2) {
		request.size = operands.argv[1];
		if (size_parse(request.size, &request.bytes))
			return error_set(error, -EINVAL, "\"%s\" is not a size (examples: 64M, 1G, 0)", request.size);
		operands.argc = 1;
	}
	return vm_for_each(operands, balloon_one, &request);
}

const struct verb verb_balloon = {
	.name = "balloon",
	.operands = "VM [SIZE]",
	.summary = "Take memory from a Linux guest, or print what it says of its memory",
	.text = "With SIZE the guest's kernel is asked to hand over so much of its memory to the host (0: none, it gets all back). It\n"
		"does so as far as it can without running out of memory. Memory that the guest frees returns to the host without\n"
		"being asked for; \"reported\" counts it.",
	.examples = "lightvm balloon db\nlightvm balloon db 128M\nlightvm balloon db 0",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.complete = "vm",
	.min = 1,
	.max = 2,
	.run = balloon,
};
