/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

int source_program(struct vm_config *config, const struct pack_request *request, const char *typed, uint64_t memory, struct error *error)
{
	struct packed packed;
	int err = pack_cached(request, &packed, error);
	if (err)
		return err;
	config->image_ns = clock_now();
	config->image_fd = packed.fd;
	config->image = packed.path;
	config->program = packed.program;
	config->args = packed.args;
	/* A relative path would lead nowhere from the VM's working directory, and programs find their own files by it. */
	if (!config->args.count)
		strings_add(&config->args, strchr(typed, '/') ? request->program : typed);
	config->memory = CONFIG_MEMORY;
	uint64_t limit = memory ? memory : CONFIG_MEMORY;
	char need[24], have[24];
	if (packed.need > limit)
		return error_set(error, -ERANGE, "not enough memory for %s: its data take %s, the VM has %s; give more with --memory", request->program,
				 size_print(packed.need, need, sizeof(need)), size_print(limit, have, sizeof(have)));
	return 0;
}

static int verify_once(const struct image *image, const char *path, struct error *error)
{
	struct cache cache;
	struct error unusable;
	/* A cache that is not there is made for the note; one that others can write to is not believed. */
	bool usable = image->has_trailer && !cache_open(&cache, true, &unusable);
	int err = 0;
	if (image->has_trailer && (!usable || cache_verified(&cache, image))) {
		err = image_verify(image, path, error);
		if (!err && usable)
			cache_note_verified(&cache, image);
	}
	if (image->has_trailer)
		cache_close(&cache);
	return err;
}

static bool has_file(const struct image *image, const char *path)
{
	struct erofs_inode inode;
	return !erofs_walk(&image->fs, path, &inode) && S_ISREG(inode.mode);
}

/* Another program of the image than its own: a path in it, or a name that is looked for where its PATH would lead. */
static int enter_at(struct vm_config *config, const struct image *image, const char *word, struct error *error)
{
	static const char *const places[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
	char *path = word[0] == '/' ? alloc_copy(word) : NULL;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !path && !strchr(word, '/') && *word; i++) {
		path = alloc_format("%s/%s", places[i], word);
		if (!has_file(image, path)) {
			free(path);
			path = NULL;
		}
	}
	if (!path || !has_file(image, path)) {
		free(path);
		return error_set(error, -ENOENT, "--entrypoint: there is no program \"%s\" in %s", word, config->image);
	}
	config->program = path;
	strings_add(&config->args, word);
	return 0;
}

/* An image: checked as far as it can be at constant cost, and in full the first time this file is seen. */
int source_image(struct vm_config *config, const char *path, const char *entry, bool *on_libos, struct error *error)
{
	struct image image;
	int err = image_open(&image, path, error);
	if (!err)
		err = verify_once(&image, path, error);
	if (err) {
		image_close(&image);
		return err;
	}
	struct manifest *manifest = &image.manifest;
	config->image = alloc_copy(path);
	config->image_ns = clock_now();
	config->image_fd = fcntl(image.fd, F_DUPFD_CLOEXEC, 3);
	if (entry && (err = enter_at(config, &image, entry, error))) {
		image_close(&image);
		return err;
	}
	if (!entry)
		config->program = manifest->program ? alloc_copy(manifest->program) : NULL;
	for (size_t i = 0; i < manifest->args.count && !entry; i++)
		strings_add(&config->args, manifest->args.item[i]);
	for (size_t i = 0; i < manifest->env.count; i++)
		config_env(config, manifest->env.item[i]);
	config->cwd = manifest->cwd ? alloc_copy(manifest->cwd) : NULL;
	config->hostname = manifest->hostname ? alloc_copy(manifest->hostname) : NULL;
	config->uid = manifest->uid;
	config->gid = manifest->gid;
	config->memory = manifest->memory ? manifest->memory : CONFIG_MEMORY;
	*on_libos = strings_have(&manifest->kernels, "libos");
	image_close(&image);
	return 0;
}

bool source_is_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && image_is(fd);
	if (fd >= 0)
		close(fd);
	return is;
}
