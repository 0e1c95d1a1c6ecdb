/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: the line discipline that a console and pseudo terminals share (n_tty of Linux), in four files. tty_input.c: what is typed
 * becomes lines, signals and echo, and is read; tty_output.c: what is written, and echoed, on its way out; tty_ioctl.c: what is asked
 * of a terminal; tty_job.c: whose it is. A driver is where output goes and input comes from.
 */
#ifndef LV_LIBOS_TTY_H
#define LV_LIBOS_TTY_H

#include "libos/core/libos.h"

#include <asm/termbits.h> /* struct termios2, ICANON ... */

struct file;
struct tty;

#define TTY_LINE 4096 /* bytes that were typed and not read */

struct tty_input { /* positions count on and on; a byte of position p lies at p % TTY_LINE */
	uint64_t ends[TTY_LINE / 64]; /* the byte ends a line */
	char data[TTY_LINE];
};

struct winsize_k { uint16_t rows, columns, x, y; };

/* No function may wait. */
struct tty_driver {
	/* A place for output: *room bytes of it, at least TTY_WIDEST; NULL: none now, tty->waiting is woken when there is again.
	   want: how much may come. Each one is followed by a commit, before anybody waits. */
	char *(*reserve)(struct tty *tty, size_t want, size_t *room);
	void (*commit)(struct tty *tty, size_t n); /* n bytes were written there; 0: none after all */
	bool (*has_room)(struct tty *tty);
	void (*more)(struct tty *tty); /* there is room for input that was not taken */
	void (*packet)(struct tty *tty, uint8_t events); /* TIOCPKT_...; NULL: nobody wants to know */
	void (*drop)(struct tty *tty); /* output that nobody has had yet goes (TCOFLUSH) */
	size_t (*pending)(struct tty *tty); /* bytes of it (TIOCOUTQ) */
};
#define TTY_WIDEST 8 /* bytes that one byte may become on its way out: a tab */

struct tty {
	struct tty *next; /* all of them; tty_job.c */
	const struct tty_driver *driver;
	void *private;
	uint64_t rdev;
	struct termios2 termios;
	struct winsize_k size;
	int session, group; /* whose controlling terminal it is, 0: nobody's; the foreground group */
	bool stopped;       /* output waits for START */
	bool hung;          /* the other side is gone for good: reads end, writes fail */
	bool exclusive;
	/* input: [tail, head) is there; canonically [tail, canon) can be read, and [canon, head) edited */
	struct tty_input *input; /* NULL: nothing was typed yet */
	uint32_t head, canon, tail;
	bool literal; /* the next one stands for itself */
	bool erasing; /* within \.../ of ECHOPRT */
	bool pushed;  /* the last line was none: ICANON came when its bytes were there */
	/* output */
	uint32_t column, canon_column;
	char *out;
	size_t out_used, out_room;
	struct waitq waiting; /* readers and writers */
};

/* ---- tty_input.c ---- */
void tty_init(struct tty *tty, const struct tty_driver *driver);
void tty_fini(struct tty *tty);
/* What was typed: how many of n bytes were taken. The others come again when the driver is told that there is room. */
size_t tty_receive(struct tty *tty, const char *data, size_t n);
int64_t tty_read(struct tty *tty, struct file *file, uaddr_t to, size_t n);
uint32_t tty_poll(struct tty *tty, struct waitq **queue);
void tty_flush_input(struct tty *tty);
void tty_input_mode(struct tty *tty, const struct termios2 *old); /* the mode is another one than old */
uint32_t tty_readable(const struct tty *tty); /* bytes (FIONREAD) */
static inline bool tty_is(const struct tty *tty, int which, char c) /* V...; 0 is none */
{
	return c && (char)tty->termios.c_cc[which] == c;
}

/* ---- tty_output.c ---- */
int64_t tty_write(struct tty *tty, struct file *file, uaddr_t from, size_t n);
void tty_put(struct tty *tty, char c);      /* as it is; lost where there is no room */
void tty_put_cooked(struct tty *tty, char c); /* as OPOST has it */
void tty_put_end(struct tty *tty);          /* what was put goes */
void tty_flow(struct tty *tty, bool on);    /* START, STOP */

/* ---- tty_ioctl.c ---- */
/* file: through which it is asked; of a pseudo terminal's master, tty is the other end's and any_of true. */
long tty_ioctl(struct tty *tty, bool of_master, unsigned request, unsigned long arg);
void tty_resize(struct tty *tty, const struct winsize_k *size); /* SIGWINCH if it is another one */
void tty_flush(struct tty *tty, bool input, bool output);

/* ---- tty_job.c ---- */
void tty_list_add(struct tty *tty);
void tty_list_remove(struct tty *tty);
/* The controlling terminal of the current process, or NULL. */
struct tty *tty_controlling(void);
/* May a process in the background do this (SIGTTIN: read, SIGTTOU: write or change)? 0, -EIO, or -ERESTARTSYS: its group got the signal. */
int tty_check_job(struct tty *tty, int signo);
void tty_signal(struct tty *tty, int signo); /* to the foreground group */
void tty_opened(struct tty *tty, uint32_t flags); /* by open(2): it may become the controlling one */
long tty_take(struct tty *tty, bool steal); /* TIOCSCTTY: 0 or -EPERM */
long tty_leave(struct tty *tty); /* TIOCNOTTY */
long tty_set_group(struct tty *tty, int group);
void tty_hangup(struct tty *tty); /* SIGHUP for who has it, and nothing works any more */

/* ---- pty.c ---- */
struct inode;
struct inode *pts_root(void); /* /dev/pts; NULL: no memory */
int ptmx_opened(struct file *file);
/* The file becomes an open one of this terminal: 0, or -EBUSY (TIOCEXCL). */
int tty_file_open(struct tty *tty, struct file *file);

#endif
