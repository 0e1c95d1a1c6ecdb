/* SPDX-License-Identifier: Apache-2.0 */
/* What the two sides of a saved VM's directory, node/save_dir.c and save_draft.c, agree on. */
#ifndef LV_NODE_SAVE_FILES_H
#define LV_NODE_SAVE_FILES_H

#define SAVE_MANIFEST "vm.json"
#define SAVE_STATE "state"
#define SAVE_MEMORY "memory"
#define SAVE_PACKED "memory.zst" /* in place of it (node/save_zstd.h) */
#define SAVE_ONE "one" /* all of it as one file, while that is made */
#define SAVE_PAGES "pages" /* not there before a VM that was restored has told it */
#define SAVE_PAGES_NEW "pages.new"

/* Removes these files, the manifest first: what is left is no saved VM. 0 or a negative errno. */
int save_files_remove(int dir);
/* Removes the directory name in around, if it is what a killed save left. True: it is not there any more. */
bool save_sweep(int around, const char *name);

#endif
