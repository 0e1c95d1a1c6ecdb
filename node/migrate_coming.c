/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_coming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/memory_later.h"
#include "base/deadline.h"
#include "base/file.h"

#define PAGE LV_MIGRATE_PAGE
#define HELLO_MS 10000
#define WORD_S 10 /* a monitor that hears no more: it is left, and waits for the next one who comes */

int coming_device(void)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool bit(const uint8_t *bits, uint64_t page)
{
	return bits[page / 8] >> page % 8 & 1;
}

static int make_room(struct coming *coming, uint64_t pages, bool lacking, struct error *error)
{
	if (!coming->asked) {
		coming->pages = pages;
		coming->asked = alloc_zero(pages / 8 + 1);
		coming->lacking = lacking ? alloc_zero(pages / 8 + 1) : NULL;
	}
	if (!coming->asked || (lacking && !coming->lacking))
		return error_set(error, -ENOMEM, "out of memory");
	return coming->pages == pages ? 0 : error_set(error, -EPROTO, "the size of memory changed after it stood still");
}

int coming_lacking(struct coming *coming, const struct lv_migrate_piece *piece, const uint8_t *bits, size_t size, struct error *error)
{
	uint64_t pages = piece->total / PAGE, first = piece->offset / PAGE;
	int err = make_room(coming, pages, true, error);
	for (uint64_t i = 0; i < size * 8 && first + i < pages && !err; i++)
		if (bit(bits, i))
			coming->lacking[(first + i) / 8] |= (uint8_t)(1u << (first + i) % 8);
	return err;
}

/* ---- the monitor ---- */

static struct sockaddr_un address_of(const struct wire *wire, int vm_dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char hex[2 * LV_MIGRATE_UUID + 1];
	hex_print(wire->migration.uuid, LV_MIGRATE_UUID, hex);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" COMING_SOCKET "%s", vm_dir, hex);
	return address;
}

static int connect_to(const struct wire *wire, int vm_dir)
{
	const struct timeval patience = { .tv_sec = WORD_S };
	struct sockaddr_un address = address_of(wire, vm_dir);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || (!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) && !connect(fd, (struct sockaddr *)&address, sizeof(address))))
		return fd < 0 ? -errno : fd;
	int err = -errno;
	close(fd);
	return err;
}

static int listen_at(const struct wire *wire, int vm_dir)
{
	struct sockaddr_un address = address_of(wire, vm_dir);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1)))
		return fd < 0 ? -errno : fd;
	int err = -errno;
	close(fd);
	return err;
}

/* What came of it before is older than what is still to come. */
static int forget_stale(const struct coming *coming)
{
	int err = 0;
	for (uint64_t page = 0, end; page < coming->pages && !err; page = end) {
		for (end = page; end < coming->pages && bit(coming->lacking, end);)
			end++;
		if (end > page && fallocate(coming->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE), (off_t)((end - page) * PAGE)))
			err = -errno;
		end += end == page;
	}
	return err;
}

int coming_begin(struct coming *coming, struct wire *wire, int vm_dir, int memory, uint64_t size, struct error *error)
{
	int err = make_room(coming, size / PAGE, true, error);
	if (err)
		return err;
	coming->wire = wire;
	coming->memory = fcntl(memory, F_DUPFD_CLOEXEC, 3);
	err = coming->memory < 0 ? -errno : forget_stale(coming);
	int listener = err ? err : listen_at(wire, vm_dir);
	if (listener >= 0 && (coming->pager = connect_to(wire, vm_dir)) < 0) {
		err = coming->pager;
		close(listener);
		listener = err;
	}
	return listener < 0 ? error_set(error, listener, "memory that comes later: %s", strerror(-listener)) : listener;
}

static int take_hello(struct coming *coming, struct lv_pager_hello *hello)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room = { 0 };
	struct iovec iov = { hello, sizeof(*hello) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room.bytes,
		.msg_controllen = CMSG_LEN(sizeof(int)) }; /* without its padding, in which one more descriptor would have room, and stay open */
	int err = deadline_readable(coming->pager, deadline_in(HELLO_MS));
	if (err)
		return err;
	ssize_t n = recvmsg(coming->pager, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = n == sizeof(*hello) && hello->magic == LV_PAGER_MAGIC ? CMSG_FIRSTHDR(&message) : NULL;
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return n < 0 ? -errno : -EPROTO;
	int memory;
	memcpy(&memory, CMSG_DATA(header), sizeof(memory));
	if (coming->memory >= 0)
		close(coming->memory);
	coming->memory = memory;
	return 0;
}

