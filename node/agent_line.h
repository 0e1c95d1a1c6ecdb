/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to an agent in a guest of the library OS, which gets one for each request (abi/agent.h). */
#ifndef LV_NODE_AGENT_LINE_H
#define LV_NODE_AGENT_LINE_H

#include "base/error.h"
#include "node/vm_info.h"

/* A connected socket whose other end is a new agent in the VM; HELLO is next. Each write waits so long at most. Or a negative errno with a message. */
int agent_line_open(const struct vm_info *info, int patience_ms, struct error *error);

#endif
