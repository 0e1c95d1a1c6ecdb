/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_wish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/choose.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/named_volumes.h"
#include "node/vm_policy.h"
#include "node/vm_source.h"
#include "node/vm_template.h"
#include "node/volume_words.h"
#include "tinyx/image_volume.h"

/* ---- what is asked for ---- */

struct wish {
	json_t *keys; /* what is left for config_from_json */
	const char *image, *kernel;
	struct strings volumes;
	const json_t *guest, *env;
	bool known_on_libos;
	const struct pack_watch *watch;
	struct template_wish template;
};

/* Those that are not anybody's to choose. */
static int refuse_ours(const json_t *json, struct error *error)
{
	static const char *const ours[] = { "id", "created_ns", "detached", "pid_file" };
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (json_object_get(json, ours[i]))
			return error_set(error, -EINVAL, "%s: is not for a request to say", ours[i]);
	return 0;
}

static int text_of(const json_t *json, const char *key, const char **out, struct error *error)
{
	const json_t *value = json_object_get(json, key);
	*out = json_string_value(value);
	return value && !*out && !json_is_null(value) ? error_set(error, -EINVAL, "%s: not a text", key) : 0;
}

/* Whose working directory would a relative one begin in? */
static int absolute(const char *key, const char *path, struct error *error)
{
	return path && path[0] != '/' ? error_set(error, -EINVAL, "%s: \"%.200s\" is not an absolute path", key, path) : 0;
}

static int check_paths(const struct wish *wish, const json_t *json, struct error *error)
{
	const json_t *disks = json_object_get(json, "disks");
	int err = absolute("image", wish->image, error);
	if (!err)
		err = absolute("linux.kernel", json_string_value(json_object_get(wish->guest, "kernel")), error);
	if (!err)
		err = absolute("linux.initrd", json_string_value(json_object_get(wish->guest, "initrd")), error);
	if (!err && wish->kernel && strchr(wish->kernel, '/'))
		err = absolute("kernel", wish->kernel, error);
	for (size_t i = 0; i < json_array_size(disks) && !err; i++)
		err = absolute("disks.path", json_string_value(json_object_get(json_array_get(disks, i), "path")), error);
	return err;
}

/* It begins with a path, or with a volume's name. */
static int check_volume(const char *word, struct error *error)
{
	char *host = alloc_format("%.*s", (int)strcspn(word, ":"), word);
	int err = !host ? error_set(error, -ENOMEM, "out of memory") : named_volume_is(host) ? 0 : absolute("volumes", word, error);
	free(host);
	return err;
}

