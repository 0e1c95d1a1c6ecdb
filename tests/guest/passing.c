/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that are on their way in Unix sockets: chains of them, circles that nobody can receive, how many of them a user has. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/wait.h>

#define USER 54321 /* nobody else's */

/* One byte with this descriptor. */
static bool send_fd(int to, int fd)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

static int receive_fd(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(from, &m, MSG_DONTWAIT) == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* Nobody has the pipe's writing end any more. Linux may need to be made to look: a socket is closed, now and then. */
static bool is_closed(int reader)
{
	struct pollfd p = { .fd = reader };
	int64_t end = now_ms() + 20000;
	int pair[2];

	while (!poll(&p, 1, 1) && now_ms() < end)
		if (!socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
			close(pair[0]);
			close(pair[1]);
		}
	return p.revents & POLLHUP;
}

/* A pipe in a socket in a socket ... : the last one. Its own descriptors are the only ones that are open. */
static int chain(int depth, int first)
{
	int pair[2], inner = first;

	for (int i = 0; i < depth; i++) {
		if (socketpair(AF_UNIX, i % 2 ? SOCK_DGRAM : SOCK_STREAM, 0, pair) || !send_fd(pair[0], inner))
			return -1;
		close(inner);
		close(pair[0]);
		inner = pair[1];
	}
	return inner;
}

static void chains(void)
{
	int ends[2], last = -1, depth = in_vm() ? 50000 : 900;

	CHECK(!pipe(ends) && (last = chain(depth, ends[1])) >= 0);
	CHECK(!close(last));
	CHECK(is_closed(ends[0]));
	close(ends[0]);

	/* One that is received, link by link. */
	CHECK(!pipe(ends) && (last = chain(20, ends[1])) >= 0);
	for (int i = 0; i < 20 && last >= 0; i++) {
		int inner = receive_fd(last);

		close(last);
		last = inner;
	}
	CHECK(write(last, "y", 1) == 1);
	close(last);
	CHECK(is_closed(ends[0]));
	close(ends[0]);
}

/* Each end lies in the queue of the other one, a pipe's end with them. */
static bool circle(int writer, int type)
{
	int pair[2];
	bool good = !socketpair(AF_UNIX, type, 0, pair) && send_fd(pair[0], pair[0]) && send_fd(pair[0], writer) && send_fd(pair[1], pair[1]);

	close(pair[0]);
	close(pair[1]);
	return good;
}

/* A connection that waits to be accepted has its listener in its queue. */
static bool circle_of_listener(int writer)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0passing of tests/guest" };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	bool good = !bind(listener, (void *)&name, sizeof(name)) && !listen(listener, 4) && !connect(client, (void *)&name, sizeof(name)) &&
		    send_fd(client, listener) && send_fd(client, writer) && send_fd(client, client);

	close(listener);
	close(client);
	return good;
}

/* Each of many is in the queue of the next one; *kept is one of them. */
static bool ring(int writer, int size, int *kept)
{
	int pair[256][2] = { 0 };
	bool good = true;

	for (int i = 0; i < size; i++)
		good = !socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]) && good;
	good = send_fd(pair[0][0], writer) && good;
	for (int i = 0; i < size; i++)
		good = send_fd(pair[(i + 1) % size][0], pair[i][1]) && good;
	*kept = dup(pair[0][1]);
	for (int i = 0; i < size; i++) {
		close(pair[i][0]);
		close(pair[i][1]);
	}
	return good;
}

