/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs open without naming it to the dynamic linker: companions of the C library, its locale C.UTF-8, time zones, converters of
 * character sets, descriptions of terminals, fonts. By rule, from what a program imports, so that small programs stay small. A
 * directory that comes along is whole: programs take one that is there for all there is.
 */
#ifndef LV_TINYX_RUNTIME_H
#define LV_TINYX_RUNTIME_H

#include "tinyx/libraries.h"
#include "tinyx/plan.h"

/* wants: from libraries_add; zone: "Area/City", locale: "de_DE.UTF-8", that the user asked for, or NULL. What the host has not is left out; of packages (plan->from), what they have not. */
void runtime_add(struct plan *plan, const struct library_wants *wants, const char *zone, const char *locale);

/* A program with a TLS library will want to know whom to trust: the bundle of certificates, and OpenSSL's configuration. */
void certificates_add(struct plan *plan);

/* True if setlocale() finds this one in every image: "", "C", "POSIX", "C.UTF-8" (and "C.utf8"). */
bool runtime_has_locale(const char *locale);

#endif
