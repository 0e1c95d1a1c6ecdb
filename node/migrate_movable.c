/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_movable.h"

#include <errno.h>

#include "node/vm_config.h"
#include "node/vm_policy.h"

/* A directory of the source's host, which this one would serve to it of its own. */
static const char *live_volume(const json_t *config)
{
	size_t i;
	const json_t *mount;
	json_array_foreach(json_object_get(config, "mounts"), i, mount)
		if (json_is_object(mount) && json_object_get(mount, "source") && !json_is_null(json_object_get(mount, "source")))
			return config_string(mount, "path");
	return NULL;
}

/* Of kernel and initial RAM disk migrate_kernels.h finds out whether they are there, of disks migrate_disks.h. */
int migrate_movable(const json_t *config, const char *id, struct error *error)
{
	const char *volume = live_volume(config);
	if (volume)
		return error_set(error, -EOPNOTSUPP, "VM %s has a live volume at %s, a directory of its host, and does not move; with --copy it has a copy", id, volume);
	/* Started again, its disks would be opened like those of any VM; below a directory that others write to, too, a link may be there by then. */
	if (json_array_size(json_object_get(config, "disks")) && policy_of(config).policy != RESTART_NO)
		return error_set(error, -EOPNOTSUPP, "VM %s has disks, and is started again when it ends (--restart); such VMs cannot be moved yet", id);
	if (!json_is_true(json_object_get(config, "detached")))
		return error_set(error, -EOPNOTSUPP, "VM %s runs in the foreground of a command; only VMs in the background (run -d) can be moved", id);
	return 0;
}

void migrate_localize(json_t *config)
{
	json_object_del(config, "image");
	json_object_del(config, "pid_file");
}
