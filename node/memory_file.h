/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes for another process as a file in memory that can change no more. */
#ifndef LV_NODE_MEMORY_FILE_H
#define LV_NODE_MEMORY_FILE_H

#include "base/error.h"
#include "base/text.h"

/* Holds first and then second (NULL: nothing), sealed. name: for messages. The descriptor, or a negative errno with a message. */
int memory_file(const char *name, const struct text *first, const struct text *second, struct error *error);

#endif
