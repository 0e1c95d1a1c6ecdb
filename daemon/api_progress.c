/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api_progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "daemon/routes.h"

#define INTERVAL_NS (100 * NS_PER_MS) /* between two words of packing */

/* json is taken. */
static int put_event(int out, const char *event, json_t *json)
{
	char *data = json ? json_dumps(json, JSON_COMPACT) : NULL, *text = data ? alloc_format("event: %s\ndata: %s\n\n", event, data) : NULL;
	int err = text ? fd_write(out, text, strlen(text)) : -ENOMEM;
	free(text);
	free(data);
	json_decref(json);
	return err;
}

void progress_say(struct api_request *request, const char *step, json_t *more)
{
	if (!request->progress)
		return json_decref(more);
	json_t *json = more ? more : json_object();
	json_object_set_new(json, "step", json_string(step));
	put_event(request->progress, "progress", json);
}

static void on_packing(void *context, const struct pack_progress *progress)
{
	struct api_request *request = context;
	uint64_t now = clock_now();
	if (!request->progress || now - request->progress_ns < INTERVAL_NS)
		return;
	request->progress_ns = now;
	progress_say(request, "packing", json_pack("{s:I, s:I, s:I, s:I}", "files", (json_int_t)progress->files, "files_total", (json_int_t)progress->files_total,
						   "bytes", (json_int_t)progress->bytes, "bytes_total", (json_int_t)progress->bytes_total));
}

struct pack_watch progress_watch(struct api_request *request)
{
	return (struct pack_watch){ .report = on_packing, .context = request };
}

int progress_stream(struct api_request *request, int out, struct error *error)
{
	struct text answer = { 0 };
	const char *type = NULL;
	int err = api_begin(request, out, "text/event-stream");
	if (err)
		return err;
	request->progress = out;
	unsigned status = api_run(request->route->task, request, &answer, &type);
	json_t *json = answer.size ? json_loadb(answer.data, answer.size, 0, NULL) : NULL;
	err = text_error(&answer) ? -ENOMEM : put_event(out, "end", json_pack("{s:i, s:o}", "status", (int)status, "answer", json ? json : json_null()));
	text_free(&answer);
	return err;
}
