/* SPDX-License-Identifier: Apache-2.0 */
/* mmap and its family, brk, and the faults that permissions cause. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

static sigjmp_buf back;
static volatile int fault_code;
static volatile uintptr_t fault_address;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	fault_code = info->si_code;
	fault_address = (uintptr_t)info->si_addr;
	siglongjmp(back, signo);
}

/* The signal that touching p raises, or 0. */
static int touch(volatile char *p, bool write)
{
	int signo = sigsetjmp(back, 1);

	if (signo)
		return signo;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

static char *map(size_t size, int prot)
{
	char *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool all(const char *p, char byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static void check_map(void)
{
	char *p = map(1 << 20, PROT_READ | PROT_WRITE);

	CHECK(p && !((uintptr_t)p & 4095));
	CHECK(all(p, 0, 1 << 20));
	memset(p, 7, 1 << 20);
	CHECK(!munmap(p + 4096, 4096));
	CHECK(touch(p, false) == 0 && touch(p + 8192, true) == 0);
	CHECK(touch(p + 4096, false) == SIGSEGV && fault_code == SEGV_MAPERR);
	CHECK(fault_address == (uintptr_t)p + 4096);
	CHECK(mmap(p + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 4096);
	CHECK(all(p + 4096, 0, 4096));
	CHECK(mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(!munmap(p, 1 << 20) && !munmap(p, 1 << 20));
	FAILS(munmap(p + 1, 4096), EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
}

/* MAP_32BIT: in the second GiB, whatever hint says otherwise. */
static void check_low(void)
{
	char *low = mmap((void *)0x500000000000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	char *hint = mmap((void *)0x50000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	CHECK((uintptr_t)low >= 0x40000000 && (uintptr_t)low + 8192 <= 0x80000000);
	CHECK(hint == (char *)0x50000000);
	low[8191] = 1;
	FAILS(mmap(NULL, 1ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) == MAP_FAILED ? -1 : 0, ENOMEM);
	IS(munmap(low, 8192) + munmap(hint, 4096), 0);
}

static void check_protect(void)
{
	char *p = map(3 * 4096, PROT_READ | PROT_WRITE);

	memset(p, 5, 3 * 4096);
	CHECK(!mprotect(p + 4096, 4096, PROT_READ));
	CHECK(touch(p + 4096, false) == 0 && p[4096] == 5);
	CHECK(touch(p + 4100, true) == SIGSEGV && fault_code == SEGV_ACCERR);
	CHECK(fault_address == (uintptr_t)p + 4100);
	CHECK(!mprotect(p, 3 * 4096, PROT_NONE) && touch(p, false) == SIGSEGV && fault_code == SEGV_ACCERR);
	CHECK(!mprotect(p, 3 * 4096, PROT_READ | PROT_WRITE) && touch(p + 4096, true) == 0 && p[4097] == 5);
	CHECK(touch(NULL, false) == SIGSEGV && fault_address == 0);
	CHECK(touch(NULL, true) == SIGSEGV && fault_code == SEGV_MAPERR);
	FAILS(mprotect((void *)0x10000, 4096, PROT_READ), ENOMEM);
	munmap(p, 3 * 4096);
}

static void check_execute(void)
{
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
	char *p = map(4096, PROT_READ | PROT_WRITE);
	int (*volatile call)(void) = (int (*)(void))(void *)p;
	volatile int signo;

	memcpy(p, code, sizeof(code));
	signo = sigsetjmp(back, 1);
	if (!signo)
		call();
	CHECK(signo == SIGSEGV && fault_code == SEGV_ACCERR && fault_address == (uintptr_t)p);
	CHECK(!mprotect(p, 4096, PROT_READ | PROT_EXEC));
	CHECK(call() == 42);
	munmap(p, 4096);
}

/* What programs of an older time ask for: what can be read can be executed. */
static void check_implied(void)
{
	char *page, *later;

	IS(personality(READ_IMPLIES_EXEC), PER_LINUX);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	IS(personality(PER_LINUX), READ_IMPLIES_EXEC);
	later = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*page = *later = (char)0xc3; /* RET */
	((void (*)(void))page)();
	check_say(true, "it is executed", __LINE__);
	personality(READ_IMPLIES_EXEC);
	IS(mprotect(later, 4096, PROT_READ), 0);
	personality(PER_LINUX);
	((void (*)(void))later)();
	check_say(true, "and what has become so", __LINE__);
	munmap(page, 4096);
	munmap(later, 4096);
}

static void check_remap(void)
{
	char *p = map(4 * 4096, PROT_READ | PROT_WRITE), *q;

	memset(p, 9, 4 * 4096);
	q = mremap(p, 4 * 4096, 2 * 4096, 0);
	CHECK(q == p && touch(p + 2 * 4096, false) == SIGSEGV);
	q = mremap(p, 2 * 4096, 400 * 4096, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && all(q, 9, 2 * 4096) && all(q + 2 * 4096, 0, 398 * 4096));
	q[399 * 4096] = 3;
	p = map(400 * 4096, PROT_NONE);
	CHECK(mremap(q, 400 * 4096, 400 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	CHECK(p[0] == 9 && p[399 * 4096] == 3 && touch(q, false) == SIGSEGV);
	munmap(p, 400 * 4096);
}

static void check_advise(void)
{
	char *p = map(64 * 4096, PROT_READ | PROT_WRITE);

	memset(p, 1, 64 * 4096);
	CHECK(!madvise(p + 8 * 4096, 8 * 4096, MADV_DONTNEED));
	CHECK(all(p, 1, 8 * 4096) && all(p + 8 * 4096, 0, 8 * 4096) && all(p + 16 * 4096, 1, 48 * 4096));
	CHECK(!madvise(p, 4096, MADV_WILLNEED) && !madvise(p, 4096, MADV_NORMAL));
	FAILS(madvise(p + 1, 4096, MADV_DONTNEED), EINVAL);
	CHECK(!madvise(p, 8 * 4096, MADV_WIPEONFORK) && !madvise(p + 4096, 4096, MADV_KEEPONFORK) && all(p, 1, 8 * 4096));
	CHECK(!munmap(p + 32 * 4096, 4096));
	FAILS(madvise(p + 31 * 4096, 3 * 4096, MADV_WIPEONFORK), ENOMEM);
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	FAILS(madvise(shared, 4096, MADV_WIPEONFORK), EINVAL);
	CHECK(!madvise(shared, 4096, MADV_KEEPONFORK));
	munmap(shared, 4096);
	munmap(p, 64 * 4096);
}

static void check_brk(void)
{
	char *start = sbrk(0), *p;

	CHECK(start != (void *)-1);
	p = sbrk(1 << 20);
	CHECK(p == start && all(p, 0, 1 << 20));
	memset(p, 4, 1 << 20);
	CHECK(!brk(start + 4096) && sbrk(0) == start + 4096);
	CHECK(touch(start + (1 << 19), false) == SIGSEGV);
	CHECK(!brk(start + (1 << 20)) && all(start + 8192, 0, (1 << 20) - 8192));
	CHECK(!brk(start));
}

static void check_files(void)
{
	int fd = open("mapped", O_RDWR | O_CREAT, 0600);
	char *shared, *private, byte;

	IS(ftruncate(fd, 8192), 0);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(shared != MAP_FAILED);
	strcpy(shared + 4096, "shared");
	IS(msync(shared, 8192, MS_SYNC), 0);
	CHECK(pread(fd, &byte, 1, 4096) == 1 && byte == 's');
	private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
	CHECK(private != MAP_FAILED && !strcmp(private, "shared"));
	private[0] = 'S';
	CHECK(pread(fd, &byte, 1, 4096) == 1 && byte == 's' && shared[4096] == 's');
	CHECK(pwrite(fd, "X", 1, 0) == 1 && shared[0] == 'X');
	IS(ftruncate(fd, 4096), 0);
	CHECK(touch(shared + 4096, false) == SIGBUS && fault_code == BUS_ADRERR);
	close(fd);
	CHECK(shared[0] == 'X');
	munmap(shared, 8192);
	munmap(private, 4096);
}

static void check_shared_anonymous(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED && all(p, 0, 8192));
	p[5000] = 1;
	CHECK(p[5000] == 1 && !munmap(p, 8192));
}

/* Ranges that hold nearly all of the address space: only what is the program's own is meant. By a child, which cannot go on. */
static void check_everything(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		syscall(SYS_madvise, 0, 0x7ffffffff000, MADV_DONTNEED);
		syscall(SYS_munmap, 0, 0x7ffffffff000);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void check_malloc(void)
{
	void *blocks[200];
	bool good = true;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 200; i++) {
			blocks[i] = malloc((size_t)(i + 1) * 1777);
			memset(blocks[i], i, (size_t)(i + 1) * 1777);
		}
		for (int i = 0; i < 200; i++) {
			good &= all(blocks[i], (char)i, (size_t)(i + 1) * 1777);
			free(blocks[i]);
		}
	}
	CHECK(good);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	check_scratch();
	check_map();
	check_low();
	check_protect();
	check_execute();
	check_implied();
	check_remap();
	check_advise();
	check_brk();
	check_files();
	check_shared_anonymous();
	check_everything();
	check_malloc();
	return check_end();
}
