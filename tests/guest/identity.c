/* SPDX-License-Identifier: Apache-2.0 */
/* In a VM only: what makes it this VM, as its device page has it. One line: seed, generation, MAC addresses; with arguments, then waits for ever. */
#include <stdio.h>
#include <unistd.h>

#include "abi/device_page.h"
#include "abi/layout.h"

int main(int argc, char **argv)
{
	const volatile struct lv_device_page *page = (const volatile struct lv_device_page *)LV_DEVICE;
	printf("seed=");
	for (unsigned i = 0; i < sizeof(page->random_seed); i++)
		printf("%02x", page->random_seed[i]);
	printf(" generation=%016lx", (unsigned long)page->generation);
	for (unsigned i = 0; i < page->device_count; i++)
		if (page->device[i].type == LV_DEV_NET)
			for (int b = 0; b < 6; b++)
				printf(b ? ":%02x" : " mac=%02x", page->device[i].config.net.mac[b]);
	printf("\n");
	fflush(stdout);
	while (argc > 1)
		pause();
	return 0;
}
