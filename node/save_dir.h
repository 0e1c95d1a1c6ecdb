/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved VMs on disk: a directory each (0700), in it vm.json (node/save_manifest.h), state and memory (0600). One appears whole, by rename, and what was
 * there before stays whole until then. Those that have only a name lie in the user's place, "saved" below that of node/kept.h. They hold
 * a VM's secrets, and are read only where nobody else can have written them.
 */
#ifndef LV_NODE_SAVE_DIR_H
#define LV_NODE_SAVE_DIR_H

#include "node/save_parts.h"

/* ---- reading ---- */

/*
 * The path of a saved VM, the caller's: word is a path with a slash; or a name in the user's place, before the name or id of a VM that was saved (state NULL: that is not looked at),
 * before a directory or file here. One order for all that take such a word: what "checkpoint rm" removes is what "restore" goes on from. NULL with a message: -ENOENT.
 */
char *save_find(const struct state *state, const char *word, struct error *error);
/*
 * Opens, a directory or one file, and checks: whose it is, that nobody else can write to it, the manifest, and that both files are as long as that says. 0 or a negative errno with a
 * message that names path and reason. Close in both cases.
 */
int save_open(struct save *save, const char *path, struct error *error);
void save_close(struct save *save);
/* The state as a file, for reading; the caller's. Of one in a single file it is checked only here. A negative errno with a message: -EBADMSG: it is damaged. */
int save_open_state(const struct save *save, struct error *error);
/* The same of one in a single file that comes through a pipe, up to its end. */
int save_open_stream(struct save *save, int from, struct error *error);
/*
 * The whole memory as a file, for reading; the caller's. Of a compressed one it is a file without a name, beside it, or in memory where there can be none: decompressed, which
 * takes its time. A negative errno with a message: -EBADMSG: it is damaged.
 */
int save_open_memory(const struct save *save, struct error *error);
/* 0: its memory is a file of its own, that stays the same one. -EOPNOTSUPP with a message: it is compressed; why: what cannot be. */
int save_is_plain(const struct save *save, const char *why, struct error *error);

/* Calls each() for every saved VM of the user's place, in no order; error: why it cannot be read, NULL otherwise. 0 or what each answered. */
int save_each(int (*each)(void *context, const char *name, struct save *save, const struct error *error), void *context);
/* Takes one away: what is no saved VM of this user's is left alone, with a message. Whether others need it: save_chain.h. */
int save_remove(const char *path, struct error *error);

/* ---- writing ---- */

/* The path that a saved VM of this name has in the user's place; the caller's. NULL with a message. create: makes the place, if it is not there. */
char *save_place(const char *name, bool create, struct error *error);
/*
 * Makes the directory, hidden beside path, and two empty files in it. What a killed command left there is taken away before. -EEXIST: what is at path is no saved
 * VM; -EBUSY: another command saves to it. End with commit or abandon; accepts what is half built.
 */
int save_begin(struct save_draft *draft, const char *path, struct error *error);
/* The same for a saved VM in one file: save_file_publish(), and free it. -EEXIST: what is at path is no such file. */
int save_begin_file(struct save_draft *draft, const char *path, struct error *error);
/* Puts the memory, which is whole, into the place of which it takes less; the manifest is to tell so. */
int save_compress(struct save_draft *draft, struct save_manifest *manifest, struct error *error);
/* Writes the manifest; has all of it on the disk. */
int save_finish(struct save_draft *draft, const struct save_manifest *manifest, struct error *error);
/* In the place of what was there. Then free it. */
int save_publish(struct save_draft *draft, struct error *error);
/* Frees it, and removes what was not published. */
void save_free(struct save_draft *draft);

#endif
