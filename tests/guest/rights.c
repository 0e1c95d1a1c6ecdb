/* SPDX-License-Identifier: Apache-2.0 */
/* Whose files are whose after the program changed its user; groups and capabilities that are kept. Starts as root. */
#include "check.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <utime.h>

#define SOMEBODY 65534
#define OTHER 1234
#define BIT(n) (1ull << (n))

static struct stat st;

static bool owned(const char *path, uid_t uid, gid_t gid)
{
	return !lstat(path, &st) && st.st_uid == uid && st.st_gid == gid;
}

static int mode_of(const char *path)
{
	return lstat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

static int make(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR, mode);

	return fd < 0 ? -1 : close(fd);
}

/* Of every kind of file that can be made. */
static void makers_own(void)
{
	int ends[2];

	IS(chmod(".", 0777), 0);
	IS(setegid(SOMEBODY), 0);
	IS(seteuid(SOMEBODY), 0);
	IS(make("file", 0600), 0);
	IS(mkdir("dir", 0700), 0);
	IS(symlink("file", "link"), 0);
	IS(mkfifo("fifo", 0600), 0);
	FAILS(mknod("null", S_IFCHR | 0600, 0x103), EPERM);
	int hidden = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(!fstat(hidden, &st) && st.st_uid == SOMEBODY && st.st_gid == SOMEBODY);
	close(hidden);
	CHECK(!pipe(ends) && !fstat(ends[0], &st) && st.st_uid == SOMEBODY && st.st_gid == SOMEBODY);
	CHECK(owned("file", SOMEBODY, SOMEBODY));
	CHECK(owned("dir", SOMEBODY, SOMEBODY));
	CHECK(owned("link", SOMEBODY, SOMEBODY));
	CHECK(owned("fifo", SOMEBODY, SOMEBODY));
	IS(seteuid(0), 0);
	IS(setegid(0), 0);
	IS(make("roots", 0600), 0);
	CHECK(owned("roots", 0, 0));
	IS(setfsgid(SOMEBODY), 0);
	IS(setfsuid(SOMEBODY), 0);
	IS(setfsuid(-1), SOMEBODY);
	IS(make("lent", 0600), 0);
	FAILS(open("roots", O_RDONLY), EACCES);
	IS(setfsuid(0), SOMEBODY);
	IS(setfsgid(0), SOMEBODY);
	CHECK(owned("lent", SOMEBODY, SOMEBODY));
}

static void groups_of_directories(void)
{
	IS(mkdir("shared", 0700), 0);
	IS(chown("shared", 0, OTHER), 0);
	IS(chmod("shared", 02777), 0);
	IS(make("shared/file", 0600), 0);
	IS(mkdir("shared/dir", 0700), 0);
	CHECK(owned("shared/file", 0, OTHER));
	CHECK(owned("shared/dir", 0, OTHER));
	IS(mode_of("shared/dir"), 02700);
	IS(seteuid(SOMEBODY), 0);
	umask(0);
	IS(make("shared/program", 02711), 0);
	CHECK(owned("shared/program", SOMEBODY, OTHER));
	IS(mode_of("shared/program"), 0711); /* no program of a group that the maker is not in */
	IS(chmod("shared/program", 06711), 0);
	IS(mode_of("shared/program"), 04711);
	umask(022);
	IS(seteuid(0), 0);
}

/* What only the owner may, and what is lost by it. */
static void owners_rights(void)
{
	struct utimbuf times = { 1, 2 };
	gid_t group = OTHER;
	int fd;

	IS(make("mine", 0644), 0);
	IS(make("his", 0644), 0);
	IS(chown("his", SOMEBODY, SOMEBODY), 0);
	IS(setgroups(1, &group), 0);
	IS(seteuid(SOMEBODY), 0);
	FAILS(chmod("mine", 0600), EPERM);
	FAILS(chown("mine", SOMEBODY, -1), EPERM);
	FAILS(utime("mine", &times), EPERM);
	FAILS(utime("mine", NULL), EACCES);
	FAILS(open("mine", O_WRONLY), EACCES);
	FAILS(truncate("mine", 0), EACCES);
	FAILS(open("mine", O_RDONLY | O_NOATIME), EPERM);
	IS(access("mine", W_OK), 0); /* asks for the real user */
	FAILS(faccessat(AT_FDCWD, "mine", W_OK, AT_EACCESS), EACCES);
	IS(utime("his", &times), 0);
	FAILS(chown("his", 0, -1), EPERM);
	FAILS(chown("his", -1, 4321), EPERM);
	IS(chown("his", SOMEBODY, OTHER), 0); /* a group that he is in */
	CHECK(owned("his", SOMEBODY, OTHER));
	IS(chmod("his", 06755), 0);
	IS(mode_of("his"), 06755);
	IS(chown("his", -1, -1), 0);
	IS(mode_of("his"), 0755);
	IS(chmod("his", 04777), 0);
	fd = open("his", O_WRONLY);
	IS(write(fd, "x", 1), 1);
	IS(mode_of("his"), 0777);
	close(fd);
	IS(seteuid(0), 0);
	IS(chmod("his", 04777), 0);
	fd = open("his", O_WRONLY);
	IS(write(fd, "x", 1), 1);
	IS(mode_of("his"), 04777); /* root may change such a program */
	close(fd);
	IS(chown("his", 0, 0), 0);
	IS(mode_of("his"), 0777);
}

