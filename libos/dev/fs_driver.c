/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the host (virtio 1.2, section 5.11): hands FUSE messages over and their answers back. What they say is fs/'s matter. */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"

#include <linux/errno.h>

struct fs_link {
	struct fs_link *next;
	const struct lv_device *device;
	struct ring ring;
	void *cookie[RING_MOST];
	struct waitq wait;
	struct fs_request *late, **late_end; /* without a waiter, and without room yet */
	struct poller poller;
	unsigned late_answers, passed; /* one after the other that came too late to look for; waits since then that did not look */
	bool dead; /* the ring is broken, and who waited was told */
};

#define LOOK_NS 100000
#define LATE_MOST 6

static unsigned stays SELDOM_USED; /* who waits keeps the processor */

static struct fs_link *links SELDOM_USED;

static int add(struct fs_link *link, struct fs_request *request)
{
	int err = ring_add(&link->ring, request->buffer, request->buffers, request);
	if (!err)
		ring_kick(&link->ring);
	return err;
}

static void add_late(struct fs_link *link)
{
	while (link->late) {
		struct fs_request *request = link->late, *next = request->next;
		int err = add(link, request);
		if (err == -ENOSPC)
			return;
		link->late = next;
		if (!next)
			link->late_end = &link->late;
		if (err)
			request->finished(request);
	}
}

static bool link_poll(struct poller *poller)
{
	struct fs_link *link = container_of(poller, struct fs_link, poller);
	struct fs_request *request;
	uint32_t written;
	bool any = false;
	while ((request = ring_get_used(&link->ring, &written))) {
		request->written = written;
		request->done = any = true;
		if (request->finished)
			request->finished(request);
	}
	if (any)
		add_late(link);
	if (!link->dead && ring_broken(&link->ring))
		any = link->dead = true;
	if (any)
		wake_all(&link->wait, 0);
	return any;
}

static struct fs_link *link_new(const struct lv_device *device)
{
	struct fs_link *link = kzalloc(sizeof(*link));
	if (!link)
		return NULL;
	link->device = device;
	link->late_end = &link->late;
	ring_init(&link->ring, device, LV_FS_REQUESTS, link->cookie, RING_MOST);
	link->poller.poll = link_poll;
	poller_add(&link->poller);
	link->next = links;
	links = link;
	return link;
}

struct fs_link *fs_link(const char *tag)
{
	size_t len = strlen(tag) + 1;
	for (uint32_t i = 0; i < device_page->device_count && i < LV_MAX_DEVICES; i++) {
		const struct lv_device *device = &device_page->device[i];
		if (device->type == LV_DEV_FS && len <= sizeof(device->config.fs.tag) && !memcmp(device->config.fs.tag, tag, len))
			return link_new(device);
	}
	return NULL;
}

/* As the scheduler waits when nobody can run, but nobody else gets his turn. */
static void stay(struct fs_link *link, uint64_t until)
{
	bool any = false;
	while (!(any = link_poll(&link->poller)) && clock_monotonic() < until)
		__builtin_ia32_pause();
	shared_page->need_wake = 1;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!any && !link_poll(&link->poller)) {
		shared_page->arg[1] = rings_take_bells();
		hypercall(LV_HC_WAIT, 0);
	}
	shared_page->need_wake = 0;
}

/*
 * Until when to look for an answer: leaving to the monitor and coming back may take longer than the answer does. Where it did not come in time the server has no
 * processor, as it seems, and might need ours: looking pauses, each time for longer. 0: now.
 */
static uint64_t look_until(struct fs_link *link, uint64_t now)
{
	if (link->passed++ < (1u << MIN(link->late_answers, LATE_MOST)) - 1)
		return 0;
	link->passed = 0;
	return now + LOOK_NS;
}

/* A request must not be left behind in the ring, so signals do not end the wait, nor that of who is to end: the server answers soon, or with its end. */
static void look_or_wait(struct fs_link *link, uint64_t until)
{
	if (stays) {
		stay(link, until);
		return;
	}
	sched_expect(until);
	wait_deaf(&link->wait);
}

void fs_links_stay(bool on)
{
	stays += on ? 1 : -1u;
}

int fs_link_call(struct fs_link *link, struct fs_request *request)
{
	uint64_t until = look_until(link, clock_monotonic());
	int err;
	request->done = false;
	request->finished = NULL;
	while ((err = add(link, request)) == -ENOSPC)
		look_or_wait(link, until);
	while (!err && !request->done && !ring_broken(&link->ring))
		look_or_wait(link, until);
	sched_expect(0);
	if (until)
		link->late_answers = clock_monotonic() < until ? 0 : link->late_answers + 1;
	return err || !request->done ? -EIO : 0;
}

void fs_link_send(struct fs_link *link, struct fs_request *request)
{
	request->next = NULL;
	int err = link->late ? -ENOSPC : ring_add(&link->ring, request->buffer, request->buffers, request);
	ring_kick_later(&link->ring); /* with the next one, or with WAIT; a program that computes all the time is interrupted for it */
	if (err == -ENOSPC) {
		*link->late_end = request;
		link->late_end = &request->next;
	} else if (err) {
		request->finished(request);
	}
}
