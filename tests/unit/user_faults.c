/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the program that are not there, as libos' trap.c answers for them: for tests of what takes such addresses. */
#include "user_faults.h"

#include "libos/core/user.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

static struct sigaction before;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];

	for (const struct user_fixup *fixup = user_fixups; (uintptr_t)fixup < (uintptr_t)user_fixups_end; fixup++) {
		if ((uint64_t)*rip < fixup->from || (uint64_t)*rip >= fixup->to)
			continue;
		*rip = (greg_t)fixup->go_on;
		return;
	}
	sigaction(signo, &before, NULL); /* a fault of the test: once more, as if nobody had looked */
}

void user_faults_catch(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &before);
	sigaction(SIGBUS, &action, NULL);
}
