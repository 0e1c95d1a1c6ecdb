/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sysvipc: the System V objects there are, a line each (proc(5), svipc(7)). */
#include "libos/fs/procfs.h"
#include "libos/ipc/ipc.h"

static void show_shm(struct text *text, int key)
{
	struct sysv_told told;

	text_add(text, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime"
		       "                   rss                  swap\n");
	for (int slot = 0; sysv_tell(SYSV_SHM, &slot, &told); slot++) {
		const struct ipc64_perm *perm = &told.perm;

		text_add(text, "%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10lu %10lu %10lu %21lu %21lu\n", perm->key, told.id, perm->mode, told.size,
			 told.first, told.last, told.count, perm->uid, perm->gid, perm->cuid, perm->cgid, told.one, told.two, told.changed, (uint64_t)(told.pages * LV_PAGE), (uint64_t)0);
	}
}

static void show_sem(struct text *text, int key)
{
	struct sysv_told told;

	text_add(text, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
	for (int slot = 0; sysv_tell(SYSV_SEM, &slot, &told); slot++) {
		const struct ipc64_perm *perm = &told.perm;

		text_add(text, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10lu %10lu\n", perm->key, told.id, perm->mode, told.size, perm->uid, perm->gid, perm->cuid,
			 perm->cgid, told.one, told.changed);
	}
}

static void show_msg(struct text *text, int key)
{
	struct sysv_told told;

	text_add(text, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n");
	for (int slot = 0; sysv_tell(SYSV_MSG, &slot, &told); slot++) {
		const struct ipc64_perm *perm = &told.perm;

		text_add(text, "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10lu %10lu %10lu\n", perm->key, told.id, perm->mode, told.size, told.count,
			 told.first, told.last, perm->uid, perm->gid, perm->cuid, perm->cgid, told.one, told.two, told.changed);
	}
}

const struct node proc_sysvipc[] = { PROC_FILE("shm", show_shm), PROC_FILE("sem", show_sem), PROC_FILE("msg", show_msg), { 0 } };
