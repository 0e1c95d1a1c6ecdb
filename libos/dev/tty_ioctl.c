/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a terminal by ioctl(2): its mode, its size, whose it is (tty_ioctl(2)). */
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/proc/proc.h"

#include <asm/ioctls.h>

#define OLD_SIZE sizeof(struct termios) /* what is before the speeds of struct termios2 */

void tty_resize(struct tty *tty, const struct winsize_k *size)
{
	if (!memcmp(&tty->size, size, sizeof(*size)))
		return;
	tty->size = *size;
	tty_signal(tty, SIGWINCH);
}

void tty_flush(struct tty *tty, bool input, bool output)
{
	if (input)
		tty_flush_input(tty);
	if (!output)
		return;
	tty->driver->drop(tty);
	if (tty->driver->packet)
		tty->driver->packet(tty, TIOCPKT_FLUSHWRITE);
	wake_all(&tty->waiting, EPOLLOUT | EPOLLWRNORM);
}

/* ---- modes ---- */

static bool has_usual_flow(const struct termios2 *mode)
{
	return (mode->c_iflag & IXON) && mode->c_cc[VSTOP] == 023 && mode->c_cc[VSTART] == 021;
}

static void tell_flow(struct tty *tty, const struct termios2 *old)
{
	bool before = has_usual_flow(old), now = has_usual_flow(&tty->termios);

	if (tty->driver->packet && before != now)
		tty->driver->packet(tty, now ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
	if (tty->driver->packet && ((old->c_lflag | tty->termios.c_lflag) & EXTPROC) && memcmp(old, &tty->termios, sizeof(*old)))
		tty->driver->packet(tty, TIOCPKT_IOCTL);
}

/* A pseudo terminal has eight bits, and no speed that would matter: both are kept as they are told. */
static long set_mode(struct tty *tty, unsigned long from, size_t size, bool flush)
{
	struct termios2 old = tty->termios, new = old;
	int err = tty_check_job(tty, SIGTTOU);

	if (err)
		return err;
	if (user_read(&new, from, size))
		return -EFAULT;
	new.c_cflag = (new.c_cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
	if (flush)
		tty_flush_input(tty);
	tty->termios = new;
	tty_input_mode(tty, &old);
	tell_flow(tty, &old);
	return 0;
}

static long modes(struct tty *tty, unsigned request, unsigned long arg)
{
	switch (request) {
	case TCGETS:
		return user_write(arg, &tty->termios, OLD_SIZE);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_mode(tty, arg, OLD_SIZE, request == TCSETSF);
	case TCGETS2:
		return user_put(arg, tty->termios);
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return set_mode(tty, arg, sizeof(tty->termios), request == TCSETSF2);
	}
	return -ENOTTY;
}

/* ---- flow ---- */

static long flow(struct tty *tty, unsigned long what)
{
	switch (what) {
	case TCOOFF:
	case TCOON:
		tty_flow(tty, what == TCOON);
		return 0;
	case TCIOFF:
	case TCION:
		tty_put(tty, (char)tty->termios.c_cc[what == TCION ? VSTART : VSTOP]);
		tty_put_end(tty);
		return 0;
	}
	return -EINVAL;
}

static long flush(struct tty *tty, unsigned long what)
{
	if (what != TCIFLUSH && what != TCOFLUSH && what != TCIOFLUSH)
		return -EINVAL;
	tty_flush(tty, what != TCOFLUSH, what != TCIFLUSH);
	return 0;
}

/* Not for who is in the background. */
static bool changes_flow(unsigned request)
{
	return request == TCXONC || request == TCFLSH || request == TCSBRK || request == TCSBRKP || request == TIOCSBRK || request == TIOCCBRK;
}

static long flows(struct tty *tty, unsigned request, unsigned long arg)
{
	int value, err = changes_flow(request) ? tty_check_job(tty, SIGTTOU) : 0;

	if (err)
		return err;
	switch (request) {
	case TCXONC:
		return flow(tty, arg);
	case TCFLSH:
		return flush(tty, arg);
	case TCSBRK:
	case TCSBRKP: /* breaks, which nothing here has; and tcdrain(3): what was written is with the other side */
	case TIOCSBRK:
	case TIOCCBRK:
		return 0;
	case TIOCOUTQ:
		value = (int)tty->driver->pending(tty);
		return user_put(arg, value);
	case FIONREAD:
		value = (int)tty_readable(tty);
		return user_put(arg, value);
	}
	return -ENOTTY;
}

/* ---- whose it is ---- */

static long jobs(struct tty *tty, bool of_master, unsigned request, unsigned long arg)
{
	int value;

	switch (request) {
	case TIOCGPGRP:
	case TIOCGSID:
		if (!of_master && (!tty->session || tty->session != current->process->session))
			return -ENOTTY;
		if (request == TIOCGSID && !tty->session)
			return -ENOTTY;
		value = request == TIOCGPGRP ? tty->group : tty->session;
		return user_put(arg, value);
	case TIOCSPGRP:
		return user_get(&value, arg) ? -EFAULT : tty_set_group(tty, value);
	case TIOCSCTTY:
		return of_master ? -EIO : tty_take(tty, arg == 1);
	case TIOCNOTTY:
		return tty_leave(tty);
	case TIOCVHANGUP:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		tty_hangup(tty);
		return 0;
	}
	return -ENOTTY;
}

/* ---- the rest ---- */

static long set_size(struct tty *tty, unsigned long from)
{
	struct winsize_k size;

	if (user_get(&size, from))
		return -EFAULT;
	tty_resize(tty, &size);
	return 0;
}

/* There is one line discipline. */
static long discipline(unsigned request, unsigned long arg)
{
	int value = 0;

	if (request == TIOCGETD)
		return user_put(arg, value);
	return user_get(&value, arg) ? -EFAULT : value ? -EINVAL : 0;
}

static long others(struct tty *tty, unsigned request, unsigned long arg)
{
	int value;

	switch (request) {
	case TIOCGWINSZ:
		return user_put(arg, tty->size);
	case TIOCSWINSZ:
		return set_size(tty, arg);
	case TIOCGETD:
	case TIOCSETD:
		return discipline(request, arg);
	case TIOCEXCL:
	case TIOCNXCL:
		tty->exclusive = request == TIOCEXCL;
		return 0;
	case TIOCGEXCL:
		value = tty->exclusive;
		return user_put(arg, value);
	case TIOCGDEV:
		value = (int)tty->rdev;
		return user_put(arg, value);
	case TIOCSTI: /* who shares a terminal must not type for the others */
		return -EIO;
	}
	return -ENOTTY;
}

long tty_ioctl(struct tty *tty, bool of_master, unsigned request, unsigned long arg)
{
	static long (*const family[])(struct tty *, unsigned, unsigned long) = { modes, flows, others };
	long result = -ENOTTY;

	if (tty->hung && !of_master)
		return request == TIOCSPGRP ? -ENOTTY : -EIO;
	for (unsigned i = 0; i < ARRAY_SIZE(family) && result == -ENOTTY; i++)
		result = family[i](tty, request, arg);
	return result == -ENOTTY ? jobs(tty, of_master, request, arg) : result;
}
