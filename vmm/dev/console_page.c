/* SPDX-License-Identifier: Apache-2.0 */
/* The console of library-OS guests: stdin, stdout and stderr of the program are a queue each. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/dev/console_kind.h"

static bool is_terminal(const struct streams *console)
{
	return ((const struct console *)console)->terminal;
}

/* The guest learns it from its device page at the next write. */
static void output_died(struct streams *console, struct output *output)
{
	struct lv_device *entry = console->device.entry;

	if (entry)
		__atomic_store_n(&entry->config.console.stream[output->queue], LV_STREAM_BROKEN | (is_terminal(console) ? LV_STREAM_TTY | LV_STREAM_RAW : 0), __ATOMIC_RELAXED);
}

/* What is typed may be Ctrl-C, and a window that has changed is a signal, too: no program computes too busily for them. */
static void interrupt(struct streams *console)
{
	struct devices *set = console->device.set;

	if (!is_terminal(console) || !set->shared || !set->interrupt)
		return;
	set->shared->resched = 1;
	set->interrupt(set->wake_context);
}

/* A buffer that comes back empty is the end of file. A terminal has none: somebody may attach to it. */
static void push_end(struct streams *console)
{
	struct chain *chain = &console->device.set->chain;

	if (is_terminal(console) || !device_pop(&console->device, LV_CONSOLE_STDIN, chain))
		return;
	device_push(&console->device, LV_CONSOLE_STDIN, chain->head, 0);
	device_publish(&console->device, LV_CONSOLE_STDIN);
}

static void resize(struct streams *console, uint16_t rows, uint16_t columns)
{
	struct lv_device *entry = console->device.entry;

	if (!entry)
		return;
	__atomic_store_n(&entry->config.console.rows, rows, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->config.console.columns, columns, __ATOMIC_RELAXED);
	interrupt(console);
}

/* True: wants a doorbell for the next buffer, as there is none now. */
static bool input_process(struct streams *console)
{
	const struct queue *queue = &console->device.queue[LV_CONSOLE_STDIN];

	for (unsigned n = 0; !is_terminal(console) && streams_input_ended(console) && n < STREAM_IN_SIZE && queue_ready(queue); n++)
		push_end(console);
	return !streams_watch_input(console, queue_ready(queue));
}

static bool process(struct streams *console, unsigned queue)
{
	struct output *output = streams_find_output(console, queue);

	return output ? streams_output(console, output) : input_process(console);
}

static const struct stream_ops stream_ops = { output_died, push_end, resize, process, interrupt };

void console_page_init(struct console *shell, const struct device_config *config)
{
	struct streams *console = &shell->streams;

	shell->terminal = config->console.terminal;
	device_add_queue(&console->device, STREAM_IN_SIZE, 0);
	device_add_queue(&console->device, STREAM_OUT_SIZE, 1);
	device_add_queue(&console->device, STREAM_OUT_SIZE, 2);
	streams_init(console, &stream_ops, LV_CONSOLE_STDIN, config->console.in, config->console.own & CONSOLE_IN, config->console.log);
	streams_add_output(console, LV_CONSOLE_STDOUT, config->console.out, config->console.own & CONSOLE_OUT);
	streams_add_output(console, LV_CONSOLE_STDERR, config->console.err, config->console.own & CONSOLE_ERR);
}

/* ---- what the device page says of it ---- */

static uint32_t stream_flags(const struct streams *console, int fd, bool output)
{
	if (fd < 0)
		return output && console->log.fd >= 0 ? 0 : LV_STREAM_CLOSED;
	struct stat st;
	if (!output && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return LV_STREAM_FILE;
	return isatty(fd) ? LV_STREAM_TTY : 0;
}

/* True if both descriptors lead to the same file, so that the order of writes to them can be seen by its reader. */
static bool same_file(int a, int b)
{
	struct stat sa, sb;

	if (a < 0 || b < 0)
		return a < 0 && b < 0;
	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

void console_page_describe(struct console *shell, struct lv_device *entry)
{
	struct streams *console = &shell->streams;
	struct lv_console_config *config = &entry->config.console;
	int out = console->output[0].outlet.sink.fd;
	int err = console->output[1].outlet.sink.fd;
	struct winsize size;

	config->stream[0] = stream_flags(console, console->input.source.fd, false);
	config->stream[1] = stream_flags(console, out, true);
	config->stream[2] = stream_flags(console, err, true);
	if (shell->terminal)
		config->stream[0] = config->stream[1] = config->stream[2] = LV_STREAM_TTY | LV_STREAM_RAW;
	else if (!(config->stream[2] & LV_STREAM_CLOSED) && same_file(out, err))
		config->stream[2] |= LV_STREAM_SAME;
	if ((config->stream[1] & LV_STREAM_TTY) && out >= 0 && ioctl(out, TIOCGWINSZ, &size) == 0) {
		config->rows = size.ws_row;
		config->columns = size.ws_col;
	}
}
