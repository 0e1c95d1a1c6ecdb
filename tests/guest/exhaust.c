/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that asks for more and more of one thing, until it gets an error: the machine's memory is used up then, which is the error of whoever asks for
 * more, and nobody's end. In a VM only. "exhaust" lists the things; "exhaust THING" prints the error, and ends with 0 if all others live.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static char block[65536];
static char name[256];

/* Each of these asks for one more, of whatever size: false with errno when there is none. */

static const char *nth_name(const char *kind, unsigned long n)
{
	snprintf(name, sizeof(name), "/tmp/%s-%lu", kind, n);
	return name;
}

static bool one_pipe(unsigned long n)
{
	int ends[2];
	(void)n;
	if (pipe2(ends, O_NONBLOCK))
		return false;
	while (write(ends[1], block, sizeof(block)) > 0)
		;
	return errno == EAGAIN;
}

static bool one_pair(int type, size_t size)
{
	int ends[2];
	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends))
		return false;
	while (send(ends[0], block, size, 0) > 0)
		;
	return errno == EAGAIN;
}

static bool one_stream(unsigned long n)
{
	(void)n;
	return one_pair(SOCK_STREAM, sizeof(block));
}

static bool one_datagram_pair(unsigned long n)
{
	(void)n;
	return one_pair(SOCK_DGRAM, 1);
}

/* Descriptors that only the message has. */
static bool one_flight(unsigned long n)
{
	static int fds[250];
	struct { struct cmsghdr header; int fd[250]; } control;
	struct iovec piece = { block, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(fds)) };
	(void)n;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds))
		return false;
	for (int i = 2; i < 250; i++)
		fds[i] = fds[i & 1];
	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	while (sendmsg(fds[0], &message, 0) > 0)
		;
	return errno == EAGAIN;
}

static bool one_watched(unsigned long n)
{
	static int set[100];
	struct epoll_event event = { .events = EPOLLIN };
	int fd = n < 100 ? (set[n] = epoll_create1(0)) : eventfd(1, 0);
	for (unsigned i = 0; n >= 100 && fd >= 0 && i < 100; i++)
		if (epoll_ctl(set[i], EPOLL_CTL_ADD, fd, &event))
			return false;
	return fd >= 0;
}

static bool one_eventfd(unsigned long n)
{
	(void)n;
	return eventfd(0, 0) >= 0;
}

static bool one_timer(unsigned long n)
{
	struct itimerspec soon = { { 0, 1 }, { 0, 1 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	(void)n;
	return fd >= 0 && !timerfd_settime(fd, 0, &soon, NULL);
}

static bool one_signalfd(unsigned long n)
{
	sigset_t all;
	(void)n;
	sigfillset(&all);
	return signalfd(-1, &all, 0) >= 0;
}

static bool one_udp(unsigned long n)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(own);
	int much = 1 << 26, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	(void)n;
	if (fd < 0 || bind(fd, (void *)&own, size) || getsockname(fd, (void *)&own, &size))
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &much, sizeof(much));
	for (size_t i = 0; i < 2000; i++)
		if (sendto(fd, block, 1 + i, 0, (void *)&own, size) < 0)
			return false;
	return true;
}

static bool one_file(unsigned long n)
{
	int fd = open(nth_name("file", n), O_CREAT | O_RDWR, 0600);
	return fd >= 0 && !close(fd);
}

static bool one_full_file(unsigned long n)
{
	int fd = open(nth_name("full", n), O_CREAT | O_RDWR, 0600);
	for (unsigned i = 0; i < 16; i++)
		if (fd < 0 || write(fd, block, 4096) != 4096) /* a whole page, or an error */
			return false;
	return !close(fd);
}

static bool one_directory(unsigned long n)
{
	return !mkdir(nth_name("directory", n), 0700);
}

static bool one_deeper(unsigned long n)
{
	(void)n;
	return !mkdir("deeper", 0700) && !chdir("deeper");
}

static bool one_link(unsigned long n)
{
	static char target[4000];
	memset(target, 'x', sizeof(target) - 1);
	return !symlink(target, nth_name("link", n));
}

static bool one_name(unsigned long n)
{
	static int first = -1;
	if (first < 0)
		first = open("/tmp/named", O_CREAT | O_RDWR, 0600);
	return !link("/tmp/named", nth_name("name-that-is-rather-long-so-that-there-need-not-be-so-many-of-them", n));
}

