/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues. */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check.h"

static char name[64];
static volatile int told;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	told = info->si_code == SI_MESGQ && info->si_value.sival_int == 77 && info->si_pid == getpid() ? told + 1 : -100;
}

static void check_names(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = 16 }, bad = { .mq_maxmsg = 0, .mq_msgsize = 16 };
	struct stat st;

	FAILS(mq_open(name, O_RDWR), ENOENT);
	FAILS(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
	FAILS(mq_open("/", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
	FAILS(mq_open(name, O_RDWR | O_CREAT, 0600, &bad), EINVAL);
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	CHECK(q >= 0);
	FAILS(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr), EEXIST);
	CHECK(!fstat(q, &st) && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600 && st.st_size == 80);
	IS(fcntl(q, F_GETFD), FD_CLOEXEC);
	mqd_t other = mq_open(name, O_WRONLY | O_NONBLOCK);
	CHECK(other >= 0);
	IS(mq_unlink(name), 0);
	FAILS(mq_unlink(name), ENOENT);
	IS(mq_send(other, "still", 5, 0), 0);
	IS(mq_getattr(q, &attr), 0);
	CHECK(attr.mq_curmsgs == 1 && attr.mq_maxmsg == 3 && attr.mq_msgsize == 16 && attr.mq_flags == 0);
	attr.mq_flags = O_NONBLOCK;
	IS(mq_setattr(q, &attr, NULL), 0);
	IS(fcntl(q, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	attr.mq_flags = O_APPEND;
	FAILS(mq_setattr(q, &attr, NULL), EINVAL);
	mq_close(q), mq_close(other);
	FAILS(mq_getattr(q, &attr), EBADF);
}

static void check_order(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = 16 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr), reader = mq_open(name, O_RDONLY), writer = mq_open(name, O_WRONLY);
	struct pollfd p = { .fd = q, .events = POLLIN | POLLOUT };
	struct timespec past = { 0 }, bad = { .tv_nsec = -1 };
	char text[32], status[100];
	unsigned priority;

	IS(poll(&p, 1, 0), 1);
	IS(p.revents, POLLOUT);
	FAILS(mq_receive(q, text, 16, NULL), EAGAIN);
	FAILS(mq_receive(q, text, 15, NULL), EMSGSIZE);
	FAILS(mq_send(q, text, 17, 0), EMSGSIZE);
	FAILS(mq_send(q, text, 1, 32768), EINVAL);
	FAILS(mq_send(reader, text, 1, 0), EBADF);
	FAILS(mq_receive(writer, text, 16, NULL), EBADF);
	FAILS(mq_send(1, text, 1, 0), EBADF);
	FAILS(mq_send(q, (char *)8, 1, 0), EFAULT);
	FAILS(mq_timedreceive(reader, text, 16, NULL, &past), ETIMEDOUT);
	FAILS(mq_timedreceive(reader, text, 16, NULL, &bad), EINVAL);
	IS(mq_send(q, "low", 3, 1), 0);
	IS(mq_send(q, "high", 4, 9), 0);
	IS(mq_send(q, "low too", 7, 1), 0);
	FAILS(mq_send(q, "full", 4, 9), EAGAIN);
	FAILS(mq_timedsend(writer, "full", 4, 9, &past), ETIMEDOUT);
	IS(poll(&p, 1, 0), 1);
	IS(p.revents, POLLIN);
	ssize_t n = read(q, status, sizeof(status));
	printf("%.*s", (int)n, status);
	IS(mq_receive(q, text, 16, &priority), 4);
	IS(priority, 9);
	IS(mq_receive(q, text, 16, &priority), 3);
	IS(mq_receive(q, text, 16, &priority), 7);
	CHECK(priority == 1 && !memcmp(text, "low too", 7));
	mq_close(q), mq_close(reader), mq_close(writer), mq_unlink(name);
}

static void *send_later(void *arg)
{
	mq_send(*(mqd_t *)arg, "late", 4, 5);
	return NULL;
}

static void thread_told(union sigval value)
{
	mq_send(value.sival_int, "told", 4, 0);
}

static void check_notify(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = 16 };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr), second;
	pthread_t thread;
	char text[16], other[80];

	sigaction(SIGUSR1, &sa, NULL);
	IS(mq_notify(q, &event), 0);
	FAILS(mq_notify(q, &event), EBUSY);
	IS(mq_send(q, "a", 1, 0), 0);
	IS(told, 1);
	IS(mq_send(q, "b", 1, 0), 0);
	IS(mq_notify(q, &event), 0);
	IS(mq_send(q, "c", 1, 0), 0);
	IS(told, 1); /* it was not empty */
	IS(mq_notify(q, NULL), 0);
	IS(mq_notify(q, &event), 0);
	IS(close(dup(q)), 0); /* whoever closes a descriptor of it has asked for nothing */
	IS(mq_notify(q, &event), 0);
	IS(mq_notify(q, NULL), 0);
	pid_t child = fork();
	if (!child)
		_exit(mq_notify(q, &event) != 0);
	int status = -1;
	IS(waitpid(child, &status, 0), child);
	IS(status, 0);
	IS(mq_notify(q, &event), 0); /* nor has who ended */
	IS(mq_notify(q, NULL), 0);
	for (int i = 0; i < 3; i++)
		mq_receive(q, text, 16, NULL);
	IS(mq_send(q, "d", 1, 0), 0);
	IS(told, 1);
	mq_receive(q, text, 16, NULL);
	pthread_create(&thread, NULL, send_later, &q);
	IS(mq_receive(q, text, 16, NULL), 4);
	pthread_join(thread, NULL);
	event.sigev_signo = 99;
	FAILS(mq_notify(q, &event), EINVAL);
	FAILS(mq_notify(1, NULL), EBADF);
	snprintf(other, sizeof(other), "%s.b", name);
	second = mq_open(other, O_RDWR | O_CREAT, 0600, &attr);
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = thread_told, .sigev_value.sival_int = second };
	IS(mq_notify(q, &event), 0);
	IS(mq_send(q, "e", 1, 0), 0);
	CHECK(mq_receive(second, text, 16, NULL) == 4 && !memcmp(text, "told", 4));
	mq_close(q), mq_close(second), mq_unlink(name), mq_unlink(other);
}

int main(void)
{
	snprintf(name, sizeof(name), "/guest.%d", (int)getpid());
	check_names();
	check_order();
	check_notify();
	return check_end();
}
