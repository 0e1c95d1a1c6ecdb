/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/kernel_building.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/verb.h"

#define PROGRESS_MS 100
#define PROGRESS_STEPS 200 /* where there is no terminal: a line for so many files */

static uint64_t now_ms(void)
{
	return clock_now() / NS_PER_MS;
}

struct progress {
	const char *name;
	bool terminal, quiet;
	uint64_t begun, shown;
	unsigned steps; /* when a line was printed last */
	int step;       /* its step; -1: none yet */
};

static void show(struct progress *progress, const struct kernel_progress *now_at)
{
	char share[48] = "";
	if (now_at->total)
		snprintf(share, sizeof(share), ", %u of about %u", now_at->done, now_at->total);
	uint64_t now = now_ms();
	fprintf(stderr, "%s[%4" PRIu64 " s, %2u%%] kernel %s: %s%s%.48s%s%s", progress->terminal ? "\r\033[K" : "", (now - progress->begun) / 1000,
		now_at->percent, progress->name, kernel_step_name(now_at->step), now_at->detail ? " " : "", now_at->detail ? now_at->detail : "", share,
		progress->terminal ? "" : "\n");
	progress->shown = now;
	progress->steps = now_at->done;
	progress->step = (int)now_at->step;
}

/* A terminal gets one line that changes; a log gets few lines that stay. */
static void on_progress(void *context, const struct kernel_progress *now_at)
{
	struct progress *progress = context;
	if (progress->quiet)
		return;
	if (progress->step != (int)now_at->step ||
	    (progress->terminal ? now_ms() - progress->shown >= PROGRESS_MS : now_at->done >= progress->steps + PROGRESS_STEPS))
		show(progress, now_at);
}

static unsigned processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static int report_built(const struct progress *progress, const char *directory, bool built, struct error *error)
{
	struct text out = { 0 };
	if (progress->terminal)
		fputs("\r\033[K", stderr);
	if (!progress->quiet)
		fprintf(stderr, "kernel %s: %s\n", progress->name, built ? "built" : "is there already");
	text_format(&out, "%s\n", directory);
	return text_print(&out);
}

int kernel_building(struct kernel_request *request, bool quiet, struct error *error)
{
	char *directory = NULL;
	struct progress progress = { .name = request->config->name, .step = -1, .terminal = isatty(STDERR_FILENO) && !quiet, .quiet = quiet, .begun = now_ms() };
	request->jobs = request->jobs ? request->jobs : processors();
	request->progress = on_progress;
	request->context = &progress;
	int result = kernel_build(request, &directory, error);
	if (result >= 0)
		result = report_built(&progress, directory, result, error);
	else if (progress.terminal)
		fputs("\n", stderr);
	free(directory);
	return result;
}
