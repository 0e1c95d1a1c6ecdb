/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/image_manifest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/shown.h"
#include "tinyx/companions.h"
#include "tinyx/host_accounts.h"
#include "tinyx/compiler.h"
#include "tinyx/image_put.h"
#include "tinyx/image_volume.h"
#include "tinyx/libraries.h"
#include "tinyx/own_tree.h"
#include "tinyx/packages/packages.h"
#include "tinyx/programs.h"
#include "tinyx/reasons.h"
#include "tinyx/runtime.h"

#define KEY_VERSION "lightvm-pack-16" /* a change of what is packed makes every cached image stale */

/* ---- the request ---- */

static bool of_packages(const struct pack_request *request)
{
	return request->packages && request->packages->count;
}

/* Packages bring what they depend on. */
static bool brings_commands(const struct pack_request *request)
{
	return request->program && !request->no_companions && !of_packages(request);
}

static void find_commands(const struct pack_request *request, struct commands *commands)
{
	char *host = volume_host(request->volumes, request->program);
	commands_find(host, request->words ? request->words : request->manifest ? &request->manifest->args : NULL, commands);
	free(host);
}

static int request_key(const struct pack_request *request, struct text *key, struct error *error)
{
	text_format(key, "%s\n%s\n%s\n%s\n%d\n", KEY_VERSION, request->program ? request->program : "", request->timezone ? request->timezone : "",
		    request->locale ? request->locale : "", request->no_companions);
	for (size_t i = 0; request->volumes && i < request->volumes->count; i++) {
		char *host = NULL, *guest = NULL;
		int err = volume_parse(request->volumes->item[i], &host, &guest, error);
		if (err)
			return err;
		text_format(key, "%s:%s%s\n", host, guest, text_ends(request->volumes->item[i], VOLUME_LIVE) ? VOLUME_LIVE : "");
		free(host);
		free(guest);
	}
	for (size_t i = 0; of_packages(request) && i < request->packages->count; i++)
		text_format(key, "package %s\n", request->packages->item[i]);
	if (request->rules)
		text_format(key, "rules %s\n", request->rules);
	if (brings_commands(request)) {
		struct commands commands = { 0 };
		find_commands(request, &commands);
		for (size_t i = 0; i < commands.named.count; i++)
			text_format(key, "command %s\n", commands.named.item[i]);
		if (commands.shell)
			text_put(key, "shell\n");
		commands_free(&commands);
	}
	return 0;
}

/* ---- what a shell starts ---- */

static void add_commands(const struct pack_request *request, struct plan *plan)
{
	struct commands commands = { 0 };
	if (brings_commands(request))
		find_commands(request, &commands);
	for (size_t i = 0; i < commands.named.count; i++)
		programs_add_command(plan, commands.named.item[i]);
	if (commands.shell) {
		commands_add_shell(plan);
		commands_add_usual(plan);
	}
	commands_free(&commands);
}

/* ---- what every program may expect ---- */

static void add_base(struct plan *plan)
{
	static const char nsswitch[] = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n";
	static const char *const dirs[] = { "/dev", "/proc", "/sys", "/run", "/root", "/var", "/usr", "/etc" };
	static const char *const files[] = { "/etc/services", "/etc/protocols" };
	plan_why(plan, "what every program may expect");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		plan_dir(plan, dirs[i], 0755);
	plan_dir(plan, "/tmp", 01777);
	plan_dir(plan, "/var/tmp", 01777);
	plan_dir(plan, "/run/lock", 01777);
	plan_link(plan, "/var/run", "/run");
	plan_link(plan, "/var/lock", "/run/lock");
	host_accounts_add(plan);
	plan_data(plan, "/etc/nsswitch.conf", 0644, nsswitch, sizeof(nsswitch) - 1);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		plan_add(plan, files[i], false, NULL);
	plan_link(plan, "/etc/mtab", "/proc/self/mounts");
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
static int add_manifest(struct plan *plan, const struct pack_request *request, const struct packed *packed, struct error *error)
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
	/* Somebody else's would count in the place of ours: a package's, or a volume's. */
	const char *theirs = plan_follow(plan, LV_MANIFEST_PATH) ? LV_MANIFEST_PATH : plan_follow(plan, LV_REASONS_PATH) ? LV_REASONS_PATH : NULL;
	plan_data(plan, LV_MANIFEST_PATH, 0644, json.data, json.size);
	text_free(&json);
	manifest_free(&manifest);
	return theirs ? error_set(error, -EEXIST, "%s is LightVM's own, and is in what is packed already", theirs) : 0;
}

