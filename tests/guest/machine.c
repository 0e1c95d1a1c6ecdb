/* SPDX-License-Identifier: Apache-2.0 */
/* Old calls, and those about the machine: lists of directories and file systems, the kernel's log and release, pages of a file in another order. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "check.h"

#define PAGE 4096

struct old_record {
	unsigned long ino, off;
	unsigned short len;
	char name[];
};

static bool listed(const char *buffer, long n, const char *name, char type)
{
	for (long at = 0; at < n;) {
		const struct old_record *record = (const struct old_record *)(buffer + at);

		if (!strcmp(record->name, name))
			return buffer[at + record->len - 1] == type && record->ino;
		at += record->len;
	}
	return false;
}

static void check_getdents(void)
{
	char buffer[4096];
	long n;
	int fd;

	CHECK(!mkdir("directory", 0700) && (fd = open("a-file-of-some-length", O_CREAT | O_WRONLY, 0600)) >= 0 && !close(fd));
	fd = open(".", O_RDONLY);
	n = syscall(SYS_getdents, fd, buffer, sizeof(buffer));
	CHECK(n > 0 && listed(buffer, n, ".", DT_DIR) && listed(buffer, n, "directory", DT_DIR) && listed(buffer, n, "a-file-of-some-length", DT_REG));
	IS(syscall(SYS_getdents, fd, buffer, sizeof(buffer)), 0);
	lseek(fd, 0, SEEK_SET);
	FAILS(syscall(SYS_getdents, fd, buffer, 8), EINVAL);
	FAILS(syscall(SYS_getdents, 99, buffer, sizeof(buffer)), EBADF);
	FAILS(syscall(SYS_getdents, fd, 16, sizeof(buffer)), EFAULT);
	close(fd);
}

static void check_file_systems(void)
{
	char name[64], buffer[64];
	long count = syscall(SYS_sysfs, 3);
	struct stat st;

	CHECK(count > 0);
	CHECK(!syscall(SYS_sysfs, 2, count - 1, name) && syscall(SYS_sysfs, 1, name) == count - 1);
	FAILS(syscall(SYS_sysfs, 1, "none of these"), EINVAL);
	FAILS(syscall(SYS_sysfs, 1, 16), EFAULT);
	FAILS(syscall(SYS_sysfs, 2, count, name), EINVAL);
	FAILS(syscall(SYS_sysfs, 2, 0, 16), EFAULT);
	FAILS(syscall(SYS_sysfs, 99), EINVAL);
	CHECK(!stat("/", &st) && !syscall(SYS_ustat, (unsigned)st.st_dev, buffer));
	FAILS(syscall(SYS_ustat, (unsigned)st.st_dev, 16), EFAULT);
	FAILS(syscall(SYS_ustat, 0x7fffffff, buffer), EINVAL);
}

static void check_log(void)
{
	char buffer[16];

	CHECK(klogctl(10, NULL, 0) >= 0);
	CHECK(klogctl(3, buffer, sizeof(buffer)) >= 0);
	IS(klogctl(3, buffer, 0), 0);
	FAILS(klogctl(3, NULL, 1), EINVAL);
	FAILS(klogctl(3, buffer, -1), EINVAL);
	FAILS(klogctl(8, NULL, 9), EINVAL);
	FAILS(klogctl(99, NULL, 0), EINVAL);
	IS(klogctl(0, NULL, 0), 0);
	IS(klogctl(1, NULL, 0), 0);
}

static void check_rights(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		FAILS(klogctl(5, NULL, 0), EPERM);
		FAILS(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 99, NULL), EPERM);
		_exit(check_end());
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	FAILS(syscall(SYS_reboot, 0, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL), EINVAL);
	FAILS(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, 0, LINUX_REBOOT_CMD_RESTART, NULL), EINVAL);
	FAILS(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, 99, NULL), EINVAL);
}

static void check_release(void)
{
	struct utsname names;

	CHECK(personality(PER_LINUX | UNAME26) >= 0 && !uname(&names) && !strncmp(names.release, "2.6.", 4));
	CHECK(personality(PER_LINUX) >= 0 && !uname(&names) && strncmp(names.release, "2.6.", 4));
}

static void check_remap(void)
{
	int fd = open("pages", O_RDWR | O_CREAT, 0600);
	char *pages, *private, byte = 0;

	CHECK(!ftruncate(fd, 4 * PAGE));
	pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	for (int i = 0; i < 4; i++)
		pages[i * PAGE] = (char)('a' + i);
	IS(syscall(SYS_remap_file_pages, pages, PAGE, 0, 3, 0), 0);
	IS(syscall(SYS_remap_file_pages, pages + 3 * PAGE, PAGE, 0, 0, 0), 0);
	CHECK(pages[0] == 'd' && pages[PAGE] == 'b' && pages[2 * PAGE] == 'c' && pages[3 * PAGE] == 'a');
	pages[0] = 'D';
	CHECK(pread(fd, &byte, 1, 3 * PAGE) == 1 && byte == 'D');
	FAILS(syscall(SYS_remap_file_pages, pages, PAGE, PROT_READ, 0, 0), EINVAL);
	FAILS(syscall(SYS_remap_file_pages, pages, 0, 0, 0, 0), EINVAL);
	FAILS(syscall(SYS_remap_file_pages, private, PAGE, 0, 1, 0), EINVAL);
	FAILS(syscall(SYS_remap_file_pages, NULL, PAGE, 0, 1, 0), EINVAL);
	close(fd);
}

int main(void)
{
	check_scratch();
	check_getdents();
	check_file_systems();
	check_log();
	if (!getuid())
		check_rights();
	check_release();
	check_remap();
	return check_end();
}
