/* SPDX-License-Identifier: Apache-2.0 */
/* Standing still and going on, from outside. */
#ifndef LV_NODE_VM_PAUSE_H
#define LV_NODE_VM_PAUSE_H

#include "node/vm_info.h"

/*
 * Has the VM stand still: its vCPUs, devices and clocks' timers; it keeps its memory, and connections to it wait. Returns when it does. info is
 * as it was looked at; nothing in it changes. A message in each case. -EALREADY: it is paused, or not paused; -ESRCH: it has ended;
 * -EAGAIN: it is still starting; -ETIMEDOUT: a vCPU did not come to a stop within a second (all run on), or the monitor does not answer;
 * -EOPNOTSUPP: a monitor of a LightVM before this one, which cannot.
 */
int vm_pause(const struct vm_info *info, struct error *error);
/* advance: for its monotonic clock, too, the time has passed; otherwise that goes on where it stood. A monitor before this one always
 * has them count: -EOPNOTSUPP with advance, so that nobody waits for what it cannot tell. */
int vm_resume(const struct vm_info *info, bool advance, struct error *error);

#endif
