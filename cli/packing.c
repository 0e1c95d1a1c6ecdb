/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/packing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

#define SILENT_MS 500
#define REPEAT_MS 100

static void show(const struct packing *packing, const struct pack_progress *progress)
{
	char done[24], total[24];
	if (!progress->files_total)
		fprintf(stderr, "\r\033[Kpacking %s: %zu files found", packing->program, progress->files);
	else
		fprintf(stderr, "\r\033[Kpacking %s: %zu of %zu files, %s of %s", packing->program, progress->files, progress->files_total,
			size_print(progress->bytes, done, sizeof(done)), size_print(progress->bytes_total, total, sizeof(total)));
}

static void on_report(void *context, const struct pack_progress *progress)
{
	struct packing *packing = context;
	uint64_t now = clock_now() / NS_PER_MS;
	if (packing->silent || now - packing->begun_ms < SILENT_MS || now - packing->shown_ms < REPEAT_MS)
		return;
	/* Asked this late, an image that is found costs no call. */
	packing->silent = !packing->shown && !isatty(STDERR_FILENO);
	if (packing->silent)
		return;
	packing->shown_ms = now;
	packing->shown = true;
	show(packing, progress);
}

/* Each of these takes a second or more. */
static void on_step(void *context, const char *what)
{
	struct packing *packing = context;
	if (!isatty(STDERR_FILENO))
		return;
	packing->shown = true;
	fprintf(stderr, "\r\033[K%s: %s", packing->program, what);
}

void packing_init(struct packing *packing, const char *program)
{
	const char *slash = strrchr(program, '/');
	*packing = (struct packing){ .program = slash ? slash + 1 : program, .begun_ms = clock_now() / NS_PER_MS };
	packing->watch = (struct pack_watch){ .report = on_report, .context = packing };
	packing->steps = (struct debs_watch){ .report = on_step, .context = packing };
}

void packing_fini(struct packing *packing)
{
	if (packing->shown)
		fputs("\r\033[K", stderr);
	packing->shown = false;
}
