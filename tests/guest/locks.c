/* SPDX-License-Identifier: Apache-2.0 */
/* Locks on files (flock, record locks of the process and of open files), and calls that are refused with the right word. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/xattr.h>

static int open_file(void)
{
	return open("locked", O_CREAT | O_RDWR, 0600);
}

static int record(int fd, int command, int type, off_t start, off_t len)
{
	struct flock lock = { .l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, command, &lock);
}

/* What OFD_GETLK through fd says of [start, start + len) for a write lock, as "type start len pid". */
static const char *seen(int fd, off_t start, off_t len)
{
	static char text[64];
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	if (fcntl(fd, F_OFD_GETLK, &lock))
		return "error";
	if (lock.l_type == F_UNLCK)
		return "free";
	snprintf(text, sizeof(text), "%s %ld %ld %s", lock.l_type == F_WRLCK ? "write" : "read", (long)lock.l_start, (long)lock.l_len,
		 lock.l_pid == -1 ? "file" : lock.l_pid == getpid() ? "process" : "other");
	return text;
}

static void whole_files(void)
{
	int a = open_file(), b = open_file(), copy = dup(a), none = open("locked", O_PATH), ends[2];

	IS(flock(a, LOCK_EX), 0);
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	IS(flock(copy, LOCK_EX | LOCK_NB), 0);
	IS(flock(a, LOCK_SH | LOCK_NB), 0);
	IS(flock(b, LOCK_SH | LOCK_NB), 0);
	FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	IS(flock(b, LOCK_EX | LOCK_NB), 0); /* that attempt has cost a its lock */
	close(b);
	IS(flock(a, LOCK_EX | LOCK_NB), 0);
	b = open_file();
	close(a);
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK); /* copy has the same open file */
	close(copy);
	IS(flock(b, LOCK_EX | LOCK_NB), 0);
	a = open_file();
	IS(flock(b, LOCK_UN), 0);
	IS(flock(a, LOCK_EX | LOCK_NB), 0);
	IS(flock(b, LOCK_UN), 0); /* of nothing */
	FAILS(flock(a, 0), EINVAL);
	FAILS(flock(a, LOCK_SH | LOCK_EX), EINVAL);
	FAILS(flock(a, 0x10), EINVAL);
	FAILS(flock(-1, LOCK_SH), EBADF);
	FAILS(flock(none, LOCK_SH), EBADF);
	IS(pipe(ends), 0);
	IS(flock(ends[0], LOCK_EX), 0);
	FAILS(flock(ends[1], LOCK_EX | LOCK_NB), EWOULDBLOCK);
	close(ends[0]);
	IS(flock(ends[1], LOCK_EX | LOCK_NB), 0);
	close(ends[1]);
	close(none);
	close(a);
	close(b);
}

