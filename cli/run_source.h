/* SPDX-License-Identifier: Apache-2.0 */
/* What to run: a program of the host, packed, or an image. */
#ifndef LV_CLI_RUN_SOURCE_H
#define LV_CLI_RUN_SOURCE_H

#include "cli/run_options.h"
#include "cli/verb.h"
#include "node/template_wish.h"
#include "node/vm_source.h"

struct source {
	struct source_facts facts; /* of the image; a program that was packed is known to run on the library OS */
	int status;    /* after a failure: how a shell tells of this program, EXIT_NO_PROGRAM or EXIT_NO_EXECUTABLE; 0: another reason */
};

/*
 * Fills image, program, arguments and what a manifest says. operands: the program or image, then its arguments. What is packed gets the start file that template
 * wants, as one volume more of given; an image has it, or not.
 */
int source_find(struct vm_config *config, struct run_options *given, const struct template_wish *template, struct operands operands, struct source *source,
		struct error *error);

#endif
