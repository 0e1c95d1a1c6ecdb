/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of kernel files on any bytes: what it accepts must keep the promises of parse/linux_kernel.h.
 * fuzz-sources: parse/linux_kernel.c
 * fuzz-seeds: kernel
 */
#include <stdint.h>
#include <stdlib.h>

#include "parse/linux_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_image image;
	const char *why = NULL;
	int result = kernel_parse(&image, data, size, &why);
	MUST((result < 0) == (why != NULL));
	if (result < 0)
		return 0;
	MUST(image.loads >= 1 && image.loads <= KERNEL_MAX_LOADS && image.low < image.high);
	for (int i = 0; i < image.loads; i++) {
		const struct kernel_load *load = &image.load[i];
		MUST(load->filesz <= load->memsz && load->offset <= size && load->filesz <= size - load->offset);
		MUST(load->address >= image.low && load->address + load->memsz <= image.high && load->address + load->memsz >= load->address);
	}
	MUST(image.kind == KERNEL_PVH ? image.entry >= image.low && image.entry < image.high : KERNEL_HEADER + image.header_size <= size);
	return 0;
}
