/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users say of volumes: HOST:/PATH[:ro|:rw|:copy], NAME:/PATH[:ro]. A word without a slash is a volume's name (node/named_volumes.h), which is made. A directory of the host is there live; a file, and what is asked for so, is packed into the
 * image as it is now.
 */
#ifndef LV_NODE_VOLUME_WORDS_H
#define LV_NODE_VOLUME_WORDS_H

#include "node/vm_config.h"

/*
 * Makes live volumes of the words that mean such ones, as mounts of the configuration; in words they become HOST:/PATH:live, which
 * names where a program comes from, and is not packed. What is to be copied becomes HOST:/PATH[:ro]. 0, or a negative errno with a message.
 */
int volume_words_take(struct strings *words, struct vm_config *config, struct error *error);

#endif
