/* SPDX-License-Identifier: Apache-2.0 */
/* Input of a terminal: bytes become lines that can be edited, signals, echo; and how they are read. */
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define TENTH_NS 100000000ull
#define IS_SET(tty, what, flag) ((tty)->termios.c_##what & (flag))
#define LOCAL(flag) IS_SET(tty, lflag, flag)

void tty_init(struct tty *tty, const struct tty_driver *driver)
{
	tty->driver = driver;
	tty->termios = (struct termios2){
		.c_iflag = ICRNL | IXON, .c_oflag = OPOST | ONLCR, .c_cflag = B38400 | CS8 | CREAD,
		.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.c_cc = { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22 },
		.c_ispeed = 38400, .c_ospeed = 38400,
	};
}

void tty_fini(struct tty *tty)
{
	kfree(tty->input);
	tty->input = NULL;
}

static uint32_t used(const struct tty *tty)
{
	return tty->head - tty->tail;
}

static char at(const struct tty *tty, uint32_t position)
{
	return tty->input->data[position % TTY_LINE];
}

static bool ends_line(const struct tty *tty, uint32_t position)
{
	return tty->input->ends[position % TTY_LINE / 64] >> position % 64 & 1;
}

static void store(struct tty *tty, char c, bool end)
{
	uint64_t *word = &tty->input->ends[tty->head % TTY_LINE / 64], bit = 1ull << tty->head % 64;

	*word = end ? *word | bit : *word & ~bit;
	tty->input->data[tty->head++ % TTY_LINE] = c;
	if (end) {
		tty->canon = tty->head;
		tty->pushed = false;
	}
}

void tty_flush_input(struct tty *tty)
{
	tty->tail = tty->canon = tty->head;
	tty->literal = tty->erasing = tty->pushed = false;
	if (tty->driver->packet)
		tty->driver->packet(tty, 1 /* TIOCPKT_FLUSHREAD */);
	tty->driver->more(tty);
}

/* Lines begin, or end, with ICANON: what was typed by then is one. */
void tty_input_mode(struct tty *tty, const struct termios2 *old)
{
	if ((old->c_lflag ^ tty->termios.c_lflag) & ICANON) {
		tty->canon = tty->tail;
		if (tty->input)
			memset(tty->input->ends, 0, sizeof(tty->input->ends));
		if (LOCAL(ICANON) && used(tty)) {
			uint32_t last = tty->head - 1;

			tty->input->ends[last % TTY_LINE / 64] |= 1ull << last % 64;
			tty->canon = tty->head;
			tty->pushed = true;
		}
		tty->literal = tty->erasing = false;
	}
	if (!IS_SET(tty, iflag, IXON) && (old->c_iflag & IXON))
		tty_flow(tty, true);
	wake_all(&tty->waiting, EPOLLIN | EPOLLOUT);
}

/* ---- echo ---- */

static bool is_control(char c)
{
	return (uint8_t)c < ' ' || c == 127;
}

static bool is_continuation(const struct tty *tty, char c)
{
	return IS_SET(tty, iflag, IUTF8) && ((uint8_t)c & 0xc0) == 0x80;
}

static void echo_char(struct tty *tty, char c)
{
	if (LOCAL(ECHOCTL) && is_control(c) && c != '\t') {
		tty_put(tty, '^');
		tty_put(tty, c ^ 0100);
		tty->column += 2;
	} else {
		tty_put_cooked(tty, c);
	}
}

static void finish_erasing(struct tty *tty)
{
	if (!tty->erasing)
		return;
	tty_put_cooked(tty, '/');
	tty->erasing = false;
}

static void echo_typed(struct tty *tty, char c)
{
	finish_erasing(tty);
	if (c == '\n') {
		tty_put_cooked(tty, '\n');
		return;
	}
	if (tty->canon == tty->head)
		tty->canon_column = tty->column;
	echo_char(tty, c);
}

/* ---- editing ---- */

static void rub_out(struct tty *tty)
{
	tty_put(tty, '\b');
	tty_put(tty, ' ');
	tty_put(tty, '\b');
	tty->column -= tty->column > 0;
}

/* A tab went as far as what is before it, back to the tab before or to where the line began, lets it. */
static void rub_out_tab(struct tty *tty)
{
	uint32_t n = 0, position = tty->head;
	bool after_tab = false;

	while (position != tty->canon && !after_tab) {
		char c = at(tty, --position);

		if (c == '\t')
			after_tab = true;
		else if (is_control(c))
			n += LOCAL(ECHOCTL) ? 2 : 0;
		else
			n += !is_continuation(tty, c);
	}
	if (!after_tab)
		n += tty->canon_column;
	for (n = 8 - (n & 7); n; n--) {
		tty_put(tty, '\b');
		tty->column -= tty->column > 0;
	}
}

