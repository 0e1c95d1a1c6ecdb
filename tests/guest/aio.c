/* SPDX-License-Identifier: Apache-2.0 */
/* Linux' asynchronous I/O: requests, their events, the ring that the program reads itself. And calls that answer for what a kernel lacks. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>

#include "check.h"

static long setup(unsigned n, aio_context_t *id) { return syscall(SYS_io_setup, n, id); }
static long submit(aio_context_t id, long n, struct iocb **cb) { return syscall(SYS_io_submit, id, n, cb); }
static long events(aio_context_t id, long least, long most, struct io_event *to, struct timespec *timeout)
{
	return syscall(SYS_io_getevents, id, least, most, to, timeout);
}

static char data[8192], back[8192];

static struct iocb request(int fd, int what, void *buffer, size_t n, long long offset, long long tag)
{
	return (struct iocb){ .aio_fildes = (unsigned)fd, .aio_lio_opcode = (unsigned short)what, .aio_buf = (unsigned long)buffer, .aio_nbytes = n,
			      .aio_offset = offset, .aio_data = (unsigned long long)tag };
}

/* Where nothing can be told of a request, what it came to must not be taken for a number of requests. */
static void check_protected_ring(void)
{
	int fd = open("protected", O_CREAT | O_RDWR, 0600);
	struct iocb write = request(fd, IOCB_CMD_PWRITE, data, 5000, 0, 1), *all[] = { &write };
	aio_context_t id = 0;

	CHECK(fd >= 0);
	IS(setup(4, &id), 0);
	IS(mprotect((void *)id, 4096, PROT_READ), 0);
	CHECK(submit(id, 1, all) <= 1);
	IS(syscall(SYS_io_destroy, id), 0);
	close(fd);
}

static void check_requests(void)
{
	int fd = open("file", O_CREAT | O_RDWR, 0600), event = eventfd(0, EFD_NONBLOCK);
	struct iovec iov[2] = { { back, 3 }, { back + 100, 5 } };
	struct iocb write = request(fd, IOCB_CMD_PWRITE, data, 5000, 0, 1), read = request(fd, IOCB_CMD_PREAD, back, 5000, 0, 2),
		    vector = request(fd, IOCB_CMD_PREADV, iov, 2, 10, 3), end = request(fd, IOCB_CMD_PREAD, back, 10, 6000, 4), sync = request(fd, IOCB_CMD_FSYNC, NULL, 0, 0, 5),
		    bad = request(fd, IOCB_CMD_PREAD, (void *)8, 10, 0, 6);
	struct iocb *all[] = { &write, &read, &sync, &end, &bad };
	struct io_event got[8];
	struct timespec none = { 0 };
	aio_context_t id = 0;
	uint64_t count;

	IS(setup(8, &id), 0);
	IS(submit(id, 1, all), 1);
	IS(events(id, 1, 8, got, NULL), 1);
	CHECK(got[0].data == 1 && got[0].res == 5000 && got[0].obj == (unsigned long)&write);
	vector.aio_flags = IOCB_FLAG_RESFD;
	vector.aio_resfd = (unsigned)event;
	IS(submit(id, 2, all + 1), 2);
	IS(events(id, 2, 2, got, NULL), 2);
	CHECK(!memcmp(back, data, 5000));
	IS(submit(id, 1, (struct iocb *[]){ &vector }), 1);
	IS(events(id, 1, 8, got, NULL), 1);
	CHECK(got[0].res == 8 && !memcmp(back, data + 10, 3) && !memcmp(back + 100, data + 13, 5));
	CHECK(eventfd_read(event, &count) == 0 && count == 1);
	IS(submit(id, 1, all + 3), 1);
	IS(events(id, 1, 8, got, NULL), 1);
	IS(got[0].res, 0);
	IS(submit(id, 1, all + 4), 1);
	IS(events(id, 1, 8, got, NULL), 1);
	IS(got[0].res, -EFAULT);
	IS(events(id, 0, 8, got, &none), 0);
	IS(events(id, 1, 8, got, &none), 0);
	IS(syscall(SYS_io_destroy, id), 0);
	FAILS(syscall(SYS_io_destroy, id), EINVAL);
	close(fd), close(event);
}

