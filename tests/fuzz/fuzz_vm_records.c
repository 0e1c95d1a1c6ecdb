/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's configuration from any bytes: what is accepted has every descriptor in exactly one place, strings that end, and no more
 * of anything than there is room for.
 * fuzz-sources: vmm/config_decode.c vmm/machine_config.c parse/mount_word.c parse/record_reader.c
 * fuzz-seeds: vm_records
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "abi/vm_records.h"
#include "vmm/config_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define FIRST_FD 1000

struct search {
	int fd;
	unsigned found;
};

static void look(void *context, int *fd)
{
	struct search *search = context;
	search->found += *fd == search->fd;
}

static unsigned seen(struct machine_config *config, int fd)
{
	struct search search = { .fd = fd };
	machine_config_each_fd(config, look, &search);
	return search.found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_config config;
	int fds[LV_VM_FDS_MAX];
	const char *why = NULL;
	unsigned number = 0, count = size ? data[0] % (LV_VM_FDS_MAX + 1) : 0;
	size_t rest = size > 4 ? size - 4 : 0; /* records are aligned to four */
	char *bytes = malloc(rest + 1);
	machine_config_init(&config);
	memcpy(bytes, data + 4 * !!rest, rest);
	for (unsigned i = 0; i < LV_VM_FDS_MAX; i++)
		fds[i] = FIRST_FD + (int)i;
	if (!config_decode(&config, bytes, rest, fds, count, &why, &number)) {
		for (unsigned i = 0; i < count; i++)
			MUST(seen(&config, fds[i]) == 1);
		MUST(config.cpus >= 1 && config.cpus <= VM_MAX_CPUS && config.envc <= VM_ENV_MAX);
		MUST(strlen(config.cwd) + strlen(config.hostname) + strlen(config.append) < (1u << 30));
		for (int i = 0; i < config.argc; i++)
			MUST(strlen(config.argv[i]) < rest);
	} else {
		MUST(why);
	}
	config_decode_free(&config);
	free(bytes);
	return 0;
}
