/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Unix sockets: paths, and abstract ones, which begin with a zero byte and live as long as their socket. */
#include "libos/net/lwipopts.h"
#include "libos/net/net.h"
#include "libos/net/unix.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

static struct unix_socket *abstract_names;

static bool is_abstract(const union address *addr, uint32_t len)
{
	return len > PATH_AT && addr->un.sun_path[0] == 0;
}

/* Each type has names of its own, unlike files. */
static struct unix_socket *find_abstract(const union address *addr, uint32_t len, int type)
{
	for (struct unix_socket *u = abstract_names; u; u = u->bound_next)
		if (u->s.type == type && u->name_len == len && memcmp(&u->name, addr, len) == 0)
			return u;
	return NULL;
}

static int check(const union address *addr, uint32_t len)
{
	if (len < sizeof(addr->any.family) || len > sizeof(addr->un) || addr->any.family != AF_UNIX)
		return -EINVAL;
	return 0;
}

/* Paths need not be terminated in a sockaddr_un. */
static const char *path_of(const union address *addr, uint32_t len, char path[112])
{
	uint32_t n = strnlen(addr->un.sun_path, len - PATH_AT);
	memcpy(path, addr->un.sun_path, n);
	path[n] = 0;
	return path;
}

static void keep_abstract(struct unix_socket *u, const union address *addr, uint32_t len)
{
	u->name = *addr;
	u->name_len = len;
	u->bound_next = abstract_names;
	abstract_names = u;
}

/* A name of five hexadecimal digits, as Linux chooses one. */
static int bind_automatically(struct unix_socket *u)
{
	union address addr = { .any.family = AF_UNIX };
	uint32_t len = PATH_AT + 6;
	do {
		char digits[8];
		snprintf(digits, sizeof(digits), "%05x", net_random() & 0xfffff);
		memcpy(addr.un.sun_path + 1, digits, 5);
	} while (find_abstract(&addr, len, u->s.type));
	keep_abstract(u, &addr, len);
	return 0;
}

int unix_name_bind(struct unix_socket *u, const union address *addr, uint32_t len)
{
	char path[112];
	int err = check(addr, len);
	if (err < 0)
		return -EINVAL;
	if (len == PATH_AT)
		return u->name_len ? 0 : bind_automatically(u);
	if (u->name_len)
		return -EINVAL;
	if (is_abstract(addr, len)) {
		if (find_abstract(addr, len, u->s.type))
			return -EADDRINUSE;
		keep_abstract(u, addr, len);
		return 0;
	}
	err = unix_path_make(path_of(addr, len, path), u, &u->inode);
	if (err < 0)
		return err;
	memset(&u->name, 0, sizeof(u->name));
	memcpy(&u->name, addr, PATH_AT + strlen(path));
	u->name_len = PATH_AT + strlen(path) + 1;
	return 0;
}

int unix_name_find(const union address *addr, uint32_t len, int type, struct unix_socket **found)
{
	char path[112];
	int err = check(addr, len);
	if (err < 0 || len == PATH_AT)
		return -EINVAL;
	if (is_abstract(addr, len))
		*found = find_abstract(addr, len, type);
	else
		err = unix_path_find(path_of(addr, len, path), found);
	if (err < 0)
		return err;
	if (!*found)
		return -ECONNREFUSED;
	return (*found)->s.type == type ? 0 : -EPROTOTYPE;
}

void unix_name_release(struct unix_socket *u)
{
	if (u->inode)
		unix_path_forget(u->inode);
	for (struct unix_socket **at = &abstract_names; *at; at = &(*at)->bound_next)
		if (*at == u) {
			*at = u->bound_next;
			return;
		}
}
