/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/image_put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/erofs_write.h"
#include "tinyx/image_file.h"
#include "tinyx/stage.h"

#define SWEEP_MS 50 /* of a start: what killed packings left must not hold it up */

/* Writes plan as a sealed image into a new stage in dir, which messages call where; sha256 gets its digest. */
static int build(const struct plan *plan, const struct pack_watch *watch, int dir, const char *where, struct stage *stage, char *sha256,
		 struct error *error)
{
	int err = stage_open(stage, dir);
	if (err)
		return error_set(error, err, "%s: %s", where, strerror(-err));
	err = erofs_write(plan, stage->fd, where, watch, error);
	return err ? err : image_seal(stage->fd, sha256, error);
}

static bool is_whole(const char *path)
{
	struct image image;
	bool whole = !image_open(&image, path, NULL) && !image_verify(&image, path, NULL);
	image_close(&image);
	return whole;
}

int image_publish(const struct cache *cache, struct stage *stage, const char *sha256, struct packed *packed, struct error *error)
{
	char *name = alloc_format("%s.lvm", sha256), *there = alloc_format("/proc/self/fd/%d/%s", cache->images, name);
	packed->path = alloc_format("%s/images/%s", cache->path, name);
	int err = is_whole(there) ? 0 : stage_publish(stage, name, 0444);
	if (!err && (packed->fd = openat(cache->images, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		err = -errno;
	free(name);
	free(there);
	return err ? error_set(error, err, "%s: %s", packed->path, strerror(-err)) : 0;
}

int image_put_cached(const struct cache *cache, const char *key, const struct plan *plan, const struct pack_watch *watch, struct packed *packed, struct error *error)
{
	struct stage stage = STAGE_NONE;
	char sha256[IMAGE_HEX + 1], *images = alloc_format("%s/images", cache->path);
	stage_sweep(cache->images, SWEEP_MS);
	int err = build(plan, watch, cache->images, images, &stage, sha256, error);
	if (!err)
		err = image_publish(cache, &stage, sha256, packed, error);
	stage_close(&stage);
	if (!err)
		err = cache_store(cache, key, packed, plan, error);
	if (!err)
		cache_trim(cache, strrchr(packed->path, '/') + 1, cache_limit());
	free(images);
	return err;
}

int image_put_aside(const struct plan *plan, const struct pack_watch *watch, struct packed *packed, struct error *error)
{
	struct stage stage = STAGE_NONE;
	char sha256[IMAGE_HEX + 1], *self = NULL;
	int dir = open(IMAGE_ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? error_set(error, -errno, IMAGE_ASIDE ": %s", strerror(errno)) :
			    build(plan, watch, dir, IMAGE_ASIDE, &stage, sha256, error);
	if (!err) {
		self = alloc_format("/proc/self/fd/%d", stage.fd);
		packed->fd = open(self, O_RDONLY | O_CLOEXEC); /* the monitor has no use for a right to write */
		if (packed->fd < 0)
			err = error_set(error, -errno, IMAGE_ASIDE ": %s", strerror(errno));
		packed->path = alloc_format("/proc/self/fd/%d", packed->fd);
	}
	free(self);
	stage_close(&stage);
	if (dir >= 0)
		close(dir);
	return err;
}

/* ---- a file of the user's ---- */

int image_target_open(struct image_target *target, const char *output, struct error *error)
{
	const char *slash = strrchr(output, '/');
	*target = (struct image_target){ .path = slash ? alloc_format("%.*s", (int)(slash == output ? 1 : slash - output), output) : alloc_copy("."), .output = output };
	target->dir = open(target->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return target->dir < 0 ? error_set(error, -errno, "%s: %s", target->path, strerror(errno)) : 0;
}

int image_target_put(const struct image_target *target, const struct plan *plan, const struct pack_watch *watch, struct error *error)
{
	struct stage stage = STAGE_NONE;
	const char *slash = strrchr(target->output, '/'), *name = slash ? slash + 1 : target->output;
	char sha256[IMAGE_HEX + 1];
	int err = build(plan, watch, target->dir, target->path, &stage, sha256, error);
	if (!err && (err = *name ? stage_publish(&stage, name, 0644) : -EISDIR))
		error_set(error, err, "%s: %s", target->output, strerror(-err));
	stage_close(&stage);
	return err;
}

void image_target_close(struct image_target *target)
{
	if (target->dir >= 0)
		close(target->dir);
	free(target->path);
	*target = IMAGE_TARGET_CLOSED;
}
