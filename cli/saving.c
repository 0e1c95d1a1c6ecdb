/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm save, restore: a VM becomes files, and goes on from them. */
#include "cli/saving.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/run_vm.h"
#include "node/image_list.h"
#include "node/save_pages.h"
#include "node/save_view.h"
#include "node/vm_save.h"
#include "tinyx/plan.h"

/* ---- save ---- */

struct save_options {
	const char *name, *base, *file;
	bool leave_running, compress;
};

#define AT(field) offsetof(struct save_options, field)
static const struct option_spec save_options[] = {
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "what \"lightvm restore\" calls it (default: the name of the VM, or its id); one of that name is replaced; not with DIR or --file", .complete = "none" },
	{ "base", 0, OPTION_STRING, AT(base), "SAVED", "only what changed since SAVED, from which the VM was restored: a name, or a directory, that has to stay", .complete = "checkpoint" },
	{ "file", 0, OPTION_STRING, AT(file), "FILE", "all of it in one file, compressed, or \"-\", standard output; that only with --leave-running" },
	{ "compress", 0, OPTION_FLAG, AT(compress), NULL, "compress its memory (zstd): less on disk, and a restore that decompresses all of it first" },
	{ "leave-running", 'R', OPTION_FLAG, AT(leave_running), NULL, "the VM goes on after it" },
	{ 0 },
};
#undef AT

struct saving {
	const struct save_options *given;
	const char *path, *base; /* NULL: none was named */
};

static int save_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct saving *saving = context;
	const struct save_wish wish = { .path = saving->path, .name = saving->given->name, .base = saving->base, .leave_running = saving->given->leave_running,
		.compress = saving->given->compress, .one = saving->given->file && saving->path, .stream = saving->given->file && !saving->path, .out = STDOUT_FILENO };
	const char *note = wish.leave_running ? NULL : vm_save_note(info);
	char *path;
	if (wish.stream) /* a reader that goes is an error as others are, after which nothing stays behind */
		signal(SIGPIPE, SIG_IGN);
	int err = vm_save(info, &wish, &path, error);
	if (!err && path) {
		struct text out = { 0 };
		text_format(&out, "%s\n", path);
		err = text_print(&out) ? -EIO : 0;
	}
	if (!err && note && isatty(STDERR_FILENO))
		log_warn("VM %s: %s", info->dir.id, note);
	free(path);
	return err;
}

/* Docker's "save" is about images. */
static bool is_image(const char *word)
{
	char *path = text_ends(word, ".lvm") ? alloc_copy(word) : strlen(word) > STATE_ID ? image_cached_path(word, NULL) : strpbrk(word, ":/") ? image_named_path(word) : NULL; /* no VM is called so */
	bool is = path != NULL;
	free(path);
	return is;
}

static int not_an_image(const char *word, struct error *error)
{
	return error_set(error, -EINVAL, "%s is an image: \"lightvm save\" is for VMs that run; for images it is: lightvm image save -o FILE %s", word, word);
}

/* A word that is an image's name, and no VM's. */
static bool only_an_image(const char *word)
{
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	bool is_vm = !state_open(&state, false, NULL) && !vm_find(&state, word, &vm, NULL);
	char *path = is_vm ? NULL : image_named_path(word);
	bool only = path;
	vm_close(&vm);
	state_close(&state);
	free(path);
	return only;
}

static int check_file(const struct save_options *given, const char *place, struct error *error)
{
	const char *file = given->file;
	if (!file)
		return 0;
	if (place || given->name)
		return error_set(error, -EINVAL, "--file %s is where it goes; %s would be another place", file, place ? place : "--name");
	if (given->base)
		return error_set(error, -EINVAL, "--file %s holds all of it, --base only what changed: leave one out", file);
	if (!*file)
		return error_set(error, -EINVAL, "--file: the file has no name");
	if (strcmp(file, "-"))
		return 0;
	if (!given->leave_running)
		return error_set(error, -EINVAL, "--file -: whether it arrives is not known here: only with --leave-running");
	return isatty(STDOUT_FILENO) ? error_set(error, -EINVAL, "--file -: standard output is a terminal; a saved VM is for a file or a pipe") : 0;
}

