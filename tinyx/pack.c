/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/image_manifest.h"
#include "base/file.h"
#include "base/log.h"
#include "tinyx/companions.h"
#include "tinyx/erofs_write.h"
#include "tinyx/libraries.h"
#include "tinyx/own_tree.h"
#include "tinyx/runtime.h"
#include "tinyx/stage.h"

#define KEY_VERSION "lightvm-pack-8" /* a change of what is packed makes every cached image stale */
#define SCRIPTS_MAX 4		     /* as the kernel: a script's interpreter may be a script */
#define LINE_MAX_SCRIPT 256
#define SWEEP_MS 50 /* of a start: what killed packings left must not hold it up */
#define ASIDE "/var/tmp" /* images that are not kept: on a disk, where there is one */

/* ---- the request ---- */

int volume_parse(const char *word, char **host, char **guest, struct error *error)
{
	const char *colon = strchr(word, ':');
	const char *end = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon || colon == word || colon[1] != '/')
		return error_set(error, -EINVAL, "-v: \"%s\" is not HOSTDIR:/path[:ro]", word);
	if (end && strcmp(end, ":ro"))
		return error_set(error, -EINVAL, "-v: \"%s\": \"%s\" is not known; volumes are packed into the image (:ro)", word, end + 1);
	char cwd[PATH_MAX], *head = alloc_format("%.*s", (int)(colon - word), word);
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	*host = path_clean(cwd, head);
	*guest = alloc_format("%.*s", (int)(end ? end - colon - 1 : (long)strlen(colon + 1)), colon + 1);
	free(head);
	return 0;
}

char *volume_host(const struct strings *volumes, const char *path)
{
	struct error ignored;
	char *found = NULL, *host, *guest;
	for (size_t i = volumes ? volumes->count : 0; i > 0 && !found; i--) {
		if (volume_parse(volumes->item[i - 1], &host, &guest, &ignored))
			continue; /* is said when it is packed */
		char *clean = path_clean("/", guest);
		const char *rest = !strcmp(clean, "/") ? path : text_starts(path, clean) ? path + strlen(clean) : "";
		found = *rest == '/' ? alloc_format("%s%s", host, rest) : NULL;
		if (found && access(found, F_OK)) {
			free(found);
			found = NULL;
		}
		free(clean);
		free(host);
		free(guest);
	}
	return found ? found : alloc_copy(path);
}

static int request_key(const struct pack_request *request, struct text *key, struct error *error)
{
	text_format(key, "%s\n%s\n%s\n%s\n%d\n", KEY_VERSION, request->program, request->timezone ? request->timezone : "",
		    request->locale ? request->locale : "", request->no_companions);
	for (size_t i = 0; request->volumes && i < request->volumes->count; i++) {
		char *host = NULL, *guest = NULL;
		int err = volume_parse(request->volumes->item[i], &host, &guest, error);
		if (err)
			return err;
		text_format(key, "%s:%s\n", host, guest);
		free(host);
		free(guest);
	}
	return 0;
}

/* ---- the program ---- */

char *pack_find_program(const char *name)
{
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		size_t n = strcspn(path, ":");
		char *full = alloc_format("%.*s/%s", (int)n, path, name);
		if (n && !access(full, X_OK))
			return full;
		free(full);
		path += n + (path[n] == ':');
	}
	return NULL;
}

/* "#!/usr/bin/env [-S] NAME [ARG]" is resolved here: the image needs no env, and the guest no second start. */
static int script_env(char *rest, const char *script, char **interpreter, char **argument, struct error *error)
{
	char *name = rest ? rest + strspn(rest, " \t") : NULL;
	if (name && text_starts(name, "-S"))
		name += 2 + strspn(name + 2, " \t");
	if (!name || !*name || *name == '-' || strchr(name, '='))
		return error_set(error, -ENOEXEC, "%s: its first line does not name an interpreter after env", script);
	size_t n = strcspn(name, " \t");
	*argument = name[n] ? name + n + strspn(name + n, " \t") : NULL;
	name[n] = 0;
	*interpreter = pack_find_program(name);
	return *interpreter ? 0 : error_set(error, -ENOENT, "%s: its interpreter \"%s\" is not in PATH", script, name);
}