/* A message that says who sends it; errno, or 0. */
static int say_who(int to, pid_t pid, uid_t uid, gid_t gid)
{
	struct ucred said = { pid, uid, gid };
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(said))]; } control = { .header = { CMSG_LEN(sizeof(said)), SOL_SOCKET, SCM_CREDENTIALS } };
	struct iovec byte = { "x", 1 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &said, sizeof(said));
	return sendmsg(to, &message, 0) == 1 ? 0 : errno;
}

static bool heard(int from, uid_t uid, gid_t gid)
{
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(struct ucred))]; } control;
	char byte[8];
	struct iovec into = { byte, 1 };
	struct msghdr message = { .msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct ucred *who = (void *)CMSG_DATA(&control.header);

	return recvmsg(from, &message, MSG_DONTWAIT) == 1 && message.msg_controllen && control.header.cmsg_type == SCM_CREDENTIALS &&
	       who->pid == getpid() && who->uid == uid && who->gid == gid;
}

static bool peer_is(int s, pid_t pid, uid_t uid, gid_t gid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &len) && len == sizeof(peer) && peer.pid == pid && peer.uid == uid && peer.gid == gid;
}

/* Who made a socket, who is at its other end, who sent a message: as it was then, whoever the program is now. */
static void of_sockets(void)
{
	struct sockaddr_un name = { AF_UNIX, "hers" };
	int pair[2], one = 1, listener = socket(AF_UNIX, SOCK_STREAM, 0), client;

	IS(setegid(OTHER), 0);
	IS(seteuid(SOMEBODY), 0);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(!fstat(client, &st) && st.st_uid == SOMEBODY && st.st_gid == OTHER);
	CHECK(peer_is(client, 0, -1, -1));
	IS(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
	IS(send(pair[0], "x", 1, 0), 1);
	CHECK(heard(pair[1], 0, 0)); /* the real ones */
	IS(say_who(pair[0], getpid(), SOMEBODY, OTHER), 0);
	CHECK(heard(pair[1], SOMEBODY, OTHER));
	IS(say_who(pair[0], getpid(), OTHER, 0), EPERM);
	IS(say_who(pair[0], getpid(), 0, SOMEBODY), EPERM);
	IS(say_who(pair[0], 1 + (getpid() == 1), 0, 0), EPERM);
	IS(seteuid(0), 0);
	IS(setegid(0), 0);
	CHECK(peer_is(pair[0], getpid(), SOMEBODY, OTHER));
	IS(bind(listener, (void *)&name, sizeof(name)), 0);
	IS(chmod("hers", 0755), 0);
	IS(listen(listener, 1), 0);
	CHECK(!fstat(listener, &st) && st.st_uid == 0 && st.st_gid == 0);
	IS(seteuid(SOMEBODY), 0);
	FAILS(connect(client, (void *)&name, sizeof(name)), EACCES); /* needs the right to write */
	IS(seteuid(0), 0);
	IS(chmod("hers", 0777), 0);
	IS(seteuid(SOMEBODY), 0);
	IS(connect(client, (void *)&name, sizeof(name)), 0);
	IS(seteuid(0), 0);
	CHECK(peer_is(client, getpid(), 0, 0));
	int served = accept(listener, NULL, NULL);
	CHECK(peer_is(served, getpid(), SOMEBODY, 0));
	close(served), close(client), close(listener), close(pair[0]), close(pair[1]);
}

/* The clock is root's to set, and this is not root. */
static void of_clocks(void)
{
	IS(seteuid(SOMEBODY), 0);
	FAILS(settimeofday(&(struct timeval){ 1, 0 }, NULL), EPERM);
	FAILS(settimeofday(NULL, &(struct timezone){ 0 }), EPERM);
	FAILS(clock_settime(CLOCK_REALTIME, &(struct timespec){ 1, 0 }), EPERM);
	FAILS(adjtimex(&(struct timex){ .modes = ADJ_FREQUENCY }), EPERM);
	IS(seteuid(0), 0);
}

/* What of a socket is the network administrator's. */
static void of_networks(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0), six = 6, seven = 7, least = -1, size = 8192;

	IS(seteuid(SOMEBODY), 0);
	FAILS(setsockopt(s, SOL_SOCKET, SO_MARK, &six, sizeof(six)), EPERM);
	IS(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &six, sizeof(six)), 0);
	FAILS(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &seven, sizeof(seven)), EPERM);
	FAILS(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &least, sizeof(least)), EPERM);
	FAILS(setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), EPERM);
	FAILS(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), EPERM);
	/* Linux before 6.2 asks for the right first. */
	CHECK(setsockopt(s, SOL_SOCKET, SO_BUSY_POLL, &least, sizeof(least)) == -1 && (errno == EINVAL || (errno == EPERM && !in_vm())));
	IS(setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	IS(seteuid(0), 0);
	IS(close(s), 0);
}

