/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/http.h"

#define PEM_MAX (1u << 20)
#define AT_A_TIME 64

struct tls {
	struct daemon *daemon;
	struct loop_watch watch;
	char *certificate, *key, *clients; /* texts, which the library reads for each connection */
};

/* ---- what is given ---- */

static int check(const struct tls_options *options, struct error *error)
{
	const struct { const char *name, *value; } needed[] = { { "--tls-certificate", options->certificate }, { "--tls-key", options->key },
		{ "--tls-clients", options->clients } };
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		if (options->listen && !needed[i].value)
			return error_set(error, -EINVAL, "--tls-listen needs %s FILE, too", needed[i].name);
		if (!options->listen && needed[i].value)
			return error_set(error, -EINVAL, "%s is for --tls-listen", needed[i].name);
	}
	return 0;
}

static int read_pem(const char *path, char **text, struct error *error)
{
	size_t size;
	int err = file_read(AT_FDCWD, path, PEM_MAX, text, &size);
	if (!err && !strstr(*text, "-----BEGIN "))
		err = error_set(error, -EINVAL, "%s: not a PEM file", path);
	else if (err)
		error_set(error, err, "%s: %s", path, strerror(-err));
	return err;
}

/* A key that others can read is none. */
static int check_key(const char *path, struct error *error)
{
	struct stat st;
	if (!stat(path, &st) && st.st_mode & 077)
		return error_set(error, -EACCES, "%s: others may read it (mode %03o); chmod 600 it", path, st.st_mode & 0777);
	return 0;
}

static int read_files(struct tls *tls, const struct tls_options *options, struct error *error)
{
	int err = check_key(options->key, error);
	if (!err)
		err = read_pem(options->key, &tls->key, error);
	if (!err)
		err = read_pem(options->certificate, &tls->certificate, error);
	return err ? err : read_pem(options->clients, &tls->clients, error);
}

/* ---- connections ---- */

static void on_connection(void *context, uint32_t events)
{
	struct tls *tls = context;
	for (int i = 0; i < AT_A_TIME; i++) {
		int fd = accept4(tls->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		http_connect_secure(tls->daemon->http, fd);
	}
}

static int listen_at(struct tls *tls, const char *word, struct error *error)
{
	int fd = address_tcp_listen(word, 0, error);
	if (fd < 0)
		return error_prefix(error, "--tls-listen");
	tls->watch = (struct loop_watch){ .fd = fd, .ready = on_connection, .context = tls };
	int err = loop_update(&tls->daemon->loop, &tls->watch, EPOLLIN);
	return err ? error_set(error, err, "--tls-listen %s: %s", word, strerror(-err)) : 0;
}

int tls_open(struct daemon *daemon, const struct tls_options *options, struct error *error)
{
	int err = check(options, error);
	if (err || !options->listen)
		return err;
	struct tls *tls = daemon->tls = alloc_zero(sizeof(*tls));
	if (!tls)
		return error_set(error, -ENOMEM, "out of memory");
	tls->daemon = daemon;
	tls->watch.fd = -1;
	err = read_files(tls, options, error);
	if (!err)
		err = http_secure(daemon->http, tls->certificate, tls->key, tls->clients, error);
	return err ? err : listen_at(tls, options->listen, error);
}

void tls_close(struct daemon *daemon)
{
	struct tls *tls = daemon->tls;
	if (!tls)
		return;
	if (tls->watch.armed)
		loop_update(&daemon->loop, &tls->watch, 0);
	if (tls->watch.fd >= 0)
		close(tls->watch.fd);
	if (tls->key)
		explicit_bzero(tls->key, strlen(tls->key));
	free(tls->key);
	free(tls->certificate);
	free(tls->clients);
	free(tls);
	daemon->tls = NULL;
}
