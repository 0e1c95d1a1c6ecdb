/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm cp: files and directories between the host and a Linux guest that runs. The guest is hostile: see base/tree.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/tree.h"
#include "cli/all_verbs.h"
#include "node/vm_copy.h"

#define HOST_MODES 0777 /* what a guest marks setuid is not so here; less the umask */

struct cp_options {
	uint64_t max_size;
};

static const struct option_spec cp_options[] = {
	{ "max-size", 0, OPTION_SIZE, offsetof(struct cp_options, max_size), "SIZE",
	  "copy no more than this from a VM (default: half of what is free there)", .low = 1, .high = INT64_MAX },
	{ 0 },
};

struct place { /* one side of the copy */
	char *vm;   /* NULL: on the host */
	char *path; /* absolute in a VM */
	bool stream; /* "-" of the host: a tar archive, on standard input or output */
	bool inside; /* "PATH/.": what is in the directory, not the directory */
};

/* ---- places ---- */

static void strip_slashes(char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		path[--len] = 0;
}

/* VM:PATH, or a path of the host: one with a slash before its first colon is the latter. */
static void place_parse(struct place *place, const char *word)
{
	size_t len = strcspn(word, ":/");
	*place = (struct place){ 0 };
	if (word[len] == ':' && len) {
		place->vm = alloc_format("%.*s", (int)len, word);
		word += len + 1;
	}
	place->path = alloc_format("%s%s", place->vm && *word != '/' ? "/" : "", word);
	place->stream = !place->vm && !strcmp(word, "-");
	if (text_ends(place->path, "/.")) {
		place->inside = true;
		place->path[strlen(place->path) - 1] = 0;
		strip_slashes(place->path);
	}
}

static void place_free(struct place *place)
{
	free(place->vm);
	free(place->path);
}

/* What a copy of `from` is called in a directory; "" when it has no name of its own. The caller's. */
static char *name_of(const struct place *from)
{
	return from->inside ? alloc_copy("") : vm_copy_name(from->path);
}

/* The directory that takes the copy, open, and what it is called there (the caller's). */
static int open_target(const struct place *to, const char *given, char **name, struct error *error)
{
	struct stat st;
	bool is_dir = !stat(to->path, &st) && S_ISDIR(st.st_mode) && *given;
	size_t len = strlen(to->path);
	char *copy = alloc_copy(to->path);
	if (!is_dir && len && to->path[len - 1] == '/' && stat(to->path, &st)) {
		free(copy);
		return error_set(error, -errno, "%s: %s", to->path, strerror(errno));
	}
	strip_slashes(copy);
	*name = alloc_copy(is_dir ? given : basename(copy));
	free(copy);
	copy = alloc_copy(to->path);
	const char *dir = is_dir ? to->path : dirname(copy);
	int fd = **name && strcmp(*name, "/") && strcmp(*name, ".") && strcmp(*name, "..") ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0)
		fd = error_set(error, errno ? -errno : -EINVAL, "%s: %s", dir, errno ? strerror(errno) : "give the copy a name");
	free(copy);
	return fd;
}

/* ---- copying ---- */

struct notes {
	unsigned count;
};

static void on_note(void *context, const char *text)
{
	struct notes *notes = context;
	notes->count++;
	log_warn("%s", text);
}

static mode_t own_umask(void)
{
	mode_t mask = umask(077);
	umask(mask);
	return mask;
}

/* A guest may announce any amount: what it sends must leave room on the host. There are file systems that know no size. */
static uint64_t half_of_free(int dir)
{
	struct statvfs fs;
	return fstatvfs(dir, &fs) || !fs.f_blocks ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize / 2 + 1;
}

/* And any number of empty files. 0: a file system that makes room for as many as come. */
static uint64_t half_of_files(int dir)
{
	struct statvfs fs;
	return fstatvfs(dir, &fs) ? 0 : (fs.f_favail + 1) / 2;
}

static int left_out(const struct notes *notes, struct error *error)
{
	return notes->count ? error_set(error, -EIO, "%u files were left out, or not copied whole", notes->count) : 0;
}

static int pull(int fd, const struct place *from, const struct place *to, uint64_t max_size, struct error *error)
{
	struct notes notes = { 0 };
	struct tree_report report = { .note = on_note, .context = &notes };
	char *given = name_of(from), *name = NULL;
	int dir = open_target(to, given, &name, error), err = dir < 0 ? dir : 0;
	if (!err) {
		uint64_t half = half_of_free(dir);
		report.limit = max_size ? max_size : half;
		report.room = max_size > half ? max_size : half;
		report.most = half_of_files(dir);
		err = tree_receive(fd, dir, name, HOST_MODES & ~own_umask(), &report);
	}
	if (err && dir >= 0)
		error_set(error, err, "%s%s", report.error, err == -E2BIG ? ", which is half of what there is room for"
			  : err == -EFBIG && !max_size ? ", which is half of what is free; see --max-size" : "");
	if (!err)
		err = left_out(&notes, error);
	if (dir >= 0)
		close(dir);
	free(given);
	free(name);
	return err;
}

