/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a whole VM as bytes, but for its memory (docs/state.md): written, and read into a VM of another monitor. */
#ifndef LV_VMM_VM_SAVED_H
#define LV_VMM_VM_SAVED_H

#include <stddef.h>

struct error;
struct vm;

#define VM_SAVED_MOST (16u << 20) /* bytes */

/*
 * Of a VM that stands still, with its devices quiesced: *bytes are the caller's to free. 0 or a negative errno with a message; -EOPNOTSUPP: this kind of guest
 * cannot be saved. In the loop thread.
 */
int vm_saved_write(struct vm *vm, void **bytes, size_t *size, struct error *error);
/*
 * The configuration's state and memory file become this VM's, which has its devices, and has run at most as far as it can without a program: it
 * stands where the saved one stood, with its devices paused. 0 or a negative errno with a message, for which the VM ends. In the thread that vCPU 0 will have.
 */
int vm_saved_load(struct vm *vm, struct error *error);
/*
 * The part of it that needs no devices, nor who the VM will be: for a VM that has none of these yet, under a configuration that says what will be restored. What vm_saved_load() is
 * asked for then has to be the same. As that, besides.
 */
int vm_saved_load_ahead(struct vm *vm, struct error *error);

#endif
