/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo terminals and their line discipline: lines and their editing, raw mode, echo, output, flow, packets, both ends' going. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "check.h"

static int master, slave;
static char name[64];

static int polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

/* The other side gets it at once here, and soon on Linux, where a kernel thread carries it. */
static bool ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 2000) == 1;
}

static const char *shown(const char *data, ssize_t n)
{
	static char text[512];
	char *at = text;

	if (n < 0)
		return strerror(errno);
	for (ssize_t i = 0; i < n && at < text + sizeof(text) - 8; i++)
		at += sprintf(at, data[i] < ' ' || data[i] == 127 ? "\\%03o" : "%c", (unsigned char)data[i]);
	*at = 0;
	return text;
}

/* What comes within a moment after something is there. */
static ssize_t gather(int fd, char *data, size_t size)
{
	ssize_t done = 0, n;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while ((size_t)done < size && poll(&p, 1, done ? 30 : 300) == 1 && (n = read(fd, data + done, size - done)) > 0)
		done += n;
	return done;
}

static void shows(int fd, const char *what)
{
	char data[256];

	printf("%s: \"%s\"\n", what, shown(data, gather(fd, data, sizeof(data))));
}

static void type(const char *keys)
{
	ssize_t n = write(master, keys, strlen(keys));

	if (n != (ssize_t)strlen(keys))
		printf("typed %zd of %zu\n", n, strlen(keys));
}

/* What is typed, how it is echoed, and what one read gets of it. */
static void line(const char *keys)
{
	char data[256];
	ssize_t n = -1;

	type(keys);
	if (ready(slave))
		n = read(slave, data, sizeof(data));
	printf("\"%s\" reads \"%s\"", shown(keys, (ssize_t)strlen(keys)), n < 0 ? "nothing" : "");
	if (n >= 0)
		printf(" \"%s\"", shown(data, n));
	putchar('\n');
	shows(master, "  echo");
}

static void mode(tcflag_t in, tcflag_t out, tcflag_t local)
{
	struct termios t;

	CHECK(!tcgetattr(slave, &t));
	t.c_iflag = in;
	t.c_oflag = out;
	t.c_lflag = local;
	CHECK(!tcsetattr(slave, TCSANOW, &t));
}

static void key(int which, cc_t value)
{
	struct termios t;

	tcgetattr(slave, &t);
	t.c_cc[which] = value;
	tcsetattr(slave, TCSANOW, &t);
}

#define USUAL_LOCAL (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN)

