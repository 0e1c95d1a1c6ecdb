/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory, semaphores and message queues. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "check.h"

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

#define GONE ((void *)-1)

static key_t key;

static void check_keys(void)
{
	FAILS(semget(key, 1, 0), ENOENT);
	int id = semget(key, 2, IPC_CREAT | 0600);
	CHECK(id >= 0);
	IS(semget(key, 2, 0), id);
	IS(semget(key, 0, IPC_CREAT), id);
	FAILS(semget(key, 3, 0), EINVAL);
	FAILS(semget(key, 1, IPC_CREAT | IPC_EXCL), EEXIST);
	FAILS(semget(IPC_PRIVATE, 0, 0600), EINVAL);
	FAILS(semget(IPC_PRIVATE, -1, 0600), EINVAL);
	IS(semctl(id, 0, IPC_RMID), 0);
	FAILS(semctl(id, 0, IPC_RMID), EINVAL);
	int again = semget(key, 2, IPC_CREAT | 0600);
	CHECK(again >= 0 && again != id);
	IS(semctl(again, 0, IPC_RMID), 0);
}

static struct sembuf op(int number, int what, int flags)
{
	return (struct sembuf){ .sem_num = (unsigned short)number, .sem_op = (short)what, .sem_flg = (short)flags };
}

static int try(int id, struct sembuf o)
{
	return semop(id, &o, 1);
}

static void check_semaphores(void)
{
	int id = semget(IPC_PRIVATE, 3, 0640);
	unsigned short values[3] = { 1, 2, 3 }, got[3] = { 0 };
	union semun arg = { .array = values };
	struct semid_ds ds;
	struct sembuf both[2];
	struct timespec soon = { .tv_nsec = 20000000 }, bad = { .tv_nsec = -1 };

	IS(semctl(id, 0, SETALL, arg), 0);
	arg.array = got;
	IS(semctl(id, 0, GETALL, arg), 0);
	CHECK(!memcmp(values, got, sizeof(got)));
	arg.val = 5;
	IS(semctl(id, 1, SETVAL, arg), 0);
	IS(semctl(id, 1, GETVAL), 5);
	IS(semctl(id, 1, GETPID) == getpid(), 1);
	arg.val = 32768;
	FAILS(semctl(id, 1, SETVAL, arg), ERANGE);
	arg.val = -1;
	FAILS(semctl(id, 1, SETVAL, arg), ERANGE);
	FAILS(semctl(id, 3, GETVAL), EINVAL);
	FAILS(semctl(id, 0, 99), EINVAL);
	arg.buf = &ds;
	IS(semctl(id, 0, IPC_STAT, arg), 0);
	CHECK(ds.sem_nsems == 3 && (ds.sem_perm.mode & 0777) == 0640 && ds.sem_perm.uid == geteuid() && ds.sem_ctime && !ds.sem_otime);
	ds.sem_perm.mode = 0600;
	IS(semctl(id, 0, IPC_SET, arg), 0);
	arg.buf = (void *)8;
	FAILS(semctl(id, 0, IPC_STAT, arg), EFAULT);
	IS(try(id, op(0, -1, 0)), 0);
	FAILS(try(id, op(0, -1, IPC_NOWAIT)), EAGAIN);
	FAILS(try(id, op(1, 0, IPC_NOWAIT)), EAGAIN);
	IS(try(id, op(0, 0, 0)), 0);
	FAILS(try(id, op(3, 1, 0)), EFBIG);
	FAILS(try(id, op(1, 32767, 0)), ERANGE);
	FAILS(semop(id, both, 0), EINVAL);
	FAILS(semop(id, both, 501), E2BIG);
	FAILS(semop(-1, both, 1), EINVAL);
	FAILS(semop(id, (void *)8, 1), EFAULT);
	both[0] = op(1, -1, 0);
	both[1] = op(0, -1, IPC_NOWAIT);
	FAILS(semop(id, both, 2), EAGAIN);
	IS(semctl(id, 1, GETVAL), 5);
	both[0] = op(0, -1, 0);
	FAILS(semtimedop(id, both, 1, &soon), EAGAIN);
	FAILS(semtimedop(id, both, 1, &bad), EINVAL);
	IS(try(id, op(2, 1, SEM_UNDO)), 0);
	IS(semctl(id, 2, GETVAL), 4);
	IS(semctl(id, 0, IPC_STAT, (union semun){ .buf = &ds }), 0);
	CHECK(ds.sem_otime != 0);
	IS(semctl(id, 0, IPC_RMID), 0);
	FAILS(try(id, op(0, 1, 0)), EINVAL);
}

static int shared_id, result, error;

static void *take_one(void *arg)
{
	(void)arg;
	struct sembuf o = op(0, -1, 0);

	result = semop(shared_id, &o, 1);
	error = errno;
	return NULL;
}

static void await_waiter(int command)
{
	while (semctl(shared_id, 0, command) != 1)
		sched_yield();
}

