/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics libraries, debuggers and set-up scripts read of /proc and /sys: it is there, and says what is so. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"

static char text[1 << 20];

/* The file's text, or NULL. */
static char *contents(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n, sum = 0;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, text + sum, sizeof(text) - 1 - (size_t)sum)) > 0)
		sum += n;
	close(fd);
	text[sum] = 0;
	return n < 0 ? NULL : text;
}

static bool has(const char *path, const char *word)
{
	char *all = contents(path);

	return all && strstr(all, word);
}

/* The number behind a word of the file; -1: it is not there. */
static long number(const char *path, const char *word)
{
	char *all = contents(path), *at = all ? strstr(all, word) : NULL;

	return at ? strtol(at + strlen(word), NULL, 10) : -1;
}

static void check_there(void)
{
	static const char *const files[] = {
		"/proc/self/auxv", "/proc/self/io", "/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/mem", "/proc/self/pagemap", "/proc/self/schedstat",
		"/proc/self/wchan", "/proc/self/uid_map", "/proc/self/personality", "/proc/self/mountinfo", "/proc/self/limits", "/proc/self/oom_score",
		"/proc/self/net/dev", "/proc/vmstat", "/proc/diskstats", "/proc/swaps", "/proc/devices", "/proc/interrupts", "/proc/softirqs", "/proc/zoneinfo",
		"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/unix", "/proc/net/route", "/proc/net/if_inet6", "/proc/net/arp",
		"/proc/net/snmp", "/proc/net/netstat", "/proc/net/sockstat", "/proc/net/sockstat6", "/proc/sys/fs/pipe-max-size", "/proc/sys/fs/aio-max-nr",
		"/proc/sys/fs/inotify/max_user_watches", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/sem", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmnb",
		"/proc/sys/kernel/tainted", "/proc/sys/kernel/domainname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sys/net/core/rmem_max",
		"/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/ip_local_port_range", "/proc/sys/net/ipv6/conf/all/disable_ipv6",
		"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/address", "/sys/class/net/lo/statistics/rx_bytes",
	};
	char link[64];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = open(files[i], O_RDONLY);

		printf("%s%s\n", files[i], fd < 0 ? " FAILS" : "");
		close(fd);
	}
	CHECK(readlink("/proc/self/ns/net", link, sizeof(link)) > 5 && !memcmp(link, "net:[", 5));
}

static void check_memory(void)
{
	size_t size = 1 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), line[64], byte = 0;
	unsigned long pair[2], value;
	int fd = open("/proc/self/auxv", O_RDONLY), same = 1, pairs = 0;

	while (read(fd, pair, sizeof(pair)) == sizeof(pair) && pair[0]) {
		same &= (pair[0] != AT_PHDR && pair[0] != AT_RANDOM && pair[0] != AT_ENTRY && pair[0] != AT_PAGESZ) || getauxval(pair[0]) == pair[1];
		pairs++;
	}
	close(fd);
	CHECK(same && pairs > 10);
	memset(p, 7, size);
	snprintf(line, sizeof(line), "%lx-", (unsigned long)p);
	CHECK(contents("/proc/self/smaps") && strstr(text, "-"));
	CHECK(number("/proc/self/smaps_rollup", "\nRss:") >= 1024);
	CHECK(number("/proc/self/smaps", "\nSize:") > 0);
	fd = open("/proc/self/mem", O_RDONLY);
	CHECK(pread(fd, &byte, 1, (off_t)(p + 5000)) == 1 && byte == 7);
	CHECK(pread(fd, &byte, 1, 8) == -1 && errno == EIO);
	close(fd);
	fd = open("/proc/self/pagemap", O_RDONLY);
	CHECK(pread(fd, &value, 8, (off_t)((unsigned long)p / 4096 * 8)) == 8 && value >> 63);
	close(fd);
	munmap(p, size);
}

