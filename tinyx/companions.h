/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's companions: what it expects to find on the machine besides libraries. Rule: the files of the Debian package
 * that owns the program, and of the packages this one depends on that are built from the same source, without
 * documentation, translations and files for other programs (init systems, log rotation ...). Of a script, which names what it starts and loads
 * in ways of its own, their other programs too, and the modules of languages that they depend on. docs/image.md tells more.
 */
#ifndef LV_TINYX_COMPANIONS_H
#define LV_TINYX_COMPANIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "tinyx/plan.h"

/* Adds the companions of host, and the packages' names to plan->owners. No package owns it: nothing is added. Files that cannot be read are passed over. */
int companions_add(struct plan *plan, const char *host, bool script, struct error *error);
/* Adds all files of a package, but documentation and manuals; one that is not installed adds nothing. */
void companions_add_package(struct plan *plan, const char *package);

#endif