static bool one_change(unsigned long n)
{
	int fd = inotify_init1(IN_NONBLOCK), made;
	(void)n;
	if (fd < 0 || inotify_add_watch(fd, "/tmp", IN_ALL_EVENTS) < 0)
		return false;
	for (unsigned i = 0; i < 1000; i++)
		if ((made = open(nth_name("a-file-with-a-name-that-takes-some-room-of-those-who-are-told-of-it", i % 26), O_CREAT | O_RDWR, 0600)) < 0 || close(made))
			return false;
	return true;
}

static bool one_message_queue(unsigned long n)
{
	struct { long type; char text[1]; } message = { .type = 1 };
	struct msqid_ds state;
	int id = msgget(IPC_PRIVATE, 0600);
	(void)n;
	if (id < 0 || msgctl(id, IPC_STAT, &state))
		return false;
	state.msg_qbytes = 1 << 20;
	if (msgctl(id, IPC_SET, &state))
		return false;
	while (!msgsnd(id, &message, 1, IPC_NOWAIT))
		;
	return errno == EAGAIN;
}

static bool one_posix_queue(unsigned long n)
{
	struct mq_attr attributes = { .mq_maxmsg = 10, .mq_msgsize = 8192 };
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	setrlimit(RLIMIT_MSGQUEUE, &none);
	snprintf(name, sizeof(name), "/queue-%lu", n);
	mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
	if (queue < 0)
		return false;
	while (!mq_send(queue, block, 8192, 0))
		;
	return errno == EAGAIN;
}

static bool one_semaphore_set(unsigned long n)
{
	(void)n;
	return semget(IPC_PRIVATE, 30000, 0600) >= 0;
}

static bool one_process(unsigned long n)
{
	pid_t pid = fork();
	(void)n;
	while (!pid)
		pause();
	return pid > 0;
}

static int idle(void *nothing)
{
	(void)nothing;
	while (pause())
		;
	return 0;
}

static bool one_thread(unsigned long n)
{
	char *stack = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)n;
	return stack != MAP_FAILED && clone(idle, stack + 16384, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL) > 0;
}

static bool one_populated(unsigned long n)
{
	char *pages = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)n;
	return pages != MAP_FAILED && !madvise(pages, 1 << 20, MADV_POPULATE_WRITE);
}

static const struct {
	const char *thing;
	bool (*one_more)(unsigned long n);
} things[] = {
	{ "pipes", one_pipe }, { "streams", one_stream }, { "datagrams", one_datagram_pair }, { "flights", one_flight }, { "watched", one_watched },
	{ "eventfds", one_eventfd }, { "timers", one_timer }, { "signalfds", one_signalfd }, { "udp", one_udp }, { "files", one_file }, { "full-files", one_full_file },
	{ "directories", one_directory }, { "deeper", one_deeper }, { "links", one_link }, { "names", one_name }, { "changes", one_change },
	{ "messages", one_message_queue }, { "posix-messages", one_posix_queue }, { "semaphores", one_semaphore_set }, { "processes", one_process },
	{ "threads", one_thread }, { "populated", one_populated },
};

static int *said; /* of the process that asks: it could not tell it by a pipe */

static void ask(bool (*one_more)(unsigned long))
{
	struct rlimit limit;
	setpgid(0, 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned long n = 0; one_more(n); n++)
		;
	*said = errno;
	_exit(0);
}

/* What the VM's first program has to be able to do while all is used up, and then. */
static bool lives(void)
{
	pid_t pid = fork();
	int status;
	if (!pid)
		_exit(7);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

int main(int argc, char **argv)
{
	size_t i = 0, count = sizeof(things) / sizeof(*things);
	int status;
	for (; argc != 2 && i < count; i++)
		puts(things[i].thing);
	while (i < count && strcmp(argv[1], things[i].thing))
		i++;
	if (i == count)
		return argc == 2;
	said = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*said = 0;
	if (chdir("/tmp"))
		return 2;
	pid_t pid = fork();
	if (!pid)
		ask(things[i].one_more);
	if (waitpid(pid, &status, 0) != pid)
		return 3;
	kill(-pid, SIGKILL);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		printf("ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		return 4;
	}
	puts(strerror(*said));
	while (waitpid(-1, NULL, 0) > 0)
		;
	return lives() ? 0 : 5;
}
