/* SPDX-License-Identifier: Apache-2.0 */
#include "node/host_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/file.h"
#include "node/kept.h"
#include "node/state.h"

#define OWN "own.pem"
#define PEM_MAX 65536
#define CERTIFICATE "-----BEGIN CERTIFICATE-----"

/* ---- this host ---- */

int host_init(const char *name, bool renew, struct error *error)
{
	char *pem = NULL;
	size_t size = 0;
	int dir = kept_open(KEPT_HOST, true, error), err = dir < 0 ? dir : 0;
	if (err)
		return err;
	if (!renew && !faccessat(dir, OWN, F_OK, AT_SYMLINK_NOFOLLOW))
		err = error_set(error, -EEXIST, "this host has a key already; --renew replaces it, and then every other host has to be told the new fingerprint");
	if (!err)
		err = tls_new_identity(name, &pem, &size, error);
	if (!err && (err = file_write(dir, OWN, pem, size, 0600)))
		error_set(error, err, "the key: %s", strerror(-err));
	if (pem)
		explicit_bzero(pem, size);
	free(pem);
	close(dir);
	return err;
}

int host_own_open(struct error *error)
{
	struct stat st;
	int dir = kept_open(KEPT_HOST, false, error), fd = dir < 0 ? dir : openat(dir, OWN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int err = dir < 0 ? dir : fd < 0 ? -errno : 0;
	if (dir >= 0)
		close(dir);
	if (err == -ENOENT)
		return error_set(error, err, "this host has no key yet; \"lightvm host init\" makes one");
	if (err)
		return dir < 0 ? err : error_set(error, err, "this host's key: %s", strerror(-err));
	if (fstat(fd, &st) || st.st_mode & 077 || st.st_uid != geteuid()) {
		close(fd);
		return error_set(error, -EACCES, "this host's key may be read by others (mode %03o, user %u): make a new one with \"lightvm host init --renew\"",
				 (unsigned)st.st_mode & 0777, (unsigned)st.st_uid);
	}
	return fd;
}

int host_own(char *out, char **certificate, struct error *error)
{
	char *pem = NULL;
	int fd = host_own_open(error);
	if (fd < 0)
		return fd;
	off_t size = lseek(fd, 0, SEEK_END);
	pem = size > 0 && size < PEM_MAX ? alloc_zero((size_t)size + 1) : NULL;
	int err = pem && pread(fd, pem, (size_t)size, 0) == size ? 0 : error_set(error, -EIO, "this host's key cannot be read");
	/* The certificate is what follows the key. */
	const char *begin = err ? NULL : strstr(pem, CERTIFICATE);
	if (!err && !begin)
		err = error_set(error, -EINVAL, "this host's key is damaged; \"lightvm host init --renew\" makes a new one");
	if (!err && certificate)
		*certificate = alloc_copy(begin);
	if (!err && lseek(fd, begin - pem, SEEK_SET) < 0)
		err = error_set(error, -errno, "this host's key: %s", strerror(errno));
	if (!err)
		err = tls_fingerprint(fd, out, error);
	if (pem)
		explicit_bzero(pem, (size_t)size);
	free(pem);
	close(fd);
	return err;
}

/* ---- others ---- */

static int read_host(int dir, const char *name, struct host *host, struct error *error)
{
	json_t *json = kept_read(dir, name, error);
	const char *address = json_string_value(json_object_get(json, "address")), *print = json_string_value(json_object_get(json, "fingerprint"));
	*host = (struct host){ 0 };
	int err = json ? 0 : error->code;
	if (json && (!address || !print || tls_fingerprint_parse(print, host->fingerprint)))
		err = error_set(error, -EINVAL, "host %s: its file is damaged; remove it and add it again", name);
	if (!err) {
		host->name = alloc_copy(name);
		host->address = alloc_copy(address);
	}
	json_decref(json);
	return err;
}

void host_free(struct host *host)
{
	free(host->name);
	free(host->address);
	*host = (struct host){ 0 };
}

struct walk {
	int dir;
	const char *fingerprint; /* looked for */
	char *found;
	struct strings *trusted; /* or collected */
	json_t *list;
	unsigned count;
};

static int visit(void *context, const char *name)
{
	struct walk *walk = context;
	struct host host;
	struct error damaged;
	if (read_host(walk->dir, name, &host, &damaged))
		return 0; /* who cannot be read is not trusted */
	if (walk->fingerprint && !walk->found && !strcmp(walk->fingerprint, host.fingerprint))
		walk->found = alloc_copy(name);
	if (walk->trusted)
		strings_add(walk->trusted, host.fingerprint);
	if (walk->list)
		json_array_append_new(walk->list, json_pack("{s:s, s:s, s:s}", "name", name, "address", host.address, "fingerprint", host.fingerprint));
	walk->count++;
	host_free(&host);
	return 0;
}

static int walk_hosts(struct walk *walk, struct error *error)
{
	walk->dir = kept_open(KEPT_HOST, false, error);
	if (walk->dir < 0)
		return walk->dir == -ENOENT ? 0 : walk->dir;
	int err = kept_each(walk->dir, visit, walk);
	close(walk->dir);
	return err ? error_set(error, err, "the list of hosts: %s", strerror(-err)) : 0;
}

static int check_new(int dir, const struct host *host, struct error *error)
{
	struct walk walk = { .dir = dir, .fingerprint = host->fingerprint };
	struct sockaddr_storage address;
	socklen_t size;
	if (!vm_name_valid(host->name))
		return error_set(error, -EINVAL, "\"%s\" cannot be a host's name: letters, digits, \".\", \"-\" and \"_\", at most %d", host->name, STATE_NAME);
	int err = address_parse(host->address, HOST_PORT, &address, &size, error);
	if (err)
		return err;
	if (kept_has(dir, host->name))
		return error_set(error, -EEXIST, "there is a host \"%s\" already; \"lightvm host rm %s\" removes it", host->name, host->name);
	kept_each(dir, visit, &walk);
	if (walk.found)
		err = error_set(error, -EEXIST, "this fingerprint is that of host \"%s\"", walk.found);
	if (!err && walk.count >= HOSTS_MAX)
		err = error_set(error, -ENOSPC, "there are %d hosts already, which is the most", HOSTS_MAX);
	free(walk.found);
	return err;
}

int host_add(const struct host *host, struct error *error)
{
	int dir = kept_open(KEPT_HOST, true, error), err = dir < 0 ? dir : check_new(dir, host, error);
	json_t *json = err ? NULL : json_pack("{s:s, s:s}", "address", host->address, "fingerprint", host->fingerprint);
	if (!err)
		err = json ? kept_write(dir, host->name, json, error) : error_set(error, -ENOMEM, "out of memory");
	json_decref(json);
	if (dir >= 0)
		close(dir);
	return err;
}

static int no_host(const char *name, struct error *error)
{
	return error_set(error, -ENOENT, "there is no host \"%s\"; \"lightvm host ls\" lists them, and \"lightvm host add\" adds one", name);
}

int host_find(const char *name, struct host *host, struct error *error)
{
	int dir = kept_open(KEPT_HOST, false, error);
	*host = (struct host){ 0 };
	if (dir == -ENOENT || (dir >= 0 && !kept_has(dir, name))) {
		if (dir >= 0)
			close(dir);
		return no_host(name, error);
	}
	int err = dir < 0 ? dir : read_host(dir, name, host, error);
	if (dir >= 0)
		close(dir);
	return err;
}

char *host_name_of(const char *fingerprint)
{
	struct walk walk = { .fingerprint = fingerprint };
	struct error error;
	walk_hosts(&walk, &error);
	return walk.found;
}

int host_remove(const char *name, struct error *error)
{
	int dir = kept_open(KEPT_HOST, false, error);
	if (dir < 0 && dir != -ENOENT)
		return dir;
	bool there = dir >= 0 && kept_has(dir, name);
	if (there)
		kept_remove(dir, name);
	if (dir >= 0)
		close(dir);
	return there ? 0 : no_host(name, error);
}

json_t *hosts_list(struct error *error)
{
	struct walk walk = { .list = json_array() };
	int err = walk.list ? walk_hosts(&walk, error) : error_set(error, -ENOMEM, "out of memory");
	if (!err)
		return walk.list;
	json_decref(walk.list);
	return NULL;
}

int hosts_trusted(struct strings *out, struct error *error)
{
	struct walk walk = { .trusted = out };
	int err = walk_hosts(&walk, error);
	return !err && strings_error(out) ? error_set(error, -ENOMEM, "out of memory") : err;
}
