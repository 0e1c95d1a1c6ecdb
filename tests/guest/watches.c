/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: what is said of files and directories, in which order, and how it is read. */
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "check.h"

static int watch_fd;
static uint32_t last_cookie;

static void print_mask(uint32_t mask)
{
	static const struct { uint32_t bit; const char *name; } names[] = {
		{ IN_ACCESS, "access" }, { IN_MODIFY, "modify" }, { IN_ATTRIB, "attrib" }, { IN_CLOSE_WRITE, "close-write" },
		{ IN_CLOSE_NOWRITE, "close-nowrite" }, { IN_OPEN, "open" }, { IN_MOVED_FROM, "moved-from" }, { IN_MOVED_TO, "moved-to" },
		{ IN_CREATE, "create" }, { IN_DELETE, "delete" }, { IN_DELETE_SELF, "delete-self" }, { IN_MOVE_SELF, "move-self" },
		{ IN_UNMOUNT, "unmount" }, { IN_Q_OVERFLOW, "overflow" }, { IN_IGNORED, "ignored" }, { IN_ISDIR, "dir" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mask & names[i].bit)
			printf(" %s", names[i].name);
}

/* All that waits, a line each. */
static void said(const char *after)
{
	static char text[65536] __attribute__((aligned(8)));
	ssize_t n;

	printf("after %s:\n", after);
	while ((n = read(watch_fd, text, sizeof(text))) > 0) {
		for (char *p = text; p < text + n;) {
			struct inotify_event *event = (struct inotify_event *)p;

			printf("  %d", event->wd);
			print_mask(event->mask);
			if (event->len)
				printf(" %s (%u)", event->name, event->len);
			if (event->cookie)
				printf(event->cookie == last_cookie ? " same cookie" : " cookie");
			last_cookie = event->cookie;
			puts("");
			p += sizeof(*event) + event->len;
		}
	}
	fflush(stdout);
}

static void make(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);

	CHECK(fd >= 0);
	close(fd);
}

static void check_directory(void)
{
	struct stat st;
	char byte;

	IS(mkdir("d", 0755), 0);
	IS(inotify_add_watch(watch_fd, "d", IN_ALL_EVENTS), 1);
	IS(inotify_add_watch(watch_fd, "d", IN_ALL_EVENTS), 1);
	int fd = open("d/a", O_CREAT | O_RDWR, 0644);
	said("creating");
	IS(write(fd, "abc", 3), 3);
	IS(write(fd, "def", 3), 3);
	said("writing");
	IS(pread(fd, &byte, 1, 0), 1);
	said("reading");
	IS(pread(fd, &byte, 1, 100), 0);
	IS(fstat(fd, &st), 0);
	said("nothing");
	IS(ftruncate(fd, 2), 0);
	said("ftruncate");
	IS(fchmod(fd, 0600), 0);
	IS(chmod("d/a", 0640), 0);
	said("chmod");
	IS(fchown(fd, getuid(), (gid_t)-1), 0);
	said("chown");
	IS(utimensat(AT_FDCWD, "d/a", NULL, 0), 0);
	said("utimensat");
	IS(utimensat(AT_FDCWD, "d/a", (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } }, 0), 0);
	said("a time of change");
	close(fd);
	said("closing");
	IS(link("d/a", "d/b"), 0);
	said("link");
	IS(symlink("a", "d/l"), 0);
	IS(mkdir("d/sub", 0755), 0);
	said("symlink and mkdir");
	IS(rename("d/b", "d/c"), 0);
	said("rename");
	IS(rename("d/c", "c"), 0);
	said("moving out");
	IS(rename("c", "d/seventeen letters"), 0);
	said("moving in");
	IS(unlink("d/l"), 0);
	IS(rmdir("d/sub"), 0);
	said("unlink and rmdir");
	fd = open("d/a", O_RDONLY);
	IS(unlink("d/a"), 0);
	close(fd);
	said("unlink while open");
	IS(truncate("d/seventeen letters", 0), 0);
	said("truncate");
	IS(unlink("d/seventeen letters"), 0);
	said("unlink");
	IS(chmod("d", 0700), 0);
	said("chmod of the directory");
	IS(rename("d", "e"), 0);
	said("rename of the directory");
	IS(rmdir("e"), 0);
	said("rmdir of the directory");
}

static void check_file(void)
{
	make("f");
	int wd = inotify_add_watch(watch_fd, "f", IN_ALL_EVENTS);
	CHECK(wd == 2);
	int fd = open("f", O_RDWR);
	IS(write(fd, "x", 1), 1);
	said("opening and writing");
	IS(link("f", "g"), 0);
	IS(unlink("g"), 0);
	said("a second name");
	make("h");
	IS(rename("h", "f"), 0);
	said("being replaced");
	IS(write(fd, "y", 1), 1);
	close(fd);
	said("the last close");
	FAILS(inotify_rm_watch(watch_fd, wd), EINVAL);
}