static void sticky(void)
{
	IS(mkdir("tmp", 0700), 0);
	IS(chmod("tmp", 01777), 0);
	IS(make("tmp/roots", 0666), 0);
	IS(make("tmp/his", 0666), 0);
	IS(chown("tmp/his", SOMEBODY, SOMEBODY), 0);
	IS(seteuid(SOMEBODY), 0);
	FAILS(unlink("tmp/roots"), EPERM);
	FAILS(rename("tmp/roots", "tmp/other"), EPERM);
	FAILS(rename("tmp/his", "tmp/roots"), EPERM);
	IS(unlink("tmp/his"), 0);
	FAILS(rmdir("shared"), ENOTEMPTY);
	IS(seteuid(0), 0);
}

static void group_sets(void)
{
	gid_t set[3] = { 43, 42, OTHER }, got[4] = { 0 };

	IS(setgroups(3, set), 0);
	IS(getgroups(0, NULL), 3);
	FAILS(getgroups(2, got), EINVAL);
	FAILS(syscall(SYS_getgroups, -1, got), EINVAL);
	IS(getgroups(4, got), 3);
	CHECK(got[0] == 42 && got[1] == 43 && got[2] == OTHER);
	IS(make("groups", 0640), 0);
	IS(chown("groups", 0, 43), 0);
	IS(seteuid(SOMEBODY), 0);
	int fd = open("groups", O_RDONLY);
	CHECK(fd >= 0);
	close(fd);
	FAILS(open("groups", O_WRONLY), EACCES);
	FAILS(setgroups(0, NULL), EPERM);
	IS(seteuid(0), 0);
	FAILS(setgroups(70000, set), EINVAL);
	IS(setgroups(0, NULL), 0);
	IS(getgroups(4, got), 0);
}

static long capabilities(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	long r = syscall(SYS_capget, &header, data);

	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return r;
}

static long set_capabilities(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = (uint32_t)effective, .permitted = (uint32_t)permitted },
		{ .effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32) } };

	return syscall(SYS_capset, &header, data);
}

/* How servers drop their rights but for one: this is the end of root. */
static void last_rights(void)
{
	uint64_t effective, permitted;

	IS(seteuid(SOMEBODY), 0);
	IS(capabilities(&effective, &permitted), 0);
	CHECK(!effective && (permitted & BIT(CAP_CHOWN)));
	IS(seteuid(0), 0);
	IS(capabilities(&effective, &permitted), 0);
	CHECK(effective == permitted);
	IS(prctl(PR_CAPBSET_READ, CAP_SYS_CHROOT), 1);
	IS(prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT), 0);
	IS(prctl(PR_CAPBSET_READ, CAP_SYS_CHROOT), 0);
	FAILS(prctl(PR_CAPBSET_DROP, 64), EINVAL);
	FAILS(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
	IS(prctl(PR_SET_KEEPCAPS, 1), 0);
	IS(prctl(PR_GET_KEEPCAPS), 1);
	FAILS(setuid(-1), EINVAL);
	IS(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
	IS(capabilities(&effective, &permitted), 0);
	CHECK(!effective && (permitted & BIT(CAP_CHOWN)));
	IS(set_capabilities(BIT(CAP_CHOWN), BIT(CAP_CHOWN)), 0);
	IS(make("given", 0600), 0);
	IS(chown("given", OTHER, OTHER), 0);
	FAILS(chmod("given", 0644), EPERM);
	FAILS(set_capabilities(BIT(CAP_FOWNER), BIT(CAP_FOWNER)), EPERM);
	FAILS(set_capabilities(BIT(CAP_CHOWN), 0), EPERM);
	IS(set_capabilities(0, 0), 0);
	FAILS(chown("given", SOMEBODY, OTHER), EPERM);
	FAILS(setuid(0), EPERM);
	FAILS(seteuid(0), EPERM);
	FAILS(setresuid(-1, -1, 0), EPERM);
	FAILS(setgid(77), EPERM);
	FAILS(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
	FAILS(chroot("."), EPERM);
}

int main(void)
{
	check_scratch();
	umask(022);
	makers_own();
	groups_of_directories();
	owners_rights();
	of_sockets();
	of_networks();
	of_clocks();
	sticky();
	group_sets();
	last_rights();
	return check_end();
}
