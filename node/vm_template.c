/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/clock.h"
#include "base/file.h"
#include "node/config_open.h"
#include "node/cpu_words.h"
#include "tinyx/file_digest.h"
#include "node/kept.h"
#include "node/launch.h"
#include "node/libos_build.h"
#include "node/save_dir.h"
#include "node/save_files.h"
#include "node/shared_random.h"
#include "node/vm_end.h"
#include "node/vm_info.h"
#include "node/vm_save.h"
#include "node/vm_wait.h"
#include "tinyx/image_file.h"

#define KEY 24 /* digits of the digest that make the name */
#define READY_MS 120000 /* for a program that is to read /dev/template or to listen */
#define LOCK_MS 180000  /* another command makes one */
#define MAKING ".making" /* beside those that there are: the id of the VM that is to become one. Whoever made it was killed, if it is there and nobody holds the lock */

struct making {
	const struct vm_config *config; /* that was asked for */
	const struct template_wish *wish;
	struct image image;
	uint64_t start_ns;
};

/* ---- what the template is started as ---- */

/* What the user gives is for copies, which are given it when they are made; but a program that does not ask for it has it from its start. */
static int start_env(const struct making *making, struct vm_config *start)
{
	static const char *const always[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root" };
	const struct strings *image = &making->image.manifest.env;
	if (making->wish->at != TEMPLATE_CALL)
		return 0;
	strings_free(&start->env);
	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		config_env(start, always[i]);
	for (size_t i = 0; i < image->count; i++)
		config_env(start, image->item[i]);
	return strings_error(&start->env);
}

static int start_args(const struct making *making, struct vm_config *start, struct error *error)
{
	const struct vm_config *config = making->config;
	struct erofs_inode inode;
	struct strings args = { 0 };
	if (making->wish->at != TEMPLATE_CALL)
		return 0;
	strings_add(&args, config->args.item[0]);
	const char *file = template_start_args(making->wish, config->program, &args);
	strings_free(&start->args);
	start->args = args;
	free(start->cwd);
	start->cwd = alloc_copy("/");
	if (strings_error(&args) || !start->cwd)
		return -ENOMEM;
	if (!file || !erofs_walk(&making->image.fs, file, &inode))
		return 0;
	return error_set(error, -ENOENT, "the image %s has no %s, which makes a template of %s; \"lightvm run\" adds it to what it packs, and \"lightvm image build\" does with -v",
			 config->image, file, config->program);
}

/* The other end of a device is not what a template is made of; that there is one, is. */
static void start_net(const struct vm_config *config, struct vm_config *start)
{
	net_free(&start->net);
	if (config->net.kind == NET_NONE)
		return;
	struct error none;
	const struct net_request request = { .net = "passt", .id = start->id };
	net_parse(&start->net, &request, &none);
}

/* start is as config_init left it. */
static int make_start(const struct making *making, struct vm_config *start, struct error *error)
{
	const struct vm_config *config = making->config;
	json_t *json = config_to_json(config);
	int err = json ? config_from_json(start, json, error) : -ENOMEM;
	json_decref(json);
	if (!err)
		err = vm_new_id(start->id, error);
	if (err)
		return err;
	start->created_ns = clock_wall();
	start->detached = true;
	start->remove = true;
	start->keeps_stdin = false;
	start->restart = (struct config_restart){ 0 };
	strings_free(&start->labels);
	free(start->name);
	free(start->pid_file);
	free(start->hostname);
	start->name = start->pid_file = NULL;
	start->hostname = alloc_copy(start->id);
	start_net(config, start);
	err = start_env(making, start);
	if (!err)
		err = start_args(making, start, error);
	if (!err && !start->hostname)
		err = -ENOMEM;
	return err && !error->code ? error_set(error, err, "%s", strerror(-err)) : err;
}

/* ---- its name ---- */

static void put(struct text *text, const char *word)
{
	text_format(text, "%zu:", strlen(word));
	text_put(text, word);
}

static void put_all(struct text *text, const struct strings *words)
{
	text_format(text, "%zu;", words->count);
	for (size_t i = 0; i < words->count; i++)
		put(text, words->item[i]);
}

/* What a host name and a variable that says it change from one to the next is not what the program was started for. */
static void put_env(struct text *text, const struct strings *env)
{
	for (size_t i = 0; i < env->count; i++)
		if (!text_starts(env->item[i], "HOSTNAME="))
			put(text, env->item[i]);
}

/* All on which it depends how a program has started. */
static int name_of(const struct making *making, const struct vm_config *start, char name[sizeof(TEMPLATE_PREFIX) + KEY], struct error *error)
{
	struct text text = { 0 };
	uint8_t build[LV_BUILD_ID];
	char hex[2 * LV_BUILD_ID + 1], digest[FILE_DIGEST_HEX + 1];
	const struct template_wish *wish = making->wish;
	int err = libos_build_here(build, error);
	if (err)
		return err;
	hex_print(build, sizeof(build), hex);
	put(&text, hex);
	put(&text, making->image.sha256);
	put(&text, start->program);
	text_format(&text, "%d %u %llu %u %u %d;", wish->at, wish->seconds, (unsigned long long)start->memory, start->uid, start->gid, start->net.kind != NET_NONE);
	put(&text, start->cwd);
	put_all(&text, &start->args);
	put_env(&text, &start->env);
	for (size_t i = 0; i < start->mounts; i++) {
		char *word = config_mount_word(&start->mount[i], (unsigned)i);
		put(&text, word ? word : "");
		free(word);
	}
	if ((err = text_error(&text)))
		return error_set(error, err, "out of memory");
	data_digest(text.data, text.size, digest);
	text_free(&text);
	snprintf(name, sizeof(TEMPLATE_PREFIX) + KEY, TEMPLATE_PREFIX "%.*s", KEY, digest);
	return 0;
}

/* ---- making one ---- */

static int await_ready(const struct template_wish *wish, const struct vm_dir *vm, struct error *error)
{
	if (wish->at == TEMPLATE_CALL)
		return vm_await_template(vm, READY_MS, error);
	if (wish->at == TEMPLATE_LISTEN)
		return vm_await_listen(vm, READY_MS, error);
	int err = vm_await_end(vm, (int)wish->seconds * 1000, error);
	if (err == -ETIMEDOUT)
		return 0;
	return err ? err : error_set(error, -ESRCH, "VM %s ended before %u s had passed", vm->id, wish->seconds);
}

/* What a program that did not come so far has said last is why. */
static void add_last_words(const struct vm_dir *vm, struct error *error)
{
	struct lv_report report;
	if (vm_report(vm, &report) || !report.tail_size || report.tail_size > sizeof(report.tail))
		return;
	char *tail = alloc_format("%.*s", (int)report.tail_size, report.tail), *line = NULL;
	for (char *save = NULL, *next = tail ? strtok_r(tail, "\r\n", &save) : NULL; next; next = strtok_r(NULL, "\r\n", &save))
		line = next;
	if (line) {
		struct error before = *error;
		error_set(error, before.code, "%s: %.200s", before.text, line);
	}
	free(tail);
}

static void end_one(const struct state *state, const char *id)
{
	struct vm_info left;
	if (vm_info_open(state, id, &left))
		return;
	if (!vm_end(&left, 0, NULL))
		vm_info_remove(state, &left, NULL);
	vm_info_close(&left);
}

static int start_and_save(const struct making *making, const struct state *state, struct vm_config *start, const char *path, struct error *error)
{
	struct vm_dir vm = VM_DIR_NONE;
	struct vm_info info = { .dir = VM_DIR_NONE };
	const struct save_wish wish = { .path = path };
	char *saved = NULL;
	bool failed = false;
	int err = launch_create(state, start, &vm, error);
	if (err)
		return err;
	err = launch_quietly(&vm, start, making->start_ns, &failed, error);
	vm_close(&vm); /* the lock is the monitor's alone from here */
	if (!err && (err = vm_info_open(state, start->id, &info)))
		error_set(error, err, "VM %s: %s", start->id, strerror(-err));
	if (!err && (err = await_ready(making->wish, &info.dir, error)) == -ESRCH)
		add_last_words(&info.dir, error);
	if (!err)
		err = vm_save(&info, &wish, &saved, error);
	free(saved);
	vm_info_close(&info);
	end_one(state, start->id); /* whatever came of it */
	return err;
}

/* For whoever comes after one that was killed. */
static int note_making(int dir, const char *id, struct error *error)
{
	int fd = openat(dir, MAKING, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = fd < 0 ? -errno : fd_write(fd, id, strlen(id));
	if (fd >= 0)
		close(fd);
	return err ? error_set(error, err, "saved/" MAKING ": %s", strerror(-err)) : 0;
}

/* Under the lock: the VM of one that was killed would run on for ever, and nobody would know what for. */
static void sweep(int dir, const struct state *state)
{
	char *id = NULL;
	size_t size;
	if (!file_read(dir, MAKING, STATE_ID, &id, &size) && size == STATE_ID)
		end_one(state, id);
	free(id);
	unlinkat(dir, MAKING, 0);
}

static int make_noted(const struct making *making, const struct state *state, int dir, struct vm_config *start, const char *path, struct error *error)
{
	sweep(dir, state);
	int err = note_making(dir, start->id, error);
	if (!err)
		err = start_and_save(making, state, start, path, error);
	unlinkat(dir, MAKING, 0);
	return err;
}

/* The same where none has to be made: if there is anything to do, and nobody is at work. */
static void sweep_left(void)
{
	struct state state = STATE_NONE;
	struct error ignored;
	int dir = kept_open(KEPT_SAVED, false, &ignored);
	if (dir >= 0 && !faccessat(dir, MAKING, F_OK, AT_SYMLINK_NOFOLLOW) && !kept_lock(dir, 0) && !state_open(&state, true, &ignored))
		sweep(dir, &state);
	if (dir >= 0)
		close(dir);
	state_close(&state);
}

/* ---- those that there are ---- */

bool template_is_name(const char *name)
{
	size_t n = sizeof(TEMPLATE_PREFIX) - 1;
	return text_starts(name, TEMPLATE_PREFIX) && strlen(name) == n + KEY && strspn(name + n, "0123456789abcdef") == KEY;
}

struct oldest {
	char name[sizeof(TEMPLATE_PREFIX) + KEY];
	struct timespec used;
	unsigned count;
};

static void look_for_oldest(int dir, struct oldest *oldest)
{
	struct stat st;
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = again >= 0 ? fdopendir(again) : NULL;
	*oldest = (struct oldest){ 0 };
	for (struct dirent *entry; names && (entry = readdir(names));) {
		if (!template_is_name(entry->d_name) || fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		bool older = !oldest->count++ || st.st_mtim.tv_sec < oldest->used.tv_sec ||
			     (st.st_mtim.tv_sec == oldest->used.tv_sec && st.st_mtim.tv_nsec < oldest->used.tv_nsec);
		if (older) {
			strcpy(oldest->name, entry->d_name);
			oldest->used = st.st_mtim;
		}
	}
	if (names)
		closedir(names);
	else if (again >= 0)
		close(again);
}

/* VMs that are copies of one that goes have its files open. */
static void trim(int dir)
{
	struct oldest oldest;
	for (look_for_oldest(dir, &oldest); oldest.count > TEMPLATES_MOST; look_for_oldest(dir, &oldest)) {
		char *path = save_place(oldest.name, false, NULL);
		int err = path ? save_remove(path, NULL) : -ENOMEM;
		free(path);
		if (err)
			break;
	}
}

/* One that was made with another processor is none here. */
static int open_one(struct save *save, const char *path, struct error *error)
{
	struct error none = { 0 };
	struct cpu_words here;
	int err = save_open(save, path, &none);
	if (err && err != -ENOENT)
		return error_set(error, err, "%s; \"lightvm checkpoint rm\" removes it, and it is made again", none.text);
	if (!err && (err = save_is_plain(save, "it cannot be a template; \"lightvm checkpoint rm\" removes it, and one is made", error)))
		return err;
	cpu_words_read(&here);
	return err ? err : cpu_words_fit(&save->manifest.cpu, &here, &none);
}

/* Under a lock of all of them: who waited for it may find that it is there. */
static int make(const struct making *making, struct vm_config *start, const char *path, struct save *save, struct error *error)
{
	struct state state = STATE_NONE;
	int dir = kept_open(KEPT_SAVED, true, error), err = dir < 0 ? dir : kept_lock(dir, LOCK_MS);
	if (dir >= 0 && err)
		error_set(error, err, "%s: another command makes a template, and takes long: %s", path, strerror(-err));
	if (!err && (err = open_one(save, path, error)) && (err == -ENOENT || err == -ENOTSUP)) {
		save_close(save);
		err = state_open(&state, true, error);
		if (!err)
			err = make_noted(making, &state, dir, start, path, error);
		if (!err)
			err = open_one(save, path, error);
		trim(dir);
	}
	if (dir >= 0)
		close(dir);
	state_close(&state);
	return err;
}

/* ---- a copy of it ---- */

static int check(const struct making *making, struct error *error)
{
	const struct vm_config *config = making->config;
	const struct template_wish *wish = making->wish;
	if (config->guest.is_linux)
		return error_set(error, -EOPNOTSUPP, "a template is a program on the library OS; this one would run on the kernel %s (--kernel libos)", config->guest.kernel);
	if (config->disks)
		return error_set(error, -EOPNOTSUPP, "disk %s: a template has no disks, since what it remembers of one would be wrong some time", config->disk[0].path);
	if (!*making->image.sha256)
		return error_set(error, -EINVAL, "the image %s has no digest, by which its templates are known; build it anew with \"lightvm image build\"", config->image);
	if (wish->accept_shared_random)
		return 0;
	const char *known = template_start_shares(wish, config->program);
	char *found = known ? alloc_copy(known) : wish->at == TEMPLATE_CALL ? NULL : shared_random_in(&making->image, config->program);
	if (!found)
		return 0;
	error_set(error, -EPERM, "it has %s, whose random numbers, keys too, would be the same in every copy of a template: nothing can tell it. If none that matter come from it: "
				 "--accept-shared-random", found);
	free(found);
	return -EPERM;
}

static int open_state(struct vm_config *config, const struct template_wish *wish, const struct save *save, struct error *error)
{
	struct config_state *from = &config->state;
	from->state = fcntl(save->state, F_DUPFD_CLOEXEC, 3);
	from->memory = fcntl(save->memory, F_DUPFD_CLOEXEC, 3);
	from->pages = save->pages < 0 ? -1 : fcntl(save->pages, F_DUPFD_CLOEXEC, 3);
	from->flags = LV_RESTORE_CLONE | LV_RESTORE_RESET_CONNECTIONS | (wish->at == TEMPLATE_CALL ? LV_RESTORE_WHOLE : 0);
	if (from->state < 0 || from->memory < 0 || (save->pages >= 0 && from->pages < 0))
		return error_set(error, -errno, "%s: %s", save->path, strerror(errno));
	futimens(save->dir, NULL); /* used now */
	return 0;
}

static int find_or_make(const struct making *making, struct save *save, struct error *error)
{
	struct vm_config start;
	char name[sizeof(TEMPLATE_PREFIX) + KEY], *path = NULL;
	config_init(&start);
	int err = make_start(making, &start, error);
	if (!err)
		err = name_of(making, &start, name, error);
	if (!err && !(path = save_place(name, true, error)))
		err = error->code;
	if (!err && (err = open_one(save, path, error)) && (err == -ENOENT || err == -ENOTSUP)) {
		save_close(save);
		start.image_fd = fcntl(making->image.fd, F_DUPFD_CLOEXEC, 3);
		err = make(making, &start, path, save, error);
	} else if (!err) {
		sweep_left();
	}
	free(path);
	config_free(&start);
	return err;
}

int template_use(struct vm_config *config, const struct template_wish *wish, uint64_t start_ns, struct error *error)
{
	struct making making = { config, wish, IMAGE_CLOSED, start_ns };
	struct save save = SAVE_NONE;
	if (wish->at == TEMPLATE_NONE)
		return 0;
	int err = config->image ? image_open(&making.image, config->image, error) : error_set(error, -EINVAL, "a template has an image; there is none here");
	if (!err)
		err = check(&making, error);
	if (!err)
		err = find_or_make(&making, &save, error);
	if (!err)
		err = open_state(config, wish, &save, error);
	save_close(&save);
	image_close(&making.image);
	return err ? error_prefix(error, "template") : 0;
}

/* ---- for who makes copies ahead ---- */

static int open_image(struct template_files *files, const struct save_manifest *manifest, struct error *error)
{
	struct image image;
	const char *path = config_string(manifest->config, "image");
	int err = image_open(&image, path, error);
	if (!err && strcmp(image.sha256, manifest->image_sha256))
		err = error_set(error, -ESTALE, "its image %s is another one by now", path);
	if (!err && (files->fd.image = fcntl(image.fd, F_DUPFD_CLOEXEC, 3)) < 0)
		err = error_set(error, -errno, "%s: %s", path, strerror(errno));
	files->room = image.size;
	image_close(&image);
	return err;
}

static int use_saved(struct template_files *files, const struct save *save, struct error *error)
{
	const struct save_manifest *manifest = &save->manifest;
	struct stat st;
	files->fd.state = fcntl(save->state, F_DUPFD_CLOEXEC, 3);
	files->fd.memory = fcntl(save->memory, F_DUPFD_CLOEXEC, 3);
	if (files->fd.state < 0 || files->fd.memory < 0 || fstat(save->memory, &st))
		return error_set(error, -errno, "%s: %s", save->path, strerror(errno));
	files->id[0] = st.st_dev;
	files->id[1] = st.st_ino;
	files->memory = manifest->memory_limit;
	files->ram = manifest->memory_size > LV_RAM - LV_BASE ? manifest->memory_size - (LV_RAM - LV_BASE) : 0;
	if (files->ram < LV_RAM_SMALL)
		files->ram = LV_RAM_SMALL;
	return open_image(files, manifest, error);
}

int template_check_name(const char *name, struct error *error)
{
	if (template_is_name(name))
		return 0;
	return error_set(error, -EINVAL, "template: \"%.80s\" is none of \"lightvm checkpoint ls\": " TEMPLATE_PREFIX "KEY, made by \"lightvm run --template-at call\"", name);
}

int template_files_open(struct template_files *files, const char *name, struct error *error)
{
	struct save save = SAVE_NONE;
	*files = TEMPLATE_FILES_NONE;
	if (template_check_name(name, error))
		return error->code;
	char *path = save_place(name, false, error);
	int err = !path ? error->code : access(path, F_OK) ? error_set(error, -ENOENT, "%s is none of \"lightvm checkpoint ls\"", name) : save_open(&save, path, error);
	if (!err)
		err = save_is_plain(&save, "it cannot be a template", error);
	if (!err)
		err = use_saved(files, &save, error);
	if (err)
		template_files_close(files);
	save_close(&save);
	free(path);
	return err ? error_prefix(error, "template") : 0;
}

void template_files_close(struct template_files *files)
{
	const int fds[] = { files->fd.image, files->fd.state, files->fd.memory };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*files = TEMPLATE_FILES_NONE;
}

bool template_files_current(const struct template_files *files, const char *name)
{
	struct stat st;
	char *place = save_place(name, false, NULL), *path = place ? alloc_format("%s/" SAVE_MEMORY, place) : NULL;
	bool same = path && !stat(path, &st) && st.st_dev == files->id[0] && st.st_ino == files->id[1];
	free(path);
	free(place);
	return same;
}
