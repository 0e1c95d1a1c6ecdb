/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_rename.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "node/vm_config.h"
#include "node/vm_row.h"

/* What the directory says of the name: the configuration first, from which all else is made. */
static int note(const struct vm_info *info, json_t *config, const char *name, struct error *error)
{
	if (json_object_set_new(config, "name", json_string(name)))
		return error_set(error, -ENOMEM, "out of memory");
	int err = config_write_json(config, info->dir.dir, error);
	if (!err)
		vm_row_replace(config, info->dir.dir);
	return err ? error_prefix(error, "VM %s", info->dir.id) : 0;
}

/* Under the VM's lock: the name that it has now is not the one that the caller saw, if another command was first. */
static int rename_locked(const struct state *state, struct vm_info *info, const char *name, struct error *error)
{
	json_t *config = config_read(info->dir.dir);
	if (!config)
		return error_set(error, -ENOENT, "VM %s was removed, or has no configuration", info->dir.id);
	const char *old = config_string(config, "name");
	char before[STATE_NAME + 1] = "";
	if (strlen(old) <= STATE_NAME)
		strcpy(before, old);
	int err = !strcmp(before, name) ? error_set(error, -EALREADY, "VM %s has the name \"%s\" already", info->dir.id, name)
					: vm_claim_name(state, &info->dir, name, error);
	if (!err && (err = note(info, config, name, error)))
		vm_drop_name(state, &info->dir, name);
	if (!err && before[0])
		vm_drop_name(state, &info->dir, before);
	if (!err)
		json_object_set(info->config, "name", json_object_get(config, "name"));
	json_decref(config);
	return err;
}

int vm_rename(const struct state *state, struct vm_info *info, const char *name, struct error *error)
{
	if (!vm_name_valid(name))
		return error_set(error, -EINVAL, "the new name \"%.80s\" is not 1 to %d letters, digits, \".\", \"-\" and \"_\"", name, STATE_NAME);
	int lock = vm_lock(&info->dir, error);
	if (lock < 0)
		return lock;
	int err = rename_locked(state, info, name, error);
	close(lock);
	return err;
}
