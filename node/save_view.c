/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *row(const char *name, const struct save *save, const struct error *error)
{
	const struct save_manifest *manifest = &save->manifest;
	json_t *view = json_pack("{s:s, s:s}", "name", name, "path", save->path ? save->path : "");
	if (!view || error) {
		json_object_set_new(view, "error", json_string(error ? error->text : "out of memory"));
		return view;
	}
	json_object_set_new(view, "vm", json_string(manifest->id));
	json_object_set_new(view, "vm_name", manifest->name ? json_string(manifest->name) : json_null());
	json_object_set_new(view, "program", json_incref(json_object_get(manifest->config, "program") ? json_object_get(manifest->config, "program") : json_null()));
	json_object_set_new(view, "guest", json_string(manifest->guest == LV_GUEST_LINUX ? "linux" : "libos"));
	json_object_set_new(view, "saved_ns", json_integer((json_int_t)manifest->saved_ns));
	json_object_set_new(view, "parent", manifest->parent.path ? json_string(manifest->parent.path) : json_null());
	json_object_set_new(view, "size", json_integer((json_int_t)(manifest->memory_taken + manifest->state_size)));
	return view;
}

static json_int_t age_of(const json_t *view)
{
	return json_integer_value(json_object_get(view, "saved_ns"));
}

/* Where it belongs: there are few. */
static int add(void *context, const char *name, struct save *save, const struct error *error)
{
	json_t *array = context, *view = row(name, save, error);
	size_t at = 0;
	while (at < json_array_size(array) && age_of(json_array_get(array, at)) >= age_of(view))
		at++;
	return json_array_insert_new(array, at, view) ? -ENOMEM : 0;
}

json_t *saves_list(struct error *error)
{
	json_t *array = json_array();
	int err = array ? save_each(add, array) : -ENOMEM;
	if (!err)
		return array;
	error_set(error, err, "saved VMs: %s", strerror(-err));
	json_decref(array);
	return NULL;
}

json_t *save_view(const char *path, struct error *error)
{
	struct save save;
	json_t *view = save_open(&save, path, error) ? NULL : save_manifest_to_json(&save.manifest);
	if (view)
		json_object_set_new(view, "path", json_string(save.path));
	else if (!error->code)
		error_set(error, -ENOMEM, "out of memory");
	save_close(&save);
	return view;
}

char *save_find_kept(const char *word, struct error *error)
{
	struct state state = STATE_NONE;
	bool has_vms = !state_open(&state, false, NULL);
	char *path = save_find(has_vms ? &state : NULL, word, error);
	state_close(&state);
	return path;
}
