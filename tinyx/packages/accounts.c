/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/accounts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ID 100 /* of those that Debian's packages make */
#define NAME_MAX_BYTES 32
#define NOLOGIN "/usr/sbin/nologin"

/* Debian's base-passwd: numbers that are the same on every system. */
static const struct fixed {
	const char *name;
	uint32_t id;
	const char *home; /* NULL: a group only */
} fixed[] = { { "root", 0, "/root" }, { "daemon", 1, "/usr/sbin" }, { "bin", 2, "/bin" }, { "sys", 3, "/dev" }, { "adm", 4, NULL }, { "tty", 5, NULL },
	{ "disk", 6, NULL }, { "games", 5, "/usr/games" }, { "man", 6, "/var/cache/man" }, { "lp", 7, "/var/spool/lpd" }, { "mail", 8, "/var/mail" },
	{ "news", 9, "/var/spool/news" }, { "uucp", 10, "/var/spool/uucp" }, { "proxy", 13, "/bin" }, { "kmem", 15, NULL }, { "sudo", 27, NULL },
	{ "audio", 29, NULL }, { "www-data", 33, "/var/www" }, { "backup", 34, "/var/backups" }, { "list", 38, "/var/list" }, { "shadow", 42, NULL },
	{ "utmp", 43, NULL }, { "video", 44, NULL }, { "staff", 50, NULL }, { "users", 100, NULL }, { "nobody", 65534, "/nonexistent" }, { "nogroup", 65534, NULL } };
static const struct fixed group_ids[] = { { "man", 12, NULL }, { "games", 60, NULL } }; /* where group and user differ */

bool account_is_name(const char *name)
{
	size_t len = strlen(name);
	if (!len || len > NAME_MAX_BYTES || (!isalpha((unsigned char)name[0]) && name[0] != '_'))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
			return false;
	return true;
}

