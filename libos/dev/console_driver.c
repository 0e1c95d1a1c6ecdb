/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input, output and error: the console device's three queues as three files, or as one terminal (tty.h). */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#define FLUSH_DELAY_NS 2000000 /* a doorbell may be put off by this much while the program computes */
#define CONSOLE_ENTRIES 32 /* of each queue, at most */
#define RX_ORDER 2
#define RX_SIZE (4096u << RX_ORDER)
#define TX_MOST 65536          /* bytes in one buffer */

struct stream {
	struct ring ring;
	struct waitq waiting;
	struct file *file;
	uint32_t flags; /* LV_STREAM_* */
	/* stdin */
	char *page; /* posted to the device, or holding [from, to) that was received */
	uint32_t from, to;
	bool posted, ended;
	bool dead; /* the ring is broken, and who waited was told */
};

struct tx_header { /* in front of the bytes of a buffer that is on its way out */
	uint32_t order;
};

static struct stream stream[3];
static void *cookies[3][CONSOLE_ENTRIES];
static const struct lv_device *device;
static struct timer flush_timer;
static struct tty terminal SELDOM_USED;
static bool is_terminal; /* "run -t": the streams are this one */

static void on_flush(struct timer *timer)
{
	rings_flush();
}

static void kick_soon(struct stream *out)
{
	ring_kick_later(&out->ring);
	if (!flush_timer.armed) {
		flush_timer.fire = on_flush;
		timer_set(&flush_timer, clock_monotonic() + FLUSH_DELAY_NS);
	}
}

static bool reclaim(struct stream *out)
{
	struct tx_header *buffer;
	bool any = false;
	while ((buffer = ring_get_used(&out->ring, NULL))) {
		page_free(buffer, buffer->order);
		any = true;
	}
	return any;
}

static bool receive(struct stream *in)
{
	uint32_t len;
	if (!in->posted || !ring_get_used(&in->ring, &len))
		return false;
	in->posted = false;
	in->from = 0;
	in->to = MIN(len, RX_SIZE);
	in->ended = len == 0;
	return true;
}

static void post(struct stream *in)
{
	if (in->posted || in->ended || in->from < in->to || (in->flags & LV_STREAM_CLOSED))
		return;
	unsigned order = is_terminal ? 0 : RX_ORDER; /* nobody types as fast as a pipe brings */
	if (!in->page && !(in->page = page_alloc(order)))
		return;
	struct ring_buffer buffer = { .data = in->page, .len = 4096u << order, .device_writes = true };
	if (ring_add(&in->ring, &buffer, 1, in) == 0) {
		in->posted = true;
		ring_kick_later(&in->ring);
	}
}

/* ---- the terminal's driver ---- */

static struct tx_header *reserved; /* between reserve and commit */

static void feed(struct tty *tty)
{
	static bool feeding; /* it tells us itself that it has room */
	struct stream *in = &stream[0];

	if (feeding)
		return;
	feeding = true;
	while (in->from < in->to) {
		size_t took = tty_receive(tty, in->page + in->from, in->to - in->from);
		in->from += (uint32_t)took;
		if (!took)
			break;
	}
	feeding = false;
	post(in);
}

static unsigned tx_order(size_t n);

static char *terminal_reserve(struct tty *tty, size_t want, size_t *room)
{
	struct stream *out = &stream[1];
	unsigned order = tx_order(want);

	reclaim(out);
	if (!out->ring.free_count) {
		ring_kick(&out->ring);
		return NULL;
	}
	reserved = page_alloc(order);
	if (!reserved)
		reserved = page_alloc_last(), order = 0;
	if (!reserved)
		return NULL;
	reserved->order = order;
	*room = (4096u << order) - sizeof(*reserved);
	return (char *)(reserved + 1);
}

static void terminal_commit(struct tty *tty, size_t n)
{
	struct stream *out = &stream[1];
	struct ring_buffer buffer = { .data = reserved + 1, .len = (uint32_t)n };

	if (!n || ring_add(&out->ring, &buffer, 1, reserved) < 0)
		page_free(reserved, reserved->order);
	else if (out->ring.free_count < out->ring.size / 2)
		ring_kick(&out->ring);
	else
		kick_soon(out);
}

