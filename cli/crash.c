/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/crash.h"

void crash_report(const struct lv_status *status, const char *image, struct text *out)
{
	text_format(out, "crashed: signal %u at rip %#llx, address %#llx\n", status->crash.signal, (unsigned long long)status->crash.reg[16],
		    (unsigned long long)status->crash.cr2);
}
