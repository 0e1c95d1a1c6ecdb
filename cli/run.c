/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm run: from words on the command line to one VM, and to its exit status. */
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
#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/run_options.h"
#include "cli/run_source.h"
#include "cli/run_vm.h"
#include "cli/wait.h"
#include "node/choose.h"
#include "node/config_open.h"
#include "node/vm_info.h"
#include "tinyx/image_file.h"

#define ENV_FILE_MAX (1u << 20)

/* ---- from options to configuration ---- */

static int set_env_file(struct vm_config *config, const char *path, struct error *error)
{
	char *data, *save = NULL;
	size_t size;
	int err = file_read(AT_FDCWD, path, ENV_FILE_MAX, &data, &size);
	if (err)
		return error_set(error, err, "--env-file %s: %s", path, strerror(-err));
	for (char *line = strtok_r(data, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (!*line || *line == '#')
			continue;
		if (!strchr(line, '=') || *line == '=')
			err = error_set(error, -EINVAL, "--env-file %s: \"%.100s\" is not NAME=VALUE", path, line);
		else
			config_env(config, line);
	}
	free(data);
	return err;
}

static int set_env(struct vm_config *config, const struct run_options *given, struct error *error)
{
	char *host = alloc_format("HOSTNAME=%s", config->hostname);
	config_env(config, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	config_env(config, "HOME=/root");
	config_env(config, host);
	free(host);
	if (isatty(STDOUT_FILENO) && !given->detach && getenv("TERM")) {
		char *term = alloc_format("TERM=%s", getenv("TERM"));
		config_env(config, term);
		free(term);
	}
	int err = given->env_file ? set_env_file(config, given->env_file, error) : 0;
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
	if (!err && inode.size > ENV_FILE_MAX)
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

/* What is made when the VM starts is not in the image. */
static bool made_at_start(const char *dir)
{
	static const char *const places[] = { "/dev/", "/proc/", "/sys/", "/run/" };
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (text_starts(dir, places[i]))
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

static int fill_kernel(struct vm_config *config, const struct run_options *given, struct operands operands, struct source *source, struct error *error)
{
	struct choose choose = { .kernel = given->kernel, .initrd = given->initrd, .append = given->append, .cpus = given->cpus, .bare = !operands.argc };
	int err = choose.bare ? 0 : source_find(config, given, operands, source, error);
	choose.known_on_libos = source->on_libos;
	if (!err)
		err = choose_kernel(config, &choose, error);
	if (!err && choose.bare) {
		config->program = alloc_copy(config->guest.kernel);
		config->memory = CONFIG_MEMORY;
	}
	return err;
}

static int fill(struct vm_config *config, const struct run_options *given, struct operands operands, struct source *source, struct error *error)
{
	int err = fill_kernel(config, given, operands, source, error);
	if (err)
		return err;
	config->name = given->name ? alloc_copy(given->name) : NULL;
	config->created_ns = clock_wall();
	config->detached = given->detach;
	config->remove = given->remove;
	config->keeps_stdin = given->detach && given->interactive;
	config->terminal = given->tty && config->guest.is_linux;
	if (config->terminal && !config->detached && !isatty(STDIN_FILENO))
		return error_set(error, -ENOTTY, "-t: standard input is not a terminal; leave -t out");
	if (given->memory)
		config->memory = given->memory;
	if (given->workdir || !config->cwd) {
		free(config->cwd);
		config->cwd = alloc_copy(given->workdir ? given->workdir : "/");
	}
	/* A disk over the root of a Linux guest may have it. */
	if (given->workdir && config->image && !config->guest.is_linux && given->workdir[0] == '/' && !made_at_start(given->workdir))
		err = check_workdir(config, error);
	if (err)
		return err;
	if (given->hostname || !config->hostname) {
		free(config->hostname);
		config->hostname = alloc_copy(given->hostname ? given->hostname : config->id);
	}
	err = set_env(config, given, error);
	if (!err && given->user && config->image)
		err = set_user(config, given->user, error);
	for (size_t i = 0; i < given->disks.count && !err; i++)
		err = choose_disk(config, given->disks.item[i], error);
	struct net_request net = { given->net, given->ip, given->gateway, given->dns, given->mac, &given->ports, config->id };
	if (!err)
		err = net_parse(&config->net, &net, error);
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = wait_check(given->wait, config, error);
	return err ? err : config_open(config, error);
}

/* Everything from the moment there is a directory; it goes away again if the VM never came to be. */
static int run_in(const struct state *state, struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, struct error *error)
{
	bool failed;
	int status = vm_run(vm, config, start_ns, &failed, error);
	/* The name may be another one by now. */
	json_t *now = config_read(vm->dir);
	const char *name = config_string(now, "name");
	/* What went well in the foreground has been seen; who wants to come back to it gives it a name. */
	bool seen = !config->detached && !status && !name[0];
	if (failed || seen || (config->remove && !config->detached))
		vm_remove(state, vm, name, NULL);
	json_decref(now);
	return status;
}

/* The VM is there and its id printed: whatever comes now, it stays. */
static int run_and_wait(const struct state *state, struct vm_dir *vm, const struct vm_config *config, const struct run_options *given,
			uint64_t start_ns, struct error *error)
{
	int status = run_in(state, vm, config, start_ns, error), ended;
	if (status || !given->wait)
		return status;
	/* The lock is the monitor's alone from here, and asked for by a file that we have opened ourselves. */
	vm_close(vm);
	if ((status = vm_open(state, config->id, vm)))
		return error_set(error, status, "VM %s was removed", config->id);
	uint64_t seconds = given->wait_seconds ? given->wait_seconds : !strcmp(given->wait, "listen") ? WAIT_SECONDS : 0;
	status = wait_for(given->wait, vm, seconds, &ended, error);
	/* Whoever waited for the end is who removes. */
	struct vm_info info;
	if (config->remove && (status == -ESRCH || (!status && !strcmp(given->wait, "exit"))) && !vm_info_open(state, config->id, &info)) {
		vm_info_remove(state, &info, NULL);
		vm_info_close(&info);
	}
	return status ? status : ended;
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct run_options *given = opaque;
	struct vm_config config;
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	struct source source = { 0 };
	config_init(&config);
	if (given->name && !vm_name_valid(given->name))
		return error_set(error, -EINVAL, "--name: \"%s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", given->name);
	int status = vm_new_id(config.id, error);
	if (!status)
		status = fill(&config, given, operands, &source, error);
	if (!status)
		status = state_open(&state, true, error);
	if (!status)
		status = launch_create(&state, &config, &vm, error);
	if (!status)
		status = run_and_wait(&state, &vm, &config, given, context->start_ns, error);
	vm_close(&vm);
	state_close(&state);
	config_free(&config);
	if (status < 0 && source.status) {
		log_error("%s", error->text);
		return source.status;
	}
	return status;
}

const struct verb verb_run = {
	.name = "run",
	.operands = "[PROGRAM|IMAGE.lvm [ARG...]]",
	.summary = "Run a program in a virtual machine of its own",
	.text = "PROGRAM is an executable of this machine, static or dynamic, or a script. It is packed together with its\n"
		"interpreter, libraries and the files of its package into an image, which is kept and used again until one of\n"
		"these files changes. IMAGE.lvm is an image made by \"lightvm image build\"; its manifest says what to run, and\n"
		"arguments replace those of the manifest.\n\n"
		"In the foreground standard input, output and error, signals and the exit status are passed through. The exit\n"
		"status is the program's, 128+N if it died of signal N, 127 if there is no such program, 126 if it cannot be executed, and\n"
		"125 if lightvm itself failed. Ctrl-C is the program's, but three of them within two seconds end the VM.\n"
		"A VM in the foreground that has no --name and ends with status 0 leaves nothing behind, as with --rm; of others log, record\n"
		"and crash report stay until \"lightvm rm\".\n\n"
		"With --kernel linux the same image runs on a Linux kernel (made by \"lightvm kernel build\"): several processes, vCPUs and\n"
		"terminals, where KVM runs kernels natively. A kernel with an initial RAM disk of its own, or with disks and no program\n"
		"at all, is started as it is, and its serial port is what the terminal shows.\n\n"
		"With the network kind passt the VM has the address 10.0.2.15, 10.0.2.3 is its name server. What listens on the host's own\n"
		"loopback is not reached, but with --net passt,host, at 10.0.2.2. passt needs no rights; it is started when the program sends\n"
		"its first packet, or at once with -p. A UDP port that is published is reached by the host's own addresses; clients on its\n"
		"loopback get no answers from the passt of 2023 (Debian 12) without --net passt,host.\n"
		"With tap and bridge the VM asks by DHCP, or has the address that --ip gives it.",
	.examples = "lightvm run ./server\n"
		    "lightvm run --rm -v .:/work -w /work /usr/bin/python3 script.py\n"
		    "lightvm run --kernel linux --cpus 2 -it /bin/bash\n"
		    "lightvm run --kernel ./vmlinuz --initrd ./initrd.img --disk debian.img --append 'root=/dev/vda'\n"
		    "lightvm run -d --name web -p 8080:80 /usr/sbin/nginx -g 'daemon off; master_process off;'",
	.options = run_option_table,
	.options_size = sizeof(struct run_options),
	.complete = "file",
	.max = -1,
	.first_ends = true,
	.run = run,
};