static void check_refused(void)
{
	int fd = open("file", O_RDONLY);
	struct iocb write = request(fd, IOCB_CMD_PWRITE, data, 1, 0, 1), closed = request(777, IOCB_CMD_PREAD, data, 1, 0, 1), odd = request(fd, 99, data, 1, 0, 1),
		    reserved = request(fd, IOCB_CMD_PREAD, data, 1, 0, 1);
	aio_context_t id = 0, used = 1;
	struct io_event got;

	reserved.aio_reserved2 = 1;
	FAILS(setup(1, &used), EINVAL);
	FAILS(setup(0, &id), EINVAL);
	FAILS(setup(1, (aio_context_t *)8), EFAULT);
	IS(setup(1, &id), 0);
	FAILS(submit(id, 1, (struct iocb *[]){ &write }), EBADF);
	FAILS(submit(id, 1, (struct iocb *[]){ &closed }), EBADF);
	FAILS(submit(id, 1, (struct iocb *[]){ &odd }), EINVAL);
	FAILS(submit(id, 1, (struct iocb *[]){ &reserved }), EINVAL);
	FAILS(submit(id, 1, (struct iocb *[]){ (void *)8 }), EFAULT);
	FAILS(submit(id, -1, NULL), EINVAL);
	FAILS(submit(0, 1, NULL), EINVAL);
	IS(submit(id, 0, NULL), 0);
	FAILS(events(id, 2, 1, &got, NULL), EINVAL);
	FAILS(events(0, 0, 1, &got, NULL), EINVAL);
	IS(syscall(SYS_io_destroy, id), 0);
	close(fd);
}

/* The order in which wrong arguments are seen; what is not there answers as it would. */
static void check_answers(void)
{
	int p[2], fd = open("file", O_RDWR), place = open("file", O_PATH);
	struct timex clock = { 0 };
	char *m = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to;
	struct stat before, after;

	IS(pipe(p), 0);
	FAILS(lseek(p[0], 0, 9), EINVAL);
	FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
	FAILS(fallocate(p[1], 0x200, 0, 1), EOPNOTSUPP);
	FAILS(fallocate(p[1], 0, 0, 1), ESPIPE);
	IS(posix_fadvise(p[0], 0, 0, 0), ESPIPE);
	IS(posix_fadvise(place, 0, 0, 0), EBADF);
	IS(posix_fadvise(fd, 0, -1, 0), EINVAL);
	IS(posix_fadvise(fd, 0, 0, 6), EINVAL);
	IS(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	IS(syncfs(fd), 0);
	FAILS(syncfs(place), EBADF);
	FAILS(syscall(SYS_settimeofday, 8, NULL), EFAULT);
	FAILS(syscall(SYS_settimeofday, NULL, 8), EFAULT);
	FAILS(settimeofday(&(struct timeval){ 0, -1 }, NULL), EINVAL);
	FAILS(settimeofday(&(struct timeval){ 0, 1000000 }, NULL), EINVAL);
	FAILS(settimeofday(&(struct timeval){ -1, 0 }, NULL), EINVAL);
	FAILS(fcntl(p[0], F_ADD_SEALS, 0), EPERM);
	FAILS(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
	FAILS(syscall(SYS_setns, 777, 0), EBADF);
	FAILS(syscall(SYS_setns, fd, 0), EINVAL);
	FAILS(syscall(SYS_unshare, 1), EINVAL);
	IS(syscall(SYS_unshare, 0), 0);
	IS(syscall(SYS_kcmp, getpid(), getpid(), 0, fd, fd), 0);
	CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, fd, place) > 0);
	FAILS(syscall(SYS_kcmp, getpid(), getpid(), 0, fd, 777), EBADF);
	FAILS(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0), EINVAL);
	CHECK(adjtimex(&clock) >= 0 && clock.tick == 10000);
	FAILS(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
	IS(syscall(SYS_pkey_mprotect, m, 4096, PROT_READ | PROT_WRITE, -1), 0);
	strcpy(m, "moved");
	to = mremap(m, 8192, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(to != MAP_FAILED && to != m && !strcmp(to, "moved") && !m[0]);
	FAILS(mremap(m, 4096, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
	to = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fstat(fd, &before);
	while (!fstat(fd, &after) && now_ms() % 20) /* the clock of files moves on */
		;
	to[0] = 'x';
	msync(to, 4096, MS_SYNC);
	fstat(fd, &after);
	CHECK(after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	close(p[0]), close(p[1]), close(fd), close(place);
}

int main(void)
{
	check_scratch();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 >> 2);
	check_requests();
	check_protected_ring();
	check_refused();
	check_answers();
	return check_end();
}
