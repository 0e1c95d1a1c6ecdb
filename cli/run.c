/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm run: from words on the command line to one VM, and to its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "node/choose.h"
#include "node/crash_report.h"
#include "cli/foreground.h"
#include "cli/terminal.h"
#include "node/record.h"
#include "tinyx/pack.h"

#define ENV_FILE_MAX (1u << 20)
#define CPUS_MAX 32

struct run_options {
	bool detach, remove, tty, interactive, no_companions;
	const char *name, *kernel, *env_file, *workdir, *user, *hostname, *net, *ip, *gateway, *dns, *mac, *initrd, *append;
	uint64_t memory, cpus;
	struct strings env, ports, volumes, disks;
};

#define AT(field) offsetof(struct run_options, field)
static const struct option_spec options[] = {
	{ "detach", 'd', OPTION_FLAG, AT(detach), NULL, "start in the background and print the id" },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "a name that later commands can use in place of the id", .complete = "none" },
	{ "rm", 0, OPTION_FLAG, AT(remove), NULL, "leave nothing behind when the program has ended" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "the most memory the VM may use, 4M to 64G (default 256M)", .low = 4u << 20, .high = 64ull << 30 },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "set a variable of the program's environment; NAME alone takes the value from here; may be repeated" },
	{ "env-file", 0, OPTION_STRING, AT(env_file), "FILE", "read variables from FILE, one NAME=VALUE a line", .complete = "file" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "working directory in the VM (default /)" },
	{ "user", 'u', OPTION_STRING, AT(user), "UID[:GID]", "user and group of the program in the VM, numbers or names of the image (default 0:0)" },
	{ "hostname", 'h', OPTION_STRING, AT(hostname), "NAME", "host name of the VM (default: its id)" },
	{ "publish", 'p', OPTION_LIST, AT(ports), "[IP:]HOST:GUEST[/udp]", "forward a port of the host to the VM; may be repeated" },
	{ "volume", 'v', OPTION_LIST, AT(volumes), "HOST:/PATH[:ro]", "pack a file or directory of the host into the image at /PATH; may be repeated", .complete = "file" },
	{ "net", 0, OPTION_STRING, AT(net), "KIND", "none, passt (outgoing connections and -p, without any rights; started when the program sends its first packet; passt,host: the host's loopback is reached too, at 10.0.2.2), tap:NAME or bridge:NAME, with ,queues=2 to 4 behind it for a Linux guest of several vCPUs (default: passt)", .words = "none passt passt,host tap: bridge:" },
	{ "ip", 0, OPTION_STRING, AT(ip), "ADDR/BITS", "address of the VM; with tap and bridge the default is DHCP" },
	{ "gateway", 0, OPTION_STRING, AT(gateway), "ADDR", "its default gateway" },
	{ "dns", 0, OPTION_STRING, AT(dns), "ADDR", "its name server" },
	{ "mac", 0, OPTION_STRING, AT(mac), "MAC", "its hardware address (default: made from the id)" },
	{ "disk", 0, OPTION_LIST, AT(disks), "FILE[,ro][,overlay][,serial=S]", "give the VM a block device; may be repeated; on the one with \"overlay\" a Linux guest keeps what the program writes", .complete = "file" },
	{ "kernel", 0, OPTION_STRING, AT(kernel), "KERNEL", "libos, linux (the kernel \"general\"), another one of \"lightvm kernel ls\", or the path of a bzImage or vmlinux (default: auto, libos for images that are known to run there, otherwise linux)", .complete = "kernel" },
	{ "cpus", 0, OPTION_NUMBER, AT(cpus), "N", "Linux guests: number of vCPUs, 1 to 32 (default 1)", .low = 1, .high = CPUS_MAX },
	{ "initrd", 0, OPTION_STRING, AT(initrd), "FILE", "Linux guests: an initial RAM disk in place of ours; the console is a serial port then", .complete = "file" },
	{ "append", 0, OPTION_STRING, AT(append), "TEXT", "Linux guests: more for the kernel's command line", .complete = "none" },
	{ "no-companions", 0, OPTION_FLAG, AT(no_companions), NULL, "pack the program and its libraries only, not the other files of its package" },
	{ "tty", 't', OPTION_FLAG, AT(tty), NULL, "give the program of a Linux guest a terminal of its own, with job control and resizing; the library OS passes a terminal through when there is one" },
	{ "interactive", 'i', OPTION_FLAG, AT(interactive), NULL, "with -d: standard input stays open for \"lightvm console\"; in the foreground it is always passed through" },
	{ 0 },
};

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

/* ---- what to run ---- */

static char *absolute(const char *word, struct error *error)
{
	char cwd[PATH_MAX];
	if (strchr(word, '/') || !access(word, F_OK)) {
		if (!getcwd(cwd, sizeof(cwd)))
			strcpy(cwd, "/");
		/* Without a slash only an image in the working directory is meant; a program is looked for in PATH. */
		if (strchr(word, '/') || text_ends(word, ".lvm"))
			return path_clean(cwd, word);
	}
	char *found = pack_find_program(word);
	if (!found)
		error_set(error, -ENOENT, "there is no program \"%s\" in PATH; give a path, as in ./%s", word, word);
	return found;
}

