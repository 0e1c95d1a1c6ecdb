/* SPDX-License-Identifier: Apache-2.0 */
/* What processes give each other by keys and names: System V shared memory, semaphores and messages, POSIX message queues. For the other rooms. */
#ifndef LV_LIBOS_IPC_H
#define LV_LIBOS_IPC_H

#include "libos/core/libos.h"

/* sysv_sem.c: the process ends, and what it did with SEM_UNDO is undone. */
void sem_process_ends(int pid);

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
