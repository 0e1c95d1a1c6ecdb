/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration on its way to a monitor: one message, made before anybody is there to take it. */
#ifndef LV_NODE_CONFIG_MESSAGE_H
#define LV_NODE_CONFIG_MESSAGE_H

#include "node/config_encode.h"

struct config_message { /* CONFIG_MESSAGE_NONE */
	int records; /* the memory file that goes first */
	struct fd_list fds;
	struct { /* of the VM */
		int in, out, err;
		uint32_t own; /* LV_VM_OWN_IN and its like: opened for it, and shared with nobody */
	} console;
	int keys; /* with a terminal, in the foreground: what is typed goes there; -1: the VM reads standard input itself */
};
#define CONFIG_MESSAGE_NONE ((struct config_message){ .records = -1, .console = { -1, -1, -1, 0 }, .keys = -1 })

/*
 * files: all but the console, which is opened here, as the configuration wants it; what they hold stays open until the message is sent. start_ns: when the
 * command started, CLOCK_MONOTONIC. 0 or a negative errno with a message. Then free it.
 */
int config_message_make(const struct vm_config *config, struct monitor_files files, uint64_t start_ns, struct config_message *message, struct error *error);
/*
 * Waits in the socket until the monitor is there to read it, and is all that will come: a monitor that refuses it ends. claim_ns: when the monitor was asked
 * for, having been ready, CLOCK_MONOTONIC; 0: it was not.
 */
int config_message_send(const struct config_message *message, int socket, uint64_t claim_ns, struct error *error);
/* CONFIG_MESSAGE_NONE is accepted. */
void config_message_free(struct config_message *message);

#endif
