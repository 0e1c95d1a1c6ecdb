/* SPDX-License-Identifier: Apache-2.0 */
/* Running the tools that build a kernel, with their output turned into progress. */
#ifndef LV_TINYX_KERNEL_MAKE_H
#define LV_TINYX_KERNEL_MAKE_H

#include <time.h>

#include "base/error.h"
#include "tinyx/kernel.h"

struct make {
	char **argv;		/* argv[0]: looked for in the usual directories */
	enum kernel_step step;
	const char *log;	/* all output is kept there; NULL: nowhere */
	const struct kernel_request *request; /* progress goes there */
	time_t date;		/* what a kernel says of when it was built */
};

/* Tells the request's watcher where a build stands. */
void make_tell(const struct kernel_request *request, enum kernel_step step, const char *detail, unsigned done, unsigned total);
/* Waits for the end. A failure names the tool and what it complained of. */
int make_run(const struct make *make, struct error *error);
/* -ENOENT with a message that names every tool or header that is missing, and the command that installs them. */
int make_check_tools(struct error *error);

#endif
