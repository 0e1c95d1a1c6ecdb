/* SPDX-License-Identifier: Apache-2.0 */
/* --read-only, --tmpfs and the :ro of -v: which parts of the VM's file system are not as its image has them. */
#ifndef LV_CLI_RUN_MOUNTS_H
#define LV_CLI_RUN_MOUNTS_H

#include "cli/run_options.h"
#include "node/vm_config.h"

/* What --mount says becomes words of -v and --tmpfs. Before anything else of the options is used. 0 or -EINVAL with a message. */
int run_mount_words(struct run_options *given, struct error *error);
/* -v, and --copy: live volumes become mounts, and words that say so; what is copied stays among the words. After run_mount_words. */
int run_volumes(struct vm_config *config, struct run_options *given, struct error *error);
/* writable: paths of the image that are to be where nothing else is. 0 or a negative errno with a message that names the option and the word. */
int run_mounts(struct vm_config *config, const struct run_options *given, const struct strings *writable, struct error *error);

#endif
