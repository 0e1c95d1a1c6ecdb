/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name (O_TMPFILE): made, used, given a name, or gone with their last descriptor. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "check.h"

static void result(const char *what, long r)
{
	printf("%s: %s\n", what, r < 0 ? strerror(errno) : "works");
}

static unsigned names(void)
{
	unsigned count = 0;
	DIR *dir = opendir(".");

	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static int make(int flags)
{
	int fd = open(".", O_TMPFILE | flags, 0664);

	if (fd < 0)
		printf("no file without a name: %s\n", strerror(errno));
	return fd;
}

static int give_name(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static void show(const char *what, int fd)
{
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	printf("%s: mode %o, %lu links, %ld bytes\n", what, st.st_mode, (unsigned long)st.st_nlink, (long)st.st_size);
}

static void used(int fd)
{
	char text[16] = "", path[64];

	show("new", fd);
	CHECK(write(fd, "twelve bytes", 12) == 12);
	CHECK(pread(fd, text, 6, 0) == 6);
	printf("it holds %s, and the directory %u names\n", text, names());
	CHECK(ftruncate(fd, 8192) == 0);
	char *mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapped != MAP_FAILED);
	mapped[8191] = '!';
	CHECK(msync(mapped, 8192, MS_SYNC) == 0);
	CHECK(munmap(mapped, 8192) == 0);
	CHECK(pread(fd, text, 1, 8191) == 1);
	printf("what was mapped: %c\n", text[0]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY);
	CHECK(again >= 0);
	CHECK(read(again, text, 12) == 12);
	printf("opened again: %.12s\n", text);
	close(again);
	CHECK(fchmod(fd, 0600) == 0);
	show("written", fd);
}

static void named(int fd)
{
	char text[16] = "";

	result("a name", give_name(fd, "named"));
	show("named", fd);
	result("the same name again", give_name(fd, "named"));
	result("a second one", give_name(fd, "other"));
	show("twice", fd);
	printf("%u names\n", names());
	close(fd);
	int again = open("named", O_RDWR);
	CHECK(again >= 0);
	CHECK(read(again, text, 12) == 12);
	printf("by its name: %.12s\n", text);
	show("by its name", again);
	close(again);
	CHECK(unlink("named") == 0 && unlink("other") == 0);
}

static void wrong(void)
{
	int fd;

	result("to be read only", open(".", O_TMPFILE | O_RDONLY, 0600));
	result("in no directory", open("missing", O_TMPFILE | O_RDWR, 0600));
	CHECK((fd = open("file", O_CREAT | O_WRONLY, 0600)) >= 0);
	close(fd);
	result("in a file", open("file", O_TMPFILE | O_RDWR, 0600));
	CHECK(unlink("file") == 0);
	CHECK((fd = make(O_WRONLY | O_EXCL)) >= 0);
	result("a name for what is to have none", give_name(fd, "named"));
	close(fd);
	CHECK((fd = make(O_WRONLY)) >= 0);
	CHECK(write(fd, "x", 1) == 1);
	result("reading what is open for writing", read(fd, &(char){ 0 }, 1));
	close(fd);
}

/* More than whoever keeps what was closed would hold on to. */
static void many(void)
{
	for (unsigned i = 0; i < 200; i++) {
		int fd = make(O_RDWR);

		CHECK(fd >= 0);
		CHECK(write(fd, "many", 4) == 4);
		if (i % 10 == 0)
			CHECK(give_name(fd, "last") == 0 && unlink("last") == 0);
		close(fd);
	}
	printf("200 later %u names\n", names());
}

int main(void)
{
	char dir[256];
	const char *top = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/temporary-XXXXXX", top ? top : "/tmp");
	CHECK(mkdtemp(dir) && chdir(dir) == 0);
	umask(022);
	int fd = make(O_RDWR);
	if (fd < 0)
		return 1;
	used(fd);
	named(fd);
	wrong();
	many();
	CHECK(chdir("/") == 0 && rmdir(dir) == 0);
	return check_failures != 0;
}
