/* SPDX-License-Identifier: Apache-2.0 */
/* vm.json, the manifest of a saved VM (docs/saved-vms.md): what a person reads of it, and what is compared before it goes on. The file is hostile. */
#ifndef LV_NODE_SAVE_MANIFEST_H
#define LV_NODE_SAVE_MANIFEST_H

#include "node/cpu_words.h"
#include "node/vm_config.h"

#define SAVE_FORMAT 1
#define SAVE_MANIFEST_MAX (5u << 20) /* bytes; most of it is the configuration */
#define SAVE_HEX 64

struct save_parent { /* of one that holds only what changed since */
	char *path; /* absolute; NULL: it is whole */
	char state_sha256[SAVE_HEX + 1]; /* of the parent's state, by which it is known */
};

struct save_compressed { /* of one whose memory is compressed (node/save_zstd.h) */
	char method[8]; /* empty: it is not */
	uint64_t size;  /* bytes of the file */
};

struct save_manifest { /* all strings are owned */
	char id[STATE_ID + 1];
	char *name; /* of the VM; NULL: none */
	uint64_t saved_ns; /* CLOCK_REALTIME */
	bool ended;        /* the VM ended by it; otherwise it went on */
	unsigned guest;    /* enum lv_guest */
	char libos_build[SAVE_HEX + 1], image_sha256[SAVE_HEX + 1], kernel_sha256[SAVE_HEX + 1]; /* empty: none */
	uint64_t image_size;
	struct cpu_words cpu;
	uint64_t memory_limit, memory_used; /* bytes */
	uint64_t memory_size, memory_taken; /* its length, as it is when it is not compressed; and what its file takes on disk */
	struct save_compressed compressed;
	uint64_t state_size;
	struct strings devices; /* in their order */
	struct save_parent parent;
	json_t *config; /* as config.json has it */
};

void save_manifest_free(struct save_manifest *manifest);
/* A new reference; NULL: out of memory. */
json_t *save_manifest_to_json(const struct save_manifest *manifest);
/* manifest is zero before; free in both cases. -EINVAL, -ERANGE, -EPROTONOSUPPORT (another format), with a message that names the key. */
int save_manifest_from_json(struct save_manifest *manifest, const json_t *json, struct error *error);

#endif