static bool terminal_has_room(struct tty *tty)
{
	return stream[1].ring.free_count;
}

static void nothing_to_drop(struct tty *tty) /* what was written is with the host */
{
}

static size_t nothing_pending(struct tty *tty)
{
	return 0;
}

static const struct tty_driver terminal_driver = { .reserve = terminal_reserve, .commit = terminal_commit, .has_room = terminal_has_room,
	.more = feed, .drop = nothing_to_drop, .pending = nothing_pending };

static void look_at_size(void)
{
	const volatile struct lv_console_config *config = &device->config.console;
	const struct winsize_k size = { config->rows, config->columns, 0, 0 };
	static struct winsize_k seen; /* the program may have set another one */

	if (!memcmp(&size, &seen, sizeof(size)))
		return;
	seen = size;
	tty_resize(&terminal, &size);
}

static bool terminal_poll(void)
{
	bool any = false;

	look_at_size();
	if (receive(&stream[0])) {
		feed(&terminal);
		any = true;
	}
	if (reclaim(&stream[1])) {
		wake_all(&terminal.waiting, EPOLLOUT | EPOLLWRNORM);
		any = true;
	}
	if (ring_broken(&stream[0].ring) || ring_broken(&stream[1].ring) || (*(const volatile uint32_t *)&device->config.console.stream[1] & LV_STREAM_BROKEN))
		tty_hangup(&terminal);
	return any;
}

/* ---- the streams ---- */

/* Whoever waits for a ring that broke is to find that out. */
static bool announce_death(struct stream *s)
{
	if (s->dead || !ring_broken(&s->ring))
		return false;
	s->dead = true;
	wake_all(&s->waiting, EPOLLERR);
	return true;
}

static bool console_poll(struct poller *poller)
{
	bool any = false;
	if (is_terminal)
		return terminal_poll();
	for (int i = 0; i < 3; i++)
		any |= announce_death(&stream[i]);
	if (stream[0].file && receive(&stream[0])) {
		wake_all(&stream[0].waiting, EPOLLIN);
		any = true;
	}
	for (int i = 1; i < 3; i++) {
		if (stream[i].file && reclaim(&stream[i])) {
			wake_all(&stream[i].waiting, EPOLLOUT);
			any = true;
		}
	}
	return any;
}

