/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, int code, const char *format, ...)
{
	if (error) {
		va_list args;
		va_start(args, format);
		vsnprintf(error->text, sizeof(error->text), format, args);
		va_end(args);
		error->code = code;
	}
	return code;
}

int error_prefix(struct error *error, const char *format, ...)
{
	char old[sizeof(error->text)];
	memcpy(old, error->text, sizeof(old));
	va_list args;
	va_start(args, format);
	int n = vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(error->text))
		snprintf(error->text + n, sizeof(error->text) - (size_t)n, ": %s", old);
	return error->code;
}

bool error_names(const struct error *error, const char *path)
{
	size_t size = strlen(path);
	return !strncmp(error->text, path, size) && (error->text[size] == ':' || error->text[size] == '/');
}
