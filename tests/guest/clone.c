/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program has after its VM was saved and restored, or cloned: clone spin|calls|wait|template|loop|none [PORT]. Prints "ready", and, once it is another VM, a line "KEY VALUE" for each
 * thing that it finds, then "done". With a port it listens there, takes one connection before it is ready, and one when it has said all.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "check.h"

#define FILLED 0x55
#define USER 1000
#define JAILED_ID "00000000000000000000000000000000"

static const volatile uint32_t *word; /* of /dev/sysgenid, mapped */
static uint32_t was;
static volatile unsigned char *wiped, *kept;
static int gen_fd;

static unsigned long long number(void)
{
	unsigned long long n = 0;

	return getrandom(&n, sizeof(n), 0) == sizeof(n) ? n : 0;
}

static int64_t ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say_file(const char *key, const char *path)
{
	char text[128];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	printf("%s %.*s\n", key, n > 0 ? (int)n - 1 : 0, text);
	if (fd >= 0)
		close(fd);
}

/* By which name /etc/hosts has the machine itself. */
static void say_hosts(void)
{
	char line[256] = "", name[65] = "";
	FILE *file = fopen("/etc/hosts", "r");

	while (file && fgets(line, sizeof(line), file) && sscanf(line, "127.0.1.1 %64s", name) != 1)
		;
	printf("hosts %s\n", name);
	if (file)
		fclose(file);
}

static unsigned char *filled(size_t size)
{
	unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, FILLED, size);
	return p;
}

static void prepare(void)
{
	gen_fd = open("/dev/sysgenid", O_RDWR | O_NONBLOCK);
	word = mmap(NULL, 4096, PROT_READ, MAP_SHARED, gen_fd, 0);
	if (gen_fd < 0 || word == MAP_FAILED)
		exit(2);
	was = *word;
	wiped = filled(4 << 20);
	kept = filled(4096);
	madvise((void *)wiped, 4 << 20, MADV_WIPEONFORK);
	madvise((void *)(wiped + 4096), 4096, MADV_KEEPONFORK);
	madvise((void *)kept, 4096, MADV_WIPEONFORK);
	madvise((void *)kept, 4096, MADV_KEEPONFORK);
}

static int check_file(void)
{
	uint32_t n = was ^ 1;

	FAILS(read(gen_fd, &n, 3), EINVAL);
	FAILS(read(gen_fd, &n, 4), EAGAIN); /* nothing has changed */
	n = was ^ 1;
	FAILS(write(gen_fd, &n, 4), EINVAL); /* that it is not */
	IS(write(gen_fd, &was, 4), 4);
	IS(poll(&(struct pollfd){ .fd = gen_fd, .events = POLLIN }, 1, 0), 0);
	FAILS(lseek(gen_fd, 0, SEEK_SET), ESPIPE);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, gen_fd, 0) != MAP_FAILED);
	return check_end();
}

/* Looks all the time, and never finds the one without the other. */
static uint64_t spin(bool call)
{
	uint64_t torn = 0;
	uint32_t before, after;
	unsigned char byte;

	do {
		before = *word;
		byte = wiped[0];
		after = *word;
		torn += before == after && (byte == FILLED) != (before == was) && getenv("CLONE");
		if (call)
			syscall(SYS_getppid);
	} while (after == was);
	return torn;
}

static uint64_t await_change(const char *how)
{
	struct pollfd poller = { .fd = gen_fd, .events = POLLIN };
	char request[4096];
	ssize_t n;
	int fd;

	if (strcmp(how, "wait") == 0)
		return poll(&poller, 1, -1) != 1;
	if (strcmp(how, "template") != 0)
		return spin(strcmp(how, "calls") == 0);
	if (read(0, request, 1) != 0) /* its mother has no input, and knows it */
		exit(5);
	fd = open("/dev/template", O_RDONLY);
	n = read(fd, request, sizeof(request));
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(request + at) + 1)
		printf("request %s\n", request + at);
	printf("rest %zd\n", read(fd, request, sizeof(request)));
	n = read(0, request, sizeof(request));
	printf("input %.*s %d\n", n > 0 ? (int)n : 0, request, isatty(0) + isatty(1));
	printf("directory %s\n", getcwd(request, sizeof(request)));
	return 0;
}

static int listen_on(int port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 8))
		exit(3);
	return fd;
}

/* A port that nobody named. */
static int some_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || getsockname(fd, (struct sockaddr *)&address, &size))
		return 0;
	close(fd);
	return ntohs(address.sin_port);
}

