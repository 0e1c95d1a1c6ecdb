/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/memory_later.h"
#include "base/error.h"
#include "vmm/mem.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00) /* linux/userfaultfd.h since 6.1 */
#endif
#define PAGE 4096ull
#define RANGES 2

struct pager {
	struct vm *vm;
	int faults;   /* userfaultfd */
	int listener; /* whoever brings the memory connects to it */
	int bringer;  /* who does now; -1: nobody */
	int memory;   /* the file, not owned */
	uint64_t size;
	unsigned count;
	struct { uint64_t hva, len, offset; } range[RANGES];
	atomic_bool over; /* all has come */
	bool lost; /* there was somebody, who has gone: the VM stands still */
};

/* ---- who waits ---- */

static void wake(const struct pager *pager, uint64_t hva, uint64_t len)
{
	struct uffdio_range range = { .start = hva, .len = len };

	ioctl(pager->faults, UFFDIO_WAKE, &range);
}

/* Those pages of the file, wherever they are mapped. */
static void wake_for(const struct pager *pager, const struct lv_pager_range *there)
{
	for (unsigned i = 0; i < pager->count; i++) {
		const uint64_t first = pager->range[i].offset, end = first + pager->range[i].len;
		const uint64_t from = there->offset > first ? there->offset : first, last = there->offset + there->size, to = last < end ? last : end;

		if (from < to)
			wake(pager, pager->range[i].hva + (from - first), to - from);
	}
}

static void wake_all(const struct pager *pager)
{
	for (unsigned i = 0; i < pager->count; i++)
		wake(pager, pager->range[i].hva, pager->range[i].len);
}

/* ---- who brings it ---- */

/* Beside what the loop asks of them, in a bit of its own: neither lets go whom the other one holds. */
static void stand_still(struct pager *pager, bool on)
{
	pager->lost = on;
	vcpu_hold_all(pager->vm, on);
}

static void drop_bringer(struct pager *pager)
{
	close(pager->bringer);
	pager->bringer = -1;
}

static int greet(const struct pager *pager)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room = { 0 };
	struct lv_pager_hello hello = { .magic = LV_PAGER_MAGIC, .size = pager->size };
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &pager->memory, sizeof(int));
	return sendmsg(pager->bringer, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* One who has gone by now may have left a word, that all is there: what it said is heard before it is found to have gone. */
static bool only_gone(int err)
{
	return err == -EPIPE || err == -ECONNRESET;
}

/* Whoever waits asks again, and is told of to the new one. */
static void take_bringer(struct pager *pager)
{
	pager->bringer = accept4(pager->listener, NULL, NULL, SOCK_CLOEXEC);
	if (pager->bringer < 0)
		return;
	int err = greet(pager);
	if (err && !only_gone(err)) {
		drop_bringer(pager);
		return;
	}
	stand_still(pager, false);
	wake_all(pager);
}

/* That it went without having read all that it was told comes first, and once: before what it said. */
static void hear_bringer(struct pager *pager)
{
	struct lv_pager_range there;
	ssize_t n = recvfrom(pager->bringer, &there, sizeof(there), 0, NULL, NULL);

	if (n < 0 && (errno == ECONNRESET || errno == EINTR))
		return;
	if (n == sizeof(there) && !there.size) {
		atomic_store(&pager->over, true);
	} else if (n == sizeof(there) && there.offset <= pager->size && there.size <= pager->size - there.offset && (there.offset | there.size) % PAGE == 0) {
		wake_for(pager, &there);
	} else {
		drop_bringer(pager);
		stand_still(pager, true);
	}
}

/* One who has gone is found to have gone by hear_bringer; who waits asks the next one again. */
static void tell_bringer(const struct pager *pager, uint64_t address)
{
	for (unsigned i = 0; i < pager->count; i++) {
		const uint64_t at = address - pager->range[i].hva;
		const struct lv_pager_range wanted = { .offset = pager->range[i].offset + (at & ~(PAGE - 1)), .size = PAGE };

		if (at < pager->range[i].len && sendto(pager->bringer, &wanted, sizeof(wanted), MSG_NOSIGNAL, NULL, 0) < 0)
			return;
	}
}

/* Only while there is somebody to be told. */
static void take_fault(const struct pager *pager)
{
	struct uffd_msg fault;

	if (read(pager->faults, &fault, sizeof(fault)) == sizeof(fault) && fault.event == UFFD_EVENT_PAGEFAULT)
		tell_bringer(pager, fault.arg.pagefault.address);
}

static void *serve(void *context)
{
	struct pager *pager = context;

	while (!atomic_load(&pager->over)) {
		const bool has = pager->bringer >= 0;
		struct pollfd wait[] = { { .fd = has ? pager->bringer : pager->listener, .events = POLLIN }, { .fd = has ? pager->faults : -1, .events = POLLIN } };

		if (poll(wait, 2, -1) < 0)
			continue;
		if (wait[1].revents)
			take_fault(pager);
		if (wait[0].revents && !has)
			take_bringer(pager);
		else if (wait[0].revents && pager->bringer >= 0)
			hear_bringer(pager);
	}
	close(pager->faults); /* who waits still finds what there is, or zero */
	drop_bringer(pager);
	close(pager->listener);
	return NULL;
}

/* ---- beginning ---- */

int pager_open(struct vm *vm, struct error *error)
{
	const struct machine_config *config = vm->config;
	struct uffdio_api api = { .api = UFFD_API };
	struct stat st;

	if (config->pager.device < 0)
		return 0;
	struct pager *pager = calloc(1, sizeof(*pager));
	if (!pager || fstat(config->memory_fd, &st))
		return free(pager), error_set(error, -ENOMEM, "no memory for who waits for memory");
	*pager = (struct pager){ .vm = vm, .listener = config->pager.listener, .bringer = -1, .memory = config->memory_fd, .size = (uint64_t)st.st_size };
	pager->faults = ioctl(config->pager.device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (pager->faults < 0 || ioctl(pager->faults, UFFDIO_API, &api) < 0) {
		error_set(error, -errno, "faults of its memory cannot be waited for: %s", strerror(errno));
		if (pager->faults >= 0)
			close(pager->faults);
		free(pager);
		return error->code;
	}
	vm->pager = pager;
	return 0;
}

int pager_cover(struct pager *pager, const struct mem_file *place)
{
	struct uffdio_register all = { .range = { .start = (uintptr_t)place->hva, .len = place->len }, .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (pager->count == RANGES)
		return -ENOSPC;
	if (ioctl(pager->faults, UFFDIO_REGISTER, &all) < 0)
		return -errno;
	pager->range[pager->count].hva = (uintptr_t)place->hva;
	pager->range[pager->count].len = place->len;
	pager->range[pager->count++].offset = place->offset;
	return 0;
}

int pager_map(struct pager *pager, struct mem *mem, const struct mem_file *place)
{
	void *map = mmap(place->hva, place->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, place->fd, (off_t)place->offset);
	int err = map == MAP_FAILED ? -errno : mem_note_file(mem, place);

	return err ? err : pager_cover(pager, place);
}

int pager_start(struct pager *pager)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, serve, pager);

	if (!err)
		pthread_detach(thread);
	return -err;
}

bool pager_waits(const struct pager *pager)
{
	return pager && !atomic_load(&pager->over);
}
