/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libos' network stack needs of the rest of libos, for tests on the host: memory from malloc, one thread that
 * polls while it waits, a clock that tests can move, a small descriptor table.
 */
#include "tests/unit/net_services.h"

#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/net/text_file.h"
#include "libos/net/unix.h"
#include "libos/proc/proc.h"

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void *realloc(void *p, size_t size);
void free(void *p);
void abort(void) __attribute__((noreturn));
int vprintf(const char *format, __builtin_va_list args);
int fflush(void *stream);
int clock_gettime(int clock, struct timespec *time);

struct lv_device_page test_device_page;
struct lv_shared test_shared_page;
static struct thread main_thread;
struct thread *current = &main_thread;
int test_sigpipes;
uint64_t test_clock_offset;

void panic(const char *format, ...)
{
	__builtin_va_list args;
	__builtin_va_start(args, format);
	vprintf(format, args);
	fflush(NULL);
	abort();
}

void *kmalloc(size_t size) { return malloc(size); }
void *kzalloc(size_t size) { return calloc(1, size); }
void kfree(void *p) { free(p); }
void *page_alloc(unsigned order) { return aligned_alloc(4096, 4096u << order); }
void page_free(void *page, unsigned order) { free(page); }

void random_bytes(void *buffer, size_t n)
{
	static uint64_t state = 88172645463325252ull;
	for (uint8_t *p = buffer; n; n--) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		*p++ = state >> 24;
	}
}

uint64_t clock_monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec + test_clock_offset;
}

uint64_t clock_realtime(void)
{
	return clock_monotonic() + 1000000000 * NS_PER_S;
}

/* ---- timers and waiting ---- */

static struct timer *timers;
static struct poller *pollers;

void timer_cancel(struct timer *timer)
{
	for (struct timer **at = &timers; *at; at = &(*at)->next)
		if (*at == timer) {
			*at = timer->next;
			break;
		}
	timer->armed = false;
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	timer_cancel(timer);
	timer->deadline = deadline;
	timer->armed = true;
	timer->next = timers;
	timers = timer;
}

void timers_run(void)
{
	uint64_t now = clock_monotonic();
	for (struct timer *timer = timers, *next; timer; timer = next) {
		next = timer->next;
		if (timer->deadline > now)
			continue;
		timer_cancel(timer);
		timer->fire(timer);
		next = timers;
	}
}

int test_timers_armed(void)
{
	int n = 0;
	for (struct timer *timer = timers; timer; timer = timer->next)
		n++;
	return n;
}

void poller_add(struct poller *poller)
{
	poller->next = pollers;
	pollers = poller;
}

bool pollers_run(void)
{
	bool any = false;
	for (struct poller *poller = pollers; poller; poller = poller->next)
		any |= poller->poll(poller);
	return any;
}

void test_pump(void)
{
	do
		timers_run();
	while (pollers_run());
}

void waitq_add(struct waitq *queue, struct waiter *waiter)
{
	waiter->queue = queue;
	waiter->prev = queue->last;
	waiter->next = NULL;
	*(queue->last ? &queue->last->next : &queue->first) = waiter;
	queue->last = waiter;
}

void waitq_remove(struct waiter *waiter)
{
	struct waitq *queue = waiter->queue;
	if (!queue)
		return;
	*(waiter->prev ? &waiter->prev->next : &queue->first) = waiter->next;
	*(waiter->next ? &waiter->next->prev : &queue->last) = waiter->prev;
	waiter->queue = NULL;
}

int wake_many(struct waitq *queue, int most, uint32_t events)
{
	int woken = 0;
	for (struct waiter *waiter = queue->first, *next; waiter && woken < most; waiter = next) {
		next = waiter->next;
		woken += waiter->wake(waiter, events);
	}
	return woken;
}

static bool on_wake(struct waiter *waiter, uint32_t events)
{
	waitq_remove(waiter);
	return true;
}

