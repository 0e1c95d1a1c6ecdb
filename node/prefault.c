/* SPDX-License-Identifier: Apache-2.0 */
#include "node/prefault.h"

#include <string.h>

#include "node/pressure.h"
#include "tinyx/cache.h"

/*
 * Which kind of KVM it is the monitor knows. VMs in the background share all of their image's pages: they are idle for long, and many. In the foreground the copies are there for as
 * long as somebody waits.
 */
static bool wanted(const struct vm_config *config)
{
	if (config->guest.is_linux || config->state.state >= 0 || !config->image)
		return false;
	return config->prefault == PREFAULT_ALL || (config->prefault == PREFAULT_AUTO && !config->detached && !memory_pressed() && !memory_scarce());
}

int prefault_open(const struct vm_config *config)
{
	struct cache cache = CACHE_NONE;
	int fd = wanted(config) && !cache_open(&cache, false, NULL) ? cache_pages_open(&cache, config->image, config->image_fd) : -1;
	cache_close(&cache);
	return fd < 0 ? -1 : fd;
}
