/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one event a line on stderr, "PROGRAM: LEVEL: text"; four levels, chosen at run time. */
#ifndef LV_BASE_LOG_H
#define LV_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* This and what log_know_journal finds are the mutable globals: set once by main. */
extern enum log_level log_level;

/* Looks whether stderr is the journal's (JOURNAL_STREAM, systemd.exec(5)): then a line begins with its priority, and the journal knows errors from what is only told. */
void log_know_journal(void);

/* Any thread; one write(2) a line. Keeps errno. Returns -1, so that a caller can report and fail in one line. */
int log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What is told, and no complaint: whatever the level, and without a word for it. */
void log_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* An error for a call that failed: "what: the error's text". Returns -errno. */
int log_errno(const char *what);

/* "error", "warn", "info", "debug": 0 and *level, or -EINVAL. */
int log_level_parse(const char *word, enum log_level *level);

#endif
