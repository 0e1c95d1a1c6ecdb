/* SPDX-License-Identifier: Apache-2.0 */
/* An error: made where it happens, with a message that names the object and the value, and returned in that line. */
#ifndef LV_BASE_ERROR_H
#define LV_BASE_ERROR_H

#include <stdbool.h>

struct error {
	int code; /* negative errno; 0: none */
	char text[1024];
};

/* Sets code and message and returns code, so that a caller writes `return error_set(...)`. error may be NULL. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts "format: " in front of the message that is there; returns its code. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Does the message begin with this path, or with one below it? Then it needs no other word of where it was. */
bool error_names(const struct error *error, const char *path);

#endif