/* Waits until something is there: 0, 1 at the end of the input, or a negative errno. */
static int stdin_fill(struct file *file, struct stream *in, bool some_was_read)
{
	while (in->from == in->to) {
		if (in->ended || (in->flags & LV_STREAM_CLOSED))
			return 1;
		post(in);
		if (receive(in))
			continue;
		if (ring_broken(&in->ring))
			return some_was_read ? 1 : -EIO;
		/* What was read is enough, unless this is a file: its reads are only short at its end. */
		if (some_was_read && !(in->flags & LV_STREAM_FILE))
			return 1;
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(&in->waiting, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 0;
}

static int64_t stdin_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct stream *in = file->private;
	size_t done = 0;
	while (done < n) {
		int result = stdin_fill(file, in, done > 0);
		if (result)
			return done || result > 0 ? (int64_t)done : result;
		size_t take = MIN(n - done, in->to - in->from);
		size_t moved = buffer_put(to + done, in->page + in->from, take);
		in->from += moved;
		done += moved;
		if (moved < take)
			return done ? (int64_t)done : -EFAULT;
	}
	post(in); /* the next bytes may come while the program works on these */
	return done;
}

/* How much of n goes into one buffer, and the order of the pages that takes. */
static unsigned tx_order(size_t n)
{
	unsigned order = 0;
	while ((4096ull << order) < MIN(n, TX_MOST) + sizeof(struct tx_header) && order < 4)
		order++;
	return order;
}

static int64_t send_some(struct stream *out, uaddr_t from, size_t n)
{
	unsigned order = tx_order(n);
	struct tx_header *header = page_alloc(order);
	if (!header)
		header = page_alloc_last(), order = 0;
	if (!header)
		return -ENOMEM;
	size_t take = MIN(n, (4096u << order) - sizeof(*header));
	header->order = order;
	take = buffer_get(header + 1, from, take);
	struct ring_buffer buffer = { .data = header + 1, .len = take };
	int err = take ? ring_add(&out->ring, &buffer, 1, header) : -EFAULT;
	if (err < 0) {
		page_free(header, order);
		return err;
	}
	return take;
}

static int wait_for_room(struct file *file, struct stream *out)
{
	while (out->ring.free_count == 0) {
		if (ring_broken(&out->ring))
			return -EIO;
		ring_kick(&out->ring);
		if (reclaim(out))
			return 0;
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		int err = wait_on(&out->waiting, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 0;
}

/* The host's reader has gone, as the monitor found out at an earlier write. */
static int64_t broken_pipe(const struct stream *out)
{
	const volatile uint32_t *flags = &device->config.console.stream[out - stream];
	struct siginfo_k info = { .code = SI_USER };
	if (!(*flags & LV_STREAM_BROKEN))
		return 0;
	signal_send(current, SIGPIPE, &info);
	return -EPIPE;
}

static int64_t output_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct stream *out = file->private;
	size_t done = 0;
	if (out->flags & LV_STREAM_CLOSED)
		return n;
	reclaim(out);
	while (done < n) {
		int64_t result = wait_for_room(file, out);
		if (result == 0)
			result = broken_pipe(out);
		if (result == 0)
			result = send_some(out, from + done, n - done);
		if (result < 0)
			return done ? (int64_t)done : result;
		done += result;
	}
	if (out->ring.free_count < out->ring.size / 2)
		ring_kick(&out->ring);
	else
		kick_soon(out);
	return done;
}

static uint32_t stdin_poll(struct file *file, struct waitq **queue)
{
	struct stream *in = file->private;
	post(in);
	receive(in);
	*queue = &in->waiting;
	if (in->from < in->to)
		return EPOLLIN | EPOLLRDNORM;
	if (ring_broken(&in->ring))
		return EPOLLIN | EPOLLRDNORM | EPOLLERR;
	return in->ended || (in->flags & LV_STREAM_CLOSED) ? EPOLLIN | EPOLLRDNORM | EPOLLHUP : 0;
}

static uint32_t output_poll(struct file *file, struct waitq **queue)
{
	struct stream *out = file->private;
	*queue = &out->waiting;
	reclaim(out);
	if (ring_broken(&out->ring))
		return EPOLLOUT | EPOLLWRNORM | EPOLLERR;
	return out->ring.free_count || (out->flags & LV_STREAM_CLOSED) ? EPOLLOUT | EPOLLWRNORM : 0;
}

/* The real terminal keeps its own line discipline on the host; the program is told of an ordinary one. */
static const struct termios ordinary = {
	.c_iflag = ICRNL | IXON, .c_oflag = OPOST | ONLCR, .c_cflag = B38400 | CS8 | CREAD,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN,
	.c_cc = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22 },
};

static long console_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct stream *s = file->private;
	if (request == FIONREAD && s == &stream[0]) {
		int waiting = s->to - s->from;
		return user_put(arg, waiting);
	}
	if (!(s->flags & LV_STREAM_TTY))
		return -ENOTTY;
	const struct winsize_k size = { device->config.console.rows, device->config.console.columns, 0, 0 };
	const int pid = process_id();
	switch (request) {
	case TCGETS:
		return user_put(arg, ordinary);
	case TCSETS: case TCSETSW: case TCSETSF: case TCSBRK: case TCFLSH: case TIOCSPGRP: case TIOCSCTTY:
		return 0;
	case TIOCGWINSZ:
		return user_put(arg, size);
	case TIOCGPGRP:
		return user_put(arg, pid);
	}
	return -ENOTTY;
}

