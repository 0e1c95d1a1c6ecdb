/* SPDX-License-Identifier: Apache-2.0 */
/* What the three kinds of System V objects have in common: keys, identifiers, rights (ipc(2), svipc(7)). */
#ifndef LV_LIBOS_SYSV_IDS_H
#define LV_LIBOS_SYSV_IDS_H

#include "libos/core/libos.h"
#include "libos/ipc/ipc.h"

#include <asm/errno.h>
#include <linux/ipc.h>

#ifndef IPC_INFO
#define IPC_INFO 3
#endif

struct sysv { /* at the beginning of each object */
	struct ipc64_perm perm;
	int id;
	bool removed; /* whoever waited at it goes away with EIDRM, and the last one frees it */
	uint32_t waiting; /* threads that are in it and may wait */
};

struct sysv_kind {
	struct sysv **slot;
	uint32_t slots, most, used;
	int last;          /* the slot that was given last */
	uint16_t sequence; /* so that an identifier does not come back soon */
};

/* The object of the key, as flags (IPC_CREAT, IPC_EXCL) say: 0 and *found, NULL if one has to be made; -ENOENT, -EEXIST. Rights are not asked yet. */
int sysv_get(const struct sysv_kind *kind, int key, int flags, struct sysv **found);
/* A new object gets its identifier, owner and mode: it, or -ENOMEM, -ENOSPC. */
int sysv_add(struct sysv_kind *kind, struct sysv *object, int key, int flags);
void sysv_remove(struct sysv_kind *kind, struct sysv *object); /* no longer found; the caller frees it when nobody is in it */
struct sysv *sysv_find(const struct sysv_kind *kind, int id);       /* NULL: EINVAL */
struct sysv *sysv_find_slot(const struct sysv_kind *kind, int slot); /* as ..._STAT asks */
int sysv_highest(const struct sysv_kind *kind);                     /* the highest slot in use, 0 if there is none */
#define SYSV_READ 0444
#define SYSV_WRITE 0222
int sysv_permission(const struct sysv *object, int mode); /* 0 or -EACCES */
int sysv_owner(const struct sysv *object);                /* may the program change or remove it? 0 or -EPERM */
int sysv_set(struct sysv *object, const struct ipc64_perm *perm); /* IPC_SET: owner and mode; 0 or -EINVAL */
uint64_t sysv_seconds(void);
/* For sysv_tell, by the files of the three: the kind, and what an object is beside its id and perm. */
extern struct sysv_kind sysv_segments, sysv_sets, sysv_queues;
void segment_tell(const struct sysv *object, struct sysv_told *told);
void set_tell(const struct sysv *object, struct sysv_told *told);
void queue_tell(const struct sysv *object, struct sysv_told *told);

#endif