static void check_open(void)
{
	struct stat st;
	struct statfs fs;
	int n = -1, locked = -1;

	master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(master >= 0);
	CHECK(!ioctl(master, TIOCGPTN, &n) && n >= 0);
	CHECK(!ioctl(master, TIOCGPTLCK, &locked) && locked == 1);
	CHECK(!ptsname_r(master, name, sizeof(name)));
	FAILS(open(name, O_RDWR | O_NOCTTY), EIO);
	CHECK(!grantpt(master) && !unlockpt(master));
	CHECK(!stat(name, &st) && S_ISCHR(st.st_mode) && st.st_uid == getuid());
	CHECK(major(st.st_rdev) == 136 && minor(st.st_rdev) == (unsigned)n);
	CHECK(!statfs("/dev/pts", &fs) && fs.f_type == 0x1cd1);
	CHECK(!stat("/dev/ptmx", &st) && S_ISCHR(st.st_mode));
	IS(polled(master), POLLOUT);
	slave = open(name, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	CHECK(isatty(slave) && isatty(master));
	CHECK(ttyname(slave) && !strcmp(ttyname(slave), name));
	IS(polled(slave), POLLOUT);
	FAILS(lseek(slave, 0, SEEK_CUR), ESPIPE);
	FAILS(ftruncate(slave, 0), EINVAL);
}

static void check_list(void)
{
	DIR *dir = opendir("/dev/pts");
	struct dirent *entry;
	bool found = false;

	CHECK(dir != NULL);
	while (dir && (entry = readdir(dir)))
		found |= !strcmp(entry->d_name, strrchr(name, '/') + 1);
	CHECK(found);
	closedir(dir);
	FAILS(open("/dev/pts/not-there", O_RDWR), ENOENT);
}

static void check_modes(void)
{
	struct termios t, u;

	CHECK(!tcgetattr(slave, &t));
	printf("modes %o %o %o %o\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	for (int i = 0; i < 17; i++)
		printf(" %d", t.c_cc[i]);
	printf("\nspeed %d\n", cfgetospeed(&t) == B38400);
	cfmakeraw(&t);
	CHECK(!tcsetattr(slave, TCSADRAIN, &t));
	CHECK(!tcgetattr(master, &u) && u.c_lflag == t.c_lflag && u.c_oflag == t.c_oflag);
	cfsetspeed(&t, B9600);
	CHECK(!tcsetattr(slave, TCSAFLUSH, &t) && !tcgetattr(slave, &u) && cfgetospeed(&u) == B9600);
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
	CHECK(!tcdrain(slave) && !tcsendbreak(slave, 0));
	FAILS(tcflush(slave, 77), EINVAL);
	FAILS(tcflow(slave, 77), EINVAL);
	FAILS(ioctl(slave, 0x5499, 0), ENOTTY);
	FAILS(ioctl(slave, TCGETS, 1), EFAULT);
}

static void check_lines(void)
{
	line("hello\r");
	line("hello\n");
	line("abc\177\177d\r");      /* erase */
	line("abc def\027ghi\r");    /* a word */
	line("abc-- \027x\r");
	line("all of this\025x\r");  /* the line */
	line("a\026\003b\r");        /* the next one literally */
	line("one\022two\r");        /* printed again */
	line("\001\033\r");          /* control characters */
	line("\001\177x\r");
	line("a\tb\177\177\177c\r"); /* a tab */
	line("\tx\177\177y\r");
	line("no end\004");
	line("\004");
	line("x\004\004");
	line("");
	line("caf\303\251\177\r");
	mode(ICRNL | IXON | IUTF8, OPOST | ONLCR, USUAL_LOCAL);
	line("caf\303\251\177\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL & ~(tcflag_t)ECHO);
	line("secret\177T\r");
	mode(ICRNL | IXON, OPOST | ONLCR, (USUAL_LOCAL & ~(tcflag_t)ECHO) | ECHONL);
	line("secret\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL & ~(tcflag_t)ECHOCTL);
	line("\001x\177\177\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL & ~(tcflag_t)ECHOE);
	line("ab\177c\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL & ~(tcflag_t)ECHOKE);
	line("ab\025c\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL | ECHOPRT);
	line("abc\177\177d\r");
	mode(IGNCR | IXON, OPOST | ONLCR, USUAL_LOCAL);
	line("a\rb\n");
	mode(INLCR | IXON, OPOST | ONLCR, USUAL_LOCAL);
	line("a\nb\004");
	mode(ISTRIP | ICRNL, OPOST | ONLCR, USUAL_LOCAL);
	line("\341\r");
	mode(ICRNL, OPOST | ONLCR, USUAL_LOCAL & ~(tcflag_t)(ISIG | IEXTEN));
	line("\003\034\032\026\027\r");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
	key(VEOL, ';');
	line("a;");
	key(VEOL, 0);
	key(VERASE, 'X');
	line("abX\177c\r");
	key(VERASE, 127);
}

static void check_pieces(void)
{
	char data[8];
	int n = -1;

	type("abcdef\r");
	CHECK(ready(slave));
	CHECK(!ioctl(slave, FIONREAD, &n) && n == 7);
	IS(read(slave, data, 4), 4);
	IS(read(slave, data, 8), 3);
	type("one\rtwo\r");
	CHECK(ready(slave));
	IS(read(slave, data, 8), 4);
	IS(read(slave, data, 8), 4);
	type("1234\004");
	CHECK(ready(slave));
	IS(read(slave, data, 4), 4); /* and the end with it */
	IS(polled(slave), POLLOUT);
	type("half");
	IS(polled(slave), POLLOUT);
	IS(polled(master) & POLLIN, POLLIN);
	type("\r");
	CHECK(ready(slave));
	CHECK(!tcflush(slave, TCIFLUSH));
	IS(polled(slave), POLLOUT);
	gather(master, (char[256]){ 0 }, 256);
}

static void check_raw(void)
{
	char data[64];
	int n = -1;
	int64_t start;

	type("before\rrest");
	CHECK(ready(slave));
	mode(0, 0, 0);
	shows(slave, "what was typed before");
	gather(master, (char[256]){ 0 }, 256);
	type("\003\r\n\177");
	shows(slave, "raw");
	shows(master, "no echo");
	key(VMIN, 3);
	type("ab");
	usleep(20000);
	IS(polled(slave), POLLOUT);
	CHECK(!ioctl(slave, FIONREAD, &n) && n == 2);
	type("c");
	CHECK(ready(slave));
	IS(read(slave, data, sizeof(data)), 3);
	key(VMIN, 0);
	IS(read(slave, data, sizeof(data)), 0);
	key(VTIME, 1);
	start = now_ms();
	IS(read(slave, data, sizeof(data)), 0);
	CHECK(now_ms() - start >= 90);
	key(VMIN, 5);
	type("xy");
	IS(read(slave, data, sizeof(data)), 2); /* the time between bytes is over */
	key(VTIME, 0);
	key(VMIN, 1);
	fcntl(slave, F_SETFL, O_NONBLOCK);
	FAILS(read(slave, data, sizeof(data)), EAGAIN);
	fcntl(slave, F_SETFL, 0);
	type("canonical later");
	CHECK(ready(slave));
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
	shows(slave, "a line without an end");
}

static void put(const char *text)
{
	IS(write(slave, text, strlen(text)), strlen(text));
	shows(master, "  is");
}

static void check_output(void)
{
	put("a\nb\r\n\tc\b");
	mode(ICRNL, OPOST, USUAL_LOCAL);
	put("a\nb\n");
	mode(ICRNL, OPOST | OCRNL, USUAL_LOCAL);
	put("a\rb\n");
	mode(ICRNL, OPOST | ONLCR | ONOCR, USUAL_LOCAL);
	put("\n\rab\r\r");
	mode(ICRNL, OPOST | XTABS | ONLCR, USUAL_LOCAL);
	put("\na\tbc\td\n");
	mode(ICRNL, OPOST | OLCUC, USUAL_LOCAL);
	put("abc");
	mode(ICRNL, ONLCR, USUAL_LOCAL);
	put("raw\n");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
	put("\n");
}

static void check_flow(void)
{
	char big[16384];
	ssize_t n, all = 0;

	memset(big, 'x', sizeof(big));
	fcntl(slave, F_SETFL, O_NONBLOCK);
	while ((n = write(slave, big, sizeof(big))) > 0)
		all += n;
	CHECK(n < 0 && errno == EAGAIN && all >= 4096);
	IS(polled(slave) & POLLOUT, 0);
	while (all > 0 && (n = gather(master, big, sizeof(big))) > 0)
		all -= n;
	IS(all, 0);
	IS(polled(slave) & POLLOUT, POLLOUT);
	type("\023");
	usleep(20000);
	FAILS(write(slave, "x", 1), EAGAIN);
	type("\021");
	usleep(20000);
	IS(write(slave, "x", 1), 1);
	shows(master, "after START");
	CHECK(!tcflow(slave, TCOOFF));
	FAILS(write(slave, "x", 1), EAGAIN);
	CHECK(!tcflow(slave, TCOON));
	IS(write(slave, "y", 1), 1);
	shows(master, "after TCOON");
	fcntl(slave, F_SETFL, 0);
	CHECK(!tcflow(slave, TCIOFF) && !tcflow(slave, TCION));
	shows(master, "TCIOFF, TCION");
}

static void check_size(void)
{
	struct winsize size = { 0 };

	CHECK(!ioctl(slave, TIOCGWINSZ, &size) && size.ws_row == 0 && size.ws_col == 0);
	CHECK(!ioctl(master, TIOCSWINSZ, &(struct winsize){ 30, 90, 1, 2 }));
	CHECK(!ioctl(slave, TIOCGWINSZ, &size) && size.ws_row == 30 && size.ws_col == 90 && size.ws_ypixel == 2);
	CHECK(!ioctl(master, TIOCGWINSZ, &size) && size.ws_row == 30);
}

static void check_others(void)
{
	int value = -1;

	CHECK(!ioctl(slave, TIOCGETD, &value) && value == 0);
	value = 99;
	FAILS(ioctl(slave, TIOCSETD, &value), EINVAL);
	CHECK(!ioctl(slave, TIOCEXCL) && !ioctl(slave, TIOCGEXCL, &value) && value == 1);
	CHECK(!ioctl(slave, TIOCNXCL) && !ioctl(slave, TIOCGEXCL, &value) && value == 0);
	FAILS(ioctl(slave, TIOCGPTN, &value), ENOTTY);
	FAILS(ioctl(slave, TIOCGPGRP, &value), ENOTTY);
	FAILS(ioctl(slave, TIOCGSID, &value), ENOTTY);
	FAILS(tcsetpgrp(slave, getpgrp()), ENOTTY);
	FAILS(ioctl(slave, TIOCNOTTY), ENOTTY);
	CHECK(!ioctl(slave, TIOCOUTQ, &value) && value == 0);
	CHECK(!in_vm() || (ioctl(slave, TIOCSTI, "x") == -1 && errno == EIO));
}

static void check_packets(void)
{
	int on = 1, value = -1;
	char data[64];

	CHECK(!ioctl(master, TIOCPKT, &on) && !ioctl(master, TIOCGPKT, &value) && value == 1);
	IS(write(slave, "abc", 3), 3);
	shows(master, "a packet");
	CHECK(!tcflow(slave, TCOOFF));
	IS(polled(master) & POLLPRI, POLLPRI);
	shows(master, "STOP");
	CHECK(!tcflow(slave, TCOON));
	shows(master, "START");
	CHECK(!tcflush(slave, TCIOFLUSH));
	shows(master, "FLUSH");
	mode(ICRNL, OPOST | ONLCR, USUAL_LOCAL);
	shows(master, "NOSTOP");
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
	shows(master, "DOSTOP");
	on = 0;
	CHECK(!ioctl(master, TIOCPKT, &on));
	IS(write(slave, "abc", 3), 3);
	CHECK(ready(master));
	IS(read(master, data, sizeof(data)), 3);
}

static void check_full_line(void)
{
	static char big[5000], back[8192];
	ssize_t n;

	mode(ICRNL, OPOST | ONLCR, ISIG | ICANON);
	memset(big, 'a', sizeof(big));
	fcntl(master, F_SETFL, O_NONBLOCK);
	IS(write(master, big, sizeof(big)), sizeof(big));
	usleep(50000);
	IS(write(master, "\r", 1), 1);
	CHECK(ready(slave));
	n = read(slave, back, sizeof(back));
	CHECK(n == 4096 && back[4095] == '\n');
	fcntl(master, F_SETFL, 0);
	mode(ICRNL | IXON, OPOST | ONLCR, USUAL_LOCAL);
}

static void check_epoll(void)
{
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, slave, &event) && epoll_wait(epoll, &event, 1, 0) == 0);
	type("x");
	IS(epoll_wait(epoll, &event, 1, 30), 0);
	type("\r");
	CHECK(epoll_wait(epoll, &event, 1, 2000) == 1 && event.events == EPOLLIN);
	close(epoll);
	CHECK(!tcflush(slave, TCIFLUSH));
	gather(master, (char[256]){ 0 }, 256);
}

static void check_ends(void)
{
	char data[64];
	struct stat st;

	IS(write(slave, "last", 4), 4);
	CHECK(!close(slave));
	CHECK(ready(master));
	IS(polled(master) & POLLHUP, POLLHUP);
	IS(read(master, data, sizeof(data)), 4);
	FAILS(read(master, data, sizeof(data)), EIO);
	slave = open(name, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	IS(polled(master) & POLLHUP, 0);
	CHECK(!close(master));
	IS(polled(slave) & (POLLHUP | POLLIN), POLLHUP | POLLIN);
	IS(read(slave, data, sizeof(data)), 0);
	FAILS(write(slave, "x", 1), EIO);
	FAILS(ioctl(slave, TCGETS, data), EIO);
	FAILS(stat(name, &st), ENOENT);
	CHECK(!close(slave));
}

static void check_peer(void)
{
	int many[20];

	master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(!unlockpt(master));
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK(slave >= 0 && isatty(slave));
	for (int i = 0; i < 20; i++)
		many[i] = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(many[19] >= 0);
	for (int i = 0; i < 20; i++)
		close(many[i]);
	close(master);
	close(slave);
}

int main(void)
{
	check_open();
	check_list();
	check_modes();
	check_lines();
	check_pieces();
	check_raw();
	check_output();
	check_flow();
	check_size();
	check_others();
	check_packets();
	check_full_line();
	check_epoll();
	check_ends();
	check_peer();
	return check_end();
}
