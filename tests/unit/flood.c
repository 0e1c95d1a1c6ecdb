/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/flood.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"

#define WATCHES 512
#define PATIENCE 10 /* seconds */

static struct loop_watch *watched[WATCHES];

int __real_loop_update(struct loop *loop, struct loop_watch *watch, uint32_t events);
int __wrap_loop_update(struct loop *loop, struct loop_watch *watch, uint32_t events);

int __wrap_loop_update(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct loop_watch **free_slot = NULL;

	for (unsigned i = 0; i < WATCHES; i++) {
		if (watched[i] == watch)
			watched[i] = NULL;
		if (!watched[i])
			free_slot = &watched[i];
	}
	if (events && !free_slot)
		abort();
	if (events)
		*free_slot = watch;
	return __real_loop_update(loop, watch, events);
}

unsigned flood(void)
{
	unsigned n = 0;

	alarm(PATIENCE);
	for (unsigned i = 0; i < WATCHES; i++) {
		struct loop_watch *watch = watched[i];

		if (!watch)
			continue;
		watch->ready(watch->context, watch->events);
		n++;
	}
	alarm(0);
	return n;
}