/* Reads "#!INTERPRETER [ARGUMENT]"; 1 for a script (interpreter and argument are the caller's), 0 for something else. */
static int script_read(const char *path, char **interpreter, char **argument, struct error *error)
{
	char line[LINE_MAX_SCRIPT] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, -errno, "cannot read %s: %s", path, strerror(errno));
	ssize_t n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return 0;
	line[strcspn(line, "\n")] = 0;
	char *word = line + 2 + strspn(line + 2, " \t"), *rest = word + strcspn(word, " \t"), *found = NULL;
	if (*rest) {
		*rest++ = 0;
		rest += strspn(rest, " \t");
	}
	for (char *end = rest + strlen(rest); end > rest && strchr(" \t\r", end[-1]);)
		*--end = 0;
	int err = 0;
	if (text_ends(word, "/env"))
		err = script_env(rest, path, &found, &rest, error);
	else if (word[0] != '/')
		err = error_set(error, -ENOEXEC, "%s: its interpreter \"%s\" is not an absolute path", path, word);
	else
		found = alloc_copy(word);
	if (err)
		return err;
	*interpreter = found;
	*argument = rest && *rest ? alloc_copy(rest) : NULL;
	return 1;
}

/* A program that a volume brings. A link that leads out of it is kept, as in every volume; what it leads to comes from the host. */
static int add_from_volume(struct plan *plan, const char *host, const char *guest, struct error *error)
{
	char target[PATH_MAX];
	ssize_t n = readlink(host, target, sizeof(target) - 1);
	if (n <= 0 || target[0] != '/')
		return plan_add_as(plan, host, guest, error);
	target[n] = 0;
	return plan_add(plan, target, false, error);
}

/*
 * Follows "#!" lines: packed->program becomes the ELF program, packed->args what goes in front of the arguments, *elf where the program is
 * on the host.
 */
static int add_program(const struct pack_request *request, struct plan *plan, struct packed *packed, char **elf, struct error *error)
{
	struct strings args = { 0 };
	packed->program = alloc_copy(request->program);
	for (int depth = 0;; depth++) {
		char *interpreter = NULL, *argument = NULL;
		free(*elf);
		*elf = volume_host(request->volumes, packed->program);
		int err = strcmp(*elf, packed->program) ? add_from_volume(plan, *elf, packed->program, error) : plan_add(plan, *elf, false, error);
		if (err)
			return depth ? error_prefix(error, "%s needs the interpreter %s", request->program, packed->program) : err;
		err = script_read(*elf, &interpreter, &argument, error);
		if (err < 0)
			return err;
		if (!err)
			break;
		if (depth == SCRIPTS_MAX) {
			free(interpreter);
			free(argument);
			return error_set(error, -ELOOP, "%s: too many scripts that interpret scripts", request->program);
		}
		/* [interpreter, argument, script] + what was in front already, without its own first word */
		strings_add(&args, interpreter);
		if (argument)
			strings_add(&args, argument);
		strings_add(&args, packed->program);
		for (size_t i = 1; i < packed->args.count; i++)
			strings_add(&args, packed->args.item[i]);
		strings_free(&packed->args);
		packed->args = args;
		args = (struct strings){ 0 };
		free(packed->program);
		free(argument);
		packed->program = interpreter;
	}
	struct program_facts facts;
	int err = program_check(*elf, &facts, error);
	packed->need = facts.need;
	return err;
}

/* ---- what every program may expect ---- */

static void add_base(struct plan *plan)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
				     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
	static const char group[] = "root:x:0:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n";
	static const char nsswitch[] = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n";
	static const char *const dirs[] = { "/dev", "/proc", "/sys", "/run", "/root", "/var", "/usr", "/etc" };
	static const char *const files[] = { "/etc/services", "/etc/protocols" };
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		plan_dir(plan, dirs[i], 0755);
	plan_dir(plan, "/tmp", 01777);
	plan_dir(plan, "/var/tmp", 01777);
	plan_data(plan, "/etc/passwd", 0644, passwd, sizeof(passwd) - 1);
	plan_data(plan, "/etc/group", 0644, group, sizeof(group) - 1);
	plan_data(plan, "/etc/nsswitch.conf", 0644, nsswitch, sizeof(nsswitch) - 1);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		plan_add(plan, files[i], false, NULL);
	plan_link(plan, "/etc/mtab", "/proc/self/mounts");
}

/* A program with a TLS library will want to know whom to trust. */
static void add_certificates(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strstr(plan->entry[i].guest, "/libssl.so") || strstr(plan->entry[i].guest, "/libgnutls.so")) {
			plan_add(plan, "/etc/ssl/certs/ca-certificates.crt", false, NULL);
			plan_add(plan, "/etc/ssl/openssl.cnf", false, NULL);
			return;
		}
}

static char *copy_or_null(const char *string)
{
	return string ? alloc_copy(string) : NULL;
}

static void copy_list(struct strings *to, const struct strings *from)
{
	for (size_t i = 0; i < from->count; i++)
		strings_add(to, from->item[i]);
}