static struct account *find(struct account *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

static struct account *append(struct account **list, size_t *count, const char *name, uint32_t id)
{
	*list = alloc_again(*list, (*count + 1) * sizeof(**list));
	struct account *account = &(*list)[(*count)++];
	*account = (struct account){ .name = alloc_copy(name), .id = id };
	return account;
}

static const struct fixed *find_fixed(const char *name, bool as_user)
{
	for (size_t i = 0; !as_user && i < sizeof(group_ids) / sizeof(*group_ids); i++)
		if (!strcmp(group_ids[i].name, name))
			return &group_ids[i];
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (!strcmp(fixed[i].name, name) && (fixed[i].home || !as_user))
			return &fixed[i];
	return NULL;
}

/* A number that neither a user nor a group has: mostly both are made, and look better when they are the same. */
static uint32_t free_id(const struct accounts *accounts)
{
	uint32_t id = FIRST_ID;
	for (bool taken = true; taken; id += taken) {
		taken = id == 100; /* the group "users" */
		for (size_t i = 0; i < accounts->users; i++)
			taken = taken || accounts->user[i].id == id;
		for (size_t i = 0; i < accounts->groups; i++)
			taken = taken || accounts->group[i].id == id;
	}
	return id;
}

/* Every Debian system has them, and programs that are no package's look for them, too: squid's user is proxy. */
static void begin(struct accounts *accounts)
{
	if (accounts->users)
		return;
	for (const struct fixed *known = fixed; known < fixed + sizeof(fixed) / sizeof(*fixed); known++) {
		const uint32_t group = find_fixed(known->name, false)->id;
		if (strcmp(known->name, "nobody"))
			append(&accounts->group, &accounts->groups, known->name, group);
		if (!known->home)
			continue;
		struct account *user = append(&accounts->user, &accounts->users, known->name, known->id);
		user->group = group;
		user->home = alloc_copy(known->home);
		user->shell = alloc_copy(known->id ? NOLOGIN : "/bin/sh");
	}
}

bool accounts_group(struct accounts *accounts, const char *name, uint32_t *id)
{
	begin(accounts);
	const struct account *group = find(accounts->group, accounts->groups, name);
	if (group)
		*id = group->id;
	return group;
}

bool accounts_user(struct accounts *accounts, const char *name, uint32_t *id, uint32_t *group)
{
	begin(accounts);
	struct account *user = find(accounts->user, accounts->users, name);
	if (user) {
		*id = user->id;
		*group = user->group;
	}
	return user;
}

uint32_t accounts_add_group(struct accounts *accounts, const char *name)
{
	uint32_t id;
	if (accounts_group(accounts, name, &id))
		return id;
	return append(&accounts->group, &accounts->groups, name, free_id(accounts))->id;
}

uint32_t accounts_add_user(struct accounts *accounts, const char *name, const char *group, const char *home, const char *shell)
{
	uint32_t id, its_group;
	if (accounts_user(accounts, name, &id, &its_group))
		return id;
	id = free_id(accounts);
	if (!accounts_group(accounts, group ? group : name, &its_group))
		its_group = append(&accounts->group, &accounts->groups, group ? group : name, id)->id;
	struct account *user = append(&accounts->user, &accounts->users, name, id);
	user->group = its_group;
	user->home = alloc_copy(home ? home : "/nonexistent");
	user->shell = alloc_copy(shell ? shell : NOLOGIN);
	return id;
}

void accounts_join(struct accounts *accounts, const char *user, const char *group)
{
	accounts_add_group(accounts, group);
	struct account *joined = find(accounts->group, accounts->groups, group);
	if (!strings_have(&joined->members, user))
		strings_add(&joined->members, user);
}

bool accounts_made(const struct accounts *accounts)
{
	for (size_t i = 0; i < accounts->users; i++)
		if (!find_fixed(accounts->user[i].name, true))
			return true;
	for (size_t i = 0; i < accounts->groups; i++)
		if (!find_fixed(accounts->group[i].name, false))
			return true;
	return false;
}

/* The numbers of the line "NAME:x:NUMBER:[GROUP:]" of name. */
static bool find_line(const char *text, const char *name, uint32_t *id, uint32_t *group)
{
	size_t len = strlen(name);
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned first, second = 0;
		if (strncmp(line, name, len) || line[len] != ':' || sscanf(line + len + 1, "%*[^:\n]:%u:%u", &first, &second) < 1)
			continue;
		*id = first;
		*group = second;
		return true;
	}
	return false;
}

void accounts_number(struct accounts *accounts, const char *passwd, const char *group)
{
	uint32_t unused;
	for (size_t i = 0; i < accounts->users; i++)
		if (!find_fixed(accounts->user[i].name, true))
			find_line(passwd, accounts->user[i].name, &accounts->user[i].id, &accounts->user[i].group);
	for (size_t i = 0; i < accounts->groups; i++)
		if (!find_fixed(accounts->group[i].name, false))
			find_line(group, accounts->group[i].name, &accounts->group[i].id, &unused);
}

void accounts_print(struct accounts *accounts, struct text *passwd, struct text *group)
{
	begin(accounts);
	for (size_t i = 0; i < accounts->users; i++) {
		const struct account *user = &accounts->user[i];
		text_format(passwd, "%s:x:%u:%u:%s:%s:%s\n", user->name, user->id, user->group, user->name, user->home, user->shell);
	}
	for (size_t i = 0; i < accounts->groups; i++) {
		const struct account *one = &accounts->group[i];
		text_format(group, "%s:x:%u:", one->name, one->id);
		for (size_t m = 0; m < one->members.count; m++)
			text_format(group, "%s%s", m ? "," : "", one->members.item[m]);
		text_put(group, "\n");
	}
}

static void free_list(struct account *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].home);
		free(list[i].shell);
		strings_free(&list[i].members);
	}
	free(list);
}

void accounts_free(struct accounts *accounts)
{
	free_list(accounts->user, accounts->users);
	free_list(accounts->group, accounts->groups);
	*accounts = (struct accounts){ 0 };
}
