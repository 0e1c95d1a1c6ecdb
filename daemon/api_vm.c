/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api_vm.h"

#include <errno.h>

#include "node/place.h"
#include "node/vm_view.h"

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

int api_say_vm(const struct state *state, const char *id, unsigned status, struct api_reply *reply, struct error *error)
{
	struct vm_info info;
	int err = vm_info_open(state, id, &info);
	if (err)
		error_set(error, err, "VM %s was removed meanwhile", id);
	else
		err = api_say_json(reply, vm_view_row(&info), error);
	reply->status = status;
	vm_info_close(&info);
	return err;
}

void api_adopt(const struct state *state, const char *id)
{
	struct vm_info info;
	if (!vm_info_open(state, id, &info) && info.alive)
		place_adopt((pid_t)info.status.pid);
	vm_info_close(&info);
}

int api_say_started(const struct state *state, const char *id, unsigned status, struct api_reply *reply, struct error *error)
{
	api_adopt(state, id);
	return api_say_vm(state, id, status, reply, error);
}
