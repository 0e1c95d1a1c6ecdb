/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of PID 1, and of each program that the agent starts (abi/guest_config.h). */
#ifndef LV_GUEST_CONFIG_H
#define LV_GUEST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "abi/guest_config.h"
#include "parse/mount_word.h"

struct guest_config { /* strings point into the parsed bytes, which must stay; NULL: not given */
	const char *program, *cwd, *user, *hostname, *image, *overlay;
	char **argv, **env; /* ended by NULL; owned */
	size_t argc, envc;
	struct mount_word mount[LV_GUEST_MOUNTS_MAX];
	size_t mounts;
	struct lv_guest_streams streams; /* zeroes: pipes */
	bool has_net;
	struct lv_guest_net net;
};

/*
 * Parses size bytes, aligned to four. 0, or -EINVAL or -ENOMEM with *why (a static text) and *record (the number of the
 * record that is wrong, from 1; 0: the header). Call config_free in every case.
 */
int config_parse(struct guest_config *config, const void *bytes, size_t size, const char **why, unsigned *record);
/* The value of NAME in an environment, or NULL. */
const char *env_get(char *const *env, const char *name);
void config_free(struct guest_config *config);

#endif
