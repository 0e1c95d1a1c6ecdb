/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parallel.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS_MOST 256

struct work {
	void (*each)(void *context, size_t index);
	void *context;
	size_t count, next; /* next: taken by whoever comes first */
};

static void *work_on(void *opaque)
{
	struct work *work = opaque;
	for (size_t i; (i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->count;)
		work->each(work->context, i);
	return NULL;
}

void parallel_each(size_t count, unsigned threads, void (*each)(void *context, size_t index), void *context)
{
	struct work work = { .each = each, .context = context, .count = count };
	pthread_t helper[THREADS_MOST - 1];
	unsigned helpers = 0, most = threads < THREADS_MOST ? threads : THREADS_MOST;
	if (count < most)
		most = (unsigned)count;
	while (helpers + 1 < most && !pthread_create(&helper[helpers], NULL, work_on, &work))
		helpers++;
	work_on(&work);
	while (helpers)
		pthread_join(helper[--helpers], NULL);
}

unsigned parallel_processors(unsigned most)
{
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);
	return processors < 1 ? 1 : processors > (long)most ? most : (unsigned)processors;
}