static int add_volumes(struct plan *plan, const struct strings *volumes, struct error *error)
{
	for (size_t i = 0; volumes && i < volumes->count; i++) {
		char *host = NULL, *guest = NULL;
		if (text_ends(volumes->item[i], VOLUME_LIVE))
			continue;
		int err = volume_parse(volumes->item[i], &host, &guest, error);
		plan_why(plan, "-v %s", volumes->item[i]);
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
	int err = programs_add(plan, request->program, request->volumes, packed, &elf, error);
	size_t strict = plan->count;
	if (!err && !request->no_companions) {
		plan_why(plan, "a file of the tree around the program, or of the program's package");
		own_tree_add(plan, request->program);
		own_tree_add(plan, elf);
		/* A link of a volume to a program of the distribution: that one has a package. */
		real = strcmp(elf, packed->program) ? realpath(elf, NULL) : NULL;
		err = companions_add(plan, real ? real : elf, false, error);
		if (!err && strcmp(request->program, packed->program))
			err = companions_add(plan, request->program, true, error);
		compiler_add(plan, elf);
		free(real);
	}
	free(elf);
	if (!err)
		add_commands(request, plan);
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

/* The image rests on what apt knows: newer lists, or other sources, may give other packages. */
static void depend_on_sources(struct plan *plan, const struct packages *packages, const char *rules)
{
	plan_depend(plan, packages->debs.lists);
	plan_depend(plan, "/etc/apt/sources.list");
	plan_depend(plan, "/etc/apt/sources.list.d");
	if (rules)
		plan_depend(plan, rules);
}

/* In place of the host's files those of the packages: the program, its libraries, and whatever the rules add. */
static int add_packages(const struct pack_request *request, struct packages *packages, bool shell, struct plan *plan, struct packed *packed, struct error *error)
{
	char *elf = NULL;
	struct library_wants wants = { 0 };
	plan->from = &packages->all;
	int err = programs_add(plan, request->program, request->volumes, packed, &elf, error);
	size_t strict = plan->count;
	if (!err && !request->no_companions) {
		packages_add(packages, plan, request->program);
		packages_add(packages, plan, elf);
		if (shell)
			commands_add_usual(plan);
	}
	free(elf);
	if (!err)
		err = add_volumes(plan, request->volumes, error);
	if (!err)
		err = libraries_add(plan, strict, &wants, error);
	if (!err && !request->no_companions) {
		struct library_wants more = { 0 };
		packages_add_data(packages, plan);
		err = libraries_add(plan, 0, &more, error);
		library_wants_free(&more);
	}
	if (!err) {
		runtime_add(plan, &wants, request->timezone, request->locale);
		packages_finish(packages, plan);
		add_base(plan);
		certificates_add(plan);
		depend_on_sources(plan, packages, request->rules);
	}
	library_wants_free(&wants);
	return err;
}

/* The user's word counts before the packages'. */
static void merge_start(struct manifest *manifest, const struct pack_request *request, const struct package_start *start)
{
	static const struct manifest none;
	const struct manifest *given = request->manifest ? request->manifest : &none;
	*manifest = (struct manifest){ .name = copy_or_null(given->name), .cwd = copy_or_null(given->cwd ? given->cwd : start->cwd), .hostname = copy_or_null(given->hostname),
		.uid = given->uid ? given->uid : start->uid, .gid = given->gid ? given->gid : start->gid, .memory = given->memory };
	for (size_t i = 1; i < start->args.count; i++)
		strings_add(&manifest->args, start->args.item[i]);
	copy_list(&manifest->args, &given->args);
	copy_list(&manifest->env, &start->env);
	copy_list(&manifest->env, &given->env);
	copy_list(&manifest->ports, &given->ports);
}

static int open_packages(const struct pack_request *request, struct packages *packages, bool scripts, struct package_start *start, struct error *error)
{
	int err = packages_open(packages, request->packages, request->rules, scripts, request->steps, error);
	return err ? err : packages_start(packages, request->program, start, error);
}

static int plan_packages(const struct pack_request *request, struct packages *packages, struct plan *plan, struct packed *packed, struct error *error)
{
	struct package_start start = { 0 };
	struct manifest manifest = { 0 };
	bool shell = false;
	int err = open_packages(request, packages, false, &start, error);
	if (!err && (shell = packages_start_shell(packages, &start))) {
		package_start_free(&start);
		packages_close(packages);
		err = open_packages(request, packages, true, &start, error);
	}
	if (!err) {
		struct pack_request started = *request;
		merge_start(&manifest, request, &start);
		started.program = start.program;
		started.manifest = &manifest;
		err = add_packages(&started, packages, shell, plan, packed, error);
		if (!err)
			err = add_manifest(plan, &started, packed, error);
	}
	/* A unit's words are among it. */
	if (!err && request->said && packages->said.size)
		text_add(request->said, packages->said.data, text_shown(packages->said.data, packages->said.data, packages->said.size, SHOWN_LINES, NULL));
	manifest_free(&manifest);
	package_start_free(&start);
	return err;
}

/* ---- why ---- */

/* Of a path that is not packed. */
static void explain_absence(const struct pack_request *request, const struct packages *packages, const char *path, struct text *out)
{
	const struct plan_entry *entry = of_packages(request) ? plan_follow(&packages->all, path) : NULL;
	const struct rule_path *rule = entry ? rules_for(&packages->rules, entry->guest) : NULL;
	if (entry && rule && !rule->keep)
		text_format(out, "%s: not packed: the rule \"leave %s\" (%s); a rule \"keep %s\" behind it, in a file for --rules, adds it\n", path, rule->glob, rule->place, entry->guest);
	else if (entry && entry->origin)
		text_format(out, "%s: not packed: it is of the package %s, of which only what is needed comes along; --package %s adds all of it\n", path,
			    packages->debs.item[entry->origin - 1].name, packages->debs.item[entry->origin - 1].name);
	else if (of_packages(request))
		text_format(out, "%s: not packed: none of the packages has it; -v FILE:%s adds a file of the host\n", path, path);
	else if (access(path, F_OK))
		text_format(out, "%s: not packed: this host has no such file\n", path);
	else
		text_format(out, "%s: not packed: neither the program's libraries nor its package lead to it; -v %s:%s adds it\n", path, path, path);
}

static void explain_entry(const struct pack_request *request, const struct packages *packages, const struct plan_entry *entry, const char *path, struct text *out)
{
	text_format(out, "%s: packed", path);
	if (strcmp(entry->guest, path))
		text_format(out, ", as %s", entry->guest);
	text_format(out, ": %s", entry->why ? entry->why : "it is on the way to what is packed");
	if (of_packages(request) && entry->origin)
		text_format(out, "; of the package %s", packages->debs.item[entry->origin - 1].name);
	text_put(out, "\n");
}

static int make_plan(const struct pack_request *request, struct packages *packages, struct plan *plan, struct packed *packed, struct error *error);

int pack_explain(const struct pack_request *request, const char *path, struct text *out, struct error *error)
{
	struct plan plan = { .watch = request->watch, .explains = true };
	struct packages packages = PACKAGES_CLOSED;
	struct packed packed = PACKED_NONE;
	if (path[0] != '/')
		return error_set(error, -EINVAL, "--explain: \"%s\" is no absolute path", path);
	int err = make_plan(request, &packages, &plan, &packed, error);
	if (!err) {
		char *clean = path_clean("/", path);
		const struct plan_entry *entry = plan_find(&plan, clean);
		entry = entry ? entry : plan_follow(&plan, clean);
		if (entry)
			explain_entry(request, &packages, entry, clean, out);
		else
			explain_absence(request, &packages, clean, out);
		free(clean);
	}
	plan_free(&plan);
	packages_close(&packages);
	packed_free(&packed);
	return err;
}

/* packages: closed; what plan needs of them is open afterwards. */
static int make_plan(const struct pack_request *request, struct packages *packages, struct plan *plan, struct packed *packed, struct error *error)
{
	if (of_packages(request))
		return plan_packages(request, packages, plan, packed, error);
	int err = add_files(request, plan, packed, error);
	if (err)
		return err;
	certificates_add(plan);
	return add_manifest(plan, request, packed, error);
}

/* ---- the file ---- */

static int pack_new(struct cache *cache, const char *key, const struct pack_request *request, struct packed *packed, struct error *error)
{
	struct plan plan = { .watch = request->watch };
	struct packages packages = PACKAGES_CLOSED;
	if (cache->dir >= 0)
		plan_skip(&plan, cache->dir);
	int err = make_plan(request, &packages, &plan, packed, error);
	if (!err)
		err = cache->dir < 0 ? image_put_aside(&plan, request->watch, packed, error) : image_put_cached(cache, key, &plan, request->watch, packed, error);
	plan_free(&plan);
	packages_close(&packages);
	return err;
}

int pack_cached(const struct pack_request *request, struct packed *packed, struct error *error)
{
	struct text key = { 0 };
	struct cache cache = CACHE_NONE;
	*packed = PACKED_NONE;
	int err = request_key(request, &key, error);
	if (!err && (cache_open(&cache, false, NULL) || cache_find(&cache, key.data, packed))) {
		cache_close(&cache);
		cache_open_or_warn(&cache);
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
	struct plan plan = { .watch = request->watch, .explains = true };
	struct packages packages = PACKAGES_CLOSED;
	struct packed packed = PACKED_NONE;
	struct image_target target;
	int err = image_target_open(&target, output, error);
	skip_own_files(&plan, output);
	if (!err)
		err = make_plan(request, &packages, &plan, &packed, error);
	if (!err)
		reasons_add(&plan, NULL, NULL);
	if (!err)
		err = image_target_put(&target, &plan, request->watch, error);
	image_target_close(&target);
	plan_free(&plan);
	packages_close(&packages);
	packed_free(&packed);
	return err;
}