static void say_connection(int connection)
{
	char byte;
	ssize_t n = recv(connection, &byte, 1, MSG_DONTWAIT);

	printf("connection %s\n", n == 1 ? "data" : n == 0 ? "end" : errno == EAGAIN ? "there" : strerror(errno));
}

/*
 * A root of the program's own, with files of these names, which are not the machine's; and it is a user from whom the machine's are kept. Where the root of all is,
 * to come back.
 */
static int enter_jail(void)
{
	int root = open("/", O_RDONLY | O_DIRECTORY), fd;

	mkdir("/jail", 0755);
	mkdir("/jail/etc", 0755);
	fd = open("/jail/etc/machine-id", O_WRONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && write(fd, JAILED_ID "\n", 33) == 33);
	close(fd);
	IS(chmod("/etc", 0700), 0);
	IS(chroot("/jail"), 0);
	IS(seteuid(USER), 0);
	return root;
}

static void leave_jail(int root)
{
	char text[40] = "";
	int fd = open("/etc/machine-id", O_RDONLY);

	CHECK(read(fd, text, sizeof(text)) == 33 && !memcmp(text, JAILED_ID, 32));
	close(fd);
	IS(seteuid(0), 0);
	IS(fchdir(root), 0);
	IS(chroot("."), 0);
	close(root);
}

/* Instead of the machine-id, none, or one that leads nowhere. */
static void lose_id(bool loops)
{
	IS(unlink("/etc/machine-id"), 0);
	if (loops)
		IS(symlink("machine-id", "/etc/machine-id"), 0);
}

int main(int argc, char **argv)
{
	int listener = argc > 2 ? listen_on(atoi(argv[2])) : -1, connection = -1;
	char name[65] = "";
	uint32_t now;

	setvbuf(stdout, NULL, _IOFBF, 0);
	prepare();
	if (argc < 2 || strcmp(argv[1], "file") == 0)
		return check_file();
	if (listener >= 0) {
		printf("listens\n");
		fflush(stdout);
		connection = accept(listener, NULL, NULL);
	}
	printf("nonce %llx\n", number());
	say_file("boot_id_before", "/proc/sys/kernel/random/boot_id");
	say_file("machine_id_before", "/etc/machine-id");
	if (strcmp(argv[1], "loop") == 0 || strcmp(argv[1], "none") == 0)
		lose_id(*argv[1] == 'l');
	int root = strcmp(argv[1], "template") ? enter_jail() : -1; /* that one asks for a device first */
	int64_t mono = ms(CLOCK_MONOTONIC), boot = ms(CLOCK_BOOTTIME), real = ms(CLOCK_REALTIME);
	printf("ready\n");
	fflush(stdout);
	uint64_t torn = await_change(argv[1]);
	if (root >= 0)
		leave_jail(root);
	unsigned char first = wiped[0], second = wiped[4096], far = wiped[(4 << 20) - 1], other = kept[0];
	unsigned long long random = number();
	mono = ms(CLOCK_MONOTONIC) - mono, boot = ms(CLOCK_BOOTTIME) - boot, real = ms(CLOCK_REALTIME) - real;
	printf("random %llx\ntorn %llu\nwiped %x %x %x %x\nms %ld %ld %ld\n", random, (unsigned long long)torn, first, second, far, other, (long)mono, (long)boot, (long)real);
	printf("generation %x %d\n", *word, *word != was);
	IS(poll(&(struct pollfd){ .fd = gen_fd, .events = POLLIN }, 1, 0), 1);
	CHECK(read(gen_fd, &now, 4) == 4 && now == *word);
	CHECK(read(gen_fd, &now, 4) == 4); /* until it is confirmed */
	FAILS(write(gen_fd, &was, 4), EINVAL);
	IS(write(gen_fd, &now, 4), 4);
	FAILS(read(gen_fd, &now, 4), EAGAIN);
	gethostname(name, sizeof(name) - 1);
	printf("hostname %s\nport %d\n", name, some_port());
	say_file("boot_id", "/proc/sys/kernel/random/boot_id");
	say_file("machine_id", "/etc/machine-id");
	say_hosts();
	if (connection >= 0)
		say_connection(connection);
	printf("done\n");
	fflush(stdout);
	if (listener >= 0) {
		connection = accept(listener, NULL, NULL);
		if (write(connection, "hello\n", 6) != 6)
			return 4;
	}
	return check_failures ? 1 : 0;
}
