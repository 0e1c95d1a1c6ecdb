/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api_vm.h"

#include <errno.h>

int api_vm_open(const struct api_request *request, struct api_vm *vm, struct error *error)
{
	*vm = (struct api_vm){ .state = STATE_NONE, .info = { .dir = VM_DIR_NONE } };
	int err = state_open(&vm->state, false, error);
	if (!err)
		err = vm_info_find(&vm->state, request->param[0], &vm->info, error);
	return err == -ENOENT ? error_set(error, err, "there is no VM \"%.100s\"", request->param[0]) : err;
}

void api_vm_close(struct api_vm *vm)
{
	vm_info_close(&vm->info);
	state_close(&vm->state);
}

int api_say_json(struct api_reply *reply, json_t *json, struct error *error)
{
	reply->json = json;
	return json ? 0 : error_set(error, -ENOMEM, "out of memory");
}
