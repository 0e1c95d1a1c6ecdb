/* SPDX-License-Identifier: Apache-2.0 */
/* What a processor can do, in words that are kept with a saved VM and compared where it is to go on. */
#ifndef LV_NODE_CPU_WORDS_H
#define LV_NODE_CPU_WORDS_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

/* Words of CPUID (Intel SDM volume 2A, CPUID), without what tells of the operating system, of one processor or of a hypervisor. */
enum cpu_word { CPU_1_ECX, CPU_1_EDX, CPU_7_EBX, CPU_7_ECX, CPU_7_EDX, CPU_7_1_EAX, CPU_D_1_EAX, CPU_XCR0, CPU_X1_ECX, CPU_X1_EDX, CPU_WORDS };

struct cpu_words {
	char vendor[13];
	uint32_t word[CPU_WORDS];
};

/* Of this processor. */
void cpu_words_read(struct cpu_words *cpu);
/* A new reference; NULL: out of memory. */
json_t *cpu_words_json(const struct cpu_words *cpu);
/* -EINVAL with a message; where: what the object is called in it. */
int cpu_words_from_json(struct cpu_words *cpu, const json_t *json, const char *where, struct error *error);
/* Whether a VM of that processor can run on this one. -ENOTSUP with a message that names what this one lacks. */
int cpu_words_fit(const struct cpu_words *saved, const struct cpu_words *here, struct error *error);

#endif
