/* SPDX-License-Identifier: Apache-2.0 */
/* An image is run once, on the library OS, and looked at: its command to its end, or as a server, which a command of the host tests and that is then stopped. */
#ifndef LV_CLI_EXERCISE_H
#define LV_CLI_EXERCISE_H

#include "base/text.h"
#include "node/vm_files.h"

struct exercise {
	const char *image;   /* path */
	const char *command; /* words as of a shell, in place of the image's own arguments; NULL: those */
	const char *test;    /* a command for the host's shell, once the program listens; NULL: the program is waited for */
	const struct strings *env, *ports;
	uint64_t memory;     /* bytes; 0: what the image says */
	unsigned seconds;    /* for all of it */
	uint32_t record;     /* LV_RECORD_* (abi/used_files.h) */
};

struct exercised { /* EXERCISED_NONE: nothing */
	int status;            /* exit status of the program, or of the test */
	struct vm_files files; /* if there was something to record */
	char *output;          /* the last that the program printed */
};
#define EXERCISED_NONE ((struct exercised){ .status = -1 })

/*
 * 0, whatever the exit status; or a negative errno with a message: -ETIMEDOUT: it did not come to an end. Nothing is left of the VM in any case: it ends with this
 * process, too. Free in both cases.
 */
int exercise_run(const struct exercise *exercise, struct exercised *done, struct error *error);
void exercised_free(struct exercised *done);
/* "'python3 -c ...'", or what else tells of it, for messages; the caller's. */
char *exercise_text(const struct exercise *exercise);

#endif
