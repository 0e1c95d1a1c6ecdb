/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_paths.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/owned_dir.h"
#include "base/text.h"

/* Relative to the directory of our binary: as installed, and as built. */
static char *beside(const char *installed, const char *built, const char *what, struct error *error)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0) {
		error_set(error, -errno, "/proc/self/exe: %s", strerror(errno));
		return NULL;
	}
	self[n] = 0;
	*strrchr(self, '/') = 0;
	char *first = alloc_format("%s/%s", self, installed), *second = alloc_format("%s/%s", self, built);
	if (!first || !second) {
		error_set(error, -ENOMEM, "out of memory");
		free(first);
		free(second);
		return NULL;
	}
	if (!access(first, R_OK)) {
		free(second);
		return first;
	}
	if (!access(second, R_OK)) {
		free(first);
		return second;
	}
	error_set(error, -ENOENT, "%s is missing: neither %s nor %s is there; install lightvm again", what, first, second);
	free(first);
	free(second);
	return NULL;
}

static char *copy(const char *given, struct error *error)
{
	char *path = alloc_copy(given);
	if (!path)
		error_set(error, -ENOMEM, "out of memory");
	return path;
}

char *paths_monitor(struct error *error)
{
	const char *given = getenv("LIGHTVM_VMM");
	return given ? copy(given, error) : beside("../libexec/lightvm/lightvm-vmm", "../vmm/lightvm-vmm", "the monitor lightvm-vmm", error);
}

char *paths_libos(struct error *error)
{
	const char *given = getenv("LIGHTVM_LIBOS");
	return given ? copy(given, error) : beside("../libexec/lightvm/libos.elf", "../libos/libos.elf", "the library OS", error);
}

char *paths_init(struct error *error)
{
	const char *given = getenv("LIGHTVM_INIT");
	return given ? copy(given, error) : beside("../libexec/lightvm/init.cpio", "../guest/init.cpio", "the first program of Linux guests, init.cpio,", error);
}

char *paths_tls(struct error *error)
{
	const char *given = getenv("LIGHTVM_TLS");
	return given ? copy(given, error) : beside("../libexec/lightvm/lightvm-tls", "../node/lightvm-tls", "the program for secured connections, lightvm-tls,", error);
}

char *paths_fs(struct error *error)
{
	const char *given = getenv("LIGHTVM_FS");
	return given ? copy(given, error) : beside("../libexec/lightvm/lightvm-fs", "../volume/lightvm-fs", "the server of volumes, lightvm-fs,", error);
}

char *paths_template(const char *name, struct error *error)
{
	char *installed = alloc_format("../share/lightvm/template/%s", name), *built = alloc_format("../share/template/%s", name), *path = NULL;
	if (installed && built)
		path = beside(installed, built, "the start file of a template", error);
	else
		error_set(error, -ENOMEM, "out of memory");
	free(installed);
	free(built);
	return path;
}

char *paths_agent(struct error *error)
{
	const char *given = getenv("LIGHTVM_AGENT");
	return given ? copy(given, error) : beside("../libexec/lightvm/lightvm-agent", "../guest/lightvm-agent", "the agent for guests of the library OS, lightvm-agent,", error);
}

char *paths_tar(struct error *error)
{
	const char *given = getenv("LIGHTVM_TAR");
	return given ? copy(given, error) : beside("../libexec/lightvm/lightvm-tar", "../node/lightvm-tar", "the program for tar archives, lightvm-tar,", error);
}

char *paths_command(struct error *error)
{
	return beside("../bin/lightvm", "../cli/lightvm", "the command line", error);
}

char *paths_run(bool system)
{
	const char *chosen = getenv("LIGHTVM_RUN"), *runtime = getenv("XDG_RUNTIME_DIR");
	/* What root's log-in has is not what its services have. */
	bool usable = runtime && runtime[0] == '/' && !(system && !strcmp(runtime, "/run/user/0"));
	if (chosen && chosen[0] == '/')
		return alloc_copy(chosen);
	if (usable)
		return alloc_format("%s/lightvm", runtime);
	return system ? alloc_copy("/run/lightvm") : alloc_format("/tmp/lightvm-%u", (unsigned)geteuid());
}

int paths_run_open(const char *directory, struct error *error)
{
	return owned_dir_open(directory, true, error);
}