/* There is no other thread: what does not come from the pollers within two seconds never comes. */
int wait_on(struct waitq *queue, uint64_t deadline)
{
	struct waiter waiter = {.wake = on_wake};
	uint64_t end = clock_monotonic() + 2 * NS_PER_S;
	waitq_add(queue, &waiter);
	while (waiter.queue) {
		test_pump();
		if (deadline && clock_monotonic() >= deadline)
			break;
		if (clock_monotonic() > end)
			panic("waited for ever\n");
	}
	int result = waiter.queue ? -ETIMEDOUT : 0;
	waitq_remove(&waiter);
	return result;
}

bool signal_pending(void) { return false; }
int process_id(void) { return 42; }
const struct credentials *credentials(void)
{
	static const struct credentials user = { .uid = 1000, .euid = 1000, .suid = 1000, .gid = 100, .egid = 100, .sgid = 100 };

	return &user;
}
bool capable(int capability) { return capability == CAP_NET_RAW; }
uint64_t process_limit(int resource) { return 1024; }
int current_tid(void) { return 42; }
void ledger_listens(uint16_t port) { }
void process_exit_first(void (*hook)(void)) { }

void signal_send(struct thread *thread, int signo, const struct siginfo_k *info)
{
	test_sigpipes++;
}

/* ---- descriptors ---- */

#define FDS 4096
static struct file *files[FDS];

struct file *file_new(const struct file_ops *ops, uint32_t flags, void *private)
{
	struct file *file = kzalloc(sizeof(*file));
	*file = (struct file){.ops = ops, .refs = 1, .flags = flags, .private = private};
	return file;
}

void file_get(struct file *file) { file->refs++; }

void file_put(struct file *file)
{
	if (--file->refs)
		return;
	file->ops->release(file);
	kfree(file);
}

struct file *fd_get(int fd)
{
	return fd >= 0 && fd < FDS ? files[fd] : NULL;
}

int fd_count(void)
{
	return FDS;
}

int fd_install(struct file *file, int lowest, bool cloexec)
{
	for (int fd = lowest; fd < FDS; fd++)
		if (!files[fd]) {
			files[fd] = file;
			return fd;
		}
	file_put(file);
	return -EMFILE;
}

int fd_close(int fd)
{
	struct file *file = fd_get(fd);
	if (!file)
		return -EBADF;
	files[fd] = NULL;
	file_put(file);
	return 0;
}

/* ---- the file tree: one socket ---- */

static struct unix_socket *bound;
static char bound_path[128];

int unix_path_make(const char *path, struct unix_socket *u, struct inode **inode)
{
	if (bound_path[0])
		return -EADDRINUSE;
	snprintf(bound_path, sizeof(bound_path), "%s", path);
	bound = u;
	*inode = (struct inode *)&bound;
	return 0;
}

int unix_path_find(const char *path, struct unix_socket **found)
{
	if (strcmp(path, bound_path))
		return -ENOENT;
	*found = bound;
	return bound ? 0 : -ECONNREFUSED;
}

void unix_path_forget(struct inode *inode)
{
	bound = NULL;
}

void text_file_set(struct text_file *file, const char *text, size_t n)
{
}

/* ---- no device, unless somebody brings one ---- */

#define WEAK __attribute__((weak))

WEAK void ring_init(struct ring *ring, const struct lv_device *device, unsigned queue, void **cookie, unsigned places) { }
WEAK bool ring_broken(const struct ring *ring) { return false; }
WEAK int ring_add(struct ring *ring, const struct ring_buffer *buffers, unsigned count, void *cookie) { return -ENOSPC; }
WEAK void ring_kick(struct ring *ring) { }
WEAK void ring_kick_later(struct ring *ring) { }
WEAK bool ring_has_used(struct ring *ring) { return false; }
WEAK void ring_listen(struct ring *ring, bool on) { }
WEAK void *ring_get_used(struct ring *ring, uint32_t *len) { return NULL; }
void rings_flush(void) { }
uint64_t timers_next(void) { return 0; }
int64_t hypercall(enum lv_hypercall number, uint64_t a0) { return 0; }

void file_urgent(struct file *file)
{
	(void)file;
}