static int console_stat(struct file *file, struct stat *st)
{
	const struct stream *s = file->private;
	memset(st, 0, sizeof(*st));
	st->st_mode = (s->flags & LV_STREAM_TTY ? S_IFCHR | 0620 : S_IFIFO | 0600);
	st->st_rdev = s->flags & LV_STREAM_TTY ? 0x8800 : 0;
	st->st_ino = s - stream + 3;
	st->st_dev = 0x16;
	st->st_nlink = 1;
	st->st_blksize = 4096;
	return 0;
}

static const struct file_ops stdin_ops = {
	.kind = "console", .read = stdin_read, .poll = stdin_poll, .ioctl = console_ioctl, .stat = console_stat,
};
static const struct file_ops output_ops = {
	.kind = "console", .write = output_write, .poll = output_poll, .ioctl = console_ioctl, .stat = console_stat,
};

void console_note(const char *text)
{
	if (is_terminal)
		tty_write(&terminal, stream[2].file, (uaddr_t)text, strlen(text));
	else if (stream[2].file)
		output_write(stream[2].file, (uaddr_t)text, strlen(text), NULL);
}

struct file *console_file(int number)
{
	return stream[number].file;
}

struct tty *console_terminal(void)
{
	return is_terminal ? &terminal : NULL;
}

bool console_is_outer_terminal(void)
{
	return stream[0].file && ((stream[0].flags | stream[1].flags) & LV_STREAM_TTY);
}

static struct poller poller = { .poll = console_poll };

/* Where stderr and stdout are one file on the host, one queue keeps the order of the program's writes. */
static void take_flags(void)
{
	for (int i = 0; i < 3; i++) {
		stream[i].flags = device->config.console.stream[i];
		stream[i].file->private = stream[i].flags & LV_STREAM_SAME ? &stream[1] : &stream[i];
	}
}

/* Its streams lead somewhere else, and begin there. What has come in and was not read is of the VM that a clone was made of. */
static void become_another(void)
{
	struct stream *in = &stream[0];

	take_flags();
	in->ended = false;
	if (device_page->restored & LV_RESTORED_CLONE && !in->posted)
		in->from = in->to = 0;
	wake_all(&in->waiting, EPOLLIN);
}

/* The program's own, as whoever opens a session gives it to a shell. */
static void terminal_start(void)
{
	tty_init(&terminal, &terminal_driver);
	terminal.termios.c_iflag |= IUTF8;
	terminal.rdev = LINUX_DEV(5, 1);
	tty_list_add(&terminal);
	look_at_size();
	terminal.session = current->process->session;
	terminal.group = current->process->group;
	post(&stream[0]); /* keys that raise signals do so without a reader */
}

static void install(int i)
{
	static struct file *shared; /* of a terminal, three descriptors of one open file */

	if (is_terminal && !shared && file_open_flags("/dev/console", O_RDWR, &shared))
		panic("no memory for the terminal");
	struct file *file = is_terminal ? shared : stream[i].file;
	if (is_terminal ? i : 1)
		file_get(file); /* the console keeps a reference of its own to its streams, for notes and /dev/tty */
	fd_install(file, i, false);
}

void console_init(void)
{
	static struct generation_hook generation = { .changed = become_another };

	for (uint32_t i = 0; i < device_page->device_count && !device; i++)
		if (device_page->device[i].type == LV_DEV_CONSOLE)
			device = &device_page->device[i];
	if (!device)
		return; /* the program starts without open descriptors */
	for (int i = 0; i < 3; i++) {
		ring_init(&stream[i].ring, device, i, cookies[i], CONSOLE_ENTRIES);
		stream[i].file = file_new(i ? &output_ops : &stdin_ops, i ? O_WRONLY : O_RDONLY, NULL);
		if (!stream[i].file)
			panic("no memory for the console");
	}
	take_flags();
	is_terminal = stream[1].flags & LV_STREAM_RAW;
	if (is_terminal)
		terminal_start();
	for (int i = 0; i < 3; i++)
		install(i);
	generation_add(&generation);
	poller_add(&poller);
}