static void check_waiting(void)
{
	pthread_t thread;

	shared_id = semget(IPC_PRIVATE, 1, 0600);
	pthread_create(&thread, NULL, take_one, NULL);
	await_waiter(GETNCNT);
	IS(semctl(shared_id, 0, GETZCNT), 0);
	IS(try(shared_id, op(0, 1, 0)), 0);
	pthread_join(thread, NULL);
	IS(result, 0);
	IS(semctl(shared_id, 0, GETNCNT), 0);
	pthread_create(&thread, NULL, take_one, NULL);
	await_waiter(GETNCNT);
	IS(semctl(shared_id, 0, IPC_RMID), 0);
	pthread_join(thread, NULL);
	CHECK(result == -1 && error == EIDRM);
}

struct text {
	long type;
	char bytes[100];
};

static int send(int id, long type, const char *bytes, int flags)
{
	struct text m = { .type = type };

	strcpy(m.bytes, bytes);
	return msgsnd(id, &m, strlen(bytes), flags);
}

/* The text that comes, or the errno as a word. */
static const char *receive(int id, long type, size_t size, int flags)
{
	static struct text m;
	ssize_t n = msgrcv(id, &m, size, type, flags);

	if (n < 0)
		return strerrorname_np(errno);
	m.bytes[n] = 0;
	return m.bytes;
}

static void *receive_one(void *arg)
{
	struct text m;

	(void)arg;
	result = (int)msgrcv(shared_id, &m, sizeof(m.bytes), 7, 0);
	error = errno;
	return NULL;
}