/* argv: what a script's first line puts in front, or the program's own name; then the arguments asked for. */
static void add_manifest(struct plan *plan, const struct pack_request *request, const struct packed *packed)
{
	static const struct manifest none;
	const struct manifest *given = request->manifest ? request->manifest : &none;
	const char *base = strrchr(request->program, '/') + 1;
	struct manifest manifest = { .name = alloc_copy(given->name ? given->name : base), .program = alloc_copy(packed->program),
		.cwd = copy_or_null(given->cwd), .hostname = copy_or_null(given->hostname), .uid = given->uid, .gid = given->gid,
		.memory = given->memory };
	struct text json = { 0 };
	copy_list(&manifest.args, &packed->args);
	if (!manifest.args.count)
		strings_add(&manifest.args, base);
	copy_list(&manifest.args, &given->args);
	copy_list(&manifest.env, &given->env);
	copy_list(&manifest.ports, &given->ports);
	strings_add(&manifest.kernels, "libos");
	manifest_print(&manifest, &json);
	plan_data(plan, LV_MANIFEST_PATH, 0644, json.data, json.size);
	text_free(&json);
	manifest_free(&manifest);
}

static int add_volumes(struct plan *plan, const struct strings *volumes, struct error *error)
{
	for (size_t i = 0; volumes && i < volumes->count; i++) {
		char *host = NULL, *guest = NULL;
		int err = volume_parse(volumes->item[i], &host, &guest, error);
		if (!err)
			err = plan_add_as(plan, host, guest, error);
		if (err)
			error_prefix(error, "-v %s", volumes->item[i]);
		free(host);
		free(guest);
		if (err)
			return err;
	}
	if (plan->left_out)
		log_warn("-v: %s%s left out: sockets, pipes, devices and views of the kernel cannot be packed", plan->left_out_first,
			 plan->left_out > 1 ? " and others are" : " is");
	return 0;
}

static int add_files(const struct pack_request *request, struct plan *plan, struct packed *packed, struct error *error)
{
	char *elf = NULL, *real;
	int err = add_program(request, plan, packed, &elf, error);
	size_t strict = plan->count;
	if (!err && !request->no_companions) {
		own_tree_add(plan, request->program);
		own_tree_add(plan, elf);
		/* A link of a volume to a program of the distribution: that one has a package. */
		real = strcmp(elf, packed->program) ? realpath(elf, NULL) : NULL;
		err = companions_add(plan, real ? real : elf, error);
		free(real);
	}
	free(elf);
	if (!err)
		err = add_volumes(plan, request->volumes, error);
	struct library_wants wants = { 0 };
	if (!err)
		err = libraries_add(plan, strict, &wants, error);
	if (!err) {
		runtime_add(plan, &wants, request->timezone, request->locale);
		add_base(plan);
	}
	library_wants_free(&wants);
	return err;
}

static int make_plan(const struct pack_request *request, struct plan *plan, struct packed *packed, struct error *error)
{
	int err = add_files(request, plan, packed, error);
	if (err)
		return err;
	add_certificates(plan);
	add_manifest(plan, request, packed);
	return 0;
}


/* ---- the file ---- */

/* Writes plan as a sealed image into a new stage in dir, which messages call where; sha256 gets its digest. */
static int build(const struct plan *plan, const struct pack_watch *watch, int dir, const char *where, struct stage *stage, char *sha256,
		 struct error *error)
{
	int err = stage_open(stage, dir);
	if (err)
		return error_set(error, err, "%s: %s", where, strerror(-err));
	err = erofs_write(plan, stage->fd, where, watch, error);
	return err ? err : image_seal(stage->fd, sha256, error);
}

static bool is_whole(const char *path)
{
	struct image image;
	bool whole = !image_open(&image, path, NULL) && !image_verify(&image, path, NULL);
	image_close(&image);
	return whole;
}

/*
 * An image of this content that is there already stays: index entries of other programs and options know it by its
 * identity, and would have to be made anew.
 */
