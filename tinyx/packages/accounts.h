/* SPDX-License-Identifier: Apache-2.0 */
/* The users and groups of an image made of packages: Debian's fixed ones, and those that maintainer scripts would make. */
#ifndef LV_TINYX_ACCOUNTS_H
#define LV_TINYX_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct account { /* a user, or a group: home and shell NULL */
	char *name, *home, *shell;
	uint32_t id, group; /* group: of a user */
	struct strings members;
};

struct accounts { /* zero-initialised: those that every image has are added by the first question */
	struct account *user, *group;
	size_t users, groups;
};

/* Names of a letter or "_", then letters, digits, "_", "-", ".", at most 32: what else a script says is no name. */
bool account_is_name(const char *name);
/* True and the number, of one that was added or is one of Debian's fixed ones, which then is added. */
bool accounts_user(struct accounts *accounts, const char *name, uint32_t *id, uint32_t *group);
bool accounts_group(struct accounts *accounts, const char *name, uint32_t *id);
/* Makes it if it is not there: the next free number from 100 on. A user has a group of its own name unless group is given, which is made, too. The number. */
uint32_t accounts_add_group(struct accounts *accounts, const char *name);
uint32_t accounts_add_user(struct accounts *accounts, const char *name, const char *group, const char *home, const char *shell);
void accounts_join(struct accounts *accounts, const char *user, const char *group);
/* Whether there are others than Debian's fixed ones. */
bool accounts_made(const struct accounts *accounts);
/* Those that are made get the numbers that their names have in these files' texts, as far as they are there. */
void accounts_number(struct accounts *accounts, const char *passwd, const char *group);
/* Contents of /etc/passwd and /etc/group. */
void accounts_print(struct accounts *accounts, struct text *passwd, struct text *group);
void accounts_free(struct accounts *accounts);

#endif
