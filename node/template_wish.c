/* SPDX-License-Identifier: Apache-2.0 */
#include "node/template_wish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "node/node_paths.h"

#define PLACE "/usr/share/lightvm/template" /* in the image */

/* ---- runtimes ---- */

static const char *const java_words[] = { "-XX:+UseSerialGC", "-Xshare:auto", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.io=ALL-UNNAMED",
	"--add-opens=java.base/sun.nio.fs=ALL-UNNAMED", "-cp", PLACE, "Java", NULL };
static const char *const python_words[] = { PLACE "/python3.py", NULL };
static const char *const node_words[] = { PLACE "/node.js", NULL };

static const struct runtime_start {
	const char *name; /* of the program, perhaps with a version behind it */
	const char *file;
	const char *const *words;
	const char *shares;
} starts[] = {
	{ "python", "python3.py", python_words, NULL },
	{ "node", "node.js", node_words, "OpenSSL (in node)" },
	{ "java", "Java.class", java_words, NULL },
};

/* "python3.11" is a python, "pythonic" is not. */
static const struct runtime_start *start_of(const struct template_wish *wish, const char *program)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts) && wish->at == TEMPLATE_CALL; i++) {
		size_t n = strlen(starts[i].name);
		if (!strncmp(name, starts[i].name, n) && !name[n + strspn(name + n, "0123456789.")])
			return &starts[i];
	}
	return NULL;
}

int template_start_volume(const struct template_wish *wish, const char *program, char **volume, struct error *error)
{
	const struct runtime_start *start = start_of(wish, program);
	*volume = NULL;
	char *path = start ? paths_template(start->file, error) : NULL;
	if (!start)
		return 0;
	if (!path)
		return error->code;
	*volume = alloc_format("%s:" PLACE "/%s", path, start->file);
	free(path);
	return *volume ? 0 : error_set(error, -ENOMEM, "out of memory");
}

const char *template_start_args(const struct template_wish *wish, const char *program, struct strings *args)
{
	const struct runtime_start *start = start_of(wish, program);
	for (const char *const *word = start ? start->words : NULL; word && *word; word++)
		strings_add(args, *word);
	for (size_t i = 0; i < wish->preload.count; i++)
		strings_add(args, wish->preload.item[i]);
	return !start ? NULL : start->words == java_words ? PLACE "/Java.class" : start->words[0];
}

const char *template_start_shares(const struct template_wish *wish, const char *program)
{
	const struct runtime_start *start = start_of(wish, program);
	return start ? start->shares : NULL;
}

/* ---- words ---- */

int template_wish_at(struct template_wish *wish, const char *option, const char *word, struct error *error)
{
	uint64_t seconds;
	if (!strcmp(word, "call")) {
		wish->at = TEMPLATE_CALL;
	} else if (!strcmp(word, "listen")) {
		wish->at = TEMPLATE_LISTEN;
	} else if (!number_parse(word, &seconds) && seconds >= 1 && seconds <= TEMPLATE_SECONDS_MAX) {
		wish->at = TEMPLATE_SECONDS;
		wish->seconds = (unsigned)seconds;
	} else {
		return error_set(error, -EINVAL, "%s: \"%.80s\" is neither call nor listen nor 1 to %d seconds", option, word, TEMPLATE_SECONDS_MAX);
	}
	return 0;
}

int template_wish_check(const struct template_wish *wish, struct error *error)
{
	if (wish->preload.count > TEMPLATE_PRELOAD_MAX)
		return error_set(error, -E2BIG, "preload: %zu words; a template is given %d at most", wish->preload.count, TEMPLATE_PRELOAD_MAX);
	if (wish->preload.count && wish->at != TEMPLATE_CALL)
		return error_set(error, -EINVAL, "preload: \"%.80s\" is for a template that is copied at its call; another one has the program's own arguments", wish->preload.item[0]);
	return strings_error(&wish->preload) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

static int at_from_json(struct template_wish *wish, const json_t *at, struct error *error)
{
	if (json_is_string(at))
		return template_wish_at(wish, "template.at", json_string_value(at), error);
	char word[24] = "";
	if (!json_is_integer(at))
		return error_set(error, -EINVAL, "template.at: neither a text nor a number of seconds");
	snprintf(word, sizeof(word), "%lld", (long long)json_integer_value(at));
	return template_wish_at(wish, "template.at", word, error);
}

static int preload_from_json(struct template_wish *wish, const json_t *preload, struct error *error)
{
	if (preload && !json_is_array(preload))
		return error_set(error, -EINVAL, "template.preload: not a list");
	for (size_t i = 0; i < json_array_size(preload); i++) {
		const char *word = json_string_value(json_array_get(preload, i));
		if (!word)
			return error_set(error, -EINVAL, "template.preload: not a text");
		strings_add(&wish->preload, word);
	}
	return 0;
}

int template_wish_from_json(struct template_wish *wish, const json_t *json, struct error *error)
{
	const char *key;
	json_t *value;
	if (!json_is_object(json))
		return error_set(error, -EINVAL, "template: not an object");
	json_object_foreach((json_t *)json, key, value)
		if (strcmp(key, "at") && strcmp(key, "preload") && strcmp(key, "accept_shared_random"))
			return error_set(error, -EINVAL, "template.%.80s: there is no such key", key);
	const json_t *accept = json_object_get(json, "accept_shared_random");
	if (accept && !json_is_boolean(accept))
		return error_set(error, -EINVAL, "template.accept_shared_random: neither true nor false");
	wish->accept_shared_random = json_is_true(accept);
	int err = at_from_json(wish, json_object_get(json, "at"), error);
	if (!err)
		err = preload_from_json(wish, json_object_get(json, "preload"), error);
	return err ? err : template_wish_check(wish, error);
}

void template_wish_free(struct template_wish *wish)
{
	strings_free(&wish->preload);
	*wish = (struct template_wish){ 0 };
}
