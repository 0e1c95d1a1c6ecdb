/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's configuration as the monitor gets it, and what the monitor must make of it. */
#ifndef LV_TESTS_ENCODED_H
#define LV_TESTS_ENCODED_H

#include <stddef.h>

#include "abi/vm_records.h"

struct encoded {
	char *bytes; /* owned */
	size_t size;
	int fd[LV_VM_FDS_MAX]; /* numbers that nobody opened */
	unsigned fds;
	char *want; /* every field in words, owned */
};

/* Of random_config(seed) as far as it is one that could be sent: the same for the same seed. */
void encode_random(struct encoded *encoded, unsigned seed);
void encoded_free(struct encoded *encoded);

#endif
