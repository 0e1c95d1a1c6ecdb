/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/uring.h"

#include <errno.h>

static void allow(struct io_uring_restriction *restriction, unsigned opcode, unsigned what)
{
	*restriction = (struct io_uring_restriction){ .opcode = opcode, .sqe_op = what };
}

/* From the moment it is enabled the ring can do what is listed here, to the one registered file, and nothing else. */
static int restrict_ring(struct io_uring *ring, bool read_only)
{
	struct io_uring_restriction list[5];
	unsigned n = 0;

	allow(&list[n++], IORING_RESTRICTION_SQE_FLAGS_REQUIRED, IOSQE_FIXED_FILE);
	allow(&list[n++], IORING_RESTRICTION_SQE_OP, IORING_OP_READV);
	if (!read_only) {
		allow(&list[n++], IORING_RESTRICTION_SQE_OP, IORING_OP_WRITEV);
		allow(&list[n++], IORING_RESTRICTION_SQE_OP, IORING_OP_FSYNC);
		allow(&list[n++], IORING_RESTRICTION_SQE_OP, IORING_OP_FALLOCATE);
	}
	return io_uring_register_restrictions(ring, list, n);
}

void uring_init(struct uring *uring, int file, bool read_only, unsigned entries)
{
	uring->fd = -1;
	uring->queued = 0;
	if (io_uring_queue_init(entries, &uring->ring, IORING_SETUP_R_DISABLED) < 0)
		return;
	if (io_uring_register_files(&uring->ring, &file, 1) < 0 || restrict_ring(&uring->ring, read_only) < 0 ||
	    io_uring_enable_rings(&uring->ring) < 0)
		io_uring_queue_exit(&uring->ring);
	else
		uring->fd = uring->ring.ring_fd;
}

void uring_fini(struct uring *uring)
{
	if (uring->fd >= 0)
		io_uring_queue_exit(&uring->ring);
	uring->fd = -1;
}

static struct io_uring_sqe *next_entry(struct uring *uring)
{
	struct io_uring_sqe *sqe = uring->fd < 0 ? NULL : io_uring_get_sqe(&uring->ring);

	if (sqe)
		uring->queued++;
	return sqe;
}

int uring_transfer(struct uring *uring, bool write, const struct iovec *iov, unsigned parts, uint64_t at, void *cookie)
{
	struct io_uring_sqe *sqe = next_entry(uring);

	if (!sqe)
		return -EAGAIN;
	if (write)
		io_uring_prep_writev(sqe, 0, iov, parts, at);
	else
		io_uring_prep_readv(sqe, 0, iov, parts, at);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, cookie);
	return 0;
}

int uring_flush(struct uring *uring, void *cookie)
{
	struct io_uring_sqe *sqe = next_entry(uring);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, cookie);
	return 0;
}

int uring_allocate(struct uring *uring, int mode, uint64_t at, uint64_t len, void *cookie)
{
	struct io_uring_sqe *sqe = next_entry(uring);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_fallocate(sqe, 0, mode, at, len);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, cookie);
	return 0;
}

void uring_submit(struct uring *uring)
{
	int n;

	if (!uring->queued)
		return;
	/* Interrupted or short of memory: the kernel took some or none, and the next submit takes the others. */
	n = io_uring_submit(&uring->ring);
	if (n > 0)
		uring->queued -= (unsigned)n < uring->queued ? (unsigned)n : uring->queued;
}

unsigned uring_reap(struct uring *uring, void (*done)(void *context, void *cookie, int result), void *context)
{
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (uring->fd >= 0 && io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
		void *cookie = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&uring->ring, cqe);
		done(context, cookie, result);
		n++;
	}
	return n;
}

int uring_wait(struct uring *uring)
{
	struct io_uring_cqe *cqe;
	int r;

	if (uring->fd < 0)
		return -EBADF;
	/* A process that is stopped and goes on is interrupted too; what is in flight still writes to the caller's memory. */
	do {
		uring_submit(uring);
		r = io_uring_wait_cqe(&uring->ring, &cqe);
	} while (r == -EINTR);
	return r;
}
