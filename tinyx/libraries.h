/* SPDX-License-Identifier: Apache-2.0 */
/* Which interpreter and libraries the ELF files of a plan need, found as the dynamic linker would find them. */
#ifndef LV_TINYX_LIBRARIES_H
#define LV_TINYX_LIBRARIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/plan.h"

struct program_facts {
	bool dynamic;
	uint64_t need; /* bytes of memory that its writable segments take */
};

/*
 * Checks that host, which plan_open finds, is a program for this machine and tells about it. -ENOEXEC, -EXDEV (another architecture), -EACCES ...
 * with a message that names the file.
 */
int program_check(const struct plan *plan, const char *host, struct program_facts *facts, struct error *error);
struct library_wants { /* what the files whose libraries were looked for will open, too; zero-initialised */
	char *libc;	 /* where GNU's C library is; NULL: it does not come along */
	bool zones;	 /* they read time zones other than that of the host */
	bool terminals;	 /* they name a directory of descriptions of terminals */
	bool converters; /* they call iconv_open() */
	bool shell;	 /* they call system() or popen(): /bin/sh comes along */
	bool commands;	 /* the program starts others by name: the usual ones come along */
};
void library_wants_free(struct library_wants *wants);

/*
 * Adds what the ELF files of the plan need, and what those need, until nothing is missing. Files with an index below
 * strict must find everything (-ENOENT: "missing library ..., needed by ..."); for the others a missing library is logged.
 * With GNU's C library come those that it opens itself, or that were part of it in other versions; with a program that calls
 * dlopen() those that it names. ELF files are known by their first bytes, whatever their mode and name.
 */
int libraries_add(struct plan *plan, size_t strict, struct library_wants *wants, struct error *error);

#endif