static void records(void)
{
	int a = open_file(), b = open_file(), reader = open("locked", O_RDONLY), writer = open("locked", O_WRONLY);

	IS(record(a, F_OFD_SETLK, F_WRLCK, 10, 10), 0);
	FAILS(record(b, F_OFD_SETLK, F_RDLCK, 19, 1), EAGAIN);
	IS(record(b, F_OFD_SETLK, F_RDLCK, 20, 5), 0);
	IS(record(b, F_OFD_SETLK, F_RDLCK, 0, 10), 0);
	CHECK(!strcmp(seen(b, 0, 0), "write 10 10 file"));
	CHECK(!strcmp(seen(a, 20, 0), "read 20 5 file"));
	CHECK(!strcmp(seen(a, 25, 0), "free"));
	/* the middle is given back, then shared */
	IS(record(a, F_OFD_SETLK, F_UNLCK, 13, 3), 0);
	IS(record(b, F_OFD_SETLK, F_WRLCK, 13, 3), 0);
	CHECK(!strcmp(seen(b, 10, 3), "write 10 3 file"));
	CHECK(!strcmp(seen(b, 14, 0), "write 16 4 file"));
	IS(record(b, F_OFD_SETLK, F_UNLCK, 0, 0), 0);
	/* pieces that touch are one */
	IS(record(a, F_OFD_SETLK, F_WRLCK, 13, 3), 0);
	CHECK(!strcmp(seen(b, 0, 0), "write 10 10 file"));
	IS(record(a, F_OFD_SETLK, F_RDLCK, 15, 0), 0);
	CHECK(!strcmp(seen(b, 0, 0), "write 10 5 file"));
	CHECK(!strcmp(seen(b, 15, 1), "read 15 0 file"));
	/* those of the process conflict with those of files, not with each other */
	FAILS(record(b, F_SETLK, F_WRLCK, 12, 1), EAGAIN);
	IS(record(b, F_SETLK, F_RDLCK, 20, 1), 0);
	IS(record(a, F_SETLK, F_RDLCK, 21, 1), 0);
	FAILS(record(a, F_OFD_SETLK, F_WRLCK, 20, 1), EAGAIN);
	CHECK(!strcmp(seen(a, 20, 5), "read 20 2 process"));
	/* any close of the file lets go of the process' locks */
	close(open("locked", O_RDONLY));
	IS(record(a, F_OFD_SETLK, F_WRLCK, 20, 1), 0);
	close(a);
	CHECK(!strcmp(seen(b, 0, 0), "free"));
	/* whole files and records are different things */
	a = open_file();
	IS(flock(a, LOCK_EX), 0);
	IS(record(b, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
	IS(record(b, F_OFD_SETLK, F_UNLCK, 0, 0), 0);
	FAILS(record(reader, F_SETLK, F_WRLCK, 0, 1), EBADF);
	FAILS(record(writer, F_SETLK, F_RDLCK, 0, 1), EBADF);
	IS(record(reader, F_SETLK, F_RDLCK, 0, 1), 0);
	close(a);
	close(b);
	close(reader);
	close(writer);
}

static void odd_ranges(void)
{
	int a = open_file(), b = open_file();
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = -2, .l_len = 4 };

	IS(ftruncate(a, 100), 0);
	IS(lseek(a, 50, SEEK_SET), 50);
	IS(fcntl(a, F_OFD_SETLK, &lock), 0);
	CHECK(!strcmp(seen(b, 0, 0), "write 48 4 file"));
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = 0, .l_len = -10 };
	IS(fcntl(a, F_OFD_SETLK, &lock), 0);
	CHECK(!strcmp(seen(b, 60, 0), "write 90 10 file"));
	FAILS(record(a, F_SETLK, 99, 0, 1), EINVAL);
	FAILS(record(a, F_SETLK, F_RDLCK, -1, 1), EINVAL);
	FAILS(record(a, F_SETLK, F_RDLCK, 5, -6), EINVAL);
	FAILS(record(a, F_SETLK, F_RDLCK, INT64_MAX, 2), EOVERFLOW);
	IS(record(a, F_SETLK, F_RDLCK, INT64_MAX, 1), 0);
	FAILS(record(a, F_GETLK, F_UNLCK, 0, 1), EINVAL);
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = 7 };
	FAILS(fcntl(a, F_SETLK, &lock), EINVAL);
	lock = (struct flock){ .l_type = F_WRLCK, .l_pid = 1 };
	FAILS(fcntl(a, F_OFD_SETLK, &lock), EINVAL);
	FAILS(fcntl(a, F_SETLK, NULL), EFAULT);
	FAILS(record(-1, F_SETLK, F_RDLCK, 0, 1), EBADF);
	close(a);
	close(b);
}

/* ---- waiting ---- */

static int barrier[2]; /* a thread says here that it is about to wait */

struct waiter {
	int fd;
	bool whole;
	int result, error;
	pthread_t thread;
};

static void *wait_for_lock(void *arg)
{
	struct waiter *w = arg;

	if (write(barrier[1], "x", 1) != 1)
		return NULL;
	w->result = w->whole ? flock(w->fd, LOCK_EX) : record(w->fd, F_OFD_SETLKW, F_WRLCK, 0, 0);
	w->error = errno;
	return NULL;
}

static void start(struct waiter *w, bool whole)
{
	char c;

	*w = (struct waiter){ .fd = open_file(), .whole = whole, .result = 7 };
	IS(pthread_create(&w->thread, NULL, wait_for_lock, w), 0);
	IS(read(barrier[0], &c, 1), 1);
}

static void end(struct waiter *w)
{
	pthread_join(w->thread, NULL);
	close(w->fd);
}

static void waits(bool whole)
{
	struct waiter w, second, *first;
	int a = open_file();

	IS(whole ? flock(a, LOCK_EX) : record(a, F_OFD_SETLK, F_WRLCK, 3, 1), 0);
	start(&w, whole);
	start(&second, whole);
	IS(w.result, 7);
	IS(whole ? flock(a, LOCK_UN) : record(a, F_OFD_SETLK, F_UNLCK, 0, 0), 0);
	/* one has it; when that one's file goes, the other */
	for (int i = 0; i < 1000 && w.result == 7 && second.result == 7; i++)
		usleep(1000);
	CHECK((w.result == 0) != (second.result == 0));
	first = w.result == 0 ? &w : &second; /* once that one is gone, both have it */
	end(first);
	end(first == &w ? &second : &w);
	IS(w.result, 0);
	IS(second.result, 0);
	/* the close of the holder wakes, too */
	IS(whole ? flock(a, LOCK_EX) : record(a, F_OFD_SETLK, F_WRLCK, 3, 1), 0);
	start(&w, whole);
	close(a);
	end(&w);
	IS(w.result, 0);
}

static void on_signal(int signo)
{
	(void)signo;
}

