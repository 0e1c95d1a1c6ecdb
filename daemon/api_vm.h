/* SPDX-License-Identifier: Apache-2.0 */
/* What the families of operations on one VM share. */
#ifndef LV_DAEMON_API_VM_H
#define LV_DAEMON_API_VM_H

#include "daemon/api.h"
#include "node/vm_info.h"

#define VM_PATIENCE_MS 1000 /* for one monitor */

/* The VM that the path names: by its id, its name, or the beginning of its id. api_vm_close in every case. -ENOENT, -EEXIST with a message. */
struct api_vm {
	struct state state;
	struct vm_info info;
};
int api_vm_open(const struct api_request *request, struct api_vm *vm, struct error *error);
void api_vm_close(struct api_vm *vm);

/* json is taken; NULL: memory was short. */
int api_say_json(struct api_reply *reply, json_t *json, struct error *error);
/* The VM as it is after what was done. -ENOENT: it was removed meanwhile. */
int api_say_vm(const struct state *state, const char *id, unsigned status, struct api_reply *reply, struct error *error);
/* One that was claimed from a pool gets the place of who asked for it. */
void api_adopt(const struct state *state, const char *id);
/* What is said of one that was started, which gets that. */
int api_say_started(const struct state *state, const char *id, unsigned status, struct api_reply *reply, struct error *error);

#endif
