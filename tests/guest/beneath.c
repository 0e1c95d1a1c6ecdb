/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openat2(2): paths that may not leave where they start, and links that may not be followed. beneath DIRECTORY: into that one, a live volume, which has a file
 * "inside" and a directory "sub".
 */
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_within(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = flags & O_CREAT ? 0600 : 0, .resolve = resolve };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* What is opened is the file "inside": its contents say so. */
static bool opens(int dir, const char *path, uint64_t resolve)
{
	char text[8] = "";
	int fd = open_within(dir, path, O_RDONLY, resolve);
	bool right = fd >= 0 && read(fd, text, sizeof(text) - 1) == 6 && !strcmp(text, "inside");

	if (fd >= 0)
		close(fd);
	return right;
}

#define MOVES 200 /* as many as there is time for */
static atomic_int moves;
static atomic_bool over;

/* Moves a directory out of the root of the walks, and back. What is made and taken away in it makes a walk ask the server about it. */
static void *move(void *context)
{
	for (; moves < MOVES && !over; moves++)
		if (mkdir("bound/moved/new", 0755) || rmdir("bound/moved/new") || rename("bound/moved", "moved") || rename("moved", "bound/moved"))
			break;
	return NULL;
}

/* Walks up from a directory that is moved out of their root while they wait for the server do not come out. */
static void walks_stay(const char *top)
{
	int came_out = 0, wrong = 0;
	pthread_t mover;

	CHECK(!chdir(top) && !mkdir("bound", 0755) && !mkdir("bound/moved", 0755) && !close(open("outside", O_CREAT | O_WRONLY, 0600)));
	int bound = open("bound", O_PATH | O_DIRECTORY);

	CHECK(!pthread_create(&mover, NULL, move, NULL));
	for (int64_t end = now_ms() + 8000; moves < MOVES && now_ms() < end; sched_yield()) {
		int fd = open_within(bound, "moved/../outside", O_RDONLY, RESOLVE_IN_ROOT);

		came_out += fd >= 0;
		wrong += fd < 0 && errno != ENOENT && errno != EAGAIN;
		close(fd);
	}
	over = true;
	pthread_join(mover, NULL);
	CHECK(moves >= 10);
	IS(came_out, 0);
	IS(wrong, 0);
	close(bound);
}

/* What would have to be asked of the volume's server is not known. */
static int in_volume(const char *top)
{
	int dir = open(top, O_RDONLY | O_DIRECTORY);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/inside", top);
	CHECK(opens(dir, "inside", 0) && opens(AT_FDCWD, path, 0));
	FAILS(open_within(AT_FDCWD, path, O_RDONLY, RESOLVE_CACHED), EAGAIN);
	FAILS(open_within(AT_FDCWD, top, O_RDONLY, RESOLVE_CACHED), EAGAIN);
	FAILS(open_within(dir, "inside", O_RDONLY, RESOLVE_CACHED), EAGAIN);
	FAILS(open_within(dir, "missing", O_RDONLY, RESOLVE_CACHED), EAGAIN);
	FAILS(open_within(dir, "inside/more", O_RDONLY, RESOLVE_CACHED), EAGAIN);
	FAILS(open_within(AT_FDCWD, path, O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
	FAILS(open_within(dir, "..", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
	FAILS(open_within(dir, "..", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	CHECK(opens(dir, "sub/../inside", RESOLVE_NO_XDEV) && opens(dir, "sub/../inside", RESOLVE_BENEATH) && opens(dir, "/../inside", RESOLVE_IN_ROOT));
	walks_stay(top);
	return check_end();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return in_volume(argv[1]);
	check_scratch();
	CHECK(!mkdir("top", 0755) && !mkdir("top/low", 0755));
	int file = open("top/file", O_CREAT | O_WRONLY, 0644);

	CHECK(write(file, "inside", 6) == 6);
	CHECK(!symlink("file", "top/link") && !symlink("../file", "top/low/up") && !symlink("../../outside", "top/low/out") && !symlink("/file", "top/absolute"));
	CHECK(!symlink("/proc/self/fd/0", "top/magic"));
	close(open("outside", O_CREAT | O_WRONLY, 0644));
	char true_path[PATH_MAX];
	int root = open("/", O_PATH | O_DIRECTORY);
	int top = open("top", O_RDONLY | O_DIRECTORY), low = open("top/low", O_PATH | O_DIRECTORY);

	/* Below the start */
	CHECK(opens(top, "file", RESOLVE_BENEATH) && opens(top, "link", RESOLVE_BENEATH) && opens(top, "low/../file", RESOLVE_BENEATH));
	CHECK(opens(top, "low/up", RESOLVE_BENEATH));
	FAILS(open_within(low, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "low/out", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "..", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "absolute", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "/tmp", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "magic", O_RDONLY, RESOLVE_BENEATH), EXDEV);
	FAILS(open_within(top, "../outside/new", O_CREAT | O_WRONLY, RESOLVE_BENEATH), EXDEV);
	int made = open_within(top, "new", O_CREAT | O_WRONLY, RESOLVE_BENEATH);

	CHECK(made >= 0 && !access("top/new", F_OK));

	/* The start is the root */
	CHECK(opens(top, "/file", RESOLVE_IN_ROOT) && opens(top, "absolute", RESOLVE_IN_ROOT) && opens(top, "../../file", RESOLVE_IN_ROOT));
	CHECK(realpath("top/file", true_path) && opens(AT_FDCWD, true_path, 0) && opens(root, true_path, RESOLVE_IN_ROOT));
	FAILS(open_within(top, true_path, O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
	FAILS(open_within(low, "../file", O_RDONLY, RESOLVE_IN_ROOT), ENOENT); /* which is there, one directory further up */
	FAILS(open_within(low, "up", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
	FAILS(open_within(top, "low/out", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);

	/* Links */
	FAILS(open_within(top, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
	FAILS(open_within(top, "magic", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
	CHECK(opens(top, "link", RESOLVE_NO_MAGICLINKS));
	FAILS(open_within(AT_FDCWD, "/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
	int link = open_within(top, "link", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
	struct stat status;

	CHECK(link >= 0 && !fstat(link, &status) && S_ISLNK(status.st_mode));

	/* File systems, and what would have to wait */
	FAILS(open_within(AT_FDCWD, "/proc/version", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
	CHECK(opens(top, "low/../file", RESOLVE_NO_XDEV));
	CHECK(opens(top, "file", RESOLVE_CACHED));
	FAILS(open_within(top, "file", O_RDWR | O_TRUNC, RESOLVE_CACHED), EAGAIN);

	/* Wrong */
	FAILS(open_within(top, "file", O_RDONLY, 0x100), EINVAL);
	FAILS(open_within(top, "file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
	FAILS(open_within(-1, "file", O_RDONLY, RESOLVE_BENEATH), EBADF);
	FAILS(open_within(file, "file", O_RDONLY, RESOLVE_BENEATH), ENOTDIR);
	FAILS(open_within(file, "/", O_RDONLY, RESOLVE_IN_ROOT), ENOTDIR);
	return check_end();
}
