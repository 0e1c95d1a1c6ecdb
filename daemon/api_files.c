/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/vms/{id}/archive: files of a VM that runs, out of it and into it, as a tar archive that is never kept whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/vm_copy.h"

static int path_of(const struct api_request *request, const char **path, struct error *error)
{
	*path = api_query(request, "path");
	if (!*path)
		return error_set(error, -EINVAL, "path: missing: the query names an absolute path in the VM");
	return **path == '/' ? 0 : error_set(error, -EINVAL, "path: \"%.100s\" is not an absolute path", *path);
}

/* Unless another bound is asked for: a guest may send for as long as its reader reads. */
#define GET_BYTES (16ull << 30)
#define GET_FILES (4ull << 20)

static int limits_of(const struct api_request *request, struct vm_copy_limits *limits, struct error *error)
{
	int err = api_query_number(request, "max_size", 1, INT64_MAX, GET_BYTES, &limits->bytes, error);
	return err ? err : api_query_number(request, "max_files", 1, INT64_MAX, GET_FILES, &limits->files, error);
}

static const char *const get_query[] = { "path", "max_size", "max_files", NULL };
static int get_files(struct api_request *request, int out, struct error *error)
{
	struct api_vm vm;
	struct vm_copied copied = { 0 };
	const char *path;
	struct vm_copy_limits limits;
	int err = api_vm_open(request, &vm, error), from = -1;
	if (!err)
		err = path_of(request, &path, error);
	if (!err)
		err = limits_of(request, &limits, error);
	char *name = err ? NULL : vm_copy_name(path);
	if (!err)
		err = from = name ? vm_copy_pull(&vm.info, path, error) : error_set(error, -ENOMEM, "out of memory");
	if (from >= 0)
		err = api_begin(request, out, "application/x-tar");
	if (!err)
		err = vm_copy_to_tar(from, name, limits, out, &copied, error);
	/* Who reads it is told by an answer that is broken off; the archive has its end where only something was left out. */
	for (size_t i = 0; i < copied.left_out.count; i++)
		log_warn("VM %s: %s", vm.info.dir.id, copied.left_out.item[i]);
	if (!err && copied.notes)
		err = error_set(error, -EIO, "something was left out");
	else if (err && request->began)
		log_warn("VM %s: %s", vm.info.dir.id, error->text);
	vm_copied_free(&copied);
	free(name);
	api_vm_close(&vm);
	return err < 0 ? err : 0;
}

static json_t *copied_json(const struct vm_copied *copied)
{
	json_t *left_out = json_array();
	for (size_t i = 0; i < copied->left_out.count; i++)
		json_array_append_new(left_out, json_string(copied->left_out.item[i]));
	return json_pack("{s:I, s:I, s:o}", "files", (json_int_t)copied->files, "bytes", (json_int_t)copied->bytes, "left_out", left_out);
}

static const char *const put_query[] = { "path", NULL };
static int put_files(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct vm_copied copied = { 0 };
	const char *path;
	int err = api_vm_open(request, &vm, error), to = -1;
	if (!err)
		err = path_of(request, &path, error);
	if (!err && (to = vm_copy_push(&vm.info, path, "", error)) < 0)
		err = to;
	if (!err)
		err = vm_copy_from_tar(request->input, to, &copied, error);
	if (!err)
		err = api_say_json(reply, copied_json(&copied), error);
	vm_copied_free(&copied);
	api_vm_close(&vm);
	return err;
}

const struct route routes_files[] = {
	{ .method = "GET", .path = "/v1/vms/{id}/archive", .operation = "getVmArchive", .query = get_query, .stream = get_files },
	{ .method = "PUT", .path = "/v1/vms/{id}/archive", .operation = "putVmArchive", .body = API_TAR, .query = put_query, .task = put_files, .lasting = true },
	{ 0 },
};
