/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping rights, in named steps. All opens come before, all parsing of guest bytes after. */
#ifndef LV_VMM_JAIL_H
#define LV_VMM_JAIL_H

#include <stdbool.h>

struct jail {
	bool full;      /* also namespaces and an empty root; needs the rights for it */
	bool log_only;  /* debug: what the filter forbids is logged, not fatal */
	const int *keep; /* descriptors that stay open, ascending, without repetitions; 0, 1 and 2 always stay. NULL: all stay */
	unsigned keep_count;
};

/*
 * Called before any other thread exists: capabilities belong to threads, and later ones inherit. 0; or a negative errno, and *step names the step that failed ("no new privileges",
 * "capabilities", "descriptors", "limits", "namespaces", "filter").
 */
int jail_enter(const struct jail *jail, const char **step);

#endif
