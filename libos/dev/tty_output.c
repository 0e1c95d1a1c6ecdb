/* SPDX-License-Identifier: Apache-2.0 */
/* Output of a terminal: from a program, or as echo, through what OPOST asks for, into the place that the driver gives. */
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#include <asm/ioctls.h>

#define CHUNK 256

static bool has_place(struct tty *tty, size_t want)
{
	if (tty->out && tty->out_room - tty->out_used >= TTY_WIDEST)
		return true;
	tty_put_end(tty);
	tty->out = tty->driver->reserve(tty, want, &tty->out_room);
	return tty->out != NULL;
}

void tty_put_end(struct tty *tty)
{
	if (!tty->out)
		return;
	tty->driver->commit(tty, tty->out_used);
	tty->out = NULL;
	tty->out_used = tty->out_room = 0;
}

/* There is a place for it. */
static void put(struct tty *tty, char c)
{
	tty->out[tty->out_used++] = c;
}

static bool is_continuation(const struct tty *tty, char c)
{
	return (tty->termios.c_iflag & IUTF8) && ((uint8_t)c & 0xc0) == 0x80;
}

static void put_newline(struct tty *tty)
{
	if (tty->termios.c_oflag & (ONLRET | ONLCR))
		tty->column = 0;
	if (tty->termios.c_oflag & ONLCR)
		put(tty, '\r');
	tty->canon_column = tty->column;
	put(tty, '\n');
}

static void put_return(struct tty *tty)
{
	uint32_t mode = tty->termios.c_oflag;

	if ((mode & ONOCR) && !tty->column)
		return;
	if (!(mode & OCRNL) || (mode & ONLRET))
		tty->canon_column = tty->column = 0;
	put(tty, mode & OCRNL ? '\n' : '\r');
}

static void put_tab(struct tty *tty)
{
	uint32_t n = 8 - (tty->column & 7);

	tty->column += n;
	if ((tty->termios.c_oflag & TABDLY) != XTABS) {
		put(tty, '\t');
		return;
	}
	while (n--)
		put(tty, ' ');
}

static void put_processed(struct tty *tty, char c)
{
	if (!(tty->termios.c_oflag & OPOST)) {
		put(tty, c);
		return;
	}
	switch (c) {
	case '\n':
		put_newline(tty);
		return;
	case '\r':
		put_return(tty);
		return;
	case '\t':
		put_tab(tty);
		return;
	case '\b':
		tty->column -= tty->column > 0;
		break;
	default:
		if ((uint8_t)c < ' ' || c == 127)
			break;
		if ((tty->termios.c_oflag & OLCUC) && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		tty->column += !is_continuation(tty, c);
	}
	put(tty, c);
}

void tty_put(struct tty *tty, char c)
{
	if (has_place(tty, TTY_WIDEST))
		put(tty, c);
}

void tty_put_cooked(struct tty *tty, char c)
{
	if (has_place(tty, TTY_WIDEST))
		put_processed(tty, c);
}

void tty_flow(struct tty *tty, bool on)
{
	if (tty->stopped == !on)
		return;
	tty->stopped = !on;
	if (tty->driver->packet)
		tty->driver->packet(tty, on ? TIOCPKT_START : TIOCPKT_STOP);
	if (on)
		wake_all(&tty->waiting, EPOLLOUT | EPOLLWRNORM);
}

static int wait_for_room(struct tty *tty, const struct file *file)
{
	if (file->flags & O_NONBLOCK)
		return -EAGAIN;
	int err = wait_on(&tty->waiting, 0);
	return err == -EINTR ? -ERESTARTSYS : err;
}

/* As much of n as there is room for now; 0: there is none. */
static int64_t write_some(struct tty *tty, uaddr_t from, size_t n)
{
	char chunk[CHUNK];
	size_t done = 0;

	while (done < n && has_place(tty, n - done)) {
		size_t got = buffer_get(chunk, from + done, MIN(n - done, sizeof(chunk))), i;

		if (!got) {
			tty_put_end(tty);
			return done ? (int64_t)done : -EFAULT;
		}
		for (i = 0; i < got && has_place(tty, n - done - i); i++)
			put_processed(tty, chunk[i]);
		done += i;
	}
	tty_put_end(tty);
	return (int64_t)done;
}

int64_t tty_write(struct tty *tty, struct file *file, uaddr_t from, size_t n)
{
	int64_t result = tty->termios.c_lflag & TOSTOP ? tty_check_job(tty, SIGTTOU) : 0;
	size_t done = 0;

	while (!result && done < n) {
		if (tty->hung) {
			result = -EIO;
		} else if (!tty->stopped && (result = write_some(tty, from + done, n - done)) > 0) {
			done += (size_t)result;
			result = 0;
		} else if (!result) {
			result = wait_for_room(tty, file);
		}
	}
	return done ? (int64_t)done : result;
}
