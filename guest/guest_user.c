/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest_user.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELDS 7

/* Splits at colons; the number of fields. */
static int split(char *line, char **field)
{
	int count = 0;
	line[strcspn(line, "\r\n")] = 0;
	while (line && count < FIELDS)
		field[count++] = strsep(&line, ":");
	return count;
}

static int number_of(const char *word, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(word, &end, 10);
	if (*word < '0' || *word > '9' || *end || value >= 0xffffffffu)
		return -1;
	*out = (unsigned)value;
	return 0;
}

/* A line of /etc/passwd by name, or by number if there is one; its name goes to `name`. */
static int passwd_find(struct user *user, const char *word, int by_number, unsigned number, char *name, size_t room)
{
	char line[1024], *field[FIELDS];
	FILE *file = fopen("/etc/passwd", "re");
	int found = -ENOENT;
	while (file && found && fgets(line, sizeof(line), file)) {
		unsigned uid, gid;
		if (split(line, field) < 6 || number_of(field[2], &uid) || number_of(field[3], &gid))
			continue;
		if (by_number ? uid != number : strcmp(field[0], word))
			continue;
		user->uid = uid;
		user->gid = gid;
		snprintf(user->home, sizeof(user->home), "%s", field[5]);
		snprintf(name, room, "%s", field[0]);
		found = 0;
	}
	if (file)
		fclose(file);
	return found;
}

static int is_member(char *list, const char *name)
{
	for (char *save = NULL, *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save))
		if (!strcmp(word, name))
			return 1;
	return 0;
}

/* Walks /etc/group: finds the group `word` (NULL: none), and collects those of which `name` (NULL: nobody) is a member. */
static int group_walk(struct user *user, const char *word, const char *name)
{
	char line[4096], *field[FIELDS];
	FILE *file = fopen("/etc/group", "re");
	int found = word ? -ENOENT : 0;
	while (file && fgets(line, sizeof(line), file)) {
		unsigned gid;
		int count = split(line, field);
		if (count < 3 || number_of(field[2], &gid))
			continue;
		if (word && !strcmp(field[0], word)) {
			user->gid = gid;
			found = 0;
		}
		if (name && count > 3 && user->groups < USER_GROUPS && is_member(field[3], name))
			user->group[user->groups++] = gid;
	}
	if (file)
		fclose(file);
	return found;
}

int user_find(struct user *user, const char *word, char *missing, size_t room)
{
	char copy[256], name[256] = "";
	unsigned number;
	*user = (struct user){ .home = "/root" };
	if (!word)
		return 0;
	snprintf(copy, sizeof(copy), "%s", word);
	char *group = strchr(copy, ':');
	if (group)
		*group++ = 0;
	int is_number = !number_of(copy, &number);
	if (passwd_find(user, copy, is_number, number, name, sizeof(name))) {
		if (!is_number) {
			snprintf(missing, room, "user %s", copy);
			return -ENOENT;
		}
		*user = (struct user){ .uid = number, .gid = 0, .home = "/" };
	}
	if (!group)
		return *name ? group_walk(user, NULL, name) : 0;
	if (!number_of(group, &number)) {
		/* The user's own group, said in full by the command line, brings the others along. */
		bool own = *name && user->gid == number;
		user->gid = number;
		return own ? group_walk(user, NULL, name) : 0;
	}
	snprintf(missing, room, "group %s", group);
	return group_walk(user, group, NULL);
}

int user_become(const struct user *user)
{
	if (geteuid() && geteuid() == user->uid && getegid() == user->gid)
		return 0; /* not in a VM: a test */
	if (setgroups(user->groups, user->group) || setgid(user->gid) || setuid(user->uid))
		return -errno;
	return 0;
}
