/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the writable layer. With an argument: also files that came with the image, in that directory. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "check.h"

static char buffer[65536];

static ssize_t slurp(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	if (fd >= 0)
		close(fd);
	buffer[n < 0 ? 0 : n] = 0;
	return n;
}

static bool holds(const char *name, const char *text)
{
	return slurp(name) == (ssize_t)strlen(text) && !strcmp(buffer, text);
}

static bool put(const char *name, int flags, const char *text)
{
	int fd = open(name, O_WRONLY | flags, 0644);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static int64_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) ? -1 : st.st_size;
}

static void check_open(void)
{
	int fd;

	CHECK(put("a", O_CREAT | O_EXCL, "hello"));
	FAILS(open("a", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	CHECK(put("a", O_APPEND, " world") && holds("a", "hello world"));
	CHECK(put("a", O_TRUNC, "short") && holds("a", "short"));
	CHECK(put("emptied", O_CREAT, "text") && !close(open("emptied", O_RDONLY | O_TRUNC)) && holds("emptied", ""));
	CHECK(put("a", 0, "S") && holds("a", "Short"));
	FAILS(open("missing", O_RDONLY), ENOENT);
	FAILS(open("a/b", O_RDONLY), ENOTDIR);
	FAILS(open(".", O_WRONLY), EISDIR);
	FAILS(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open((void *)8, O_RDONLY), EFAULT);
	FAILS(open("", O_RDONLY), ENOENT);
	memset(buffer, 'x', 5000);
	buffer[5000] = 0;
	FAILS(open(buffer, O_RDONLY), ENAMETOOLONG);
	buffer[300] = 0;
	FAILS(open(buffer, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
	fd = open("a", O_RDONLY);
	FAILS(write(fd, "x", 1), EBADF);
	close(fd);
	FAILS(close(fd), EBADF);
	fd = open("a", O_WRONLY);
	FAILS(read(fd, buffer, 1), EBADF);
	close(fd);
}

static void check_seek(void)
{
	int fd = open("seek", O_RDWR | O_CREAT | O_TRUNC, 0600);

	IS(write(fd, "0123456789", 10), 10);
	IS(lseek(fd, -3, SEEK_END), 7);
	CHECK(read(fd, buffer, 10) == 3 && !memcmp(buffer, "789", 3));
	IS(read(fd, buffer, 10), 0);
	IS(lseek(fd, 2, SEEK_SET), 2);
	IS(lseek(fd, 3, SEEK_CUR), 5);
	FAILS(lseek(fd, -20, SEEK_CUR), EINVAL);
	FAILS(lseek(fd, 0, 77), EINVAL);
	CHECK(pread(fd, buffer, 4, 1) == 4 && !memcmp(buffer, "1234", 4));
	IS(pwrite(fd, "ab", 2, 8), 2);
	IS(lseek(fd, 0, SEEK_CUR), 5);
	IS(lseek(fd, 1 << 20, SEEK_SET), 1 << 20);
	IS(write(fd, "end", 3), 3);
	IS(size_of("seek"), (1 << 20) + 3);
	CHECK(pread(fd, buffer, 4096, 5000) == 4096 && !buffer[0] && !memcmp(buffer, buffer + 1, 4095));
	IS(ftruncate(fd, 9), 0);
	CHECK(pread(fd, buffer, 100, 0) == 9 && !memcmp(buffer, "01234567a", 9));
	IS(ftruncate(fd, 12), 0);
	CHECK(pread(fd, buffer, 100, 0) == 12 && !memcmp(buffer, "01234567a\0\0\0", 12));
	FAILS(ftruncate(fd, -1), EINVAL);
	close(fd);
	IS(truncate("seek", 3), 0);
	CHECK(holds("seek", "012"));
}

static void check_vectors(void)
{
	char one[4] = "", two[8] = "";
	struct iovec out[2] = {{"abc", 3}, {"defgh", 5}}, in[2] = {{one, 3}, {two, 5}};
	int fd = open("vec", O_RDWR | O_CREAT, 0600);

	IS(writev(fd, out, 2), 8);
	IS(pwritev(fd, out, 1, 8), 3);
	IS(preadv(fd, in, 2, 3), 8);
	CHECK(!strcmp(one, "def") && !strcmp(two, "ghabc"));
	lseek(fd, 0, SEEK_SET);
	IS(readv(fd, in, 2), 8);
	CHECK(!strcmp(one, "abc") && !strcmp(two, "defgh"));
	close(fd);
}

/* From file to file; within one, what is read must not be what is written, however much is asked for. */
static void check_copies(void)
{
	int fd = open("copy", O_RDWR | O_CREAT, 0600);
	off_t from = 0, to = 4;

	IS(write(fd, "abcdefgh", 8), 8);
	FAILS(copy_file_range(fd, &from, fd, &to, SIZE_MAX, 0), EOVERFLOW);
	int proc = open("/proc/self/status", O_RDONLY), appends = open("copy", O_WRONLY | O_APPEND);
	CHECK(copy_file_range(proc, NULL, fd, &to, 100, 0) == -1 && (errno == EXDEV || errno == EINVAL)); /* no end of a file: cp reads it then */
	FAILS(copy_file_range(fd, &from, appends, &to, 1, 0), EBADF);
	close(proc);
	close(appends);
	FAILS(copy_file_range(fd, &from, fd, &to, 1 << 20, 0), EINVAL);
	CHECK(holds("copy", "abcdefgh") && from == 0 && to == 4);
	to = 8;
	IS(copy_file_range(fd, &from, fd, &to, 1 << 20, 0), 8);
	CHECK(holds("copy", "abcdefghabcdefgh") && from == 8 && to == 16);
	from = 100;
	IS(copy_file_range(fd, &from, fd, &to, 5, 0), 0);
	close(fd);
}

static void check_links(void)
{
	struct stat st;

	CHECK(put("target", O_CREAT, "data"));
	IS(symlink("target", "soft"), 0);
	CHECK(holds("soft", "data"));
	CHECK(!lstat("soft", &st) && S_ISLNK(st.st_mode) && st.st_size == 6);
	CHECK(readlink("soft", buffer, 100) == 6 && !memcmp(buffer, "target", 6));
	FAILS(readlink("target", buffer, 100), EINVAL);
	FAILS(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP);
	IS(symlink("loop", "loop"), 0);
	FAILS(open("loop", O_RDONLY), ELOOP);
	IS(symlink("nowhere", "dangling"), 0);
	FAILS(open("dangling", O_RDONLY), ENOENT);
	CHECK(put("dangling", O_CREAT, "made") && holds("nowhere", "made"));
	IS(link("target", "hard"), 0);
	CHECK(!stat("target", &st) && st.st_nlink == 2);
	CHECK(put("hard", O_APPEND, "+") && holds("target", "data+"));
	IS(unlink("target"), 0);
	CHECK(holds("hard", "data+") && !stat("hard", &st) && st.st_nlink == 1);
	FAILS(open("soft", O_RDONLY), ENOENT);
	FAILS(link("hard", "soft"), EEXIST);
}

static void check_rename(void)
{
	CHECK(put("from", O_CREAT, "one") && put("to", O_CREAT, "two"));
	IS(rename("from", "to"), 0);
	CHECK(holds("to", "one") && size_of("from") == -1);
	FAILS(rename("from", "to"), ENOENT);
	IS(mkdir("d1", 0755), 0);
	CHECK(put("d1/f", O_CREAT, "in d1"));
	IS(rename("d1", "d2"), 0);
	CHECK(holds("d2/f", "in d1"));
	FAILS(rename("d2", "to"), ENOTDIR);
	FAILS(rename("to", "d2"), EISDIR);
	FAILS(rename("d2", "d2/below"), EINVAL);
	IS(rename("to", "d2/to"), 0);
	CHECK(holds("d2/to", "one"));
	IS(mkdir("d3", 0755), 0);
	FAILS(rename("d3", "d2"), ENOTEMPTY);
	IS(rename("d2", "d3"), 0);
	CHECK(holds("d3/to", "one"));
}

static int exchange(const char *a, const char *b)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static void check_exchange(void)
{
	CHECK(put("x1", O_CREAT, "one") && put("x2", O_CREAT, "two"));
	IS(exchange("x1", "x2"), 0);
	CHECK(holds("x1", "two") && holds("x2", "one"));
	IS(exchange("x1", "x1"), 0);
	IS(exchange("d3", "d3"), 0);
	IS(link("x1", "x3"), 0);
	IS(exchange("x1", "x3"), 0);
	FAILS(exchange("x1", "none"), ENOENT); /* a name that is looked for in vain passes all others of its bucket */
	FAILS(exchange("none", "none too"), ENOENT);
	FAILS(exchange("x1", "none/"), ENOENT);
	FAILS(exchange("x1", "x2/"), ENOTDIR);
	FAILS(exchange("x1/", "d3"), ENOTDIR);
	FAILS(exchange("d3", "x2/"), ENOTDIR);
	FAILS(exchange("d3", "d3/to"), EINVAL);
	FAILS(exchange("d3/to", "d3"), EINVAL);
	FAILS(exchange(".", "x1"), EBUSY);
	FAILS(exchange("x1", "."), EBUSY);
	FAILS(syscall(SYS_renameat2, AT_FDCWD, "x1", AT_FDCWD, ".", RENAME_NOREPLACE), EEXIST);
	FAILS(rename("x1", "d3/"), ENOTDIR);
	FAILS(rename("d3/to", "d3"), ENOTEMPTY);
	IS(exchange("x2", "d3/"), 0);
	IS(exchange("x2/", "d3"), 0);
	CHECK(holds("x1", "two") && holds("x3", "two") && holds("d3/to", "one"));
	IS(unlink("x1") | unlink("x2") | unlink("x3"), 0);
	CHECK(size_of("x1") == -1);
}

static void check_unlinked(void)
{
	int fd = open("gone", O_RDWR | O_CREAT, 0600);
	struct stat st;

	IS(write(fd, "still here", 10), 10);
	IS(unlink("gone"), 0);
	CHECK(size_of("gone") == -1);
	CHECK(pread(fd, buffer, 20, 0) == 10 && !memcmp(buffer, "still here", 10));
	CHECK(!fstat(fd, &st) && st.st_nlink == 0 && st.st_size == 10);
	close(fd);
	FAILS(unlink("gone"), ENOENT);
	FAILS(unlink("d3"), EISDIR);
	FAILS(rmdir("d3"), ENOTEMPTY);
	FAILS(rmdir("a"), ENOTDIR);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *name)
{
	DIR *dir = opendir(name);
	char *names[64];
	int n = 0;

	for (struct dirent *e; dir && n < 64 && (e = readdir(dir));)
		if (asprintf(&names[n], "%s type %d", e->d_name, e->d_type) > 0)
			n++;
	if (dir)
		closedir(dir);
	qsort(names, (size_t)n, sizeof(*names), compare);
	for (int i = 0; i < n; i++)
		printf("  %s\n", names[i]);
}

static void check_directories(void)
{
	DIR *dir;
	char name[32];
	int seen = 0;

	FAILS(mkdir("d3", 0755), EEXIST);
	FAILS(mkdir("no/such", 0755), ENOENT);
	list(".");
	IS(mkdir("many", 0755), 0);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "many/file%03d", i);
		if (!put(name, O_CREAT, name))
			break;
	}
	dir = opendir("many");
	while (readdir(dir))
		seen++;
	IS(seen, 502);
	rewinddir(dir);
	CHECK(readdir(dir) != NULL);
	closedir(dir);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "many/file%03d", i);
		unlink(name);
	}
	IS(rmdir("many"), 0);
	IS(chdir("d3"), 0);
	CHECK(getcwd(buffer, sizeof(buffer)) && strlen(buffer) > 3 && !strcmp(buffer + strlen(buffer) - 3, "/d3"));
	CHECK(holds("to", "one") && holds("../d3/./to", "one"));
	IS(chdir(".."), 0);
	FAILS(chdir("a"), ENOTDIR);
	FAILS(chdir("zzz"), ENOENT);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

/* What rm -r and those who read a directory while it changes rely on. */
static void check_changing_directory(void)
{
	char name[64] = "wide", next[256] = "";
	int seen = 0;
	long place = 0;
	DIR *dir;

	IS(mkdir("wide", 0755), 0);
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "wide/f%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	dir = opendir("wide");
	for (struct dirent *e; (e = readdir(dir));) {
		snprintf(name, sizeof(name), "wide/%.50s", e->d_name);
		seen += e->d_name[0] == 'f' && !unlink(name);
	}
	closedir(dir);
	IS(seen, 1500);
	IS(rmdir("wide"), 0);
	IS(mkdir("wide", 0755), 0);
	for (char c = 'a'; c <= 'z'; c++) {
		snprintf(name, sizeof(name), "wide/%c", c);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	dir = opendir("wide");
	for (int i = 0; i < 10; i++)
		readdir(dir);
	place = telldir(dir);
	snprintf(next, sizeof(next), "%s", readdir(dir)->d_name);
	while (readdir(dir))
		;
	seekdir(dir, place);
	CHECK(!strcmp(readdir(dir)->d_name, next));
	close(open("wide/later", O_CREAT | O_WRONLY, 0600));
	rewinddir(dir);
	seen = 0;
	for (struct dirent *e; (e = readdir(dir));)
		seen += !strcmp(e->d_name, "later");
	IS(seen, 1);
	closedir(dir);
	strcpy(next, "wide");
	for (int i = 0; i < 30; i++)
		CHECK(strlen(strcat(next, "/deep")) && !mkdir(next, 0755));
	IS(nftw("wide", remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	FAILS(access("wide", F_OK), ENOENT);
}

static void check_at(void)
{
	int dir = open("d3", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	struct stat st;

	CHECK(dir >= 0);
	fd = openat(dir, "new", O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0 && write(fd, "at", 2) == 2 && !close(fd));
	CHECK(!fstatat(dir, "new", &st, 0) && st.st_size == 2 && (st.st_mode & 0777) == 0600);
	IS(faccessat(dir, "new", R_OK, 0), 0);
	FAILS(faccessat(dir, "old", F_OK, 0), ENOENT);
	IS(mkdirat(dir, "sub", 0700), 0);
	IS(renameat(dir, "new", dir, "sub/new"), 0);
	IS(unlinkat(dir, "sub/new", 0), 0);
	IS(unlinkat(dir, "sub", AT_REMOVEDIR), 0);
	FAILS(openat(fd, "x", O_RDONLY), EBADF);
	close(dir);
}

static void check_descriptors(void)
{
	int fd = open("a", O_RDWR), two, three;

	two = dup(fd);
	CHECK(two > fd);
	lseek(fd, 3, SEEK_SET);
	IS(lseek(two, 0, SEEK_CUR), 3);
	three = fcntl(fd, F_DUPFD, 100);
	IS(three, 100);
	IS(fcntl(fd, F_DUPFD_CLOEXEC, 100), 101);
	IS(fcntl(101, F_GETFD), FD_CLOEXEC);
	IS(fcntl(100, F_GETFD), 0);
	IS(dup2(fd, 50), 50);
	IS(dup2(fd, fd), fd);
	FAILS(dup3(fd, fd, 0), EINVAL);
	IS(dup3(fd, 51, O_CLOEXEC), 51);
	IS(fcntl(51, F_GETFD), FD_CLOEXEC);
	IS(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	IS(fcntl(fd, F_SETFL, O_APPEND), 0);
	CHECK((fcntl(two, F_GETFL) & O_APPEND) != 0);
	FAILS(dup(999), EBADF);
	FAILS(dup2(fd, 1 << 30), EBADF);
	FAILS(fcntl(fd, 12345), EINVAL);
	close(fd);
	IS(write(two, "!", 1), 1);
	close(two);
	IS(open("a", O_RDONLY), fd);
	for (int i = 3; i < 102; i++)
		close(i);
}

static void check_stat(void)
{
	struct stat st, other;
	struct timespec times[2] = {{1000, 500}, {2000, 700}};

	CHECK(!stat("a", &st) && S_ISREG(st.st_mode) && st.st_nlink == 1);
	CHECK(!stat("d3", &other) && S_ISDIR(other.st_mode) && st.st_ino != other.st_ino && st.st_dev == other.st_dev);
	IS(chmod("a", 0640), 0);
	CHECK(!stat("a", &st) && (st.st_mode & 07777) == 0640);
	IS(utimensat(AT_FDCWD, "a", times, 0), 0);
	CHECK(!stat("a", &st) && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 700 && st.st_atim.tv_sec == 1000);
	CHECK(put("a", O_APPEND, "x") && !stat("a", &st) && st.st_mtim.tv_sec > 1500000000);
	CHECK(!stat("/dev/null", &st) && S_ISCHR(st.st_mode));
	IS(access("a", R_OK | W_OK), 0);
	FAILS(stat("nope", &st), ENOENT);
	umask(022);
	CHECK(put("masked", O_CREAT, "") && !stat("masked", &st) && (st.st_mode & 0777) == 0644);
}

static void check_devices(void)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), random = open("/dev/urandom", O_RDONLY);

	IS(write(null, buffer, 1000), 1000);
	IS(read(null, buffer, 10), 0);
	memset(buffer, 1, 5000);
	CHECK(read(zero, buffer, 5000) == 5000 && !buffer[0] && !memcmp(buffer, buffer + 1, 4999));
	IS(write(zero, buffer, 77), 77);
	CHECK(read(random, buffer, 4096) == 4096 && memcmp(buffer, buffer + 2048, 2048));
	close(null);
	close(zero);
	close(random);
}

/* The directory came with the image: nothing in there may be harmed by what is written over it. */
static void check_image(const char *directory)
{
	ssize_t n;

	IS(chdir(directory), 0);
	list(".");
	n = slurp("poem");
	CHECK(n > 20 && put("poem", O_APPEND, "appended\n"));
	CHECK(slurp("poem") == n + 9 && !strcmp(buffer + n, "appended\n"));
	CHECK(put("poem", 0, "ROSES") && slurp("poem") == n + 9 && !strncmp(buffer, "ROSES", 5));
	IS(unlink("dead"), 0);
	FAILS(open("dead", O_RDONLY), ENOENT);
	IS(rename("sub/inner", "outer"), 0);
	CHECK(holds("outer", "inner\n"));
	CHECK(put("sub/new", O_CREAT, "new") && holds("sub/new", "new"));
	IS(rename("sub", "moved"), 0);
	CHECK(holds("moved/new", "new") && holds("moved/second", "second\n"));
	FAILS(open("sub/new", O_RDONLY), ENOENT);
	CHECK(holds("link", "second\n") == false && !unlink("link"));
	IS(truncate("big", 5000), 0);
	IS(size_of("big"), 5000);
	list(".");
	list("moved");
}

/* More pieces than go to a file at once, some of them empty; each call goes on where the last one ended. */
static void check_pieces(void)
{
	enum { PIECES = 1000 };
	static struct iovec piece[PIECES];
	static char text[3 * PIECES], again[sizeof(text)];
	int fd = open("pieces", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ssize_t total = 0;

	for (int i = 0; i < PIECES; i++) {
		memset(text + 3 * i, 'a' + i % 26, 3);
		piece[i] = (struct iovec){ text + 3 * i, (size_t)(i % 4) };
		total += i % 4;
	}
	IS(writev(fd, piece, PIECES), total);
	IS(writev(fd, piece, 4), 6);
	IS(pwritev(fd, piece + 1, 1, 2), 1);
	IS(lseek(fd, 0, SEEK_CUR), total + 6);
	IS(pread(fd, again, sizeof(again), 0), total + 6);
	CHECK(!memcmp(again, "bcbddd", 6) && !memcmp(again + total, "bccddd", 6));
	IS(lseek(fd, 0, SEEK_SET), 0);
	IS(readv(fd, piece, PIECES), total);
	piece[1].iov_base = (void *)8;
	FAILS(writev(fd, piece, 2), EFAULT);
	close(fd);
}

int main(int argc, char **argv)
{
	check_scratch();
	check_open();
	check_seek();
	check_vectors();
	check_pieces();
	check_copies();
	check_links();
	check_rename();
	check_exchange();
	check_unlinked();
	check_directories();
	check_changing_directory();
	check_at();
	check_descriptors();
	check_stat();
	check_devices();
	if (argc > 1)
		check_image(argv[1]);
	return check_end();
}
