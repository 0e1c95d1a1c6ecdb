/* SPDX-License-Identifier: Apache-2.0 */
/* Whose files are whose after the program changed its user; groups and capabilities that are kept. Starts as root. */
#include "check.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
	sticky();
	group_sets();
	last_rights();
	return check_end();
}
