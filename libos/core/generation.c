/* SPDX-License-Identifier: Apache-2.0 */
/* The VM is another one than before: restored, or a clone. Whoever keeps what must not be the same in two VMs is told. */
#include "libos/core/libos.h"

static struct generation_hook *hooks;
static uint64_t seen;
static bool known;

void generation_add(struct generation_hook *hook)
{
	hook->next = hooks;
	hooks = hook;
}

void generation_look(void)
{
	uint64_t now = *(const volatile uint64_t *)&device_page->generation;

	if (known && seen == now)
		return;
	bool changed = known;

	known = true;
	seen = now; /* before the hooks: one that asks for random numbers looks again */
	for (struct generation_hook *hook = hooks; changed && hook; hook = hook->next)
		hook->changed();
}
