/* SPDX-License-Identifier: Apache-2.0 */
#include "libos/ipc/sysv_ids.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define SLOT_BITS 15

int sysv_get(const struct sysv_kind *kind, int key, int flags, struct sysv **found)
{
	*found = NULL;
	if (key == IPC_PRIVATE)
		return 0;
	for (uint32_t i = 0; i < kind->slots && !*found; i++)
		if (kind->slot[i] && kind->slot[i]->perm.key == key)
			*found = kind->slot[i];
	if (!*found)
		return flags & IPC_CREAT ? 0 : -ENOENT;
	return (flags & IPC_CREAT) && (flags & IPC_EXCL) ? -EEXIST : 0;
}

int sysv_add(struct sysv_kind *kind, struct sysv *object, int key, int flags)
{
	const struct credentials *ids = credentials();
	uint32_t at = 0;

	if (kind->used >= kind->most)
		return -ENOSPC;
	while (at < kind->slots && kind->slot[at])
		at++;
	if (at == kind->slots) {
		uint32_t slots = kind->slots ? kind->slots * 2 : 16;
		struct sysv **slot = krealloc(kind->slot, slots * sizeof(*slot));

		if (!slot)
			return -ENOMEM;
		memset(slot + kind->slots, 0, (slots - kind->slots) * sizeof(*slot));
		kind->slot = slot;
		kind->slots = slots;
	}
	if (kind->last >= (int)at && kind->sequence++ == (uint16_t)(INT32_MAX >> SLOT_BITS) - 1)
		kind->sequence = 0;
	kind->last = (int)at;
	kind->slot[at] = object;
	kind->used++;
	object->id = kind->sequence << SLOT_BITS | (int)at;
	object->perm = (struct ipc64_perm){ .key = key, .uid = ids->euid, .gid = ids->egid, .cuid = ids->euid, .cgid = ids->egid, .mode = flags & 0777,
					    .seq = kind->sequence };
	return 0;
}

void sysv_remove(struct sysv_kind *kind, struct sysv *object)
{
	kind->slot[object->id & ((1 << SLOT_BITS) - 1)] = NULL;
	kind->used--;
	object->removed = true;
}

struct sysv *sysv_find_slot(const struct sysv_kind *kind, int slot)
{
	return slot >= 0 && (uint32_t)slot < kind->slots ? kind->slot[slot] : NULL;
}

struct sysv *sysv_find(const struct sysv_kind *kind, int id)
{
	struct sysv *object = id < 0 ? NULL : sysv_find_slot(kind, id & ((1 << SLOT_BITS) - 1));

	return object && object->id == id ? object : NULL;
}

int sysv_highest(const struct sysv_kind *kind)
{
	for (uint32_t i = kind->slots; i; i--)
		if (kind->slot[i - 1])
			return (int)i - 1;
	return 0;
}

int sysv_permission(const struct sysv *object, int mode)
{
	const struct credentials *ids = credentials();
	const struct ipc64_perm *perm = &object->perm;
	uint32_t wanted = (uint32_t)(mode >> 6 | mode >> 3 | mode) & 7, granted = perm->mode;

	if (ids->euid == perm->uid || ids->euid == perm->cuid)
		granted >>= 6;
	else if (in_group(perm->gid) || in_group(perm->cgid))
		granted >>= 3;
	return !(wanted & ~granted) || capable(CAP_IPC_OWNER) ? 0 : -EACCES;
}

int sysv_owner(const struct sysv *object)
{
	uint32_t euid = credentials()->euid;

	return euid == object->perm.uid || euid == object->perm.cuid || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

int sysv_set(struct sysv *object, const struct ipc64_perm *perm)
{
	if (perm->uid == UINT32_MAX || perm->gid == UINT32_MAX)
		return -EINVAL;
	object->perm.uid = perm->uid;
	object->perm.gid = perm->gid;
	object->perm.mode = (object->perm.mode & ~0777u) | (perm->mode & 0777);
	return 0;
}

uint64_t sysv_seconds(void)
{
	return clock_realtime() / NS_PER_S;
}

bool sysv_tell(enum sysv_what what, int *slot, struct sysv_told *told)
{
	static const struct {
		const struct sysv_kind *kind;
		void (*tell)(const struct sysv *object, struct sysv_told *told);
	} kinds[] = { [SYSV_SHM] = { &sysv_segments, segment_tell }, [SYSV_SEM] = { &sysv_sets, set_tell }, [SYSV_MSG] = { &sysv_queues, queue_tell } };
	const struct sysv_kind *kind = kinds[what].kind;

	while ((uint32_t)*slot < kind->slots && !kind->slot[*slot])
		++*slot;
	const struct sysv *object = sysv_find_slot(kind, *slot);

	if (!object)
		return false;
	kinds[what].tell(object, told);
	told->id = object->id;
	told->perm = object->perm;
	return true;
}
