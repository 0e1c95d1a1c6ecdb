/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/dot_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define PREFIX "CONFIG_"

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct dot_option *)a)->name, ((const struct dot_option *)b)->name);
}

/* 1: a line that sets nothing. */
static int take_line(char *line, struct dot_option *option)
{
	if (!*line || *line == '#')
		return 1;
	char *equals = strchr(line, '=');
	if (!text_starts(line, PREFIX) || !equals || equals == line + strlen(PREFIX) || !equals[1])
		return -EINVAL;
	*equals = 0;
	*option = (struct dot_option){ .name = line + strlen(PREFIX), .value = equals + 1 };
	return !strcmp(option->value, "n");
}

int dot_config_parse(struct dot_config *config, char *text, size_t size)
{
	size_t lines = 1;
	*config = (struct dot_config){ .text = text };
	if (strlen(text) != size)
		return -EINVAL;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	config->option = alloc_zero(lines * sizeof(*config->option));
	if (!config->option)
		return -ENOMEM;
	int err = 0;
	for (char *line; err >= 0 && (line = strsep(&text, "\n"));)
		if (!(err = take_line(line, &config->option[config->count])))
			config->count++;
	qsort(config->option, config->count, sizeof(*config->option), by_name);
	return err < 0 ? err : 0;
}

int dot_config_load(struct dot_config *config, const struct kernel *kernel, struct error *error)
{
	char *path = alloc_format("%s/config", kernel->directory), *text = NULL;
	size_t size;
	*config = (struct dot_config){ 0 };
	int err = file_read(AT_FDCWD, path, KERNEL_CONFIG_MAX, &text, &size);
	if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	else if ((err = dot_config_parse(config, text, size)))
		error_set(error, err, "%s: that is no configuration of a kernel", path);
	free(path);
	return err;
}

void dot_config_free(struct dot_config *config)
{
	free(config->option);
	free(config->text);
	*config = (struct dot_config){ 0 };
}

const char *dot_config_value(const struct dot_config *config, const char *name)
{
	struct dot_option key = { .name = name };
	const struct dot_option *found = config->count ? bsearch(&key, config->option, config->count, sizeof(key), by_name) : NULL;
	return found ? found->value : "";
}

bool dot_config_has(void *config, const char *name)
{
	return *dot_config_value(config, name);
}

static const char *value_of(void *config, const char *name)
{
	return dot_config_value(config, name);
}

struct kconfig_values dot_config_values(const struct dot_config *config)
{
	return (struct kconfig_values){ .value = value_of, .context = (void *)config };
}

const char *dot_option_name(const char *word)
{
	return text_starts(word, PREFIX) ? word + strlen(PREFIX) : word;
}

void dot_config_diff(const struct dot_config *a, const struct dot_config *b, struct text *out)
{
	for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
		const struct dot_option *x = i < a->count ? &a->option[i] : NULL, *y = k < b->count ? &b->option[k] : NULL;
		int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
		bool same = !order && !strcmp(x->value, y->value);
		if (order <= 0 && !same)
			text_format(out, "-%s=%s\n", x->name, x->value);
		if (order >= 0 && !same)
			text_format(out, "+%s=%s\n", y->name, y->value);
		i += order <= 0;
		k += order >= 0;
	}
}