int coming_join(struct coming *coming, struct wire *wire, int vm_dir, struct error *error)
{
	struct lv_pager_hello hello;
	coming->wire = wire;
	coming->pager = connect_to(wire, vm_dir);
	int err = coming->pager < 0 ? coming->pager : take_hello(coming, &hello);
	return err ? error_set(error, err, "the monitor that waits for memory: %s", strerror(-err)) : make_room(coming, hello.size / PAGE, false, error);
}

static int tell(const struct coming *coming, uint64_t offset, uint64_t size)
{
	const struct lv_pager_range there = { .offset = offset, .size = size };
	return send(coming->pager, &there, sizeof(there), MSG_NOSIGNAL) == sizeof(there) ? 0 : -errno;
}

/* ---- what is waited for ---- */

static bool is_there(const struct coming *coming, uint64_t page)
{
	return lseek(coming->memory, (off_t)(page * PAGE), SEEK_DATA) == (off_t)(page * PAGE);
}

static int put(const struct coming *coming, uint64_t offset, const uint8_t *data, size_t size)
{
	int err = fd_write_at(coming->memory, data, size, offset);
	return err ? err : tell(coming, offset, size);
}

/* After RECOVER the source says with its first page how much memory there is: of what it has not said yet nothing can be asked for. */
static int ask(struct coming *coming, uint64_t page, struct error *error)
{
	const struct lv_migrate_want want = { .offset = page * PAGE, .size = PAGE };
	coming->asked[page / 8] |= (uint8_t)(1u << page % 8);
	if (coming->wire->migration.memory_size > page * PAGE)
		return wire_send(coming->wire, LV_MIG_WANT, &want, sizeof(want), NULL, 0, error);
	coming->early = true;
	return 0;
}

static int ask_early(struct coming *coming, struct error *error)
{
	int err = 0;
	coming->early = false;
	for (uint64_t page = 0; page < coming->pages && !err; page++)
		if (bit(coming->asked, page) && !is_there(coming, page))
			err = ask(coming, page, error);
	return err;
}

/* What never had anything in it is zero, and the source is not asked for it. */
static int serve(struct coming *coming, uint64_t page, struct error *error)
{
	static const uint8_t zeroes[PAGE];
	int err = 0;
	if (is_there(coming, page))
		err = tell(coming, page * PAGE, PAGE);
	else if (coming->lacking && !bit(coming->lacking, page))
		err = put(coming, page * PAGE, zeroes, PAGE);
	else if (!bit(coming->asked, page))
		return ask(coming, page, error);
	return err ? error_set(error, err, "memory that its monitor waits for: %s", strerror(-err)) : 0;
}

int coming_hear(struct coming *coming, struct error *error)
{
	union {
		struct lv_pager_hello hello; /* it has begun to listen; what it brings we have */
		struct lv_pager_range range;
	} word;
	ssize_t n = recv(coming->pager, &word, sizeof(word), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n != sizeof(word))
		return error_set(error, n ? -EPROTO : -ESRCH, "the monitor that waits for memory has ended");
	if (word.hello.magic == LV_PAGER_MAGIC) /* which is no whole page */
		return 0;
	uint64_t page = word.range.offset / PAGE;
	return page < coming->pages ? serve(coming, page, error) : error_set(error, -EPROTO, "the monitor waits for a page that there is not");
}

int coming_take(struct coming *coming, const struct lv_migrate_piece *piece, const uint8_t *data, size_t size, struct error *error)
{
	if (piece->total != coming->pages * PAGE)
		return error_set(error, -EPROTO, "the size of memory changed after it stood still");
	int err = put(coming, piece->offset, data, size);
	if (err)
		return error_set(error, err, "memory of the VM that comes: %s", strerror(-err));
	return coming->early ? ask_early(coming, error) : 0;
}

int coming_end(struct coming *coming, struct error *error)
{
	int err = tell(coming, 0, 0);
	return err ? error_set(error, err, "the monitor that waits for memory: %s", strerror(-err)) : 0;
}

void coming_free(struct coming *coming)
{
	if (coming->pager >= 0)
		close(coming->pager);
	if (coming->memory >= 0)
		close(coming->memory);
	free(coming->lacking);
	free(coming->asked);
	*coming = COMING_NONE;
}