static int publish(const struct cache *cache, struct stage *stage, const char *sha256, struct packed *packed, struct error *error)
{
	char *name = alloc_format("%s.lvm", sha256), *there = alloc_format("/proc/self/fd/%d/%s", cache->images, name);
	packed->path = alloc_format("%s/images/%s", cache->path, name);
	int err = is_whole(there) ? 0 : stage_publish(stage, name, 0444);
	if (!err && (packed->fd = openat(cache->images, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		err = -errno;
	free(name);
	free(there);
	return err ? error_set(error, err, "%s: %s", packed->path, strerror(-err)) : 0;
}

static int pack_into(const struct cache *cache, const char *key, const struct pack_request *request, const struct plan *plan,
		     struct packed *packed, struct error *error)
{
	struct stage stage = STAGE_NONE;
	char sha256[IMAGE_HEX + 1], *images = alloc_format("%s/images", cache->path);
	stage_sweep(cache->images, SWEEP_MS);
	int err = build(plan, request->watch, cache->images, images, &stage, sha256, error);
	if (!err)
		err = publish(cache, &stage, sha256, packed, error);
	stage_close(&stage);
	if (!err)
		err = cache_store(cache, key, packed, plan, error);
	if (!err)
		cache_trim(cache, strrchr(packed->path, '/') + 1, cache_limit());
	free(images);
	return err;
}

/* For this start alone: a file without a name. */
static int pack_aside(const struct pack_request *request, const struct plan *plan, struct packed *packed, struct error *error)
{
	struct stage stage = STAGE_NONE;
	char sha256[IMAGE_HEX + 1], *self = NULL;
	int dir = open(ASIDE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? error_set(error, -errno, ASIDE ": %s", strerror(errno)) :
			    build(plan, request->watch, dir, ASIDE, &stage, sha256, error);
	if (!err) {
		self = alloc_format("/proc/self/fd/%d", stage.fd);
		packed->fd = open(self, O_RDONLY | O_CLOEXEC); /* the monitor has no use for a right to write */
		if (packed->fd < 0)
			err = error_set(error, -errno, ASIDE ": %s", strerror(errno));
		packed->path = alloc_format("/proc/self/fd/%d", packed->fd);
	}
	free(self);
	stage_close(&stage);
	if (dir >= 0)
		close(dir);
	return err;
}

static int pack_new(struct cache *cache, const char *key, const struct pack_request *request, struct packed *packed, struct error *error)
{
	struct plan plan = { .watch = request->watch };
	if (cache->dir >= 0)
		plan_skip(&plan, cache->dir);
	int err = make_plan(request, &plan, packed, error);
	if (!err)
		err = cache->dir < 0 ? pack_aside(request, &plan, packed, error) : pack_into(cache, key, request, &plan, packed, error);
	plan_free(&plan);
	return err;
}

/* A cache that cannot be trusted or made keeps no program from starting: it costs a packing each time, and that is said. */
static void open_or_warn(struct cache *cache)
{
	struct error error = { 0 };
	int err = cache_open(cache, true, &error);
	if (err) {
		cache_close(cache);
		log_warn("no image is kept for later starts: %s", error.text);
	}
}

int pack_cached(const struct pack_request *request, struct packed *packed, struct error *error)
{
	struct text key = { 0 };
	struct cache cache = CACHE_NONE;
	*packed = PACKED_NONE;
	int err = request_key(request, &key, error);
	if (!err && (cache_open(&cache, false, NULL) || cache_find(&cache, key.data, packed))) {
		cache_close(&cache);
		open_or_warn(&cache);
		err = pack_new(&cache, key.data, request, packed, error);
		if (err)
			packed_free(packed);
	}
	text_free(&key);
	cache_close(&cache);
	return err;
}

/* A volume may hold the cache and the file that is being replaced: with them each image would hold all earlier ones. */
static void skip_own_files(struct plan *plan, const char *output)
{
	struct cache cache;
	int fd = open(output, O_PATH | O_CLOEXEC);
	if (fd >= 0) {
		plan_skip(plan, fd);
		close(fd);
	}
	if (!cache_open(&cache, false, NULL))
		plan_skip(plan, cache.dir);
	cache_close(&cache);
}

int pack_to(const struct pack_request *request, const char *output, struct error *error)
{
	struct plan plan = { .watch = request->watch };
	struct packed packed = PACKED_NONE;
	struct stage stage = STAGE_NONE;
	const char *slash = strrchr(output, '/'), *name = slash ? slash + 1 : output;
	char sha256[IMAGE_HEX + 1], *path = slash ? alloc_format("%.*s", (int)(slash == output ? 1 : slash - output), output) : alloc_copy(".");
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = dir < 0 ? error_set(error, -errno, "%s: %s", path, strerror(errno)) : 0;
	skip_own_files(&plan, output);
	if (!err)
		err = make_plan(request, &plan, &packed, error);
	if (!err)
		err = build(&plan, request->watch, dir, path, &stage, sha256, error);
	if (!err && (err = *name ? stage_publish(&stage, name, 0644) : -EISDIR))
		error_set(error, err, "%s: %s", output, strerror(-err));
	stage_close(&stage);
	if (dir >= 0)
		close(dir);
	free(path);
	plan_free(&plan);
	packed_free(&packed);
	return err;
}
