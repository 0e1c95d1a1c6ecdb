/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsock_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int unix_socket(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	if (listening) {
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(listen(fd, 300), 0);
	} else {
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	return fd;
}

int vsock_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_VSOCK, .vsock = { .outgoing = true, .cid = CID } };

	strcpy(f->dir, "/tmp/lv-vsock-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	config.vsock.listener = unix_socket("vsock", true);
	guest_init(&f->guest);
	f->device = guest_negotiate_device(&f->guest, &config, 0);
	assert_non_null(f->device);
	driver_init(&f->rx, &f->guest, &f->guest.ring[VSOCK_RX]);
	driver_init(&f->tx, &f->guest, &f->guest.ring[VSOCK_TX]);
	f->buffer = guest_alloc(&f->guest, 256 * BUFFER, 4096);
	f->send = guest_alloc(&f->guest, 1 << 20, 4096);
	f->peer_room = ROOM;
	*state = f;
	return 0;
}

int vsock_teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	guest_fini(&f->guest);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

void post_buffers(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		gpa_t at = f->buffer + f->rx.next_desc / 2 * BUFFER;
		struct part part[] = { { at, HEADER, true }, { at + HEADER, BUFFER - HEADER, true } };

		driver_post(&f->rx, part, 2);
	}
	guest_ring(&f->guest, f->device);
}

struct virtio_vsock_hdr packet(struct fixture *f, unsigned op, uint32_t len)
{
	return (struct virtio_vsock_hdr){ .src_cid = CID, .dst_cid = VSOCK_HOST_CID, .src_port = PORT, .dst_port = f->host_port,
					  .len = len, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = op, .buf_alloc = f->peer_room,
					  .fwd_cnt = f->forwarded };
}

void post_packet(struct fixture *f, const struct virtio_vsock_hdr *header, const void *payload, uint32_t len)
{
	struct part part[] = { { f->send, HEADER, false }, { f->send + 64, len, false } };

	memcpy(guest_ptr(&f->guest, f->send), header, HEADER);
	if (len)
		memcpy(guest_ptr(&f->guest, f->send + 64), payload, len);
	driver_post(&f->tx, part, len ? 2 : 1);
	guest_ring(&f->guest, f->device);
}

void guest_says(struct fixture *f, unsigned op, const void *payload, uint32_t len)
{
	struct virtio_vsock_hdr header = packet(f, op, len);

	post_packet(f, &header, payload, len);
}

void guest_shuts(struct fixture *f, uint32_t flags)
{
	struct virtio_vsock_hdr header = packet(f, VIRTIO_VSOCK_OP_SHUTDOWN, 0);

	header.flags = flags;
	post_packet(f, &header, NULL, 0);
}

/* The next packet that the guest got: its kind, or 0. */
unsigned guest_got(struct fixture *f)
{
	uint32_t head, len;
	uint8_t *at;

	guest_settle(&f->guest);
	if (!driver_used(&f->rx, &head, &len))
		return 0;
	at = guest_ptr(&f->guest, f->buffer + head / 2 * BUFFER);
	memcpy(&f->header, at, HEADER);
	assert_int_equal(len, HEADER + f->header.len);
	memcpy(f->payload, at + HEADER, f->header.len);
	assert_int_equal(f->header.dst_cid, CID);
	return f->header.op;
}

void client_says(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Answers how much of text the client gets next: all of it, as a boolean. */
bool client_gets(struct fixture *f, int fd, const char *text)
{
	char got[256] = "";
	ssize_t n;

	guest_settle(&f->guest);
	n = recv(fd, got, strlen(text), 0);
	return n == (ssize_t)strlen(text) && !memcmp(got, text, n);
}

bool client_ended(struct fixture *f, int fd)
{
	char byte;

	guest_settle(&f->guest);
	return recv(fd, &byte, 1, 0) == 0;
}

/* A client of the host is connected to PORT of the guest. */
int open_from_host(struct fixture *f)
{
	int fd = unix_socket("vsock", false);
	char line[32];

	post_buffers(f, 100);
	client_says(fd, "CONNECT 1234\n");
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(f->header.dst_port, PORT);
	assert_int_equal(f->header.src_cid, VSOCK_HOST_CID);
	assert_int_equal(f->header.type, VIRTIO_VSOCK_TYPE_STREAM);
	assert_true(f->header.buf_alloc > 0);
	f->host_port = f->header.src_port;
	guest_says(f, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
	snprintf(line, sizeof(line), "OK %u\n", f->host_port);
	assert_true(client_gets(f, fd, line));
	return fd;
}

int open_from_guest(struct fixture *f, int *listener)
{
	int fd;

	*listener = unix_socket("vsock_52", true);
	f->host_port = 52;
	post_buffers(f, 100);
	guest_says(f, VIRTIO_VSOCK_OP_REQUEST, NULL, 0);
	assert_int_equal(guest_got(f), VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->header.src_port, 52);
	assert_int_equal(f->header.dst_port, PORT);
	fd = accept4(*listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

struct vsock_conn *only_conn(struct fixture *f)
{
	return ((struct vsock *)f->device)->all;
}
