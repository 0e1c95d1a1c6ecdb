/* SPDX-License-Identifier: Apache-2.0 */
#include "node/crash_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/shown.h"
#include "node/call_report.h"
#include "node/symbols.h"

#define TAIL_LINES 5
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { REG_RSP = 7, REG_RIP = 16 };

static const char *vector_name(uint64_t vector)
{
	static const char *const names[] = { "division error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid instruction",
		"no coprocessor", "double fault", "", "bad TSS", "segment missing", "stack segment", "general protection", "page fault", "",
		"x87 error", "misaligned access", "machine check", "SIMD error" };
	return vector < COUNT(names) ? names[vector] : "unknown vector";
}

static void put_what(const struct lv_crash *crash, struct text *out)
{
	char message[sizeof(crash->message) + 1] = "";
	memcpy(message, crash->message, sizeof(crash->message));
	message[text_shown(message, message, strlen(message), 0, NULL)] = 0;
	if (crash->kind == LV_CRASH_LIBOS)
		text_format(out, "lightvm: the library OS found itself broken: %s\n", message[0] ? message : "no message");
	else
		text_format(out, "lightvm: the program died of %s%s%s\n", signal_name((int)crash->signal), message[0] ? ": " : "", message);
	if (crash->kind == LV_CRASH_LIBOS && !crash->vector)
		return;
	text_format(out, "what:   %s (vector %" PRIu64 ", error 0x%" PRIx64 ")", vector_name(crash->vector), crash->vector, crash->error);
	if (crash->vector == 14)
		text_format(out, ": %s address 0x%" PRIx64 ", which is %s", crash->error & 16 ? "executing" : crash->error & 2 ? "writing to" : "reading",
			    crash->cr2, crash->error & 1 ? "protected against that" : "not mapped");
	text_put(out, "\n");
}

static void put_registers(const struct lv_crash *crash, struct text *out)
{
	static const char *const names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
		"r14", "r15", "rip", "rflags" };
	text_put(out, "registers:\n");
	for (size_t i = 0; i < COUNT(names); i++)
		text_format(out, "  %6s 0x%016" PRIx64 "%s", names[i], crash->reg[i], i % 3 == 2 ? "\n" : "");
}

static void put_tail(const struct lv_report *report, struct text *out)
{
	size_t size = report->tail_size < sizeof(report->tail) ? report->tail_size : sizeof(report->tail);
	while (size && report->tail[size - 1] == '\n')
		size--;
	if (!size)
		return;
	size_t start = size;
	for (int lines = 0; start; start--)
		if (report->tail[start - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	text_put(out, "last output:\n  ");
	for (size_t i = start; i < size; i++) {
		text_add(out, &report->tail[i], 1);
		if (report->tail[i] == '\n')
			text_put(out, "  ");
	}
	text_put(out, "\n");
}

/* "  0x401136  main+0x16 (/bin/x)". A return address belongs to the call before it: looked up one byte earlier. */
static void put_address(const struct symbols *symbols, uint64_t address, bool is_return, struct text *out)
{
	text_format(out, "0x%016" PRIx64 "  ", address);
	symbols_put(symbols, address - is_return, out);
	text_put(out, "\n");
}

void crash_report(const struct lv_status *status, const struct lv_report *report, const char *image, struct text *out)
{
	const struct lv_crash *crash = &report->what.crash;
	struct symbols symbols;
	size_t start = out->size;
	symbols_open(&symbols, status, crash->map, crash->maps, image);
	put_what(crash, out);
	text_put(out, "where:  ");
	put_address(&symbols, crash->reg[REG_RIP], false, out);
	if (crash->frames)
		text_put(out, "stack:  return addresses, innermost first\n");
	for (uint32_t i = 0; i < crash->frames && i < COUNT(crash->stack); i++) {
		text_put(out, "        ");
		put_address(&symbols, crash->stack[i], true, out);
	}
	put_registers(crash, out);
	call_report_put(&report->calls, &symbols, out);
	put_tail(report, out);
	symbols_close(&symbols);
	/* Messages, paths, symbols and output are the guest's. */
	shown_from(out, start, SHOWN_LINES);
}
