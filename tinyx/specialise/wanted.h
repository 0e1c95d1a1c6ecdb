/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From evidence to a configuration: which options the object files depend on whose functions a program's processes called, and these functions in them, what those
 * options depend on in turn, and the reason of each. Only what the configuration "general" has is wanted: what the tracing kernel has besides is the tracer's own.
 */
#ifndef LV_TINYX_WANTED_H
#define LV_TINYX_WANTED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/specialise/dot_config.h"
#include "tinyx/specialise/evidence.h"
#include "tinyx/specialise/kernel_source.h"

struct wanted_option {
	char *name;   /* without CONFIG_ */
	char *reason; /* one line */
	bool follows; /* nobody is asked for it: others have to bring it */
	bool open;    /* which others, is not known: several would, of which none is wanted */
};

struct wanted { /* zero-initialised: none */
	struct wanted_option *option; /* first those of objects, in the order of the evidence, each followed by nothing; then what these need */
	size_t count, room;
	struct strings unknown; /* objects that no Makefile names */
	struct strings objects; /* that the calls of programs are in */
};

struct wanted_source {
	const struct evidence *baseline; /* resolved, of a program that does nothing: what it has called too shows no need, but what becomes of every process; NULL: none */
	const struct kernel_source *source;
	const struct dot_config *general; /* as it was built */
	/* "socket"; buffer: at least 16 bytes */
	const char *(*call_name)(uint32_t number, char *buffer, size_t room);
};

/* Adds what the calls of the program's phase need, all of them resolved; may be called for several. A negative errno with a message. Free in any case. */
int wanted_add(struct wanted *wanted, const struct wanted_source *from, const struct evidence *evidence, struct error *error);
/* Adds an option that a user asks for. -ENOENT with a message: "general" has no such option. */
int wanted_ask(struct wanted *wanted, const struct wanted_source *from, const char *name, struct error *error);
/* Adds what all of those depend on, by Kconfig. */
int wanted_close(struct wanted *wanted, const struct wanted_source *from, struct error *error);
void wanted_free(struct wanted *wanted);

/*
 * Lines into out: the reason of each option as a comment, and the option, without those that base, a configuration's text, sets already. Those that follow stand last, so that a
 * build ends where one did not follow, and open ones as a comment. The number of the others.
 */
size_t wanted_print(const struct wanted *wanted, const struct wanted_source *from, const char *base, struct text *out);

#endif
