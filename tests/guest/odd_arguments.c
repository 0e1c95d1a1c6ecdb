/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every system call answers to odd arguments, a line each: tests/odd-arguments compares a VM with a process. Each call is made by a child of
 * its own; one that does not come back within a moment waits, which is an answer, too. Calls that end or stop the machine are left out.
 *
 * odd_arguments FIRST: from this number on, since a VM may end early.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define LAST_CALL 450 /* of Linux 6.1, which a VM calls itself */
#define PATIENCE_MS 300
#define PAGE_AT ((void *)0x20000000)
#define NEVER 0x300000001000 /* an address where nothing is */

static const short left_out[] = {
	SYS_rt_sigreturn, SYS_vfork, SYS_exit, SYS_exit_group, SYS_reboot, SYS_kexec_load, SYS_settimeofday, SYS_clock_settime, SYS_vhangup, SYS_pause,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_kexec_file_load, SYS_sync, SYS_syslog,
};

static struct answer { /* shared with the child */
	bool made;
	long value;
	int error;
} *answer;

/* What the arguments may be. Letters make the vectors below readable. */
static char *page, *path;
static int fds[5]; /* file, directory, one end of a pipe, eventfd, O_PATH */

static long argument(char letter)
{
	switch (letter) {
	case '0': return 0;
	case '1': return 1;
	case '2': return 2;
	case '-': return -1;
	case 'M': return 0x7fffffffffffffff;
	case 'I': return 0x7fffffff;
	case 'n': return 16;
	case 'k': return 4096;
	case '!': return NEVER;
	case 'p': return (long)page;
	case 's': return (long)path;
	case 'e': return (long)path + 4095; /* "" */
	case 'w': return AT_FDCWD;
	case 'f': return fds[0];
	case 'd': return fds[1];
	case 'P': return fds[2];
	case 'E': return fds[3];
	case 'O': return fds[4];
	case 'B': return 99; /* not open */
	}
	return 0;
}

static const char *const vectors[] = {
	"000000", "------", "!!!!!!", "pppppp", "MMMMMM", "IIIIII", "ffffff", "BBBBBB", "dddddd", "EEEEEE", "OOOOOO", "PPPPPP",
	"f!n000", "fpn000", "fp-000", "dpn000", "Ppn000", "Opn000", "Epn000", "f00000", "fp1-00", "fpn-00",
	"s00000", "s-----", "sp0000", "spn000", "ss0000", "s!0000", "es0000", "ee0000", "e00000", "ep0000",
	"ws0000", "wsp000", "wsp-00", "ws-000", "we0000", "wep000", "fs0000", "fe0000", "dsp000", "wsws00", "wsws-0", "Bs0000", "w!0000",
	"0p0000", "0p1000", "0!0000", "0!1000", "1p0000", "1-0000", "-p0000", "-10000", "0-0000", "I00000", "I0p000", "Ip0000", "IpI000",
	"00p000", "01p000", "10p000", "11p000", "1pp000", "0pp000", "ppn000", "p1n000", "pn0000", "pk0000", "p-0000", "pk-000", "pk1000", "pk2000", "!k0000", "!k1000",
	"0n0000", "0k0000", "0k1-00", "01n000", "00n000", "f0n0f0", "fpfpn0", "fPpn00", "f10000", "f1p000", "fI0000", "f-0000", "E1fp00",
};

static void set_up(void)
{
	char name[] = "odd_file";
	int pipes[2];

	/* At places that are the same everywhere, as they are flags to some calls. */
	page = mmap(PAGE_AT, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	path = page + 8192;
	mmap(path, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	munmap(page + 4096, 4096);
	strcpy(path, name);
	fds[0] = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (write(fds[0], name, sizeof(name)) < 0)
		exit(1);
	fds[1] = open(".", O_RDONLY);
	if (pipe(pipes))
		exit(1);
	fds[2] = pipes[1];
	fds[3] = eventfd(0, 0);
	fds[4] = open(name, O_PATH);
}

static void child(long number, const char *vector)
{
	char directory[] = "odd.XXXXXX";
	pid_t own = getpid();
	long a[6];

	if (!mkdtemp(directory) || chdir(directory))
		_exit(1);
	setpgid(0, 0);
	set_up();
	for (int i = 0; i < 6; i++)
		a[i] = argument(vector[i]);
	errno = 0;
	long value = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	int error = errno;

	if (syscall(SYS_getpid) != own)
		_exit(0); /* a child of the call's */
	*answer = (struct answer){ .made = true, .value = value, .error = value == -1 ? error : 0 };
	_exit(0);
}

static void try(long number, const char *vector)
{
	sigset_t set;
	int status = 0;
	bool late = false;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	answer->made = false;
	pid_t pid = fork();

	if (!pid)
		child(number, vector);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (sigtimedwait(&set, NULL, &(struct timespec){ .tv_nsec = PATIENCE_MS * 1000000l }) < 0 && errno == EAGAIN) {
			late = true;
			kill(pid, SIGKILL);
		}
	}
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	printf("%ld %s ", number, vector);
	if (answer->made && answer->error)
		puts(strerrorname_np(answer->error) ? strerrorname_np(answer->error) : "unknown");
	else if (answer->made)
		puts(answer->value ? "positive" : "0");
	else if (late)
		puts("waits");
	else
		printf("signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* The first process, and all of them, are this program, too. */
static bool hits_others(long number, const char *vector)
{
	return (vector[0] == '1' || vector[0] == '-') &&
	       (number == SYS_kill || number == SYS_tkill || number == SYS_tgkill || number == SYS_rt_sigqueueinfo || number == SYS_rt_tgsigqueueinfo ||
		number == SYS_prlimit64);
}

static bool is_left_out(long number)
{
	for (unsigned i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
		if (left_out[i] == number)
			return true;
	return number >= 335 && number < 424; /* of other machines */
}

int main(int argc, char **argv)
{
	sigset_t set;

	if (argc != 2)
		return 1;
	check_scratch();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (long number = atol(argv[1]); number <= LAST_CALL; number++)
		for (unsigned i = 0; i < sizeof(vectors) / sizeof(*vectors); i++)
			if (!is_left_out(number) && !hits_others(number, vectors[i]))
				try(number, vectors[i]);
	return 0;
}
