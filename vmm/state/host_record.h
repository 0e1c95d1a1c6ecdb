/* SPDX-License-Identifier: Apache-2.0 */
/* What a saved VM knows of the machine that it ran on, and relies on. */
#ifndef LV_VMM_HOST_RECORD_H
#define LV_VMM_HOST_RECORD_H

struct error;
struct stream;
struct vm;

/* One record. 0 or the stream's error. */
int host_save(const struct vm *vm, struct stream *stream);
/* Reads it. Could a VM that was saved there go on here? 0, the stream's error, or -ENOTSUP with a message that names what this machine lacks. */
int host_check(const struct vm *vm, struct stream *stream, struct error *error);

#endif
