/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "base/text.h"
#include "daemon/peer.h"
#include "daemon/worker.h"
#include "node/node_paths.h"

#define FIRST_PASSED 3 /* sd_listen_fds(3) */
#define LOCK_MS 2000
#define LOCK_RETRY_MS 10
#define AT_A_TIME 64   /* connections, before others get their turn */

static const struct {
	const char *name;
	enum connection_kind kind;
	int type;
} sockets[] = {
	{ "api.sock", CONNECTION_API, SOCK_STREAM },
	{ "lightvm.sock", CONNECTION_LOCAL, SOCK_SEQPACKET },
};

/* ---- connections ---- */

static void dispatch(struct daemon *daemon, enum connection_kind kind, int fd)
{
	struct peer peer;
	enum peer_right right;
	int err = peer_of(daemon, fd, &peer, &right);
	if (!err && right == PEER_ALL) {
		daemon_connect(daemon, kind, fd);
	} else if (!err && right == PEER_OWN) {
		workers_take(daemon->workers, &peer, kind, fd);
	} else {
		log_warn("a connection of user %d is refused", err ? -1 : (int)peer.caller.uid);
		close(fd);
	}
}

/* Without a free descriptor a connection would stay where it is, and be told to us for ever: one is kept for letting it go. */
static void refuse_one(struct daemon *daemon, int fd)
{
	close(daemon->spare);
	int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (got >= 0)
		close(got);
	daemon->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_warn("no free descriptor: a connection is refused");
}

static void on_connection(void *context, uint32_t events)
{
	struct listener *listener = context;
	for (int i = 0; i < AT_A_TIME && listener->watch.fd >= 0; i++) {
		int fd = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			dispatch(listener->daemon, listener->kind, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(listener->daemon, listener->watch.fd);
		else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_errno("accept");
		return;
	}
}

static int watch(struct daemon *daemon, size_t i, int fd, char *path, struct error *error)
{
	struct listener *listener = &daemon->listener[i];
	*listener = (struct listener){ .daemon = daemon, .kind = sockets[i].kind, .path = path,
		.watch = { .fd = fd, .ready = on_connection, .context = listener } };
	int err = loop_update(&daemon->loop, &listener->watch, EPOLLIN);
	return err ? error_set(error, err, "%s: %s", sockets[i].name, strerror(-err)) : 0;
}

/* ---- those that systemd made ---- */

static int socket_family(int fd)
{
	int family = -1;
	socklen_t size = sizeof(family);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) ? -1 : family;
}

/* Which of ours it is: by its kind, since names are the administrator's. */
static int find_passed(int fd)
{
	int type = 0, listens = 0;
	socklen_t size = sizeof(type);
	if (socket_family(fd) != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens)
		return -1;
	for (int i = 0; i < (int)(sizeof(sockets) / sizeof(*sockets)); i++)
		if (sockets[i].type == type)
			return i;
	return -1;
}

/* The number of descriptors that were passed to this process. */
static int passed_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t number, n;
	bool ours = pid && count && !number_parse(pid, &number) && number == (uint64_t)getpid() && !number_parse(count, &n) && n < 64;
	return ours ? (int)n : 0;
}

/* The i-th of words with colons between them. */
static char *name_at(const char *words, int i)
{
	for (; words && i > 0; i--)
		words = (words = strchr(words, ':')) ? words + 1 : NULL;
	return words ? alloc_format("%.*s", (int)strcspn(words, ":"), words) : NULL;
}

int listen_named(unsigned index, char **name)
{
	for (int fd = FIRST_PASSED, end = fd + passed_count(); fd < end; fd++) {
		int listens = 0, family = socket_family(fd);
		socklen_t size = sizeof(listens);
		if ((family != AF_INET && family != AF_INET6) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens || index--)
			continue;
		*name = name_at(getenv("LISTEN_FDNAMES"), fd - FIRST_PASSED);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return *name ? fd : -ENOENT;
	}
	return -ENOENT;
}

/* What is passed is told once: nobody that we start takes it for its own. */
static int passed(void)
{
	int n = passed_count();
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n;
}

