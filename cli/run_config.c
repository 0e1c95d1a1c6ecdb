/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "cli/run_mounts.h"
#include "cli/wait.h"
#include "node/choose.h"
#include "node/config_open.h"
#include "node/vm_policy.h"
#include "tinyx/image_file.h"
#include "tinyx/plan.h"

#define WORDS_FILE_MAX (1u << 20)

/* One NAME=VALUE a line; empty lines and comments are passed over. */
static int set_from_file(struct vm_config *config, const char *option, const char *path, void (*set)(struct vm_config *config, const char *assignment),
			 struct error *error)
{
	char *data, *save = NULL;
	size_t size;
	int err = file_read(AT_FDCWD, path, WORDS_FILE_MAX, &data, &size);
	if (err)
		return error_set(error, err, "%s %s: %s", option, path, strerror(-err));
	for (char *line = strtok_r(data, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (!*line || *line == '#')
			continue;
		if (!strchr(line, '=') || *line == '=')
			err = error_set(error, -EINVAL, "%s %s: \"%.100s\" is not NAME=VALUE", option, path, line);
		else
			set(config, line);
	}
	free(data);
	return err;
}

static int set_labels(struct vm_config *config, const struct run_options *given, struct error *error)
{
	int err = given->label_file ? set_from_file(config, "--label-file", given->label_file, config_label, error) : 0;
	for (size_t i = 0; i < given->labels.count && !err; i++) {
		const char *word = given->labels.item[i];
		if (!*word || *word == '=')
			err = error_set(error, -EINVAL, "--label: \"%s\" is neither NAME=VALUE nor NAME", word);
		else
			config_label(config, word);
	}
	return err;
}

static int set_env(struct vm_config *config, const struct run_options *given, struct error *error)
{
	char *host = alloc_format("HOSTNAME=%s", config->hostname);
	config_env_default(config, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	config_env_default(config, "HOME=/root");
	config_env(config, host);
	free(host);
	if (isatty(STDOUT_FILENO) && !given->detach && getenv("TERM")) {
		char *term = alloc_format("TERM=%s", getenv("TERM"));
		config_env(config, term);
		free(term);
	}
	int err = given->env_file ? set_from_file(config, "--env-file", given->env_file, config_env, error) : 0;
	for (size_t i = 0; i < given->env.count && !err; i++) {
		const char *word = given->env.item[i], *value = strchr(word, '=') ? word : getenv(word);
		if (word[0] == '=' || !*word)
			err = error_set(error, -EINVAL, "-e: \"%s\" is not NAME=VALUE", word);
		else if (value == word)
			config_env(config, word);
		else if (value) {
			char *pair = alloc_format("%s=%s", word, value);
			config_env(config, pair);
			free(pair);
		}
	}
	return err;
}

/* The id of a name in the image's /etc/passwd or /etc/group, whose third field it is; gid gets passwd's fourth. */
static int id_by_name(const char *image_path, const char *file, const char *name, uint32_t *id, uint32_t *gid)
{
	struct image image;
	struct erofs_inode inode;
	int err = image_open(&image, image_path, NULL);
	if (!err)
		err = erofs_walk(&image.fs, file, &inode);
	if (!err && inode.size > WORDS_FILE_MAX)
		err = -EFBIG;
	char *data = err ? NULL : alloc_zero(inode.size + 1), *save = NULL;
	if (data && erofs_read(&image.fs, &inode, 0, data, inode.size) < 0)
		err = -EIO;
	size_t len = strlen(name);
	if (!err)
		err = -ENOENT;
	for (char *line = data ? strtok_r(data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		unsigned first, second = 0;
		if (!strncmp(line, name, len) && line[len] == ':' && sscanf(line + len, ":%*[^:]:%u:%u", &first, &second) >= 1) {
			*id = first;
			if (gid)
				*gid = second;
			err = 0;
			break;
		}
	}
	free(data);
	image_close(&image);
	return err;
}

static int set_user(struct vm_config *config, const char *word, struct error *error)
{
	uint64_t number;
	char *user = alloc_copy(word), *group = strchr(user, ':');
	int err = 0;
	if (group)
		*group++ = 0;
	if (!number_parse(user, &number) && number < UINT32_MAX)
		config->uid = (uint32_t)number;
	else if (id_by_name(config->image, "/etc/passwd", user, &config->uid, &config->gid))
		err = error_set(error, -ENOENT, "--user: there is no user \"%s\" in the image's /etc/passwd", user);
	if (!err && group && !number_parse(group, &number) && number < UINT32_MAX)
		config->gid = (uint32_t)number;
	else if (!err && group && id_by_name(config->image, "/etc/group", group, &config->gid, NULL))
		err = error_set(error, -ENOENT, "--user: there is no group \"%s\" in the image's /etc/group", group);
	free(user);
	return err;
}

/* A directory of the host's, which is there now. */
static bool in_volume(const struct config_mount *mount, const char *dir)
{
	struct stat st;
	size_t n = strlen(mount->path);
	if (mount->kind != MOUNT_VOLUME || strncmp(dir, mount->path, n) || (dir[n] && dir[n] != '/'))
		return false;
	char *host = alloc_format("%s%s", mount->source, dir + n);
	bool there = !stat(host, &st) && S_ISDIR(st.st_mode);
	free(host);
	return there;
}

/* What is made when the VM starts is not in the image. */
static bool made_at_start(const struct vm_config *config, const char *dir)
{
	static const char *const places[] = { "/dev/", "/proc/", "/sys/", "/run/" };
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (text_starts(dir, places[i]))
			return true;
	for (size_t i = 0; i < config->mounts; i++)
		if ((config->mount[i].kind == MOUNT_TMPFS && !strcmp(dir, config->mount[i].path)) || in_volume(&config->mount[i], dir))
			return true;
	return false;
}

/* A program that starts in another directory than was asked for reads and writes the wrong files. */
static int check_workdir(const struct vm_config *config, struct error *error)
{
	struct image image;
	struct erofs_inode inode;
	int err = image_open(&image, config->image, error);
	if (!err && (err = erofs_walk(&image.fs, config->cwd, &inode)))
		error_set(error, err, "--workdir: there is no directory %s in the VM; -v HOSTDIR:%s makes one", config->cwd, config->cwd);
	else if (!err && !S_ISDIR(inode.mode))
		err = error_set(error, -ENOTDIR, "--workdir: %s in the VM is not a directory", config->cwd);
	image_close(&image);
	return err;
}

static int fill_kernel(struct vm_config *config, struct run_options *given, const struct template_wish *template, struct operands operands, struct source *source,
		       struct error *error)
{
	struct choose choose = { .kernel = given->kernel, .initrd = given->initrd, .append = given->append, .cpus = given->cpus, .bare = !operands.argc && !given->packages.count };
	int err = choose.bare ? 0 : source_find(config, given, template, operands, source, error);
	choose.known_on_libos = source->facts.on_libos;
	if (!err)
		err = choose_kernel(config, &choose, error);
	if (!err && choose.bare) {
		config->program = alloc_copy(config->guest.kernel);
		config->memory = CONFIG_MEMORY;
	}
	return err;
}

/* Another start may come from another directory. */
static char *absolute_file(const char *path)
{
	char cwd[PATH_MAX];
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", path);
}

static int use_template(const struct run_options *given, struct template_wish *template, struct error *error)
{
	const char *lonely = given->preload.count ? "--preload" : given->accept_shared_random ? "--accept-shared-random" : NULL;
	if (!given->template_at)
		return lonely ? error_set(error, -EINVAL, "%s goes with --template-at", lonely) : 0;
	int err = template_wish_at(template, "--template-at", given->template_at, error);
	for (size_t i = 0; i < given->preload.count; i++)
		strings_add(&template->preload, given->preload.item[i]);
	template->accept_shared_random = given->accept_shared_random;
	return err ? err : template_wish_check(template, error);
}

int run_config(struct vm_config *config, struct run_options *given, struct operands operands, struct source *source, struct template_wish *template, struct error *error)
{
	int err = given->restart ? restart_parse(given->restart, &config->restart, error) : 0;
	if (!err)
		err = policy_ready(&config->restart, error);
	if (!err)
		err = run_mount_words(given, error);
	if (!err)
		err = use_template(given, template, error);
	if (!err)
		err = run_volumes(config, given, error);
	if (!err)
		err = fill_kernel(config, given, template, operands, source, error);
	if (err)
		return err;
	config->name = given->name ? alloc_copy(given->name) : NULL;
	config->pid_file = given->pid_file ? absolute_file(given->pid_file) : NULL;
	config->created_ns = clock_wall();
	while (given->prefault && strcmp(given->prefault, prefault_words[config->prefault]))
		config->prefault++; /* it is one of them */
	config->detached = given->detach;
	config->remove = given->remove;
	config->keeps_stdin = given->detach && given->interactive;
	config->terminal = given->tty;
	if (config->terminal && !config->detached && !isatty(STDIN_FILENO))
		return error_set(error, -ENOTTY, "-t: standard input is not a terminal; leave -t out");
	if (given->memory)
		config->memory = given->memory;
	if (given->workdir || !config->cwd) {
		free(config->cwd);
		config->cwd = alloc_copy(given->workdir ? given->workdir : "/");
	}
	err = run_mounts(config, given, &source->facts.volumes, error);
	if (err)
		return err;
	/* A disk over the root of a Linux guest may have it. */
	if (given->workdir && config->image && !config->guest.is_linux && given->workdir[0] == '/' && !made_at_start(config, given->workdir))
		err = check_workdir(config, error);
	if (err)
		return err;
	if (given->hostname || !config->hostname) {
		free(config->hostname);
		config->hostname = alloc_copy(given->hostname ? given->hostname : config->id);
	}
	err = set_env(config, given, error);
	if (!err)
		err = set_labels(config, given, error);
	if (!err && given->user && config->image)
		err = set_user(config, given->user, error);
	for (size_t i = 0; i < given->disks.count && !err; i++)
		err = choose_disk(config, given->disks.item[i], error);
	struct net_request net = { given->net, given->ip, given->gateway, given->dns, given->mac, &given->ports, config->id, given->ip6, given->gateway6 };
	if (!err)
		err = net_parse(&config->net, &net, error);
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = wait_check(given->wait, config, error);
	return err ? err : config_open(config, error);
}
