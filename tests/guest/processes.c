/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: fork, vfork, exec, exit, what parents and children share and what not. What a parent awaits and whom it signals: jobs.c. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

static const char *self;

/* The wait status of a child that runs this. */
static int child_of(void (*run)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		run();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* ---- memory ---- */

#define LARGE (8 << 20)
static int written = 1;
static char *large, *shared, *locked;

static void writes(void)
{
	written = 2;
	for (int i = 0; i < LARGE; i += 4096)
		large[i] = 'c';
	shared[4096] = 'c';
	mprotect(locked, 4096, PROT_READ | PROT_WRITE);
	locked[0] = 'c';
	_exit(large[LARGE / 2] == 'c' && written == 2 && locked[0] == 'c' ? 0 : 1);
}

static void memory(void)
{
	bool same = true;

	large = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	locked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(large, 'p', LARGE);
	memset(locked, 'p', 4096);
	mprotect(locked, 4096, PROT_READ);
	shared[0] = 'p';
	IS(child_of(writes), 0);
	IS(written, 1);
	for (int i = 0; i < LARGE; i += 4096)
		same &= large[i] == 'p';
	CHECK(same);
	IS(locked[0], 'p');
	IS(shared[0], 'p');
	IS(shared[4096], 'c');
	/* A second time, when pages are shared already and some are not. */
	memset(large, 'q', LARGE / 2);
	IS(child_of(writes), 0);
	IS(large[0], 'q');
	IS(large[LARGE - 4096], 'p');
	munmap(large, LARGE);
}

static void deep(void)
{
	char *memory = malloc(1 << 20);
	int status;

	memset(memory, 1, 1 << 20);
	for (int depth = 0; depth < 20; depth++) {
		pid_t pid = fork();

		if (pid) {
			if (waitpid(pid, &status, 0) != pid || status)
				_exit(1);
			if (depth == 0)
				return;
			_exit(memory[12345] == depth + 1 ? 0 : 2);
		}
		memset(memory, depth + 2, 1 << 20);
	}
	_exit(0);
}

static void wiped(void)
{
	static char *kept;
	char *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;

	kept = gone;
	*gone = 1;
	IS(madvise(gone, 4096, MADV_WIPEONFORK), 0);
	pid_t pid = fork();

	if (pid == 0)
		_exit(*gone);
	waitpid(pid, &status, 0);
	IS(status, 0);
	IS(*kept, 1);
}

/* ---- ends ---- */

static void exits7(void) { _exit(7); }
static void aborts(void) { signal(SIGABRT, SIG_DFL); abort(); }
static void faults(void) { *(volatile int *)16 = 1; }
static void kills_itself(void) { kill(getpid(), SIGKILL); pause(); }

static void *exit_from_thread(void *unused)
{
	_exit(9);
}

static void *sleeps(void *unused)
{
	pause();
	return NULL;
}

static void exits_threaded(void)
{
	pthread_t thread[3];

	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, sleeps, NULL);
	pthread_create(&thread[2], NULL, exit_from_thread, NULL);
	pause();
}

static void ends(void)
{
	IS(child_of(exits7), 7 << 8);
	IS(child_of(aborts) & 0x7f, SIGABRT);
	IS(child_of(faults) & 0x7f, SIGSEGV);
	IS(child_of(kills_itself), SIGKILL);
	IS(child_of(exits_threaded), 9 << 8);
	FAILS(wait(NULL), ECHILD);
	FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
	FAILS(kill(12345678, 0), ESRCH);
}

/* ---- files ---- */

