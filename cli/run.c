/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm run: from words on the command line to one VM, and to its exit status. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/all_verbs.h"
#include "cli/run_config.h"
#include "cli/run_vm.h"
#include "cli/saving.h"
#include "cli/wait.h"
#include "node/vm_info.h"
#include "node/vm_policy.h"
#include "node/vm_row.h"
#include "node/vm_template.h"

/* Everything from the moment there is a directory; it goes away again if the VM never came to be. */
static int run_in(const struct state *state, struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, struct error *error)
{
	bool failed;
	int status = vm_run(vm, config, start_ns, &failed, error);
	/* The name may be another one by now. */
	struct vm_row row;
	bool has_row = !vm_row_read_in(vm->dir, &row);
	json_t *now = has_row ? NULL : config_read(vm->dir);
	const char *name = has_row ? row.name : now ? config_string(now, "name") : config->name ? config->name : "";
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
	if (config->remove && (status == -ESRCH || (!status && !strcmp(given->wait, "exit")))) {
		if (!vm_info_open(state, config->id, &info) && vm_is_litter(&info)) /* and not restarted meanwhile */
			vm_info_remove(state, &info, NULL);
		vm_info_close(&info);
	}
	return status ? status : ended;
}

/* The file that gets the id, which must not be there: another VM's would be lost. -1: none is asked for. */
static int cid_file(const struct run_options *given, struct error *error)
{
	int fd = given->cid_file ? open(given->cid_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
	if (fd >= 0 || !given->cid_file)
		return fd;
	if (errno == EEXIST)
		return error_set(error, -EEXIST, "--cidfile %s is there already; remove it, or name another one", given->cid_file);
	return error_set(error, -errno, "--cidfile %s: %s", given->cid_file, strerror(errno));
}

/* Its directory, visible under its name, and the id where it was asked for. */
static int create(const struct state *state, const struct vm_config *config, const struct run_options *given, struct vm_dir *vm, struct error *error)
{
	int fd = cid_file(given, error), err = fd < 0 && given->cid_file ? fd : launch_create(state, config, vm, error);
	if (!err && fd >= 0 && (err = fd_write(fd, config->id, STATE_ID))) {
		error_set(error, err, "--cidfile %s: %s", given->cid_file, strerror(-err));
		vm_remove(state, vm, config->name, NULL);
	}
	if (fd >= 0 && err)
		unlink(given->cid_file);
	if (fd >= 0)
		close(fd);
	return err;
}

static int start(const struct state *state, struct vm_dir *vm, const struct vm_config *config, const struct run_options *given, uint64_t start_ns,
		 struct error *error)
{
	int status = run_and_wait(state, vm, config, given, start_ns, error);
	if (status < 0 && given->cid_file && faccessat(vm->dir, "config.json", F_OK, 0))
		unlink(given->cid_file); /* nothing is left of it */
	return status;
}

/* It waits for "lightvm start". */
static int leave(const struct state *state, struct vm_dir *vm, const struct vm_config *config, const struct run_options *given, uint64_t start_ns,
		 struct error *error)
{
	struct text out = { 0 };
	int err = vm_mark_created(vm, error);
	if (!err)
		err = policy_stop(vm->id, error); /* no policy starts what no user has started */
	if (err) {
		vm_remove(state, vm, config->name, NULL);
		return err;
	}
	text_format(&out, "%s\n", vm->id);
	return text_print(&out);
}

static int make(const struct context *context, struct run_options *given, struct operands operands,
		int (*then)(const struct state *state, struct vm_dir *vm, const struct vm_config *config, const struct run_options *given,
			    uint64_t start_ns, struct error *error),
		struct error *error)
{
	struct vm_config config;
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	struct source source = { 0 };
	struct template_wish template = { 0 };
	config_init(&config);
	if (given->name && !vm_name_valid(given->name))
		return error_set(error, -EINVAL, "--name: \"%s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", given->name);
	int status = vm_new_id(config.id, error);
	if (!status)
		status = run_config(&config, given, operands, &source, &template, error);
	if (!status)
		status = template_use(&config, &template, context->start_ns, error);
	template_wish_free(&template);
	if (!status)
		status = state_open(&state, true, error);
	if (!status)
		status = create(&state, &config, given, &vm, error);
	if (!status)
		status = then(&state, &vm, &config, given, context->start_ns, error);
	vm_close(&vm);
	state_close(&state);
	config_free(&config);
	source_facts_free(&source.facts);
	if (status < 0 && source.status) {
		log_error("%s", error->text);
		return source.status;
	}
	return status;
}

static int run(const struct context *context, void *given, struct operands operands, struct error *error)
{
	const struct run_options *options = given;
	return options->restore ? restore_by_run(context, options, operands, error) : make(context, given, operands, start, error);
}

/* ---- create ---- */

static int create_run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct run_options *given = opaque;
	if (given->restore)
		return error_set(error, -EINVAL, "--restore is for what goes on at once: lightvm restore --paused");
	if (given->template_at)
		return error_set(error, -EINVAL, "--template-at is for what runs at once: lightvm run");
	if (given->wait)
		return error_set(error, -EINVAL, "--wait is for what starts at once: lightvm run -d --wait");
	given->detach = true;
	return make(context, given, operands, leave, error);
}

const struct verb verb_create = {
	.name = "create",
	.operands = "[PROGRAM|IMAGE.lvm [ARG...]]",
	.summary = "Prepare a virtual machine that \"lightvm start\" starts",
	.text = "Takes what \"lightvm run\" does, finds or packs the image, checks everything, and prints the id. Nothing runs; \"lightvm ps -a\"\n"
		"shows it as created.",
	.examples = "lightvm create --name db -m 512M postgres.lvm\nlightvm start db",
	.options = run_option_table,
	.options_size = sizeof(struct run_options),
	.complete = "file",
	.max = -1,
	.first_ends = true,
	.run = create_run,
};

/* ---- run ---- */

const struct verb verb_run = {
	.name = "run",
	.operands = "[PROGRAM|IMAGE.lvm [ARG...]]",
	.summary = "Run a program in a virtual machine of its own",
	.text = "PROGRAM is an executable of this machine, static or dynamic, or a script. It is packed together with its\n"
		"interpreter, libraries and the files of its package into an image, which is kept and used again until one of\n"
		"these files changes. IMAGE.lvm is an image made by \"lightvm image build\"; its manifest says what to run, and\n"
		"arguments replace those of the manifest. oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE and what skopeo brings, as\n"
		"docker://NAME, are container images; each is made into an image once, and arguments replace its command.\n\n"
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
		"its first packet, or at once with -p. With tap and bridge the VM asks by DHCP, or has the address that\n"
		"--ip gives it.",
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