static int save(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct saving saving = { .given = options };
	const char *place = operands.argc > 1 ? operands.argv[1] : NULL;
	if (place && saving.given->name)
		return error_set(error, -EINVAL, "--name is for what is saved in the usual place; %s names its own", place);
	if (place && !*place)
		return error_set(error, -EINVAL, "the directory to save to has no name; \".\" is this one");
	int err = check_file(saving.given, place, error);
	if (err)
		return err;
	if (saving.given->file)
		place = strcmp(saving.given->file, "-") ? saving.given->file : NULL;
	if (is_image(operands.argv[0]) || only_an_image(operands.argv[0]))
		return not_an_image(operands.argv[0], error);
	char cwd[4096], *path = place ? path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", place) : NULL;
	char *base = saving.given->base ? save_find_kept(saving.given->base, error) : NULL;
	saving.path = path;
	saving.base = base;
	operands.argc = 1;
	int status = saving.given->base && !base ? error->code : vm_for_each(operands, save_one, &saving);
	free(path);
	free(base);
	return status;
}

const struct verb verb_save = {
	.name = "save",
	.no_guess = true,
	.operands = "VM [DIR]",
	.summary = "Save a running virtual machine to files, from which it goes on later",
	.text = "Memory, devices and processor are written to DIR, which must not be there, be empty or hold a VM that was saved before; it is replaced as a whole,\n"
		"and what was there stays until the new one is. Without DIR they go to the user's own place, under the name of the VM. The VM ends and is\n"
		"listed as saved, unless it is to go on (--leave-running). Whatever goes wrong, and if this command is killed: the VM goes on.\n"
		"The directory, or file, is printed. It holds all that was in the VM's memory, passwords and keys too: only its owner can read it.\n\n"
		"With --base only what changed since the VM was restored is written, which is little and quick; what it was restored from has to stay as it is,\n"
		"and where it is. Up to eight may be based on one another.\n\n"
		"With --compress its memory lies in one file, memory.zst, which \"zstd -d\" reads, too; a restore decompresses it, and finds out whether it is damaged, before anything\n"
		"is started. It can be no base.\n\n"
		"With --file all of it is in one file, compressed likewise: \"lightvm restore FILE\" has it go on, \"lightvm inspect FILE\" prints what it is. \"--file -\" writes that to standard\n"
		"output, and \"lightvm restore -\" reads it from standard input.\n\n"
		"Connections of a VM behind passt end with it; on a tap or a bridge they go on, if it comes back soon enough.",
	.examples = "lightvm save web\nlightvm restore web\nlightvm save --leave-running db /backup/db\nlightvm save --base web --name web-monday web\nlightvm save --compress web /backup/web\nlightvm save --file web.saved web\nlightvm save -R --file - web | ssh big lightvm restore -",
	.options = save_options,
	.options_size = sizeof(struct save_options),
	.complete = "vm",
	.min = 1,
	.max = 2,
	.run = save,
};

/* ---- restore ---- */

/* It goes on whatever comes of this. */
static void see_pages(const struct state *state, const struct save *save, const char *id)
{
	struct vm_dir vm = VM_DIR_NONE;
	struct error error = { 0 };
	poll(NULL, 0, SAVE_PAGES_SEEN_MS);
	int err = vm_open(state, id, &vm);
	if (!err)
		err = save_pages_learn(save, vm.dir, &error);
	vm_close(&vm);
	if (err)
		log_warn("--prefetch: which pages VM %s writes first was not written down: %s", id, error.text[0] ? error.text : strerror(-err));
}

