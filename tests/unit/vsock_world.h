/* SPDX-License-Identifier: Apache-2.0 */
/* A vsock device between a test as the guest's driver and the same test as programs of the host, in a directory of its own. */
#ifndef LV_TESTS_VSOCK_WORLD_H
#define LV_TESTS_VSOCK_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/vsock.h"

#define BUFFER 4096
#define HEADER 44
#define CID 3
#define PORT 1234 /* of the guest */
#define ROOM (1 << 20)

struct fixture {
	struct guest guest;
	struct device *device;
	struct driver rx, tx;
	gpa_t buffer, send;
	char dir[32];
	/* the packet that the guest got last */
	struct virtio_vsock_hdr header;
	uint8_t payload[BUFFER];
	uint32_t host_port, peer_room, forwarded; /* of the connection that is open */
};

/* A non-blocking stream socket that listens at path, or is connected to it. */
int unix_socket(const char *path, bool listening);
int vsock_setup(void **state);
int vsock_teardown(void **state);
/* The guest gives n buffers for packets to it. */
void post_buffers(struct fixture *f, unsigned n);
/* A header of the connection that is open. */
struct virtio_vsock_hdr packet(struct fixture *f, unsigned op, uint32_t len);
void post_packet(struct fixture *f, const struct virtio_vsock_hdr *header, const void *payload, uint32_t len);
void guest_says(struct fixture *f, unsigned op, const void *payload, uint32_t len);
void guest_shuts(struct fixture *f, uint32_t flags);
/* The next packet that the guest got: its kind, or 0. It is in header and payload. */
unsigned guest_got(struct fixture *f);
void client_says(int fd, const char *text);
/* Whether all of text is what the client gets next. */
bool client_gets(struct fixture *f, int fd, const char *text);
bool client_ended(struct fixture *f, int fd);
/* A client of the host is connected to PORT of the guest; its socket. */
int open_from_host(struct fixture *f);
/* The guest is connected to a server of the host, port 52; its socket, and in *listener the one it listens at. */
int open_from_guest(struct fixture *f, int *listener);
/* The connection, if there is one and no other. */
struct vsock_conn *only_conn(struct fixture *f);

#define VSOCK_TEST(name) cmocka_unit_test_setup_teardown(name, vsock_setup, vsock_teardown)

#endif
