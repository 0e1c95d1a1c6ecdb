/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's configuration from any bytes: what is accepted has every descriptor in exactly one place, strings that end, and no more
 * of anything than there is room for.
 * fuzz-sources: vmm/config_decode.c parse/records.c
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

static unsigned seen(const struct vm_config *c, int fd)
{
	const int single[] = { c->libos_fd, c->image_fd, c->kernel_fd, c->initrd_fd, c->control_fd, c->status_fd, c->log_fd, c->cpuid_fd, c->vsock_dir };
	unsigned n = 0;
	for (unsigned i = 0; i < sizeof(single) / sizeof(*single); i++)
		n += single[i] == fd;
	for (unsigned i = 0; i < c->device_count; i++) {
		const struct device_config *d = &c->device[i];
		n += (d->type == LV_DEV_NET ? d->net.fd : d->type == LV_DEV_BLOCK ? d->block.fd : d->vsock.listener) == fd;
		for (unsigned j = 0; d->type == LV_DEV_NET && j < d->net.more; j++)
			n += d->net.more_fd[j] == fd;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_config config = { .libos_fd = -1, .image_fd = -1, .kernel_fd = -1, .initrd_fd = -1, .vsock_dir = -1, .cpuid_fd = -1, .control_fd = -1,
		.configure_fd = -1, .status_fd = -1, .log_fd = -1, .append = "", .cwd = "/", .hostname = "h" };
	int fds[LV_VM_FDS_MAX];
	const char *why = NULL;
	unsigned number = 0, count = size ? data[0] % (LV_VM_FDS_MAX + 1) : 0;
	size_t rest = size > 4 ? size - 4 : 0; /* records are aligned to four */
	char *bytes = malloc(rest + 1);
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
