/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/companions.h"

int companions_add(struct plan *plan, const char *host, struct error *error)
{
	return 0;
}