static int take_passed(struct daemon *daemon, int count, struct error *error)
{
	for (int fd = FIRST_PASSED; fd < FIRST_PASSED + count; fd++) {
		int which = find_passed(fd), family = socket_family(fd);
		if (family == AF_INET || family == AF_INET6)
			continue; /* a service's */
		if (which < 0 || daemon->listener[which].watch.fd >= 0)
			return error_set(error, -EINVAL, "LISTEN_FDS: descriptor %d is not a listening socket of lightvmd, or a second one of its kind", fd);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		int err = watch(daemon, (size_t)which, fd, NULL, error);
		if (err)
			return err;
	}
	return 0;
}

/* ---- our own ---- */

/* Somebody answers there: then it is another lightvmd's, and not what one that was killed left. */
static bool answers(const struct sockaddr_un *address, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes = fd >= 0 && (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	return yes;
}

static int make_socket(const char *path, int type, mode_t mode, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >= (int)sizeof(address.sun_path))
		return error_set(error, -ENAMETOOLONG, "%s: longer than the %zu bytes that a socket's path may have", path, sizeof(address.sun_path) - 1);
	if (answers(&address, type))
		return error_set(error, -EADDRINUSE, "%s: another lightvmd serves it", path);
	unlink(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) || chmod(path, mode) || listen(fd, SOMAXCONN)) {
		int err = error_set(error, -errno, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	return fd;
}

/* Of one that was killed, a child that it had just made may hold the lock until it has closed what is not its own. */
static int take_lock(int fd)
{
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_RETRY_MS) {
		if (errno != EWOULDBLOCK || waited >= LOCK_MS)
			return -1;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return 0;
}

/* Two that start at once do not take the paths from each other; the lock is ours for as long as we live. */
static int lock_directory(struct daemon *daemon, const char *directory, struct error *error)
{
	char *path = alloc_format("%s/lightvmd.lock", directory);
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1, err = 0;
	if (fd < 0 || take_lock(fd))
		err = errno == EWOULDBLOCK ? error_set(error, -EADDRINUSE, "%s: another lightvmd is running", directory) :
					     error_set(error, -errno, "%s: %s", path ? path : directory, strerror(errno));
	free(path);
	daemon->lock = fd;
	return err;
}

static int prepare_directory(struct daemon *daemon, const char *directory, struct error *error)
{
	int fd = paths_run_open(directory, error);
	if (fd < 0)
		return fd;
	/* Others may pass through to the sockets, and list nothing. */
	int err = daemon->system && fchmod(fd, 0711) ? error_set(error, -errno, "%s: %s", directory, strerror(errno)) : 0;
	close(fd);
	return err ? err : lock_directory(daemon, directory, error);
}

static int make_own(struct daemon *daemon, struct error *error)
{
	char *directory = paths_run(daemon->system);
	int err = directory ? prepare_directory(daemon, directory, error) : error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets) && !err; i++) {
		if (daemon->listener[i].watch.fd >= 0)
			continue;
		char *path = alloc_format("%s/%s", directory, sockets[i].name);
		int fd = path ? make_socket(path, sockets[i].type, daemon->system ? 0666 : 0600, error) : error_set(error, -ENOMEM, "out of memory");
		err = fd < 0 ? fd : watch(daemon, i, fd, path, error);
		if (fd < 0)
			free(path);
	}
	free(directory);
	return err;
}

int listen_open(struct daemon *daemon, struct error *error)
{
	int count = passed();
	int err = count ? take_passed(daemon, count, error) : 0;
	return err ? err : make_own(daemon, error);
}

void listen_close(struct daemon *daemon)
{
	for (size_t i = 0; i < sizeof(daemon->listener) / sizeof(*daemon->listener); i++) {
		struct listener *listener = &daemon->listener[i];
		if (listener->watch.fd >= 0) {
			loop_update(&daemon->loop, &listener->watch, 0);
			close(listener->watch.fd);
		}
		if (listener->path)
			unlink(listener->path);
		free(listener->path);
		listener->path = NULL;
		listener->watch.fd = -1;
	}
}