static int volumes_of(struct wish *wish, const json_t *json, struct error *error)
{
	const json_t *volumes = json_object_get(json, "volumes");
	if (volumes && !json_is_array(volumes))
		return error_set(error, -EINVAL, "volumes: not a list");
	for (size_t i = 0; i < json_array_size(volumes); i++) {
		const char *word = json_string_value(json_array_get(volumes, i));
		if (!word)
			return error_set(error, -EINVAL, "volumes: not a text");
		int err = check_volume(word, error);
		if (err)
			return err;
		strings_add(&wish->volumes, word);
	}
	return strings_error(&wish->volumes) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

static void wish_free(struct wish *wish)
{
	json_decref(wish->keys);
	strings_free(&wish->volumes);
	template_wish_free(&wish->template);
}

static int read_wish(struct wish *wish, const json_t *json, struct error *error)
{
	int err = json_is_object(json) ? refuse_ours(json, error) : error_set(error, -EINVAL, "not an object");
	wish->guest = json_object_get(json, "linux");
	wish->env = json_object_get(json, "env");
	if (!err)
		err = text_of(json, "image", &wish->image, error);
	if (!err)
		err = text_of(json, "kernel", &wish->kernel, error);
	if (!err && json_object_get(json, "linux") && !json_is_object(wish->guest))
		err = error_set(error, -EINVAL, "linux: not an object");
	if (!err)
		err = volumes_of(wish, json, error);
	if (!err)
		err = check_paths(wish, json, error);
	const json_t *template = json_object_get(json, "template");
	if (!err && template && !json_is_null(template))
		err = template_wish_from_json(&wish->template, template, error);
	wish->keys = err ? NULL : json_copy((json_t *)json);
	if (err || !wish->keys)
		return err ? err : error_set(error, -ENOMEM, "out of memory");
	json_object_del(wish->keys, "image");
	json_object_del(wish->keys, "kernel");
	json_object_del(wish->keys, "volumes");
	json_object_del(wish->keys, "env");
	json_object_del(wish->keys, "template");
	if (!json_object_get(wish->keys, "version"))
		json_object_set_new(wish->keys, "version", json_integer(CONFIG_VERSION));
	return 0;
}

/* ---- what follows from it ---- */

/* With the start file of a runtime that is to be a template; an image has it, or not. */
static int use_program(struct vm_config *config, struct wish *wish, const json_t *memory, const json_t *args, struct error *error)
{
	struct strings words = { 0 };
	for (size_t i = 1; i < json_array_size(args); i++)
		if (json_is_string(json_array_get(args, i))) /* what is none is refused with the configuration */
			strings_add(&words, json_string_value(json_array_get(args, i)));
	struct pack_request request = { .program = wish->image, .words = &words, .volumes = &wish->volumes, .watch = wish->watch };
	char *volume = NULL;
	int err = template_start_volume(&wish->template, wish->image, &volume, error);
	if (volume)
		strings_take(&wish->volumes, volume);
	if (!err)
		err = source_program(config, &request, wish->image, json_is_integer(memory) ? (uint64_t)json_integer_value(memory) : 0, error);
	strings_free(&words);
	return err;
}

static int use_source(struct vm_config *config, struct wish *wish, const json_t *json, struct error *error)
{
	wish->known_on_libos = true;
	if (!wish->image)
		return wish->kernel ? 0 : error_set(error, -EINVAL, "image: missing: the path of a program or of an image");
	if (access(wish->image, R_OK))
		return error_set(error, -errno, "image: %s: %s", wish->image, strerror(errno));
	if (!source_is_image(wish->image) && !text_ends(wish->image, ".lvm"))
		return use_program(config, wish, json_object_get(json, "memory"), json_object_get(json, "args"), error);
	for (size_t i = 0; i < wish->volumes.count; i++)
		if (!text_ends(wish->volumes.item[i], VOLUME_LIVE))
			return error_set(error, -EINVAL, "volumes: %s: copies are packed when an image is made, and %s is one", wish->volumes.item[i], wish->image);
	struct source_facts facts = { 0 };
	int err = source_image(config, wish->image, NULL, &facts, error);
	wish->known_on_libos = facts.on_libos;
	source_facts_free(&facts);
	return err ? err : source_enter(config, error);
}

static int use_kernel(struct vm_config *config, const struct wish *wish, struct error *error)
{
	struct choose choose = { .kernel = wish->kernel ? wish->kernel : wish->guest ? "linux" : "auto", .known_on_libos = wish->known_on_libos,
		.bare = !wish->image, .initrd = json_string_value(json_object_get(wish->guest, "initrd")) };
	int err = choose_kernel(config, &choose, error);
	if (!err && wish->guest && !config->guest.is_linux)
		err = error_set(error, -EINVAL, "linux: the kernel is %s", config->guest.kernel);
	if (!err && choose.bare)
		config->program = alloc_copy(config->guest.kernel);
	return err;
}

static int check_env(const json_t *env, struct error *error)
{
	if (env && !json_is_array(env))
		return error_set(error, -EINVAL, "env: not a list");
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *word = json_string_value(json_array_get(env, i));
		if (!word || !strchr(word, '=') || *word == '=')
			return error_set(error, -EINVAL, "env: \"%.100s\" is not NAME=VALUE", word ? word : "");
	}
	return 0;
}

/* What is said replaces what image and machine give, one variable at a time. */
static int use_env(struct vm_config *config, const struct wish *wish, struct error *error)
{
	static const char *const always[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root" };
	char *host = config->hostname ? alloc_format("HOSTNAME=%s", config->hostname) : NULL;
	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		config_env_default(config, always[i]);
	if (host)
		config_env(config, host);
	free(host);
	int err = check_env(wish->env, error);
	for (size_t i = 0; i < json_array_size(wish->env) && !err; i++)
		config_env(config, json_string_value(json_array_get(wish->env, i)));
	return err;
}

/* Its kind is said as an option is, and gives what is not said besides; what makes no sense is refused with the rest of the wish. */
static char *net_word(const json_t *net)
{
	const char *kind = json_string_value(json_object_get(net, "kind")), *name = json_string_value(json_object_get(net, "name"));
	if (!kind)
		return alloc_copy("passt");
	return name ? alloc_format("%s:%s", kind, name) : alloc_copy(kind);
}

/* With all that has a default; a new reference. */
static json_t *whole_net(const json_t *given, const char *id, struct error *error)
{
	json_t *whole = NULL;
	char *word = net_word(given);
	struct net_request request = { .net = word, .id = id };
	struct net_spec spec = { 0 };
	int err = word ? net_parse(&spec, &request, error) : error_set(error, -ENOMEM, "out of memory");
	if (!err && !(whole = net_to_json(&spec)))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err && given && !json_is_object(given))
		err = error_set(error, -EINVAL, "net: not an object");
	if (!err && json_is_string(json_object_get(given, "ip")))
		json_object_del(whole, "mac"); /* what it is follows from the address, then */
	if (!err && given && json_object_update(whole, (json_t *)given))
		err = error_set(error, -ENOMEM, "out of memory");
	net_free(&spec);
	free(word);
	if (!err)
		return whole;
	json_decref(whole);
	return NULL;
}

