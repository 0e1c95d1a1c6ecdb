/* SPDX-License-Identifier: Apache-2.0 */
/* The program that an image is made for, and the commands that a shell starts in it: each with what its "#!" lines lead to. */
#ifndef LV_TINYX_PROGRAMS_H
#define LV_TINYX_PROGRAMS_H

#include "base/error.h"
#include "base/text.h"
#include "tinyx/cache.h"
#include "tinyx/plan.h"

/*
 * Adds program, an absolute path, from the volumes (NULL: none) or the host. Follows "#!" lines: packed->program becomes the ELF program, packed->args
 * what goes in front of the arguments, *elf (the caller's, also on error) where the program is on the host. A negative errno with a message.
 */
int programs_add(struct plan *plan, const char *program, const struct strings *volumes, struct packed *packed, char **elf, struct error *error);
/* Adds one that a shell starts, with what interprets it, as far as it is there. */
void programs_add_command(struct plan *plan, const char *command);

#endif