static void check_io(void)
{
	long before = number("/proc/self/io", "wchar: "), calls = number("/proc/self/io", "syscw: ");
	int fd = open("/dev/null", O_WRONLY);

	ssize_t n = write(fd, text, 12345);
	before = number("/proc/self/io", "wchar: ") - before;
	calls = number("/proc/self/io", "syscw: ") - calls;
	close(fd);
	CHECK(n == 12345 && before == 12345 && calls == 1);
}

static void check_sockets(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "socket" };
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), x = socket(AF_UNIX, SOCK_STREAM, 0);
	char line[128];
	struct stat st;

	IS(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	IS(listen(s, 5), 0);
	IS(getsockname(s, (struct sockaddr *)&a, &n), 0);
	fstat(s, &st);
	snprintf(line, sizeof(line), "0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000 %5u        0 %lu ", ntohs(a.sin_port), geteuid(),
		 (unsigned long)st.st_ino);
	CHECK(has("/proc/net/tcp", line));
	IS(bind(u, (struct sockaddr *)&a, sizeof(a)), 0);
	fstat(u, &st);
	snprintf(line, sizeof(line), "0100007F:%04X 00000000:0000 07 00000000:00000000 00:00000000 00000000 %5u        0 %lu 2 ", ntohs(a.sin_port), geteuid(),
		 (unsigned long)st.st_ino);
	CHECK(has("/proc/net/udp", line));
	IS(bind(x, (struct sockaddr *)&name, sizeof(name)), 0);
	fstat(x, &st);
	snprintf(line, sizeof(line), "%lu socket\n", (unsigned long)st.st_ino);
	CHECK(has("/proc/net/unix", line));
	long bytes = number("/sys/class/net/lo/statistics/tx_bytes", "");
	IS(sendto(u, text, 1000, 0, (struct sockaddr *)&a, sizeof(a)), 1000);
	CHECK(number("/sys/class/net/lo/statistics/tx_bytes", "") >= bytes + 1028);
	CHECK(has("/proc/net/dev", "    lo:"));
	CHECK(has("/sys/class/net/lo/address", "00:00:00:00:00:00\n"));
	CHECK(has("/sys/class/net/lo/type", "772\n"));
	FAILS(open("/sys/class/net/none/address", O_RDONLY), ENOENT);
	CHECK(number("/proc/net/sockstat", "TCP: inuse ") >= 1);
	close(s), close(u), close(x);
}

/* ---- what each process has in memory ---- */

#define HELD (48 << 20)

static long resident_kb(pid_t pid)
{
	char name[64], lines[8192] = "";
	long statm, status;

	snprintf(name, sizeof(name), "/proc/%d/statm", pid);
	FILE *f = fopen(name, "r");

	if (!f || fscanf(f, "%*d %ld", &statm) != 1 || fclose(f))
		return -1;
	snprintf(name, sizeof(name), "/proc/%d/status", pid);
	f = fopen(name, "r");
	if (!f || !fread(lines, 1, sizeof(lines) - 1, f) || fclose(f) || !strstr(lines, "VmRSS:"))
		return -1;
	status = atol(strstr(lines, "VmRSS:") + 6);
	return labs(status - statm * 4) < 1024 ? status : -1;
}

static void check_resident(void)
{
	int ready[2], go[2];
	char byte = 0;

	CHECK(!pipe(ready) && !pipe(go));
	pid_t pid = fork();

	if (!pid) {
		char *memory = mmap(NULL, HELD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memset(memory, 1, HELD);
		_exit(write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1 ? 0 : 1);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(resident_kb(pid) >= HELD / 1024 && resident_kb(pid) < 2 * HELD / 1024);
	CHECK(resident_kb(getpid()) > 0 && resident_kb(getpid()) < HELD / 1024);
	CHECK(write(go[1], &byte, 1) == 1 && waitpid(pid, NULL, 0) == pid);
}

int main(void)
{
	check_scratch();
	check_there();
	check_memory();
	check_resident();
	check_io();
	check_sockets();
	return check_end();
}
