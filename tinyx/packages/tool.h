/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution's own tools, apt-get and dpkg-deb, with what they print. */
#ifndef LV_TINYX_TOOL_H
#define LV_TINYX_TOOL_H

#include "base/error.h"
#include "base/spawn.h"
#include "base/text.h"

/*
 * Runs argv, found in the usual directories, with this process's environment but C's messages. Its output is appended to out, what it complains
 * of to complaints, each up to limit bytes. 0 and its exit status in *status; -ENOENT with a message that says what to install: it is
 * not there; -EFBIG: it prints more.
 */
int tool_run(char *const *argv, size_t limit, struct text *out, struct text *complaints, int *status, struct error *error);
/* Starts it with its output in a pipe, its complaints going nowhere: the end to read, the caller's; negative errno with a message. */
int tool_start(char *const *argv, struct spawned *child, struct error *error);

#endif
