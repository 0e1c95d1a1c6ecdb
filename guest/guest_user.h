/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by the image's own /etc/passwd and /etc/group. */
#ifndef LV_GUEST_GUEST_USER_H
#define LV_GUEST_GUEST_USER_H

#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS 64

struct user {
	uid_t uid;
	gid_t gid;
	gid_t group[USER_GROUPS]; /* supplementary */
	size_t groups;
	char home[256]; /* empty: not known */
};

/*
 * word: USER[:GROUP], names or numbers; NULL: root. A user without GROUP has the group of /etc/passwd and the supplementary
 * groups of /etc/group. 0, or -ENOENT: *missing is then the name that is not there ("user x").
 */
int user_find(struct user *user, const char *word, char *missing, size_t room);
/* Becomes the user: groups, gid, uid, in this order. A negative errno on failure. */
int user_become(const struct user *user);

#endif