static void circles(void)
{
	int ends[2], kept;

	CHECK(!pipe(ends));
	CHECK(circle(ends[1], SOCK_STREAM) && circle(ends[1], SOCK_SEQPACKET) && circle(ends[1], SOCK_DGRAM));
	CHECK(circle_of_listener(ends[1]));
	CHECK(ring(ends[1], 200, &kept));
	CHECK(!close(kept));
	close(ends[1]);
	CHECK(is_closed(ends[0]));
	close(ends[0]);

	/* One that somebody has is not taken away, whatever is closed meanwhile. */
	CHECK(!pipe(ends) && ring(ends[1], 50, &kept));
	bool good = true;

	for (int i = 0; i < 200; i++)
		good = circle(ends[1], SOCK_STREAM) && good;
	CHECK(good);
	close(ends[1]);
	int writer = receive_fd(kept);

	CHECK(write(writer, "z", 1) == 1);
	close(writer);
	for (int i = 0; i < 50; i++) {
		int before = receive_fd(kept);

		close(kept);
		kept = before;
	}
	CHECK(kept >= 0);
	close(kept);
	CHECK(is_closed(ends[0]));
	close(ends[0]);
}

static uint64_t free_kib(void)
{
	struct sysinfo info;

	sysinfo(&info);
	return info.freeram / 1024 * info.mem_unit;
}

/* A process leaves as many behind as it can. */
static int leave_many(void)
{
	for (int i = 0; i < 20000; i++)
		if (!circle(0, SOCK_STREAM))
			return 1;
	return 0;
}

/* The memory is there again when it has ended. In the VM only, as others have this machine, too. */
static bool memory_comes_back(void)
{
	uint64_t before = free_kib();
	pid_t child = fork();
	int status;

	if (!child)
		_exit(leave_many());
	return waitpid(child, &status, 0) == child && status == 0 && free_kib() + 4096 > before;
}

static int64_t processor_us(void)
{
	struct timespec had;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &had);
	return had.tv_sec * 1000000ll + had.tv_nsec / 1000;
}

/*
 * What a closed socket costs does not grow with what is in flight elsewhere: 300 pairs less than sending 20,000 plain files, to look at all of which takes as
 * long as sending some thousand. In the VM only: a process may not have so many on their way.
 */
static bool closing_is_cheap(void)
{
	int64_t start = processor_us();
	int sent = 0, pair[2], first = -1;

	while (sent < 20000 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		int before = sent;

		while (sent < 20000 && send_fd(pair[0], 0))
			sent++;
		if (sent == before)
			break;
		first = first < 0 ? pair[0] : first;
	}
	int64_t sending = processor_us() - start;

	if (sent != 20000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || !send_fd(pair[0], pair[0]))
		return false;
	start = processor_us();
	for (int i = 0; i < 300; i++) {
		int closed[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, closed))
			return false;
		close(closed[0]);
		close(closed[1]);
	}
	int64_t closing = processor_us() - start;

	for (int fd = first; fd <= pair[1]; fd++)
		close(fd);
	if (closing >= sending)
		printf("sending took %ld us, closing %ld us\n", (long)sending, (long)closing);
	return closing < sending;
}

static int too_many(void)
{
	const struct rlimit limit = { 64, 64 };
	int pair[2], sent = 0;

	if (setrlimit(RLIMIT_NOFILE, &limit) || setgid(USER) || setuid(USER) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	while (sent < 200 && send_fd(pair[0], 0))
		sent++;
	int why = errno, got = receive_fd(pair[1]);

	/* It is for one that the limit is passed. */
	if (sent != 65 || why != ETOOMANYREFS || got < 0)
		return 2;
	close(got);
	if (!send_fd(pair[0], 0) || send_fd(pair[0], 0) || errno != ETOOMANYREFS)
		return 3;
	close(pair[0]);
	close(pair[1]);
	return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) || !send_fd(pair[0], 0) ? 4 : 0;
}

static int limit_of_a_user(void)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(too_many());
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void wrong_ones(void)
{
	int pair[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK(!send_fd(pair[0], 12345) && errno == EBADF);
	CHECK(receive_fd(pair[1]) == -1);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	chains();
	circles();
	CHECK(!in_vm() || memory_comes_back());
	CHECK(!in_vm() || closing_is_cheap());
	IS(getuid() ? 0 : limit_of_a_user(), 0); /* who is not root cannot be another user */
	wrong_ones();
	return check_end();
}