/* The character from head on is gone from the line: size bytes, of which c is the first. */
static void echo_erased(struct tty *tty, char c, uint32_t size, bool by_erase)
{
	if (LOCAL(ECHOPRT)) {
		if (!tty->erasing)
			tty_put_cooked(tty, '\\');
		tty->erasing = true;
		echo_char(tty, c);
		for (uint32_t i = 1; i < size; i++)
			tty_put(tty, at(tty, tty->head + i));
	} else if (by_erase && !LOCAL(ECHOE)) {
		echo_char(tty, (char)tty->termios.c_cc[VERASE]);
	} else if (c == '\t') {
		rub_out_tab(tty);
	} else {
		if (is_control(c) && LOCAL(ECHOCTL))
			rub_out(tty);
		if (!is_control(c) || LOCAL(ECHOCTL))
			rub_out(tty);
	}
}

static bool in_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void kill_silently(struct tty *tty)
{
	tty->head = tty->canon;
	if (!LOCAL(ECHO))
		return;
	finish_erasing(tty);
	echo_char(tty, (char)tty->termios.c_cc[VKILL]);
	if (LOCAL(ECHOK))
		tty_put_cooked(tty, '\n');
}

static void erase(struct tty *tty, int which)
{
	bool seen = false;

	if (tty->head == tty->canon)
		return;
	if (which == VKILL && (!LOCAL(ECHO) || !LOCAL(ECHOK) || !LOCAL(ECHOKE) || !LOCAL(ECHOE))) {
		kill_silently(tty);
		return;
	}
	while (tty->head != tty->canon) {
		uint32_t start = tty->head;
		char c;

		do
			c = at(tty, --start);
		while (is_continuation(tty, c) && start != tty->canon);
		if (is_continuation(tty, c))
			break;
		if (which == VWERASE && !in_word(c) && seen)
			break;
		seen |= in_word(c);
		uint32_t size = tty->head - start;

		tty->head = start;
		if (LOCAL(ECHO))
			echo_erased(tty, c, size, which == VERASE);
		if (which == VERASE)
			break;
	}
	if (tty->head == tty->canon && LOCAL(ECHO))
		finish_erasing(tty);
}

static void reprint(struct tty *tty)
{
	finish_erasing(tty);
	echo_char(tty, (char)tty->termios.c_cc[VREPRINT]);
	tty_put_cooked(tty, '\n');
	for (uint32_t position = tty->canon; position != tty->head; position++)
		echo_char(tty, at(tty, position));
}

/* ---- what a byte is ---- */

static int signal_of(const struct tty *tty, char c)
{
	if (!LOCAL(ISIG))
		return 0;
	return tty_is(tty, VINTR, c) ? SIGINT : tty_is(tty, VQUIT, c) ? SIGQUIT : tty_is(tty, VSUSP, c) ? SIGTSTP : 0;
}

static void raise_signal(struct tty *tty, int signo, char c)
{
	if (!LOCAL(NOFLSH))
		tty_flush(tty, true, true);
	tty_signal(tty, signo);
	if (IS_SET(tty, iflag, IXON))
		tty_flow(tty, true);
	if (LOCAL(ECHO))
		echo_char(tty, c);
}

/* True: it was one of those that have an effect whoever reads. */
static bool is_outside_line(struct tty *tty, char c)
{
	int signo = signal_of(tty, c);

	if (IS_SET(tty, iflag, IXON) && (tty_is(tty, VSTART, c) || tty_is(tty, VSTOP, c))) {
		tty_flow(tty, tty_is(tty, VSTART, c));
		return true;
	}
	if (signo)
		raise_signal(tty, signo, c);
	return signo != 0;
}

