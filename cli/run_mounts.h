/* SPDX-License-Identifier: Apache-2.0 */
/* --read-only, --tmpfs and the :ro of -v: which parts of the VM's file system are not as its image has them. */
#ifndef LV_CLI_RUN_MOUNTS_H
#define LV_CLI_RUN_MOUNTS_H

#include "cli/run_options.h"
#include "node/vm_config.h"

/* What --mount says becomes words of -v and --tmpfs. Before anything else of the options is used. 0 or -EINVAL with a message. */
int run_mount_words(struct run_options *given, struct error *error);
/* 0 or a negative errno with a message that names the option and the word. */
int run_mounts(struct vm_config *config, const struct run_options *given, struct error *error);

#endif