/* A signal comes again and again until the wait has ended: the first may come before it began. */
static void interrupted(bool whole)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct waiter w;
	int a = open_file();

	sigaction(SIGUSR1, &action, NULL);
	IS(whole ? flock(a, LOCK_EX) : record(a, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
	start(&w, whole);
	for (int i = 0; i < 5000 && *(volatile int *)&w.result == 7; i++) {
		pthread_kill(w.thread, SIGUSR1);
		usleep(1000);
	}
	end(&w);
	IS(w.result, -1);
	IS(w.error, EINTR);
	close(a);
}

/* ---- what is not there says so in the right words ---- */

static void splices(void)
{
	int ends[2], pair[2], file = open_file();

	IS(pipe(ends), 0);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	IS(splice(pair[0], NULL, ends[1], NULL, 0, 0), 0);
	FAILS(splice(-1, NULL, ends[1], NULL, 1, 0), EBADF);
	FAILS(splice(pair[0], NULL, -1, NULL, 1, 0), EBADF);
	FAILS(splice(ends[1], NULL, pair[0], NULL, 1, 0), EBADF);
	FAILS(splice(pair[0], NULL, ends[1], NULL, 1, 0x100), EINVAL);
	FAILS(splice(file, NULL, pair[0], NULL, 1, 0), EINVAL); /* no pipe among them: nowhere */
	FAILS(tee(-1, ends[1], 1, 0), EBADF);
	FAILS(tee(file, ends[1], 1, 0), EINVAL);
	FAILS(vmsplice(-1, NULL, 0, 0), EBADF);
	FAILS(vmsplice(ends[1], NULL, 0, 0x100), EINVAL);
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(pair[i]);
	}
	close(file);
}

/* A file system has attributes and keeps them, or has none and says EOPNOTSUPP. */
static bool kept(int result, const char *path)
{
	char value[8];

	return result ? errno == EOPNOTSUPP : getxattr(path, "user.x", value, sizeof(value)) == 1 && value[0] == 'v';
}

static void attributes(void)
{
	static char big[70000], name[300];
	char list[512];
	int file = open_file(), place = open("locked", O_PATH), ends[2];

	IS(symlink("locked", "link"), 0);
	CHECK(kept(setxattr("locked", "user.x", "v", 1, 0), "locked"));
	CHECK(kept(lsetxattr("locked", "user.x", "v", 1, 0), "locked"));
	CHECK(kept(fsetxattr(file, "user.x", "v", 1, 0), "locked"));
	CHECK(removexattr("locked", "user.x") == 0 || errno == EOPNOTSUPP);
	CHECK(getxattr("locked", "user.x", list, sizeof(list)) == -1 && (errno == ENODATA || errno == EOPNOTSUPP));
	CHECK(lremovexattr("locked", "user.x") == -1 && (errno == ENODATA || errno == EOPNOTSUPP));
	CHECK(fremovexattr(file, "user.x") == -1 && (errno == ENODATA || errno == EOPNOTSUPP));
	IS(listxattr("locked", list, sizeof(list)), 0);
	IS(llistxattr("link", list, sizeof(list)), 0);
	IS(flistxattr(file, NULL, 0), 0);
	FAILS(lsetxattr("link", "user.x", "v", 1, 0), EPERM);
	FAILS(lgetxattr("link", "user.x", list, sizeof(list)), ENODATA);
	FAILS(listxattr("missing", list, sizeof(list)), ENOENT);
	FAILS(getxattr("missing", "user.x", list, sizeof(list)), ENOENT);
	FAILS(lgetxattr("locked/x", "user.x", list, sizeof(list)), ENOTDIR);
	FAILS(setxattr("missing", "user.x", "v", 1, 0), ENOENT);
	FAILS(removexattr("missing", "user.x"), ENOENT);
	FAILS(setxattr("locked", "user.x", "v", 1, 8), EINVAL);
	FAILS(setxattr("locked", "user.x", big, sizeof(big), 0), E2BIG);
	FAILS(setxattr("locked", "", "v", 1, 0), ERANGE);
	memset(name, 'n', sizeof(name) - 1);
	FAILS(getxattr("locked", name, list, sizeof(list)), ERANGE);
	FAILS(getxattr("locked", (const char *)8, list, sizeof(list)), EFAULT);
	FAILS(fgetxattr(-1, "user.x", list, sizeof(list)), EBADF);
	FAILS(fsetxattr(-1, "user.x", "v", 1, 0), EBADF);
	FAILS(flistxattr(-1, list, sizeof(list)), EBADF);
	FAILS(fremovexattr(-1, "user.x"), EBADF);
	FAILS(fgetxattr(place, "user.x", list, sizeof(list)), EBADF);
	IS(pipe(ends), 0);
	FAILS(fsetxattr(ends[0], "user.x", "v", 1, 0), EPERM);
	FAILS(fgetxattr(ends[0], "user.x", list, sizeof(list)), ENODATA);
	close(file);
	close(place);
}

int main(void)
{
	check_scratch();
	IS(pipe(barrier), 0);
	whole_files();
	records();
	odd_ranges();
	waits(true);
	waits(false);
	interrupted(true);
	interrupted(false);
	splices();
	attributes();
	return check_end();
}