int restore_word(const struct context *context, const char *word, const struct restore_wish *wish, bool prefetch, struct error *error)
{
	struct state state = STATE_NONE;
	struct save save = SAVE_NONE;
	char id[STATE_ID + 1] = "";
	int status = 0, err = wish->name && !vm_name_valid(wish->name) ?
		error_set(error, -EINVAL, "--name: \"%s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", wish->name) : state_open(&state, true, error);
	const bool stream = !strcmp(word, "-");
	char *path = err || stream ? NULL : save_find(&state, word, error);
	if (!err && !path && !stream)
		err = error->code;
	if (!err && stream && wish->attached)
		err = error_set(error, -EINVAL, "-: standard input cannot be the program's, too, when the VM comes from it; restore it in the background");
	if (!err)
		err = stream ? save_open_stream(&save, STDIN_FILENO, error) : save_open(&save, path, error);
	if (!err && prefetch && save.one)
		err = error_set(error, -EOPNOTSUPP, "--prefetch: %s is one file, beside which nothing is written down; all pages can be there before it runs (--prefetch-all)", save.path);
	if (!err && prefetch && save.manifest.guest == LV_GUEST_LINUX)
		err = error_set(error, -EOPNOTSUPP, "--prefetch: %s is a Linux guest, of which only all pages can be there before it runs (--prefetch-all)", save.path);
	if (!err)
		err = vm_restore(&state, &save, wish, context->start_ns, vm_run, id, &status, error);
	if (!err && !status && prefetch && save.pages < 0)
		see_pages(&state, &save, id);
	free(path);
	save_close(&save);
	state_close(&state);
	return err ? err : status;
}

struct restore_options {
	const char *name, *net, *ip, *ip6, *gateway, *gateway6, *dns, *mac, *hostname;
	bool detach, attach, interactive, tty, remove, advance, paused, prefetch, whole;
	struct strings ports;
};

#define AT(field) offsetof(struct restore_options, field)
static const struct option_spec restore_options[] = {
	{ "attach", 'a', OPTION_FLAG, AT(attach), NULL, "stay in the foreground, as \"lightvm run\" does" },
	{ "detach", 'd', OPTION_FLAG, AT(detach), NULL, "in the background; this is the default" },
	{ "interactive", 'i', OPTION_FLAG, AT(interactive), NULL, "standard input stays open for \"lightvm console\"; with -a it is always passed through" },
	{ "tty", 't', OPTION_FLAG, AT(tty), NULL, "with -i, as -a: on a terminal" },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "another name; a VM that still runs gets a second one of it beside it", .complete = "none" },
	{ "rm", 0, OPTION_FLAG, AT(remove), NULL, "leave nothing behind when the program has ended; the saved files stay" },
	{ "hostname", 'h', OPTION_STRING, AT(hostname), "NAME", "another host name", .complete = "none" },
	{ "publish", 'p', OPTION_LIST, AT(ports), "[IP:]HOST[:GUEST][/udp]", "other ports of the host than those that were forwarded; may be repeated" },
	{ "net", 0, OPTION_STRING, AT(net), "KIND", "another end of its network: tap:NAME or bridge:NAME; passt for one that had passt", .words = "passt passt,host tap: bridge:" },
	{ "network", 0, OPTION_STRING, AT(net), "KIND", "as --net", .words = "passt passt,host tap: bridge:" },
	{ "ip", 0, OPTION_STRING, AT(ip), "ADDR[/BITS]", "another address; its connections are reset then" },
	{ "gateway", 0, OPTION_STRING, AT(gateway), "ADDR", "another default gateway" },
	{ "ip6", 0, OPTION_STRING, AT(ip6), "ADDR[/64]", "another IPv6 address; its connections are reset then", .complete = "none" },
	{ "gateway6", 0, OPTION_STRING, AT(gateway6), "ADDR", "another default gateway of IPv6", .complete = "none" },
	{ "dns", 0, OPTION_STRING, AT(dns), "ADDR", "another name server" },
	{ "mac", 0, OPTION_STRING, AT(mac), "MAC", "another hardware address" },
	{ "advance", 0, OPTION_FLAG, AT(advance), NULL, "its monotonic clock goes on as if it had stood still in a pause, not as if no time had passed since the save" },
	{ "paused", 0, OPTION_FLAG, AT(paused), NULL, "it waits for \"lightvm resume\"" },
	{ "prefetch-all", 0, OPTION_FLAG, AT(whole), NULL, "all of its memory is copied before it runs, in place of one page at a time: quicker for a program that uses most of it" },
	{ "prefetch", 0, OPTION_FLAG, AT(prefetch), NULL, "write down beside the saved files which pages it writes within its first second, unless that is known already: from then on every VM that is restored from them gets these at once" },
	{ 0 },
};
#undef AT

