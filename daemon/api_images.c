/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/images, /v1/kernels: what VMs are made of, in the cache of the user who asks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api_progress.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/image_list.h"
#include "tinyx/pack.h"

/* ---- images ---- */

static int list_images(struct api_request *request, struct api_reply *reply, struct error *error)
{
	json_t *array = images_list(error);
	return array ? api_say_json(reply, json_pack("{s:o}", "images", array), error) : error->code;
}

static int get_image(struct api_request *request, struct api_reply *reply, struct error *error)
{
	char *path = image_cached_path(request->param[0], error);
	json_t *view = path ? image_view(path, error) : NULL;
	free(path);
	return view ? api_say_json(reply, view, error) : error->code;
}

static int delete_image(struct api_request *request, struct api_reply *reply, struct error *error)
{
	char *path = image_cached_path(request->param[0], error);
	int err = path ? image_remove(path, error) : error->code;
	free(path);
	return err;
}

static int volumes_of(const json_t *body, struct strings *volumes, struct error *error)
{
	const json_t *array = json_object_get(body, "volumes");
	if (array && !json_is_array(array))
		return error_set(error, -EINVAL, "volumes: not a list");
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *word = json_string_value(json_array_get(array, i));
		if (!word || word[0] != '/')
			return error_set(error, -EINVAL, "volumes: \"%.100s\" is not /HOST:/PATH", word ? word : "");
		strings_add(volumes, word);
	}
	return strings_error(volumes) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

/* Packs a program of the host, or finds it as it was packed before. */
static int pack_image(struct api_request *request, struct api_reply *reply, struct error *error)
{
	static const char *const keys[] = { "program", "volumes", NULL };
	struct strings volumes = { 0 };
	struct packed packed = PACKED_NONE;
	const struct pack_watch watch = progress_watch(request);
	struct pack_request pack = { .volumes = &volumes, .watch = &watch };
	int err = api_body_keys(request->body, keys, error);
	if (!err)
		err = api_body_string(request->body, "program", &pack.program, error);
	if (!err && (!pack.program || pack.program[0] != '/'))
		err = error_set(error, -EINVAL, "program: \"%.200s\" is not an absolute path", pack.program ? pack.program : "");
	if (!err)
		err = volumes_of(request->body, &volumes, error);
	if (!err && (err = pack_cached(&pack, &packed, error)) && api_error_status(err) == 404)
		reply->refused = 400;
	json_t *view = err ? NULL : image_view(packed.path, error);
	if (!err)
		err = view ? api_say_json(reply, view, error) : error->code;
	reply->status = 201;
	packed_free(&packed);
	strings_free(&volumes);
	return err;
}

/* ---- kernels ---- */

static int list_kernels(struct api_request *request, struct api_reply *reply, struct error *error)
{
	json_t *array = kernels_list(error);
	return array ? api_say_json(reply, json_pack("{s:o}", "kernels", array), error) : error->code;
}

/* One that is not built is not there: -ENODATA is for the command line, which says how to build it. */
static int find_kernel(const struct api_request *request, struct kernel *kernel, struct error *error)
{
	int err = strchr(request->param[0], '/') ? error_set(error, -ENOENT, "there is no kernel \"%.100s\"", request->param[0])
						 : kernel_find(request->param[0], kernel, error);
	return err == -ENODATA ? error->code = -ENOENT : err;
}

static int get_kernel(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct kernel kernel = { 0 };
	int err = find_kernel(request, &kernel, error);
	if (!err)
		err = api_say_json(reply, kernel_view(&kernel), error);
	kernel_free(&kernel);
	return err;
}

static int delete_kernel(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct kernel kernel = { 0 };
	int err = find_kernel(request, &kernel, error);
	if (!err)
		err = kernel_remove(&kernel, error);
	kernel_free(&kernel);
	return err;
}

static const char *const pack_query[] = { PROGRESS_QUERY, NULL };
const struct route routes_images[] = {
	{ .method = "GET", .path = "/v1/images", .operation = "listImages", .task = list_images },
	{ .method = "POST", .path = "/v1/images", .operation = "packImage", .body = API_JSON, .task = pack_image, .query = pack_query, .stream = progress_stream, .streams = PROGRESS_QUERY },
	{ .method = "GET", .path = "/v1/images/{digest}", .operation = "getImage", .task = get_image },
	{ .method = "DELETE", .path = "/v1/images/{digest}", .operation = "deleteImage", .task = delete_image },
	{ .method = "GET", .path = "/v1/kernels", .operation = "listKernels", .task = list_kernels },
	{ .method = "GET", .path = "/v1/kernels/{name}", .operation = "getKernel", .task = get_kernel },
	{ .method = "DELETE", .path = "/v1/kernels/{name}", .operation = "deleteKernel", .task = delete_kernel },
	{ 0 },
};
