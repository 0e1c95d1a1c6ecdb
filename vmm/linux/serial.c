/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/linux/serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/state/stream.h"

#define LOG_WAIT 50000000ull /* ns */
#define PANIC "Kernel panic - not syncing"

static bool divisor_latch(const struct serial *serial)
{
	return serial->line_control & UART_LCR_DLAB;
}

static bool may_receive(const struct serial *serial)
{
	return serial->in_count < SERIAL_IN;
}

static void watch(struct serial *serial)
{
	if (serial->in_source.fd >= 0)
		loop_update(serial->loop, &serial->in_watch, may_receive(serial) ? EPOLLIN : 0);
	if (serial->sink.fd >= 0)
		loop_update(serial->loop, &serial->out_watch, serial->out_count ? EPOLLOUT : 0);
}

/* What the interrupt identification register says: the highest pending reason. */
static uint8_t pending(const struct serial *serial)
{
	if (serial->interrupt_enable & UART_IER_RDI && serial->in_count)
		return UART_IIR_RDI;
	if (serial->interrupt_enable & UART_IER_THRI && serial->transmit_empty_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void interrupt(struct serial *serial)
{
	if (pending(serial) != UART_IIR_NO_INT && write(serial->irq_fd, &(uint64_t){1}, 8) < 0)
		return; /* the counter is full: the interrupt comes anyway */
}

/* ---- output ---- */

static void flush(struct serial *serial)
{
	unsigned done = 0;
	while (done < serial->out_count && serial->sink.fd >= 0) {
		ssize_t n = sink_write(&serial->sink, serial->out + done, serial->out_count - done);
		if (n == -EAGAIN)
			break;
		if (n < 0 && n != -EINTR) {
			loop_update(serial->loop, &serial->out_watch, 0);
			sink_close(&serial->sink); /* the reader has gone */
		}
		done += n > 0 ? n : 0;
	}
	if (serial->sink.fd < 0)
		done = serial->out_count;
	memmove(serial->out, serial->out + done, serial->out_count - done);
	serial->out_count -= done;
}

/* A line at a time, and half a line (a prompt) after a moment: a write for each character would be slow for everybody. */
static void log_line(struct serial *serial)
{
	if (serial->line_count)
		serial->log(serial->context, serial->line, serial->line_count);
	serial->line_count = 0;
}

static void log_late(void *context)
{
	struct serial *serial = context;
	serial->log_due = false;
	log_line(serial);
}

static void log_byte(struct serial *serial, char c)
{
	if (!serial->log)
		return;
	serial->line[serial->line_count++] = c;
	if (c == '\n' || serial->line_count == SERIAL_LINE) {
		log_line(serial);
	} else if (!serial->log_due) {
		serial->log_due = true;
		loop_timer_set(serial->loop, &serial->log_timer, clock_now() + LOG_WAIT);
	}
}

static void look_for_panic(struct serial *serial, char c)
{
	serial->matched = c == PANIC[serial->matched] ? serial->matched + 1 : c == PANIC[0];
	if (serial->matched < sizeof(PANIC) - 1)
		return;
	serial->matched = 0;
	if (serial->panicked)
		serial->panicked(serial->context);
}

static void transmit(struct serial *serial, uint8_t c)
{
	log_byte(serial, c);
	look_for_panic(serial, c);
	if (serial->out_count < SERIAL_OUT)
		serial->out[serial->out_count++] = c;
	/* Lines go out as lines: a system call for each character would be slow for everybody. */
	if (c == '\n' || serial->out_count == SERIAL_OUT || serial->modem_control & UART_MCR_LOOP || serial->sink.kind != SINK_FILE)
		flush(serial);
	serial->transmit_empty_pending = true;
	watch(serial);
	interrupt(serial);
}

static void out_ready(void *context, uint32_t events)
{
	struct serial *serial = context;
	flush(serial);
	watch(serial);
	interrupt(serial);
}

bool serial_drain(struct serial *serial)
{
	flush(serial);
	log_line(serial);
	return !serial->out_count;
}

/* ---- input ---- */

static void in_ready(void *context, uint32_t events)
{
	struct serial *serial = context;
	struct iovec room = { serial->in + serial->in_count, SERIAL_IN - serial->in_count };
	ssize_t n = source_read(&serial->in_source, &room, 1);
	if (n > 0)
		serial->in_count += n;
	if (n == 0 || (n < 0 && n != -EAGAIN)) {
		loop_update(serial->loop, &serial->in_watch, 0);
		source_close(&serial->in_source); /* a serial line has no end of file: it is silent from now on */
	}
	watch(serial);
	interrupt(serial);
}

static uint8_t receive(struct serial *serial)
{
	uint8_t c = serial->in[0];
	if (!serial->in_count)
		return 0;
	memmove(serial->in, serial->in + 1, --serial->in_count);
	watch(serial);
	return c;
}

/* ---- registers ---- */

void serial_write(struct serial *serial, unsigned reg, uint8_t value)
{
	if (divisor_latch(serial) && reg <= UART_DLM) {
		serial->divisor[reg] = value;
		return;
	}
	switch (reg) {
	case UART_TX:
		transmit(serial, value);
		return;
	case UART_IER:
		/* Enabled with an empty transmitter, the interrupt comes at once: drivers probe for that. */
		if (value & UART_IER_THRI && !(serial->interrupt_enable & UART_IER_THRI))
			serial->transmit_empty_pending = true;
		serial->interrupt_enable = value & 0xf;
		interrupt(serial);
		return;
	case UART_FCR:
		serial->fifo = value & UART_FCR_ENABLE_FIFO;
		if (value & UART_FCR_CLEAR_RCVR)
			serial->in_count = 0;
		watch(serial); /* there is room again */
		return;
	case UART_LCR:
		serial->line_control = value;
		return;
	case UART_MCR:
		serial->modem_control = value & 0x1f;
		return;
	case UART_SCR:
		serial->scratch = value;
	}
}

static uint8_t line_status(const struct serial *serial)
{
	uint8_t room = serial->out_count < SERIAL_OUT ? UART_LSR_THRE | UART_LSR_TEMT : 0;
	return room | (serial->in_count ? UART_LSR_DR : 0);
}

static uint8_t modem_status(const struct serial *serial)
{
	uint8_t mcr = serial->modem_control;
	if (!(mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) | (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static uint8_t identify(struct serial *serial)
{
	uint8_t reason = pending(serial);
	if (reason == UART_IIR_THRI) /* reading it answers this interrupt */
		serial->transmit_empty_pending = false;
	return reason | (serial->fifo ? 0xc0 : 0);
}

uint8_t serial_read(struct serial *serial, unsigned reg)
{
	if (divisor_latch(serial) && reg <= UART_DLM)
		return serial->divisor[reg];
	switch (reg) {
	case UART_RX:
		return receive(serial);
	case UART_IER:
		return serial->interrupt_enable;
	case UART_IIR:
		return identify(serial);
	case UART_LCR:
		return serial->line_control;
	case UART_MCR:
		return serial->modem_control;
	case UART_LSR:
		return line_status(serial);
	case UART_MSR:
		return modem_status(serial);
	}
	return serial->scratch;
}

void serial_init(struct serial *serial, struct loop *loop, int in_fd, int out_fd, int irq_fd)
{
	*serial = (struct serial){.loop = loop, .irq_fd = irq_fd};
	source_open(&serial->in_source, in_fd);
	sink_open(&serial->sink, out_fd);
	serial->in_watch = (struct loop_watch){.fd = serial->in_source.fd, .ready = in_ready, .context = serial};
	serial->log_timer = (struct loop_timer){.fire = log_late, .context = serial};
	serial->out_watch = (struct loop_watch){.fd = serial->sink.fd, .ready = out_ready, .context = serial};
}

int serial_start(struct serial *serial)
{
	return serial->in_source.fd < 0 ? 0 : loop_update(serial->loop, &serial->in_watch, EPOLLIN);
}

/* ---- its state ---- */

void serial_save(const struct serial *serial, struct stream *stream)
{
	stream_put8(stream, serial->interrupt_enable);
	stream_put8(stream, serial->line_control);
	stream_put8(stream, serial->modem_control);
	stream_put8(stream, serial->scratch);
	stream_put(stream, serial->divisor, sizeof(serial->divisor));
	stream_put8(stream, serial->fifo);
	stream_put8(stream, serial->transmit_empty_pending);
	stream_put32(stream, serial->out_count);
	stream_put(stream, serial->out, serial->out_count);
	stream_put32(stream, serial->in_count);
	stream_put(stream, serial->in, serial->in_count);
	stream_put32(stream, serial->line_count);
	stream_put(stream, serial->line, serial->line_count);
}

static uint32_t get_bytes(struct stream *stream, void *bytes, uint32_t most)
{
	uint32_t count = stream_get32(stream);
	if (count > most)
		return stream_refuse(stream), 0;
	stream_get(stream, bytes, count);
	return count;
}

void serial_read_saved(struct serial_state *state, struct stream *stream)
{
	state->interrupt_enable = stream_get8(stream) & 0xf;
	state->line_control = stream_get8(stream);
	state->modem_control = stream_get8(stream) & 0x1f;
	state->scratch = stream_get8(stream);
	stream_get(stream, state->divisor, sizeof(state->divisor));
	state->fifo = stream_get_bool(stream);
	state->transmit_empty_pending = stream_get_bool(stream);
	state->out_count = get_bytes(stream, state->out, SERIAL_OUT);
	state->in_count = get_bytes(stream, state->in, SERIAL_IN);
	state->line_count = get_bytes(stream, state->line, SERIAL_LINE - 1); /* a full one has gone to the log */
}

void serial_load(struct serial *serial, const struct serial_state *state)
{
	serial->interrupt_enable = state->interrupt_enable;
	serial->line_control = state->line_control;
	serial->modem_control = state->modem_control;
	serial->scratch = state->scratch;
	memcpy(serial->divisor, state->divisor, sizeof(serial->divisor));
	serial->fifo = state->fifo;
	serial->transmit_empty_pending = state->transmit_empty_pending;
	memcpy(serial->out, state->out, serial->out_count = state->out_count);
	memcpy(serial->in, state->in, serial->in_count = state->in_count);
	memcpy(serial->line, state->line, serial->line_count = state->line_count);
}

void serial_fini(struct serial *serial)
{
	loop_timer_set(serial->loop, &serial->log_timer, 0);
	loop_update(serial->loop, &serial->in_watch, 0);
	loop_update(serial->loop, &serial->out_watch, 0);
	source_close(&serial->in_source);
	sink_close(&serial->sink);
}
