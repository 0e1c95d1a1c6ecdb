/* SPDX-License-Identifier: Apache-2.0 */
/* What "lightvm restore" and "lightvm run --restore" share. */
#ifndef LV_CLI_SAVING_H
#define LV_CLI_SAVING_H

#include "cli/run_options.h"
#include "cli/verb.h"
#include "node/vm_restore.h"

/* The saved VM that word names goes on. In the background its id is printed; otherwise the exit status is the program's. */
int restore_word(const struct context *context, const char *word, const struct restore_wish *wish, bool prefetch, struct error *error);
/* "lightvm run --restore": -EINVAL where an option says what the saved VM has said already. */
int restore_by_run(const struct context *context, const struct run_options *given, struct operands operands, struct error *error);

#endif
