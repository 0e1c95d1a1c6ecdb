/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel was built with: the file "config" beside it, which make wrote as .config. */
#ifndef LV_TINYX_DOT_CONFIG_H
#define LV_TINYX_DOT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "tinyx/kernel.h"
#include "tinyx/specialise/kconfig.h"

struct dot_option {
	const char *name;  /* without CONFIG_ */
	const char *value; /* y, m, a number, a text in its quotes; never "" */
};

struct dot_config { /* zero-initialised: none */
	char *text;
	struct dot_option *option; /* by name; what is not set is not there */
	size_t count;
};

/* text, of size bytes and a zero byte behind them, is owned from now on, also on failure. -ENOMEM, or -EINVAL: it is none. Free in any case. */
int dot_config_parse(struct dot_config *config, char *text, size_t size);
/* That of a kernel of the cache; a negative errno with a message. */
int dot_config_load(struct dot_config *config, const struct kernel *kernel, struct error *error);
void dot_config_free(struct dot_config *config);
/* "": it is not set. */
const char *dot_config_value(const struct dot_config *config, const char *name);
/* config, a struct dot_config, has the option: for kbuild_find(). */
bool dot_config_has(void *config, const char *name);
/* For expressions of Kconfig. */
struct kconfig_values dot_config_values(const struct dot_config *config);
/* "CONFIG_NET" or "NET": "NET". */
const char *dot_option_name(const char *word);

/* Lines into out: "-NAME=VALUE" for what b has not, "+NAME=VALUE" for what a has not, both where they differ; by name. */
void dot_config_diff(const struct dot_config *a, const struct dot_config *b, struct text *out);

#endif
