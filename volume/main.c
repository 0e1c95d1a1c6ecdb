/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lightvm-fs: one directory of the host for one VM. It is started with the directory and a socket (SOCK_SEQPACKET) whose other end is a monitor's,
 * locks itself in, and goes on in the background; it ends when the monitor does. Its first process ends with 0 once it serves.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/number.h"
#include "base/standard.h"
#include "volume/volume.h"
#include "volume/volume_jail.h"

#define RETRY_MS 10       /* how often a lock that somebody else holds is tried again */
#define RETRY_MESSAGES 32 /* and after so many, where they come without a pause: else who waits would do so as long as others work */

static char message[VOLUME_MESSAGE_MAX] __attribute__((aligned(8))), reply[VOLUME_MESSAGE_MAX] __attribute__((aligned(8)));

static bool send_reply(int socket, size_t size)
{
	ssize_t n;
	while (size && (n = send(socket, reply, size, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return !size || n >= 0;
}

static bool retry_locks(struct volume *volume, int socket)
{
	size_t size;
	while ((size = volume_retry(volume, reply)))
		if (!send_reply(socket, size))
			return false;
	return true;
}

/* Is there a message? Locks that somebody waits for are looked at meanwhile. passed: messages since that was done. */
static bool await_message(struct volume *volume, int socket, unsigned *passed)
{
	struct pollfd poll_fd = { .fd = socket, .events = POLLIN };
	bool idle = true;
	while (volume->waits && idle) {
		idle = poll(&poll_fd, 1, RETRY_MS) == 0;
		if (!idle && ++*passed < RETRY_MESSAGES)
			return true;
		*passed = 0;
		if (!retry_locks(volume, socket))
			return false;
	}
	return true;
}

static void serve(struct volume *volume, int socket)
{
	unsigned passed = 0;
	for (;;) {
		if (!await_message(volume, socket, &passed))
			return;
		ssize_t n = recv(socket, message, sizeof(message), MSG_TRUNC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		/* A message that is too long says so by its own length, which is not that of what came. */
		size_t size = (size_t)n < sizeof(message) ? (size_t)n : sizeof(message);
		if (!send_reply(socket, volume_answer(volume, message, size, reply)))
			return;
	}
}

static int fail(const char *step, int err)
{
	fprintf(stderr, "lightvm-fs: %s: %s\n", step, strerror(-err));
	return EXIT_FAILURE;
}

/* In the process that stays; the word into ready lets the other one end. */
static int run(struct volume *volume, int socket, int directory, int ready)
{
	const char *step = "memory";
	int err = volume_jail(volume, directory, &step);
	if (!err)
		err = volume_init(volume);
	if (err)
		return fail(step, err);
	if (send(ready, "", 1, MSG_NOSIGNAL) != 1)
		return EXIT_FAILURE;
	serve(volume, socket);
	_exit(0);
}

/* What else whoever started us had open is none of the volume's business. Linux before 5.9 has no close_range; there it stays open. */
static void keep_only(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	if (low > 3)
		syscall(SYS_close_range, 3, low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, low + 1, high - 1, 0);
	syscall(SYS_close_range, high + 1, ~0u, 0);
}

static int start(struct volume *volume, int socket, int directory)
{
	int pair[2];
	char word;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fail("socketpair", -errno);
	pid_t pid = fork();
	if (pid < 0)
		return fail("fork", -errno);
	if (!pid) {
		close(pair[0]);
		return run(volume, socket, directory, pair[1]);
	}
	close(pair[1]);
	return recv(pair[0], &word, 1, 0) == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	uint64_t number[4];
	struct volume volume = { .root = -1, .proc = -1 };
	int good = argc == 6 && (!strcmp(argv[3], "ro") || !strcmp(argv[3], "rw"));
	for (int i = 0; i < 4 && good; i++)
		good = !number_parse(argv[(int[]){ 1, 2, 4, 5 }[i]], &number[i]) && number[i] < UINT32_MAX;
	if (!good) {
		fputs("usage: lightvm-fs SOCKET DIRECTORY ro|rw UID GID (descriptors; the guest's user whose files ours are)\n", stderr);
		return 2;
	}
	volume.read_only = argv[3][1] == 'o';
	volume.guest_uid = (uint32_t)number[2];
	volume.guest_gid = (uint32_t)number[3];
	volume.own_uid = geteuid();
	volume.own_gid = getegid();
	volume.any_owner = !volume.own_uid;
	standard_hold();
	signal(SIGXFSZ, SIG_IGN); /* a file that whoever started us may not make so large is EFBIG to the guest, and not our end */
	keep_only((int)number[0], (int)number[1]);
	return start(&volume, (int)number[0], (int)number[1]);
}
