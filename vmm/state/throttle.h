/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that writes faster than its memory can be sent gets less processor time: its vCPUs stand still for a part of each period. All in the loop thread. */
#ifndef LV_VMM_THROTTLE_H
#define LV_VMM_THROTTLE_H

#define THROTTLE_MOST 99 /* percent */

struct throttle; /* vmm/state/save_state.h */
struct vm;

void throttle_init(struct throttle *throttle, struct vm *vm);
/* From now on; one that is paused for another reason stays so. */
void throttle_set(struct throttle *throttle, unsigned percent);

#endif
