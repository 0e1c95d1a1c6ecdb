/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void passt_init(struct passt *passt, int fd)
{
	passt->fd = fd;
	passt->in_from = passt->in_to = 0;
	passt->out_from = passt->out_to = 0;
	passt_ack_init(&passt->ack);
}

/* Moves what is left to the front once the rest of the buffer could not hold a whole frame. */
static void compact(struct passt *passt)
{
	if (passt->in_from == passt->in_to)
		passt->in_from = passt->in_to = 0;
	if (sizeof(passt->in) - passt->in_from >= PASST_FRAME_MAX + 4)
		return;
	memmove(passt->in, passt->in + passt->in_from, passt->in_to - passt->in_from);
	passt->in_to -= passt->in_from;
	passt->in_from = 0;
}

static int fill(struct passt *passt)
{
	ssize_t n;

	compact(passt);
	n = recv(passt->fd, passt->in + passt->in_to, sizeof(passt->in) - passt->in_to, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
	passt->in_to += n;
	return n ? 0 : -EPIPE;
}

/* Length of the frame at the front if all of it is there; -EAGAIN if not. */
static int whole_frame(const struct passt *passt)
{
	size_t have = passt->in_to - passt->in_from;
	uint32_t len;

	if (have < sizeof(len))
		return -EAGAIN;
	memcpy(&len, passt->in + passt->in_from, sizeof(len));
	len = ntohl(len);
	if (len < PASST_FRAME_MIN || len > PASST_FRAME_MAX)
		return -EPROTO;
	return have - sizeof(len) >= len ? (int)len : -EAGAIN;
}

/* passt has read all that it was sent. */
static bool is_read(const struct passt *passt)
{
	int left;

	return passt->out_from == passt->out_to && (ioctl(passt->fd, SIOCOUTQ, &left) < 0 || !left);
}

bool passt_ack_held(const struct passt *passt)
{
	return passt_ack_waits(&passt->ack) && !is_read(passt);
}

bool passt_waiting(const struct passt *passt)
{
	return (passt_ack_waits(&passt->ack) && is_read(passt)) || whole_frame(passt) != -EAGAIN;
}

int passt_receive(struct passt *passt, const uint8_t **frame)
{
	int len = 0;

	if (passt_ack_waits(&passt->ack) && is_read(passt))
		len = passt_ack_take(&passt->ack, frame);
	if (len)
		return len;
	while ((len = whole_frame(passt)) == -EAGAIN) {
		int r = fill(passt);

		if (r)
			return r;
	}
	if (len < 0)
		return len;
	*frame = passt->in + passt->in_from + sizeof(uint32_t);
	passt->in_from += sizeof(uint32_t) + len;
	passt_ack_heard(&passt->ack, *frame, len);
	return len;
}

/* Keeps what the socket did not take of header and parts. */
static void keep_rest(struct passt *passt, const struct iovec *iov, unsigned parts, size_t sent)
{
	passt->out_from = passt->out_to = 0;
	for (unsigned i = 0; i < parts; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		memcpy(passt->out + passt->out_to, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		passt->out_to += iov[i].iov_len - skip;
		sent -= skip;
	}
}

int passt_send(struct passt *passt, const struct iovec *iov, unsigned parts, size_t len)
{
	uint32_t prefix = htonl(len);
	struct iovec all[PASST_BATCH + 1] = { { &prefix, sizeof(prefix) } };
	struct msghdr message = { .msg_iov = all, .msg_iovlen = parts + 1 };
	ssize_t n;
	int r = passt_flush(passt);

	if (r)
		return r;
	if (parts > PASST_BATCH || len > PASST_FRAME_MAX || len < PASST_FRAME_MIN)
		return -EINVAL;
	enum passt_verdict verdict = passt_ack_judge(&passt->ack, iov, parts);
	if (verdict == PASST_DROP)
		return 0;
	if (verdict == PASST_WAIT && !is_read(passt))
		return -EBUSY;
	if (verdict == PASST_WAIT)
		passt_ack_read(&passt->ack);
	memcpy(all + 1, iov, parts * sizeof(*iov));
	n = sendmsg(passt->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if ((size_t)n < len + sizeof(prefix))
		keep_rest(passt, all, parts + 1, n);
	passt_ack_sent(&passt->ack, iov, parts, len);
	return 0;
}

int passt_flush(struct passt *passt)
{
	while (passt->out_from < passt->out_to) {
		ssize_t n = send(passt->fd, passt->out + passt->out_from, passt->out_to - passt->out_from,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		passt->out_from += n > 0 ? n : 0;
	}
	return 0;
}
