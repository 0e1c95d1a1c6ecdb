/* SPDX-License-Identifier: Apache-2.0 */
#include "node/choose.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/self_test.h"
#include "tinyx/kernel.h"
#include "tinyx/plan.h"

#define SERIAL_MAX 20 /* virtio 1.2, section 5.2.6.1 */

/* ---- kernels ---- */

/* What only a Linux guest can have: its name, or NULL. */
static const char *wants_linux(const struct choose *choose)
{
	return choose->initrd ? "--initrd" : choose->append ? "--append" : choose->cpus > 1 ? "--cpus" : NULL;
}

/* What was made for it; NULL: memory was short. */
static int keep(char **field, char *made, struct error *error)
{
	free(*field);
	*field = made;
	return made ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static int use_libos(struct vm_config *config, const struct choose *choose, struct error *error)
{
	const char *option = wants_linux(choose);
	if (option)
		return error_set(error, -EINVAL, "%s is for Linux guests: the library OS runs one program on one vCPU; use --kernel linux", option);
	if (choose->bare)
		return error_set(error, -EINVAL, "which program? The library OS runs one: lightvm run PROGRAM");
	return keep(&config->guest.kernel, alloc_copy("libos"), error);
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
		int err = keep(&config->guest.kernel, alloc_copy(word), error);
		return err ? err : keep(&config->guest.kernel_path, absolute(word), error);
	}
	int err = kernel_find(strcmp(word, "linux") ? word : KERNEL_DEFAULT, &kernel, error);
	if (!err) {
		err = keep(&config->guest.kernel, alloc_copy(kernel.newest ? kernel.name : word), error);
		if (!err)
			err = keep(&config->guest.kernel_path, alloc_format("%s/vmlinux", kernel.directory), error);
	} else {
		/* Building one takes minutes: not on a machine that would refuse it then. */
		enum self_test kind;
		if (err == -ENODATA && !self_test(&kind, NULL) && kind == SELF_TEST_PAGE_TABLE)
			error_set(error, err, "--kernel %s: this machine's KVM works by page tables, on which Linux guests do not run; "
				  "programs run on the library OS (--kernel libos)", word);
		else
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
	if (is_auto && choose->bare && !choose->initrd)
		return error_set(error, -EINVAL, "which program or image? To start a kernel with disks only, name it: --kernel linux");
	if (!strcmp(word, "libos") || (is_auto && choose->known_on_libos && !wants_linux(choose)))
		return use_libos(config, choose, error);
	int err = use_linux(config, is_auto ? "linux" : word, error);
	if (!err && choose->initrd)
		err = keep(&config->guest.initrd, absolute(choose->initrd), error);
	if (!err && choose->append)
		err = keep(&config->guest.append, alloc_copy(choose->append), error);
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
		return keep(&disk->serial, alloc_copy(word + 7), error);
	else
		return error_set(error, -EINVAL, "--disk %s: \"%s\" is none of ro, overlay and serial=S (1 to %d characters)", disk->path, word, SERIAL_MAX);
	return 0;
}

int choose_disk(struct vm_config *config, const char *word, struct error *error)
{
	if (config->disks == CONFIG_DISKS)
		return error_set(error, -E2BIG, "--disk: more than %d disks", CONFIG_DISKS);
	struct config_disk *disk = &config->disk[config->disks++];
	char *rest = alloc_copy(word), *at = rest;
	if (!rest)
		return error_set(error, -ENOMEM, "out of memory");
	char *path = strsep(&at, ",");
	disk->read_only = text_ends(path, ":ro");
	path[strlen(path) - (disk->read_only ? 3 : 0)] = 0;
	int err = *path ? keep(&disk->path, absolute(path), error) : error_set(error, -EINVAL, "--disk \"%s\" names no file", word);
	for (char *option; !err && (option = strsep(&at, ","));)
		err = disk_option(disk, option, error);
	free(rest);
	return err;
}
