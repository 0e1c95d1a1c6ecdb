/* SPDX-License-Identifier: Apache-2.0 */
#include "node/choose.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tinyx/kernel.h"
#include "tinyx/plan.h"

#define SERIAL_MAX 20 /* virtio 1.2, section 5.2.6.1 */

/* ---- kernels ---- */

/* What only a Linux guest can have: its name, or NULL. */
static const char *wants_linux(const struct choose *choose)
{
	return choose->initrd ? "--initrd" : choose->append ? "--append" : choose->cpus > 1 ? "--cpus" : NULL;
}

static int use_libos(struct vm_config *config, const struct choose *choose, struct error *error)
{
	const char *option = wants_linux(choose);
	if (option)
		return error_set(error, -EINVAL, "%s is for Linux guests: the library OS runs one program on one vCPU; use --kernel linux", option);
	if (choose->bare)
		return error_set(error, -EINVAL, "which program? The library OS runs one: lightvm run PROGRAM");
	config->guest.kernel = alloc_copy("libos");
	return 0;
}

static char *absolute(const char *path)
{
	char cwd[PATH_MAX];
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", path);
}

/* A name from the cache, or a file: what has a slash in it is one. */
static int use_linux(struct vm_config *config, const char *word, struct error *error)
{
	struct kernel kernel;
	config->guest.is_linux = true;
	/* An idle one costs no more than a slot. */
	config->guest.rng = config->guest.balloon = true;
	if (strchr(word, '/')) {
		config->guest.kernel = alloc_copy(word);
		config->guest.kernel_path = absolute(word);
		return 0;
	}
	int err = kernel_find(strcmp(word, "linux") ? word : KERNEL_DEFAULT, &kernel, error);
	if (!err) {
		config->guest.kernel = alloc_copy(kernel.newest ? kernel.name : word);
		config->guest.kernel_path = alloc_format("%s/vmlinux", kernel.directory);
	} else {
		error_prefix(error, "--kernel %s", word);
	}
	kernel_free(&kernel);
	return err;
}

int choose_kernel(struct vm_config *config, const struct choose *choose, struct error *error)
{
	const char *word = choose->kernel ? choose->kernel : "auto";
	bool is_auto = !strcmp(word, "auto");
	config->guest.cpus = choose->cpus ? (uint32_t)choose->cpus : 1;
	config->guest.append = choose->append ? alloc_copy(choose->append) : NULL;
	if (is_auto && choose->bare && !choose->initrd)
		return error_set(error, -EINVAL, "which program or image? To start a kernel with disks only, name it: --kernel linux");
	if (!strcmp(word, "libos") || (is_auto && choose->known_on_libos && !wants_linux(choose)))
		return use_libos(config, choose, error);
	int err = use_linux(config, is_auto ? "linux" : word, error);
	config->guest.initrd = choose->initrd ? absolute(choose->initrd) : NULL;
	/* With somebody else's initial RAM disk, or none, nothing of ours is in the guest: it has a serial port like any PC. */
	config->guest.bare = choose->bare || choose->initrd;
	return err;
}

/* ---- disks ---- */

static int disk_option(struct config_disk *disk, const char *word, struct error *error)
{
	if (!strcmp(word, "ro"))
		disk->read_only = true;
	else if (!strcmp(word, "overlay"))
		disk->overlay = true;
	else if (text_starts(word, "serial=") && word[7] && strlen(word + 7) <= SERIAL_MAX)
		disk->serial = alloc_copy(word + 7);
	else
		return error_set(error, -EINVAL, "--disk %s: \"%s\" is none of ro, overlay and serial=S (1 to %d characters)", disk->path, word, SERIAL_MAX);
	return 0;
}

int choose_disk(struct vm_config *config, const char *word, struct error *error)
{
	if (config->disks == CONFIG_DISKS)
		return error_set(error, -E2BIG, "--disk: more than %d disks", CONFIG_DISKS);
	struct config_disk *disk = &config->disk[config->disks++];
	char *rest = alloc_copy(word), *at = rest, *path = strsep(&at, ",");
	disk->read_only = text_ends(path, ":ro");
	path[strlen(path) - (disk->read_only ? 3 : 0)] = 0;
	disk->path = *path ? absolute(path) : NULL;
	int err = *path ? 0 : error_set(error, -EINVAL, "--disk \"%s\" names no file", word);
	for (char *option; !err && (option = strsep(&at, ","));)
		err = disk_option(disk, option, error);
	free(rest);
	return err;
}
