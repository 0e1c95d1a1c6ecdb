/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the agent in a Linux guest (abi/agent.h), through the VM's vsock socket by Firecracker's convention. */
#ifndef LV_NODE_AGENT_CLIENT_H
#define LV_NODE_AGENT_CLIENT_H

#include "abi/agent.h"
#include "base/deadline.h"
#include "base/error.h"
#include "node/vm_info.h"

#define AGENT_PATIENCE_MS 20000 /* for a VM that is still starting */
#define AGENT_ANSWER_MS 5000    /* for one answer */

/* The listening socket "vsock" in the VM's directory, for the monitor; a negative errno on failure. */
int agent_listen(int vm_dir);
/*
 * A connection on which HELLO was said both ways; a write waits AGENT_ANSWER_MS. Waits for a VM that is still starting. A negative errno with a message: the VM has ended, is no Linux guest, or has no agent.
 */
int agent_connect(const struct vm_info *info, struct error *error);
/*
 * Reads one frame, which must be whole before the deadline (base/deadline.h); an ERROR of the agent becomes the error. A negative
 * errno with message. body: LV_AGENT_DATA_MAX bytes.
 */
int agent_answer(int fd, struct lv_agent_frame *frame, void *body, uint64_t deadline, struct error *error);
/* An ERROR frame as an error: its own code, and its text made printable. */
int agent_error(const void *body, size_t size, struct error *error);
/*
 * One request and its answer, from connecting to the last byte before the deadline: -ETIMEDOUT. They do not wait for a VM that is
 * still starting: -EAGAIN.
 */
/* A signal to the VM's program by the agent. */
int agent_kill(int vm_dir, int number, uint64_t deadline);
/* The size of the VM's terminal. */
int agent_resize(int vm_dir, uint16_t rows, uint16_t columns, uint64_t deadline);
/* What the guest says that it uses; -EPROTO: its answer makes no sense. */
int agent_resources(int vm_dir, struct lv_agent_resources *resources, uint64_t deadline);
/* Does anything in the guest listen on that port of TCP? -EAGAIN: not yet. */
int agent_listens(int vm_dir, uint16_t port, uint64_t deadline);
/* The VM stood still: its wall clock is set to the host's. identity: it is another VM than before, and draws random numbers from a seed of its own. hostname: NULL: as before. */
int agent_renew(int vm_dir, bool identity, const char *hostname, uint64_t deadline);
/*
 * On a connection of agent_connect, which it closes: the guest's processes, LV_AGENT_PROCESSES_MAX at most, how many of them are told and how many
 * there are. What is in them is the guest's word.
 */
int agent_processes(int fd, struct lv_agent_process *process, size_t *count, uint32_t *total, uint64_t deadline, struct error *error);
/* Sends a signal to the VM's program, by whatever way this VM has. 0 or a negative errno. */
int vm_signal(int vm_dir, int number, uint64_t deadline);

#endif
