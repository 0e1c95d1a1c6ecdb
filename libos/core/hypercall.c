/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the monitor. */
#include "libos/core/core.h"
#include "libos/core/libos.h"

int64_t hypercall(enum lv_hypercall number, uint64_t a0)
{
	shared_page->arg[0] = a0;
	*(volatile uint32_t *)(LV_BELL + LV_BELL_HYPERCALL) = number;
	return shared_page->result;
}

void bell_ring(unsigned bell)
{
	shared_page->calls.bells++;
	*(volatile uint32_t *)(LV_BELL + bell) = 1;
}

static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

void ledger_mark(enum lv_ledger_slot slot)
{
	volatile struct lv_ledger_mark *mark = &shared_page->ledger[slot];
	if (mark->tsc)
		return;
	mark->exits = shared_page->exits;
	mark->tsc = tsc();
}

void ledger_listens(uint16_t port)
{
	if (shared_page->ledger[LV_LEDGER_LISTEN].tsc)
		return;
	ledger_mark(LV_LEDGER_LISTEN);
	hypercall(LV_HC_LISTEN, port);
}

void vm_exit(int wait_status)
{
	ledger_mark(LV_LEDGER_EXIT);
	hypercall(LV_HC_EXIT, wait_status);
	__builtin_trap(); /* the monitor never comes back */
}
