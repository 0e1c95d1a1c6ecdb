/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest_ports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/deadline.h"

#define PORTS_DIR "/sys/class/virtio-ports"
#define STEP_MS 20 /* between looks, where the kernel cannot tell us */

/* The name that the host gave to this port; it is there once the host has connected it. */
static bool has_name(const char *port, const char *name)
{
	char path[128], word[64];
	snprintf(path, sizeof(path), PORTS_DIR "/%.64s/name", port);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, word, sizeof(word) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	word[n] = 0;
	word[strcspn(word, "\n")] = 0;
	return !strcmp(word, name);
}

static int try_name(const char *name, int flags)
{
	DIR *dir = opendir(PORTS_DIR);
	int fd = -ENODEV;
	for (struct dirent *entry; dir && fd == -ENODEV && (entry = readdir(dir));) {
		char path[128];
		if (entry->d_name[0] == '.' || !has_name(entry->d_name, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%.64s", entry->d_name);
		fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int try_terminal(const char *name, int flags)
{
	int fd = open(name, flags | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
}

/* The kernel's own announcements of new devices and names. -1: it has none. */
static int announcements(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

typedef int (*port_try)(const char *name, int flags);

static int wait_for(port_try try, const char *name, int flags, int wait_ms)
{
	int fd = try(name, flags);
	if (fd != -ENODEV)
		return fd;
	char event[4096];
	int heard = announcements();
	uint64_t end = deadline_in(wait_ms);
	int left;
	/* Looked at once more after the subscription: nothing falls between. */
	while ((fd = try(name, flags)) == -ENODEV && (left = deadline_left(end)) > 0) {
		struct pollfd wait = { .fd = heard, .events = POLLIN };
		poll(&wait, 1, heard >= 0 ? left : STEP_MS);
		while (heard >= 0 && recv(heard, event, sizeof(event), 0) > 0)
			;
	}
	if (heard >= 0)
		close(heard);
	return fd;
}

int port_open(const char *name, int flags, int wait_ms)
{
	return wait_for(try_name, name, flags, wait_ms);
}

int port_open_terminal(int wait_ms)
{
	return wait_for(try_terminal, "/dev/hvc0", O_RDWR, wait_ms);
}
