/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM runs: a program of the host, packed, or an image with its manifest. */
#ifndef LV_NODE_VM_SOURCE_H
#define LV_NODE_VM_SOURCE_H

#include "node/vm_config.h"
#include "tinyx/pack.h"

/* The file has an image's mark. False, too, where it cannot be read. */
bool source_is_image(const char *path);
/*
 * A program of the host: packed, or found in the cache as it was packed before. typed: as the user wrote it, which is its first argument; memory: what the VM
 * shall have, bytes (0: the default). Fills image (open), program, args, memory of a config without them. -ERANGE: its data do not fit in there.
 */
int source_program(struct vm_config *config, const struct pack_request *request, const char *typed, uint64_t memory, struct error *error);
struct source_facts { /* of an image, beyond what a configuration has; zero-initialised, free in any case */
	bool on_libos; /* it is known to run there */
	size_t kept;   /* so many of its args stay where other arguments are given */
	struct strings volumes; /* paths that can be written to where the rest cannot */
};
void source_facts_free(struct source_facts *facts);

/*
 * An image: checked as far as it can be at constant cost, and in full the first time this file is seen. Fills what the manifest says. entry: another program of
 * it than its own, a path in it or a name that is looked for there; NULL: its own. Without a program in config, but args, source_enter has to follow.
 */
int source_image(struct vm_config *config, const char *path, const char *entry, struct source_facts *facts, struct error *error);
/* Finds the program that args of config begin with in its image, through scripts; if there is none yet. */
int source_enter(struct vm_config *config, struct error *error);

#endif