static void descriptors(void)
{
	int fd = open("shared", O_CREAT | O_RDWR, 0600), status, gate[2];
	char byte = 0;
	pid_t pid;

	write(fd, "abc", 3);
	lseek(fd, 0, SEEK_SET);
	pid = fork();
	if (pid == 0) {
		chdir("/");
		umask(077);
		close(100);
		_exit(read(fd, &byte, 1) == 1 && byte == 'a' && close(fd) == 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	IS(status, 0);
	CHECK(read(fd, &byte, 1) == 1 && byte == 'b'); /* one position */
	IS(access("shared", F_OK), 0);
	/* A pipe ends when the last writer has gone. */
	pipe(gate);
	pid = fork();
	if (pid == 0) {
		close(gate[0]);
		write(gate[1], "x", 1);
		_exit(0);
	}
	close(gate[1]);
	CHECK(read(gate[0], &byte, 1) == 1 && byte == 'x');
	IS(read(gate[0], &byte, 1), 0);
	waitpid(pid, &status, 0);
	close(gate[0]);
	/* A record lock is the process'. */
	struct flock lock = { .l_type = F_WRLCK };

	IS(fcntl(fd, F_SETLK, &lock), 0);
	pid = fork();
	if (pid == 0) {
		struct flock ask = { .l_type = F_WRLCK };

		_exit(fcntl(fd, F_GETLK, &ask) == 0 && ask.l_type == F_WRLCK && ask.l_pid == getppid() && fcntl(fd, F_SETLK, &lock) == -1 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	IS(status, 0);
	close(fd);
}

/* Each holds what the other wants: one of them is told, whoever asks last, and gives up. */
static void deadlock(void)
{
	struct flock first = { .l_type = F_WRLCK, .l_start = 0, .l_len = 1 }, second = { .l_type = F_WRLCK, .l_start = 1, .l_len = 1 };
	int fd = open("locked", O_CREAT | O_RDWR, 0600), status, gate[2];
	bool told;
	char byte;

	pipe(gate);
	IS(fcntl(fd, F_SETLK, &first), 0);
	pid_t pid = fork();

	if (pid == 0) {
		fcntl(fd, F_SETLK, &second);
		write(gate[1], "x", 1);
		_exit(fcntl(fd, F_SETLKW, &first) == 0 ? 0 : errno == EDEADLK ? 1 : 2);
	}
	read(gate[0], &byte, 1);
	told = fcntl(fd, F_SETLKW, &second) == -1 && errno == EDEADLK;
	first.l_type = F_UNLCK;
	fcntl(fd, F_SETLK, &first);
	waitpid(pid, &status, 0);
	CHECK(told ? status == 0 : status == 1 << 8);
	close(fd);
	close(gate[0]);
	close(gate[1]);
}

/* ---- exec ---- */

static void handler(int signo) { }

static int run(char *const *argv, char *const *env)
{
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(self, argv, env);
		_exit(errno);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* The others end; what goes on is the process, whichever thread asked. */
static void *execute(void *expected)
{
	char *const arguments[] = { (char *)self, "pid", expected, NULL };

	execv(self, arguments);
	_exit(4);
}

static void executes_threaded(void)
{
	pthread_t thread[3];
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, sleeps, NULL);
	pthread_create(&thread[2], NULL, execute, pid);
	for (;;)
		pause();
}

static void executes_descriptor(void)
{
	char *const arguments[] = { "name", "pid", "0", NULL };
	int fd = open(self, O_RDONLY | O_CLOEXEC);

	syscall(SYS_execveat, fd, "", arguments, environ, 0);
	if (errno != ENOENT)
		_exit(3);
	syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
	_exit(5);
}

static void executes(void)
{
	char *const arguments[] = { (char *)self, "child", "two words", "", NULL };
	char *const env[] = { "A=1", "B=two", NULL };
	int fd = open("/", O_RDONLY | O_CLOEXEC), kept = open("/", O_RDONLY), status;
	pid_t pid;

	char number[16], *const look[] = { (char *)self, "look", number, NULL };

	IS(run(arguments, env), 0);
	snprintf(number, sizeof(number), "%d", kept);
	signal(SIGUSR1, handler);
	signal(SIGUSR2, SIG_IGN);
	personality(PER_LINUX32 | READ_IMPLIES_EXEC);
	IS(run(look, env), 0);
	personality(PER_LINUX);
	close(fd);
	close(kept);
	IS(posix_spawn(&pid, self, NULL, NULL, arguments, env), 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	FAILS(execve("/nowhere", arguments, env), ENOENT);
	FAILS(execve("/", arguments, env), EACCES);
	int script = open("script", O_CREAT | O_WRONLY, 0600);

	write(script, "#!/nowhere\n", 11);
	FAILS(execve("script", arguments, env), EACCES);
	fchmod(script, 0700);
	close(script);
	FAILS(execve("script", arguments, env), ENOENT);
	script = open("text", O_CREAT | O_WRONLY, 0700);
	write(script, "hello\n", 6);
	close(script);
	FAILS(execve("text", arguments, env), ENOEXEC);
	script = open("text", O_WRONLY);
	FAILS(execve("text", arguments, env), ETXTBSY);
	close(script);
	FAILS(syscall(SYS_execve, 8, arguments, env), EFAULT);
	FAILS(syscall(SYS_execve, self, 8, env), EFAULT);
	/* A string that is too long, and all of them together. */
	char *text = malloc(140000), **many = calloc(100, sizeof(*many));

	memset(text, 'x', 140000);
	text[139999] = 0;
	FAILS(execve(self, ((char *const[]){ text, NULL }), env), E2BIG);
	text[100000] = 0;
	for (int i = 0; i < 99; i++)
		many[i] = text;
	FAILS(execve(self, many, env), E2BIG);
	free(text);
	free(many);
	IS(signal(SIGUSR1, SIG_DFL) == handler, 1); /* what failed changed nothing */
	IS(child_of(executes_threaded), 0);
	IS(child_of(executes_descriptor), 0);
}

/* In the new program. */
static int child(int argc, char **argv)
{
	if (!strcmp(argv[1], "child"))
		return argc == 4 && !strcmp(argv[2], "two words") && !argv[3][0] && environ[0] && !strcmp(environ[0], "A=1") &&
		       !strcmp(environ[1], "B=two") && !environ[2] ? 0 : 1;
	if (!strcmp(argv[1], "pid"))
		return atoi(argv[2]) ? getpid() != atoi(argv[2]) || gettid() != getpid() : strcmp(argv[0], "name") != 0;
	int kept = atoi(argv[2]);

	if (fcntl(kept, F_GETFD) != 0 || fcntl(kept - 1, F_GETFD) != -1)
		return 2;
	if (personality(UINT32_MAX) != PER_LINUX32)
		return 4;
	return signal(SIGUSR1, SIG_DFL) == SIG_DFL && signal(SIGUSR2, SIG_DFL) == SIG_IGN ? 0 : 3;
}

/* ---- shared memory ---- */

static void semaphores(void)
{
	struct { sem_t ping, pong; int turns; pthread_mutex_t mutex; } *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t robust;
	int status;

	sem_init(&m->ping, 1, 0);
	sem_init(&m->pong, 1, 0);
	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m->mutex, &robust);
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 100; i++) {
			sem_wait(&m->ping);
			m->turns++;
			sem_post(&m->pong);
		}
		pthread_mutex_lock(&m->mutex);
		_exit(0);
	}
	for (int i = 0; i < 100; i++) {
		sem_post(&m->ping);
		sem_wait(&m->pong);
	}
	IS(m->turns, 100);
	waitpid(pid, &status, 0);
	IS(status, 0);
	IS(pthread_mutex_lock(&m->mutex), EOWNERDEAD);
}

/* ---- threads and fork ---- */

static void *spins(void *stop)
{
	while (!*(volatile bool *)stop)
		sched_yield();
	return NULL;
}

static void with_threads(void)
{
	static bool stop;
	pthread_t thread[4];
	bool good = true;
	int status;

	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, spins, &stop);
	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(i);
		good &= waitpid(pid, &status, 0) == pid && status == i << 8;
	}
	CHECK(good);
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static void limited(void)
{
	struct rlimit limit = { 0, 0 };

	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		_exit(geteuid() ? 0 : 1); /* who is nobody already has other processes */
	setrlimit(RLIMIT_NPROC, &limit);
	_exit(fork() == -1 && errno == EAGAIN ? 0 : 2);
}

int main(int argc, char **argv)
{
	self = "/proc/self/exe";
	if (argc > 1)
		return child(argc, argv);
	setvbuf(stdout, NULL, _IONBF, 0);
	check_scratch();
	memory();
	deep();
	wiped();
	ends();
	descriptors();
	deadlock();
	executes();
	semaphores();
	with_threads();
	IS(child_of(limited), 0);
	return check_end();
}