/* As an archive, in either direction. */
static int pass_archive(int fd, const struct place *from, uint64_t max_size, struct error *error)
{
	const struct vm_copy_limits limits = { .bytes = max_size ? max_size : INT64_MAX, .files = INT64_MAX };
	struct vm_copied copied = { 0 };
	struct notes notes = { 0 };
	char *name = from->vm ? name_of(from) : NULL;
	int err = !from->vm ? vm_copy_from_tar(STDIN_FILENO, fd, &copied, error)
		: name ? vm_copy_to_tar(fd, name, limits, STDOUT_FILENO, &copied, error) : error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < copied.left_out.count; i++)
		on_note(&notes, copied.left_out.item[i]);
	vm_copied_free(&copied);
	free(name);
	return err ? err : left_out(&notes, error);
}

static int push(int fd, const struct place *from, struct error *error)
{
	struct notes notes = { 0 };
	struct tree_report report = { .note = on_note, .context = &notes };
	int err = vm_copy_pushed(fd, tree_send(fd, AT_FDCWD, from->path, &report), report.error, error);
	return err ? err : left_out(&notes, error);
}

/* A connection to the guest on which the copy comes, or goes. */
static int ask(const struct vm_info *info, const struct place *from, const struct place *to, struct error *error)
{
	struct stat st;
	if (from->vm)
		return vm_copy_pull(info, from->path, error);
	if (from->stream)
		return vm_copy_push(info, to->path, "", error);
	if (stat(from->path, &st))
		return error_set(error, -errno, "%s: %s", from->path, strerror(errno));
	char *name = name_of(from);
	int fd = name ? vm_copy_push(info, to->path, name, error) : error_set(error, -ENOMEM, "out of memory");
	free(name);
	return fd;
}

static int copy(const struct place *from, const struct place *to, uint64_t max_size, struct error *error)
{
	const char *vm = from->vm ? from->vm : to->vm;
	struct state state;
	struct vm_info info = { .dir = VM_DIR_NONE };
	int err = state_open(&state, false, error), fd = -1;
	if (err == -ENOENT)
		error_set(error, err, "there is no VM \"%s\"; \"lightvm ps -a\" lists them", vm);
	if (!err)
		err = vm_info_find(&state, vm, &info, error);
	if (!err && (fd = ask(&info, from, to, error)) < 0)
		err = fd;
	if (!err && (from->stream || to->stream))
		err = pass_archive(fd, from, max_size, error);
	else if (!err)
		err = from->vm ? pull(fd, from, to, max_size, error) : push(fd, from, error);
	if (fd >= 0)
		close(fd);
	vm_info_close(&info);
	state_close(&state);
	return err;
}

static int cp(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct cp_options *given = options;
	struct place from, to;
	int err;
	place_parse(&from, operands.argv[0]);
	place_parse(&to, operands.argv[1]);
	if (!from.vm == !to.vm)
		err = error_set(error, -EINVAL, from.vm ? "\"%s\" and \"%s\" are both in VMs: copy by way of the host"
			: "neither \"%s\" nor \"%s\" is in a VM: one of them is VM:/PATH", operands.argv[0], operands.argv[1]);
	else if (!*from.path || !*to.path)
		err = error_set(error, -EINVAL, "a path is empty");
	else if (to.stream && isatty(STDOUT_FILENO)) /* which would act on a guest's bytes */
		err = error_set(error, -EINVAL, "standard output is a terminal; give a path, or lead the archive elsewhere");
	else
		err = copy(&from, &to, given->max_size, error);
	place_free(&from);
	place_free(&to);
	return err;
}

const struct verb verb_cp = {
	.name = "cp",
	.operands = "VM:/PATH HOSTPATH|- | HOSTPATH|- VM:/PATH",
	.summary = "Copy files between the host and a virtual machine that runs",
	.text = "Copies a file, or a directory with all that is in it. If the target is a directory the copy is made in it, under its own\n"
		"name; DIR/. as the source means what is in DIR. Modes (on the host without those of your umask) and times are kept, owners are\n"
		"not: in the VM the copy is root's, on the host yours. A file takes the place of another one when it is whole. Symbolic links within a directory are copied as links, hard links as\n"
		"files of their own. What cannot be read, devices, sockets and what lies deeper than 128 directories is left out, with a\n"
		"warning for each and exit status 125.\n\n"
		"With - in place of HOSTPATH the copy is a tar archive: on standard output, if that is no terminal, or from standard input into the directory /PATH.\n\n"
		"What comes from a VM is never written outside of the target, whatever the VM does. A paused VM has to go on first.",
	.examples = "lightvm cp web:/var/log/nginx ./logs\n"
		    "lightvm cp site/. web:/srv\n"
		    "lightvm cp web:/etc - | tar tv",
	.options = cp_options,
	.options_size = sizeof(struct cp_options),
	.complete = "file",
	.min = 2,
	.max = 2,
	.run = cp,
};