static void check_messages(void)
{
	int id = msgget(IPC_PRIVATE, 0600), count = 0;
	struct msqid_ds ds;
	static struct { long type; char bytes[9000]; } big = { .type = 1 };
	pthread_t thread;

	IS(send(id, 3, "three", 0), 0);
	IS(send(id, 1, "one", 0), 0);
	IS(send(id, 2, "two", 0), 0);
	IS(send(id, 2, "", 0), 0);
	IS(msgctl(id, IPC_STAT, &ds), 0);
	CHECK(ds.msg_qnum == 4 && ds.msg_cbytes == 11 && ds.msg_qbytes == 16384 && ds.msg_lspid == getpid() && ds.msg_lrpid == 0);
	puts(receive(id, 0, 3, IPC_NOWAIT));
	puts(receive(id, 0, 3, IPC_NOWAIT | MSG_NOERROR));
	puts(receive(id, -2, 100, IPC_NOWAIT));
	puts(receive(id, 1, 100, IPC_NOWAIT));
	IS(send(id, 9, "nine", 0), 0);
	puts(receive(id, 2, 100, IPC_NOWAIT | MSG_EXCEPT));
	puts(receive(id, 0, 100, IPC_NOWAIT));
	puts(receive(id, 0, 100, IPC_NOWAIT));
	puts(receive(id, 0, 100, IPC_NOWAIT));
	FAILS(send(id, 0, "x", 0), EINVAL);
	FAILS(msgsnd(id, &big, 8193, 0), EINVAL);
	FAILS(msgsnd(id, (void *)8, 1, 0), EFAULT);
	FAILS(msgsnd(-1, &big, 1, 0), EINVAL);
	FAILS(msgrcv(id, &big, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
	while (!msgsnd(id, &big, 4000, IPC_NOWAIT))
		count++;
	IS(errno, EAGAIN);
	IS(count, 4);
	FAILS(msgctl(id, 99, &ds), EINVAL);
	FAILS(msgctl(id, IPC_STAT, (void *)8), EFAULT);
	IS(msgctl(id, IPC_RMID, NULL), 0);
	FAILS(msgctl(id, IPC_RMID, NULL), EINVAL);
	shared_id = msgget(IPC_PRIVATE, 0600);
	pthread_create(&thread, NULL, receive_one, NULL);
	IS(send(shared_id, 6, "not this", 0), 0);
	IS(send(shared_id, 7, "this", 0), 0);
	pthread_join(thread, NULL);
	IS(result, 4);
	IS(msgctl(shared_id, IPC_RMID, NULL), 0);
}

static void check_shared(void)
{
	int id = shmget(key, 10000, IPC_CREAT | 0600);
	struct shmid_ds ds;
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);

	CHECK(id >= 0 && a != GONE && b != GONE && a != b);
	strcpy(a + 5000, "shared");
	CHECK(!strcmp(b + 5000, "shared") && a[9999] == 0);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	CHECK(ds.shm_segsz == 10000 && ds.shm_nattch == 2 && ds.shm_cpid == getpid() && ds.shm_lpid == getpid() && ds.shm_atime && !ds.shm_dtime);
	IS(shmget(key, 10000, 0), id);
	IS(shmget(key, 0, 0), id);
	FAILS(shmget(key, 10001, 0), EINVAL);
	FAILS(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	FAILS(mprotect(b, 4096, PROT_READ | PROT_WRITE), EACCES);
	IS(shmdt(b), 0);
	FAILS(shmdt(b), EINVAL);
	FAILS(shmdt(a + 1), EINVAL);
	FAILS(shmdt(a + 4096), EINVAL);
	CHECK(shmat(id, a + 1, 0) == GONE && errno == EINVAL);
	CHECK(shmat(id, a, 0) == GONE && errno == EINVAL);
	CHECK(shmat(id, NULL, SHM_REMAP) == GONE && errno == EINVAL);
	CHECK(shmat(id, a, SHM_REMAP) == a);
	CHECK(shmat(-1, NULL, 0) == GONE && errno == EINVAL);
	char *place = mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(place, 1 << 16);
	CHECK(shmat(id, place + 5, SHM_RND) == place && !strcmp(place + 5000, "shared"));
	IS(munmap(place + 4096, 4096), 0); /* a hole: shmdt takes both sides of it */
	IS(shmdt(place), 0);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	IS(ds.shm_nattch, 1);
	IS(shmctl(id, SHM_LOCK, NULL), 0);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	IS(ds.shm_perm.mode, 0600 | SHM_LOCKED);
	IS(shmctl(id, SHM_UNLOCK, NULL), 0);
	FAILS(shmctl(id, 99, &ds), EINVAL);
	IS(shmctl(id, IPC_RMID, NULL), 0);
	FAILS(shmget(key, 0, 0), ENOENT);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	IS(ds.shm_perm.mode, 0600 | SHM_DEST);
	CHECK((b = shmat(id, NULL, SHM_RDONLY)) != GONE && !strcmp(b + 5000, "shared"));
	IS(shmctl(id, IPC_STAT, &ds), 0);
	IS(ds.shm_nattch, 2);
	IS(shmdt(b), 0);
	strcpy(a, "still there");
	IS(shmdt(a), 0);
	FAILS(shmctl(id, IPC_STAT, &ds), EINVAL);
	id = shmget(IPC_PRIVATE, 4096, 0600);
	IS(shmctl(id, IPC_RMID, NULL), 0);
	FAILS(shmctl(id, IPC_RMID, NULL), EINVAL);
}

/* Between processes: what a child does to a segment is seen, and what it has not given back when it ends is given back for it. */
static void check_processes(void)
{
	int shm = shmget(IPC_PRIVATE, 4096, 0600), sem = semget(IPC_PRIVATE, 2, 0600), msg = msgget(IPC_PRIVATE, 0600), status;
	char *p = shmat(shm, NULL, 0);
	struct shmid_ds ds;

	IS(semctl(sem, 0, SETVAL, (union semun){ .val = 1 }), 0);
	pid_t child = fork();
	if (!child) {
		struct sembuf take = op(0, -1, SEM_UNDO), done = op(1, 1, 0);

		strcpy(p, "from the child");
		semop(sem, &take, 1);
		semop(sem, &done, 1);
		_exit(strcmp(receive(msg, 0, 100, 0), "go") != 0);
	}
	IS(try(sem, op(1, -1, 0)), 0);
	CHECK(!strcmp(p, "from the child"));
	IS(semctl(sem, 0, GETVAL), 0);
	IS(semctl(sem, 0, GETPID) == child, 1);
	IS(shmctl(shm, IPC_STAT, &ds), 0);
	IS(ds.shm_nattch, 2);
	IS(send(msg, 1, "go", 0), 0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	IS(semctl(sem, 0, GETVAL), 1);
	IS(shmctl(shm, IPC_STAT, &ds), 0);
	IS(ds.shm_nattch, 1);
	shmdt(p), shmctl(shm, IPC_RMID, NULL), semctl(sem, 0, IPC_RMID), msgctl(msg, IPC_RMID, NULL);
}

/* Who forks, executes, ends or takes a part out had to do with it last. */
static void check_last(void)
{
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	char *a = shmat(id, NULL, 0);
	struct shmid_ds ds;
	pid_t child = fork();

	if (!child)
		_exit(0);
	IS(waitpid(child, NULL, 0), child);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	CHECK(ds.shm_lpid == child && ds.shm_nattch == 1 && ds.shm_dtime);
	child = fork();
	if (!child) {
		shmctl(id, IPC_STAT, &ds);
		_exit(ds.shm_lpid != getppid() || ds.shm_nattch != 2);
	}
	int status = -1;

	IS(waitpid(child, &status, 0), child);
	IS(status, 0);
	IS(munmap(a + 4096, 4096), 0);
	IS(shmctl(id, IPC_STAT, &ds), 0);
	CHECK(ds.shm_lpid == getpid() && ds.shm_nattch == 1);
	IS(shmctl(id, IPC_RMID, NULL), 0);
	IS(shmdt(a), 0);
}

int main(void)
{
	key = 0x4c560000 + (getpid() & 0xffff);
	check_keys();
	check_semaphores();
	check_waiting();
	check_messages();
	check_shared();
	check_processes();
	check_last();
	return check_end();
}