static const char *timezone_of(const struct run_options *given)
{
	for (size_t i = 0; i < given->env.count; i++)
		if (text_starts(given->env.item[i], "TZ=")) {
			const char *zone = given->env.item[i] + 3;
			return zone[0] == ':' ? zone + 1 : zone;
		}
	return NULL;
}

/* A program of the host: packed, or found in the cache as it was packed before. */
static int use_program(struct vm_config *config, const struct run_options *given, const char *path, const char *typed, struct error *error)
{
	struct packed packed;
	struct pack_request request = { .program = path, .volumes = &given->volumes, .timezone = timezone_of(given),
		.no_companions = given->no_companions };
	int err = pack_cached(&request, &packed, error);
	if (err)
		return err;
	config->image_fd = packed.fd;
	config->image = packed.path;
	config->program = packed.program;
	config->args = packed.args;
	if (!config->args.count)
		strings_add(&config->args, typed);
	config->memory = CONFIG_MEMORY;
	uint64_t limit = given->memory ? given->memory : CONFIG_MEMORY;
	char need[24], have[24];
	if (packed.need > limit)
		return error_set(error, -ENOMEM, "not enough memory for %s: its data take %s, the VM has %s; give more with --memory", path,
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

/* An image: checked as far as it can be at constant cost, and in full the first time this file is seen. */
static int use_image(struct vm_config *config, const struct run_options *given, const char *path, bool *on_libos, struct error *error)
{
	struct image image;
	int err = image_open(&image, path, error);
	if (!err)
		err = verify_once(&image, path, error);
	if (!err && given->volumes.count)
		err = error_set(error, -EINVAL, "-v is packed when an image is made: use it with \"lightvm image build\"");
	if (err) {
		image_close(&image);
		return err;
	}
	struct manifest *manifest = &image.manifest;
	config->image = alloc_copy(path);
	config->image_fd = fcntl(image.fd, F_DUPFD_CLOEXEC, 3);
	config->program = manifest->program ? alloc_copy(manifest->program) : NULL;
	for (size_t i = 0; i < manifest->args.count; i++)
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

/* The user's arguments replace the manifest's defaults, but for argv[0]; without a program in the manifest they name it. */
static int add_arguments(struct vm_config *config, bool is_image, struct operands operands, struct error *error)
{
	if (!config->program) {
		if (operands.argc < 2)
			return error_set(error, -EINVAL, "%s: its manifest names no program; give one: lightvm run %s /PATH ARG...", operands.argv[0],
					 operands.argv[0]);
		config->program = alloc_copy(operands.argv[1]);
	} else if (is_image && operands.argc > 1) {
		char *first = alloc_copy(config->args.count ? config->args.item[0] : config->program);
		strings_free(&config->args);
		strings_take(&config->args, first);
	}
	for (int i = 1; i < operands.argc; i++)
		strings_add(&config->args, operands.argv[i]);
	if (!config->args.count)
		strings_add(&config->args, config->program);
	return 0;
}

static bool path_is_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && image_is(fd);
	if (fd >= 0)
		close(fd);
	return is;
}

/* What to run, and whether it is known to run on the library OS. */
static int find_source(struct vm_config *config, const struct run_options *given, struct operands operands, bool *on_libos, struct error *error)
{
	char *path = absolute(operands.argv[0], error);
	if (!path)
		return -ENOENT;
	bool is_image = text_ends(path, ".lvm") || path_is_image(path);
	*on_libos = true;
	int err = is_image ? use_image(config, given, path, on_libos, error) : use_program(config, given, path, operands.argv[0], error);
	free(path);
	return err ? err : add_arguments(config, is_image, operands, error);
}

static int fill_kernel(struct vm_config *config, const struct run_options *given, struct operands operands, struct error *error)
{
	struct choose choose = { .kernel = given->kernel, .initrd = given->initrd, .append = given->append, .cpus = given->cpus, .bare = !operands.argc };
	int err = choose.bare ? 0 : find_source(config, given, operands, &choose.known_on_libos, error);
	if (!err)
		err = choose_kernel(config, &choose, error);
	if (!err && choose.bare) {
		config->program = alloc_copy(config->guest.kernel);
		config->memory = CONFIG_MEMORY;
	}
	return err;
}

static int fill(struct vm_config *config, const struct run_options *given, struct operands operands, struct error *error)
{
	int err = fill_kernel(config, given, operands, error);
	if (err)
		return err;
	config->name = given->name;
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
	return err ? err : config_validate(config, error);
}

/* ---- running ---- */

/* The library OS kills a program that touches more memory than there is; the program cannot say so itself. */
static bool out_of_memory(const struct lv_status *status)
{
	return status->state == LV_STATE_EXITED && WIFSIGNALED(status->wait_status) && WTERMSIG(status->wait_status) == SIGKILL &&
	       status->ram_limit && status->memory_used > status->ram_limit / 8 * 7;
}

static void report(const struct vm_dir *vm, const struct vm_config *config)
{
	struct lv_status status;
	struct text out = { 0 };
	char used[24], limit[24];
	if (vm_status(vm, &status))
		return;
	for (uint32_t i = 0; i < status.device_count && i < LV_MAX_DEVICES; i++)
		if (status.device[i].needs_reset)
			log_warn("the %s device was stopped, as the guest broke a rule of its rings: %.*s", device_name(status.device[i].type),
				 (int)sizeof(status.device[i].error), status.device[i].error);
	if (status.crashed)
		crash_report(&status, config->image, &out);
	else if (status.state == LV_STATE_EXITED && status.error[0])
		log_error("%.*s", (int)sizeof(status.error), status.error);
	else if (out_of_memory(&status))
		log_error("the VM ran out of memory: it used %s of %s; give more with --memory", size_print(status.memory_used, used, sizeof(used)),
			  size_print(status.ram_limit, limit, sizeof(limit)));
	if (out.size)
		fd_write(STDERR_FILENO, out.data, out.size);
	text_free(&out);
}

static int run_foreground(struct launch *launch, struct vm_dir *vm, const struct vm_config *config, struct error *error)
{
	struct terminal terminal = { 0 };
	int status = config->terminal ? terminal_enter(&terminal) : 0;
	if (status)
		error_set(error, status, "the terminal: %s", strerror(-status));
	else
		status = foreground_wait(launch, error);
	terminal_leave(&terminal);
	report(vm, config);
	return status;
}

static int run_detached(struct launch *launch, struct vm_dir *vm, const struct vm_config *config, struct error *error)
{
	int err = launch_settle(launch, error);
	if (!err) {
		struct text out = { 0 };
		text_format(&out, "%s\n", vm->id);
		err = text_print(&out);
	}
	return err;
}

/* Everything from the moment there is a directory; it goes away again if the VM never came to be. */
static int run_in(const struct state *state, struct vm_dir *vm, struct vm_config *config, const struct context *context, struct error *error)
{
	struct launch launch;
	int err = config_write(config, vm->dir, error);
	if (!err && config->detached && config->remove) {
		int fd = openat(vm->dir, "remove", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		close(fd);
	}
	if (!err)
		err = vm_publish(state, vm, config->name, error);
	if (err) {
		char hidden[32];
		snprintf(hidden, sizeof(hidden), "vms/.%s", vm->id);
		tree_remove(state->dir, hidden);
		return err;
	}
	if (!config->detached)
		foreground_hold_signals();
	int status = launch_start(&launch, config, vm, context->start_ns, error);
	if (!status)
		status = config->detached ? run_detached(&launch, vm, config, error) : run_foreground(&launch, vm, config, error);
	launch_end(&launch);
	bool failed = status < 0 || (!config->detached && status == EXIT_OWN);
	if (failed || (config->remove && !config->detached))
		vm_remove(state, vm, config->name, NULL);
	return status;
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct run_options *given = opaque;
	struct vm_config config;
	struct state state = { .dir = -1 };
	struct vm_dir vm = VM_DIR_NONE;
	config_init(&config);
	if (given->name && !vm_name_valid(given->name))
		return error_set(error, -EINVAL, "--name: \"%s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", given->name);
	int status = vm_new_id(config.id, error);
	if (!status)
		status = fill(&config, given, operands, error);
	if (!status)
		status = state_open(&state, true, error);
	if (!status)
		status = vm_create(&state, config.id, &vm, error);
	if (!status)
		status = run_in(&state, &vm, &config, context, error);
	vm_close(&vm);
	state_close(&state);
	config_free(&config);
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
		"status is the program's, 128+N if it died of signal N, and 125 if lightvm itself failed. Ctrl-C is the\n"
		"program's, but three of them within two seconds end the VM.\n\n"
		"With --kernel linux the same image runs on a Linux kernel (made by \"lightvm kernel build\"): several processes, vCPUs and\n"
		"terminals, where KVM runs kernels natively. A kernel with an initial RAM disk of its own, or with disks and no program\n"
		"at all, is started as it is, and its serial port is what the terminal shows.\n\n"
		"With the network kind passt the VM has the address 10.0.2.15, 10.0.2.3 is its name server. What listens on the host's own\n"
		"loopback is not reached, but with --net passt,host, at 10.0.2.2. passt needs no rights; it is started when the program sends\n"
		"its first packet, or at once with -p. With tap and bridge the VM asks by DHCP, or has the address that --ip gives it.",
	.examples = "lightvm run ./server\n"
		    "lightvm run --rm -v .:/work -w /work /usr/bin/python3 script.py\n"
		    "lightvm run --kernel linux --cpus 2 -it /bin/bash\n"
		    "lightvm run --kernel ./vmlinuz --initrd ./initrd.img --disk debian.img --append 'root=/dev/vda'\n"
		    "lightvm run -d --name web -p 8080:80 /usr/sbin/nginx -g 'daemon off; master_process off;'",
	.options = options,
	.options_size = sizeof(struct run_options),
	.complete = "file",
	.max = -1,
	.first_ends = true,
	.run = run,
};
