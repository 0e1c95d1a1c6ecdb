/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of "lightvm run" to a configuration whose files are open. */
#ifndef LV_CLI_RUN_CONFIG_H
#define LV_CLI_RUN_CONFIG_H

#include "cli/run_options.h"
#include "cli/run_source.h"
#include "node/template_wish.h"
#include "node/vm_config.h"

/* config is as config_init left it, with an id; template all zero, and freed by the caller. 0 or a negative errno with a message; source->status is the exit status that goes with it, if not 0. */
int run_config(struct vm_config *config, struct run_options *given, struct operands operands, struct source *source, struct template_wish *template, struct error *error);

#endif
