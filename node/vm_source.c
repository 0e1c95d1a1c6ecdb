/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "node/image_entry.h"

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

/* The value of a variable in the configuration, or NULL. */
static const char *variable(const struct vm_config *config, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < config->env.count; i++)
		if (!strncmp(config->env.item[i], name, len) && config->env.item[i][len] == '=')
			return config->env.item[i] + len + 1;
	return NULL;
}

int source_enter(struct vm_config *config, struct error *error)
{
	struct image image;
	if (config->program || !config->args.count)
		return 0;
	int err = image_open(&image, config->image, error);
	if (!err && (err = image_entry_find(&image, variable(config, "PATH"), config->cwd ? config->cwd : "/", &config->args, &config->program, error)))
		error_prefix(error, "%s", config->image);
	image_close(&image);
	return err;
}

void source_facts_free(struct source_facts *facts)
{
	strings_free(&facts->volumes);
}

static void use_manifest(struct vm_config *config, const struct manifest *manifest, const char *entry, struct source_facts *facts)
{
	if (!entry)
		config->program = manifest->program ? alloc_copy(manifest->program) : NULL;
	for (size_t i = 0; i < manifest->args.count && !entry; i++)
		strings_add(&config->args, manifest->args.item[i]);
	if (entry)
		strings_add(&config->args, entry);
	facts->kept = entry || manifest->program ? 1 : manifest->entry;
	for (size_t i = 0; i < manifest->env.count; i++)
		config_env(config, manifest->env.item[i]);
	for (size_t i = 0; i < manifest->labels.count; i++)
		config_label(config, manifest->labels.item[i]);
	for (size_t i = 0; i < manifest->volumes.count; i++)
		strings_add(&facts->volumes, manifest->volumes.item[i]);
	config->cwd = manifest->cwd ? alloc_copy(manifest->cwd) : NULL;
	config->hostname = manifest->hostname ? alloc_copy(manifest->hostname) : NULL;
	config->stop_signal = manifest->stop_signal ? alloc_copy(manifest->stop_signal) : NULL;
	config->uid = manifest->uid;
	config->gid = manifest->gid;
	config->memory = manifest->memory ? manifest->memory : CONFIG_MEMORY;
	facts->on_libos = strings_have(&manifest->kernels, "libos");
}

/* An image: checked as far as it can be at constant cost, and in full the first time this file is seen. */
int source_image(struct vm_config *config, const char *path, const char *entry, struct source_facts *facts, struct error *error)
{
	struct image image;
	int err = image_open(&image, path, error);
	if (!err)
		err = verify_once(&image, path, error);
	if (!err) {
		config->image = alloc_copy(path);
		config->image_ns = clock_now();
		config->image_fd = fcntl(image.fd, F_DUPFD_CLOEXEC, 3);
		config->record |= image.manifest.trimmed ? LV_RECORD_LACKS : 0;
		use_manifest(config, &image.manifest, entry, facts);
	}
	image_close(&image);
	return err;
}

bool source_is_image(const char *path)
{
	int fd = file_open_regular(path);
	bool is = fd >= 0 && image_is(fd);
	if (fd >= 0)
		close(fd);
	return is;
}