static int restore(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct restore_options *given = options;
	const struct restore_wish wish = { .name = given->name, .hostname = given->hostname, .net = { given->net, given->ip, given->gateway, given->dns, given->mac, &given->ports, NULL, given->ip6, given->gateway6 },
		.attached = given->attach || (given->interactive && given->tty), .keeps_stdin = given->interactive, .remove = given->remove,
		.advance = given->advance, .paused = given->paused, .whole = given->whole };
	if (given->detach && wish.attached)
		return error_set(error, -EINVAL, "-d is the background, and -a or -it the foreground: leave one out");
	if (given->tty && !given->interactive)
		return error_set(error, -EINVAL, "-t: the program has the terminal, or none, that it was started with; -it stays in the foreground");
	if (given->prefetch && (wish.attached || wish.paused))
		return error_set(error, -EINVAL, "--prefetch: which pages it writes first is seen while it runs in the background, so not with %s; what is known from then on is used with it, too",
				 wish.paused ? "--paused" : "-a");
	return restore_word(context, operands.argv[0], &wish, given->prefetch, error);
}

const struct verb verb_restore = {
	.name = "restore",
	.no_guess = true,
	.operands = "VM|NAME|DIR|FILE|-",
	.summary = "Have a saved virtual machine go on",
	.text = "The program goes on where it was, with its files, memory and timers; it starts in the background and its id is printed. Memory is read when it is touched\n"
		"first. It is the VM that it was, with id, name, log and addresses; where that one still runs, --name makes a second one beside it, with an identity\n"
		"of its own. Image, library OS or kernel have to be those that it had, and the processor to have what that one had: what is not as it was is\n"
		"said before anything is started. The saved files stay, and can be used again, but if the VM has written to a disk since.\n"
		"Network devices and published ports are made anew; connections are kept only on a tap or a bridge, under the same address.\n\n"
		"\"-\" is standard input, as \"lightvm save --file -\" writes it: all of it is taken into memory before anything is started, and the VM goes on in the background.",
	.examples = "lightvm restore web\nlightvm restore -p 8081:80 --name web2 /backup/web\nlightvm restore web.saved\nssh small lightvm save -R --file - web | lightvm restore -",
	.options = restore_options,
	.options_size = sizeof(struct restore_options),
	.complete = "checkpoint",
	.min = 1,
	.max = 1,
	.run = restore,
};

/* ---- run --restore ---- */

/* What the saved VM has said; NULL: nothing of it was given. */
static const char *said_already(const struct run_options *given)
{
	const struct { bool is; const char *option; } said[] = {
		{ given->memory, "--memory" }, { given->kernel, "--kernel" }, { given->env.count || given->env_file, "--env" }, { given->workdir, "--workdir" },
		{ given->user, "--user" }, { given->entrypoint, "--entrypoint" }, { given->volumes.count, "--volume" }, { given->mounts.count, "--mount" },
		{ given->tmpfs.count, "--tmpfs" }, { given->read_only, "--read-only" }, { given->disks.count, "--disk" }, { given->cpus, "--cpus" },
		{ given->initrd, "--initrd" }, { given->append, "--append" }, { given->labels.count || given->label_file, "--label" }, { given->restart, "--restart" },
		{ given->no_companions, "--no-companions" }, { given->packages.count, "--package" }, { given->rules, "--rules" }, { given->wait, "--wait" }, { given->cid_file, "--cidfile" }, { given->pid_file, "--pid-file" },
		{ given->template_at, "--template-at" },
	};
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
		if (said[i].is)
			return said[i].option;
	return NULL;
}

int restore_by_run(const struct context *context, const struct run_options *given, struct operands operands, struct error *error)
{
	const char *option = said_already(given);
	const struct restore_wish wish = { .name = given->name, .hostname = given->hostname, .net = { given->net, given->ip, given->gateway, given->dns, given->mac, &given->ports, NULL, given->ip6, given->gateway6 },
		.attached = !given->detach, .keeps_stdin = given->detach && given->interactive, .remove = given->remove };
	if (operands.argc)
		return error_set(error, -EINVAL, "--restore: what goes on is the program that was saved; \"%s\" is one program too many", operands.argv[0]);
	if (option)
		return error_set(error, -EINVAL, "%s does not go with --restore: the VM goes on with what it had", option);
	return restore_word(context, given->restore, &wish, false, error);
}
