/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of the balloon device, in the loop thread. -ENOTCONN: the guest has no driver for it (yet). */
#ifndef LV_VMM_DEV_BALLOON_H
#define LV_VMM_DEV_BALLOON_H

#include <stdint.h>

#include "abi/control.h"

struct device;

/* How many bytes the guest shall hand over; it does so in its own time. -ERANGE */
int balloon_set(struct device *balloon, uint64_t bytes);
/* Asks the guest for statistics: told is called when they come, which may be never. */
int balloon_ask(struct device *balloon, void (*told)(void *context), void *context);
void balloon_state(const struct device *balloon, struct lv_balloon *state);

#endif