/* Canonical mode: true if it was one of the keys that edit the line. */
static bool edits(struct tty *tty, char c)
{
	bool extended = LOCAL(IEXTEN);
	int which = tty_is(tty, VERASE, c) ? VERASE : tty_is(tty, VKILL, c) ? VKILL : extended && tty_is(tty, VWERASE, c) ? VWERASE : -1;

	if (which >= 0) {
		erase(tty, which);
		return true;
	}
	if (extended && tty_is(tty, VLNEXT, c)) {
		tty->literal = true;
		if (LOCAL(ECHO)) {
			finish_erasing(tty);
			if (LOCAL(ECHOCTL)) {
				tty_put(tty, '^');
				tty_put(tty, '\b');
			}
		}
		return true;
	}
	if (extended && LOCAL(ECHO) && tty_is(tty, VREPRINT, c)) {
		reprint(tty);
		return true;
	}
	return false;
}

/* The last place is for the end of a line that is too long. */
static bool is_full(const struct tty *tty)
{
	return used(tty) >= TTY_LINE - 1;
}

/* Canonical mode: true if it ends the line. */
static bool ends(struct tty *tty, char c)
{
	if (c == '\n') {
		if (LOCAL(ECHO) || LOCAL(ECHONL))
			echo_typed(tty, '\n');
		store(tty, '\n', true);
	} else if (tty_is(tty, VEOF, c)) {
		store(tty, 0, true);
	} else if (tty_is(tty, VEOL, c) || (tty_is(tty, VEOL2, c) && LOCAL(IEXTEN))) {
		if (LOCAL(ECHO))
			echo_typed(tty, c);
		store(tty, c, true);
	} else {
		return false;
	}
	return true;
}

static void add(struct tty *tty, char c)
{
	bool canonical = LOCAL(ICANON);

	if (is_full(tty)) {
		if (IS_SET(tty, iflag, IMAXBEL))
			tty_put_cooked(tty, '\a');
		return;
	}
	if (LOCAL(ECHO))
		echo_typed(tty, c);
	if (c == (char)0xff && IS_SET(tty, iflag, PARMRK) && used(tty) + 2 < TTY_LINE)
		store(tty, c, false);
	store(tty, c, false);
	if (!canonical)
		tty->canon = tty->head;
}