static void check_watches(void)
{
	make("f");
	IS(mkdir("d", 0755), 0);
	int wd = inotify_add_watch(watch_fd, "f", IN_OPEN);
	IS(inotify_add_watch(watch_fd, "f", IN_CLOSE | IN_MASK_ADD), wd);
	FAILS(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_MASK_CREATE), EEXIST);
	make("f");
	said("IN_MASK_ADD");
	IS(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_ONESHOT), wd);
	make("f");
	make("f");
	said("IN_ONESHOT");
	wd = inotify_add_watch(watch_fd, "f", IN_OPEN);
	IS(inotify_rm_watch(watch_fd, wd), 0);
	make("f");
	said("inotify_rm_watch");
	FAILS(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
	FAILS(inotify_add_watch(watch_fd, "none", IN_OPEN), ENOENT);
	FAILS(inotify_add_watch(watch_fd, "f", 0), EINVAL);
	FAILS(inotify_add_watch(watch_fd, "f", IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN), EINVAL);
	FAILS(inotify_add_watch(-1, "f", IN_OPEN), EBADF);
	FAILS(inotify_add_watch(1, "f", IN_OPEN), EINVAL);
	FAILS(inotify_add_watch(watch_fd, (char *)8, IN_OPEN), EFAULT);
	FAILS(inotify_rm_watch(-1, 1), EBADF);
	FAILS(inotify_rm_watch(1, 1), EINVAL);
	FAILS(inotify_rm_watch(watch_fd, 99), EINVAL);
	FAILS(inotify_init1(1), EINVAL);
	IS(inotify_add_watch(watch_fd, "d", IN_CREATE | IN_CLOSE | IN_EXCL_UNLINK), wd + 1);
	int fd = open("d/x", O_CREAT | O_RDWR, 0600);
	unlink("d/x");
	close(fd);
	said("IN_EXCL_UNLINK");
	IS(symlink("f", "link"), 0);
	wd = inotify_add_watch(watch_fd, "link", IN_ALL_EVENTS | IN_DONT_FOLLOW);
	IS(unlink("link"), 0);
	said("a link itself");
	IS(inotify_add_watch(watch_fd, "d", IN_CREATE | IN_ISDIR), wd - 1); /* which says nothing of what is wanted */
	IS(mkdir("d/sub", 0755), 0);
	IS(chmod("d/sub", 0700), 0);
	IS(chmod("d", 0700), 0);
	IS(rmdir("d/sub"), 0);
	said("IN_ISDIR");
}

static void check_reading(void)
{
	struct pollfd p = { .fd = watch_fd, .events = POLLIN };
	char small[20];
	int waiting;

	FAILS(read(watch_fd, small, sizeof(small)), EAGAIN);
	IS(poll(&p, 1, 0), 0);
	IS(inotify_add_watch(watch_fd, ".", IN_CREATE) > 0, 1);
	make("new");
	IS(poll(&p, 1, 0), 1);
	CHECK(p.revents == POLLIN);
	CHECK(!ioctl(watch_fd, FIONREAD, &waiting) && waiting == 32);
	FAILS(read(watch_fd, small, sizeof(small)), EINVAL);
	FAILS(write(watch_fd, small, sizeof(small)), EBADF);
	IS(lseek(watch_fd, 3, SEEK_SET), 0);
	FAILS(pread(watch_fd, small, sizeof(small), 0), ESPIPE);
	said("a read that was too small");
}

static void check_overflow(void)
{
	static char text[1 << 16] __attribute__((aligned(8)));
	int other = inotify_init1(IN_NONBLOCK), count = 0, last = 0;
	ssize_t n;

	CHECK(inotify_add_watch(other, "f", IN_ATTRIB | IN_OPEN) == 1);
	for (int i = 0; i < 9000; i++) {
		close(open("f", O_RDONLY));
		chmod("f", 0600);
	}
	while ((n = read(other, text, sizeof(text))) > 0)
		for (char *p = text; p < text + n; p += sizeof(struct inotify_event), count++)
			last = (int)((struct inotify_event *)p)->mask;
	IS(count, 16385);
	CHECK(last == IN_Q_OVERFLOW);
	close(other);
}

int main(void)
{
	check_scratch();
	watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	CHECK(watch_fd >= 0);
	check_directory();
	check_file();
	check_watches();
	check_reading();
	check_overflow();
	close(watch_fd);
	return check_end();
}