static int use_net(const struct vm_config *config, const struct wish *wish, struct error *error)
{
	json_t *whole = whole_net(json_object_get(wish->keys, "net"), config->id, error);
	if (whole)
		json_object_set_new(wish->keys, "net", whole);
	return whole ? 0 : error->code;
}

int wish_net(struct net_spec *spec, const json_t *net, const char *id, struct error *error)
{
	*spec = (struct net_spec){ 0 };
	json_t *whole = whole_net(net, id, error);
	int err = whole ? net_from_json(spec, whole, id, error) : error->code;
	if (!err)
		err = net_validate(spec, error);
	json_decref(whole);
	return err;
}

static int fill(struct vm_config *config, struct wish *wish, const json_t *json, struct error *error)
{
	int err = volume_words_take(&wish->volumes, config, error);
	if (!err)
		err = use_source(config, wish, json, error);
	if (!err)
		err = use_kernel(config, wish, error);
	if (!err)
		err = use_net(config, wish, error);
	if (!err)
		err = config_from_json(config, wish->keys, error);
	if (err)
		return err;
	config->created_ns = clock_wall();
	config->detached = true;
	if (!config->cwd)
		config->cwd = alloc_copy("/");
	if (!config->hostname)
		config->hostname = alloc_copy(config->id);
	if (!config->args.count && config->program)
		strings_add(&config->args, config->program);
	if (!config->cwd || !config->hostname)
		return error_set(error, -ENOMEM, "out of memory");
	err = use_env(config, wish, error);
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = policy_ready(&config->restart, error);
	return err ? err : config_open(config, error);
}

int wish_config(struct vm_config *config, const json_t *json, const struct pack_watch *watch, struct error *error)
{
	struct wish wish = { .watch = watch };
	uint64_t start_ns = clock_now();
	int err = vm_new_id(config->id, error);
	if (!err)
		err = read_wish(&wish, json, error);
	if (!err)
		err = fill(config, &wish, json, error);
	if (!err)
		err = template_use(config, &wish.template, start_ns, error);
	wish_free(&wish);
	return err;
}

int wish_check(const json_t *json, struct error *error)
{
	struct wish wish = { 0 };
	struct vm_config config;
	config_init(&config);
	int err = read_wish(&wish, json, error);
	if (!err)
		err = use_net(&config, &wish, error);
	if (!err)
		err = config_from_json(&config, wish.keys, error);
	if (!err)
		err = use_env(&config, &wish, error);
	if (!err)
		err = config_validate_bounds(&config, error);
	wish_free(&wish);
	config_free(&config);
	return err;
}

int wish_start(const struct vm_config *config, uint64_t start_ns, struct error *error)
{
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	struct launch launch = LAUNCH_NONE;
	int err = state_open(&state, true, error);
	bool made = !err && !(err = launch_create(&state, config, &vm, error));
	if (!err)
		err = launch_start(&launch, config, &vm, start_ns, error);
	if (!err)
		err = launch_settle(&launch, error);
	launch_end(&launch);
	if (err && made)
		vm_remove(&state, &vm, config->name, NULL);
	vm_close(&vm);
	state_close(&state);
	return err;
}

int wish_leave(const struct vm_config *config, struct error *error)
{
	struct state state = STATE_NONE;
	struct vm_dir vm = VM_DIR_NONE;
	int err = config->state.state < 0 ? state_open(&state, true, error) :
		error_set(error, -EINVAL, "template: is for what starts at once; a start some other time would start the program");
	bool made = !err && !(err = launch_create(&state, config, &vm, error));
	if (!err)
		err = vm_mark_created(&vm, error);
	if (!err)
		err = policy_stop(vm.id, error); /* no policy starts what no user has started */
	if (err && made)
		vm_remove(&state, &vm, config->name, NULL);
	vm_close(&vm);
	state_close(&state);
	return err;
}