static void type(struct tty *tty, char c)
{
	if (c == '\r' && IS_SET(tty, iflag, IGNCR))
		return;
	if (c == '\r' && IS_SET(tty, iflag, ICRNL))
		c = '\n';
	else if (c == '\n' && IS_SET(tty, iflag, INLCR))
		c = '\r';
	if (IS_SET(tty, iflag, IUCLC) && LOCAL(IEXTEN) && c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	if (!LOCAL(ICANON) || (!edits(tty, c) && !ends(tty, c)))
		add(tty, c);
}

/* Whole lines wait, or bytes of a raw terminal: more of them come later. A line that nobody can end yet takes its end at least. */
static bool waits_for_reader(const struct tty *tty)
{
	return used(tty) >= TTY_LINE - 1 && (!LOCAL(ICANON) || tty->canon != tty->tail);
}

static bool receive_one(struct tty *tty, char c)
{
	if (IS_SET(tty, iflag, ISTRIP))
		c &= 0x7f;
	if (tty->literal && !waits_for_reader(tty)) {
		tty->literal = false;
		add(tty, c);
		return true;
	}
	if (is_outside_line(tty, c))
		return true;
	if (waits_for_reader(tty))
		return false;
	if (tty->stopped && IS_SET(tty, iflag, IXON) && IS_SET(tty, iflag, IXANY))
		tty_flow(tty, true);
	type(tty, c);
	return true;
}

size_t tty_receive(struct tty *tty, const char *data, size_t n)
{
	uint32_t head = tty->head, canon = tty->canon;
	size_t done = 0;

	if (!tty->input && !(tty->input = kzalloc(sizeof(*tty->input))))
		return 0;
	while (done < n && receive_one(tty, data[done]))
		done++;
	tty_put_end(tty);
	if (LOCAL(ICANON) ? canon != tty->canon : head != tty->head)
		wake_all(&tty->waiting, EPOLLIN | EPOLLRDNORM);
	return done;
}

/* ---- reading ---- */

uint32_t tty_readable(const struct tty *tty)
{
	uint32_t n = 0;

	if (!LOCAL(ICANON))
		return used(tty);
	for (uint32_t position = tty->tail; position != tty->canon; position++)
		n += !(ends_line(tty, position) && !at(tty, position));
	return n;
}

static bool can_read(const struct tty *tty)
{
	return LOCAL(ICANON) ? tty->canon != tty->tail : used(tty) > 0;
}

/* An end of file that has nothing before it in the line. */
static bool is_end_of_file(const struct tty *tty)
{
	return ends_line(tty, tty->tail) && !at(tty, tty->tail) && !tty->pushed;
}

/* One line, or as much of it as there is room for: bytes, or -EFAULT. */
static int64_t take_line(struct tty *tty, uaddr_t to, size_t n)
{
	size_t done = 0;
	bool end = false;

	while (!end && done < n && tty->tail != tty->canon) {
		uint32_t start = tty->tail % TTY_LINE, len = 0, most = (uint32_t)MIN(MIN(n - done, TTY_LINE - start), tty->canon - tty->tail);

		while (len < most && !end)
			end = ends_line(tty, tty->tail + len++);
		bool eof = end && !at(tty, tty->tail + len - 1) && !tty->pushed;
		size_t moved = buffer_put(to + done, tty->input->data + start, len - eof);

		tty->tail += (uint32_t)moved;
		done += moved;
		if (moved < len - eof)
			return done ? (int64_t)done : -EFAULT;
		tty->tail += eof;
	}
	/* A line that filled the buffer and was ended by EOF has been read. */
	if (!end && done && tty->tail != tty->canon && is_end_of_file(tty))
		tty->tail++;
	return (int64_t)done;
}

static int64_t take_bytes(struct tty *tty, uaddr_t to, size_t n)
{
	size_t done = 0;

	while (done < n && used(tty)) {
		uint32_t start = tty->tail % TTY_LINE;
		size_t len = MIN(MIN(n - done, TTY_LINE - start), used(tty)), moved = buffer_put(to + done, tty->input->data + start, len);

		tty->tail += (uint32_t)moved;
		done += moved;
		if (moved < len)
			return done ? (int64_t)done : -EFAULT;
	}
	if ((int32_t)(tty->canon - tty->tail) < 0)
		tty->canon = tty->tail;
	return (int64_t)done;
}

/* VMIN and VTIME: how long and how much a read waits for. */
struct patience {
	uint64_t deadline; /* 0: none */
	uint64_t between;  /* ns after each byte; 0: for ever */
	size_t least;
	bool none;         /* nobody waits */
};

static struct patience patience_of(const struct tty *tty)
{
	uint64_t ns = tty->termios.c_cc[VTIME] * TENTH_NS;
	size_t least = tty->termios.c_cc[VMIN];

	if (LOCAL(ICANON))
		return (struct patience){ .least = 1 };
	if (least)
		return (struct patience){ .least = least, .between = ns };
	return (struct patience){ .least = 1, .none = !ns, .deadline = ns ? clock_monotonic() + ns : 0 };
}

/* Nothing to read now. 0: look again; 1: what there was is all. */
static int wait_for_input(struct tty *tty, const struct file *file, const struct patience *patience)
{
	if (tty->hung || patience->none)
		return 1;
	if (file->flags & O_NONBLOCK)
		return -EAGAIN;
	int err = wait_on(&tty->waiting, patience->deadline);
	return err == -ETIMEDOUT ? 1 : err == -EINTR ? -ERESTARTSYS : err;
}

int64_t tty_read(struct tty *tty, struct file *file, uaddr_t to, size_t n)
{
	int64_t result = tty_check_job(tty, SIGTTIN);
	struct patience patience = patience_of(tty);
	size_t done = 0;

	while (!result && done < n) {
		if (!can_read(tty)) {
			result = wait_for_input(tty, file, &patience);
			if (!result) /* somebody else may be in the foreground by now */
				result = tty_check_job(tty, SIGTTIN);
			continue;
		}
		bool canonical = LOCAL(ICANON);
		int64_t took = canonical ? take_line(tty, to + done, n - done) : take_bytes(tty, to + done, n - done);

		if (took < 0)
			result = took;
		else
			done += (size_t)took;
		if (canonical || done >= patience.least)
			break;
		if (patience.between)
			patience.deadline = clock_monotonic() + patience.between;
	}
	tty->driver->more(tty);
	return done ? (int64_t)done : result > 0 ? 0 : result;
}

uint32_t tty_poll(struct tty *tty, struct waitq **queue)
{
	uint32_t least = tty->termios.c_cc[VTIME] || !tty->termios.c_cc[VMIN] ? 1 : tty->termios.c_cc[VMIN], events = 0;

	*queue = &tty->waiting;
	if (tty->hung)
		return EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLHUP | EPOLLERR;
	if (LOCAL(ICANON) ? tty->canon != tty->tail : used(tty) >= least)
		events |= EPOLLIN | EPOLLRDNORM;
	if (!tty->stopped && tty->driver->has_room(tty))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}
