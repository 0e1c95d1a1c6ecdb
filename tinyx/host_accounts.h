/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The users and groups of an image made of files of the host: Debian's fixed ones, and those that the maintainer scripts of the packages that came along
 * would make, with the numbers that they have on the host, since its files belong to these. No others: an image does not tell who uses its host.
 */
#ifndef LV_TINYX_HOST_ACCOUNTS_H
#define LV_TINYX_HOST_ACCOUNTS_H

#include "tinyx/plan.h"

/* Adds /etc/passwd and /etc/group, if the plan has none, for plan->owners. */
void host_accounts_add(struct plan *plan);

#endif
