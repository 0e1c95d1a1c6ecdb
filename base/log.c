/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/shown.h"

enum log_level log_level = LOG_LEVEL_WARN;

static const char *const words[] = { "error", "warn", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 }; /* sd-daemon(3) */
#define TOLD 5 /* likewise: a notice */
static bool journal;

void log_know_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;
	journal = stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 && !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

/* word: for it; NULL: none. */
static void write_line(int priority, const char *word, const char *format, va_list args)
{
	int saved = errno;
	char line[2048];
	int n = journal ? snprintf(line, sizeof(line), "<%d>%s: ", priority, program_invocation_short_name) :
			  snprintf(line, sizeof(line), "%s: %s%s", program_invocation_short_name, word ? word : "", word ? ": " : "");
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	size_t size = (size_t)n + (m < 0 ? 0 : (size_t)m);
	if (size > sizeof(line) - 2)
		size = sizeof(line) - 2;
	size = text_shown(line, line, size, 0, NULL); /* reasons may be a guest's words */
	line[size++] = '\n';
	ssize_t done = write(STDERR_FILENO, line, size);
	(void)done; /* there is nobody left to tell */
	errno = saved;
}

int log_line(enum log_level level, const char *format, ...)
{
	if (level > log_level)
		return -1;
	va_list args;
	va_start(args, format);
	/* An error needs no level word: it is what a user expects to see after the program's name. */
	write_line(priorities[level], level == LOG_LEVEL_ERROR ? NULL : words[level], format, args);
	va_end(args);
	return -1;
}

void log_tell(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_line(TOLD, NULL, format, args);
	va_end(args);
}

int log_errno(const char *what)
{
	int err = errno;

	log_error("%s: %s", what, strerror(err));
	return -err;
}

int log_level_parse(const char *word, enum log_level *level)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(word, words[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}
