/* SPDX-License-Identifier: Apache-2.0 */
/* What processes give each other by keys and names: System V shared memory, semaphores and messages, POSIX message queues. For the other rooms. */
#ifndef LV_LIBOS_IPC_H
#define LV_LIBOS_IPC_H

#include "libos/core/libos.h"

#include <linux/ipc.h>

/* sysv_sem.c: the process ends, and what it did with SEM_UNDO is undone. */
void sem_process_ends(int pid);

/* What /proc/sysvipc tells of an object. */
enum sysv_what { SYSV_SHM, SYSV_SEM, SYSV_MSG };
struct sysv_told {
	int id;
	struct ipc64_perm perm;
	uint64_t size;                 /* bytes of a segment, in a queue; semaphores of a set */
	uint64_t count, pages;         /* of attachments, messages; pages there */
	int first, last;               /* processes: creator and last user, last sender and receiver */
	uint64_t one, two, changed;    /* seconds: attached and detached, operated on, sent and received; changed */
};
/* The object in this slot or the next one in use, which becomes *slot; false: there is none. */
bool sysv_tell(enum sysv_what what, int *slot, struct sysv_told *told);

/* The limits, also those of /proc/sys. */
#define IPC_SHM_SEGMENTS 4096
#define IPC_SEM_SETS 32000
#define IPC_SEM_IN_SET 32000
#define IPC_SEM_OPS 500
#define IPC_MSG_QUEUES 32000
#define IPC_MSG_BYTES 8192
#define IPC_MSG_QUEUE_BYTES 16384
#define IPC_MQ_QUEUES 256
#define IPC_MQ_MESSAGES 10 /* by default, and at most without CAP_SYS_RESOURCE */
#define IPC_MQ_BYTES 8192

#endif
