/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions of a kernel were called, and by whom first: what a kernel of the configuration "trace" tells at its end (tinyx/kernel/recorder.c). Text:
 *
 *	lightvm-evidence 1 lost 0
 *	program ffffffff80345670 tcp_sendmsg 44 nginx
 *	program net/ipv4/tcp.o tcp_sendmsg 44 nginx
 *	end
 *
 * A phase, where the function is (its address, or the object file that it was compiled into), its name, the number of the system call (-1: none), the name of the process.
 * What stands before the last line like the first is the program's output, and not looked at, nor is what comes after the end. Evidence without its end is not whole.
 */
#ifndef LV_TINYX_EVIDENCE_H
#define LV_TINYX_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/specialise/link_map.h"

#define EVIDENCE_FILE_MAX (64u << 20)

enum evidence_phase { EVIDENCE_BOOT, EVIDENCE_PROGRAM, EVIDENCE_OTHER };

struct evidence_call {
	enum evidence_phase phase;
	uint64_t address;   /* 0: only the object is known */
	const char *object; /* "net/ipv4/tcp.o"; NULL: only the address is known */
	const char *function, *comm;
	int call;
};

struct evidence { /* zero-initialised: none */
	char *text;
	struct evidence_call *call;
	size_t count;
	uint64_t lost; /* calls of functions for which there was no room */
};

/*
 * text, of size bytes and a zero byte behind them, is owned from now on, also on failure. -EINVAL or another negative errno with a message that names the file, and the
 * line where there is one. Free in any case.
 */
int evidence_parse(struct evidence *evidence, const char *file, char *text, size_t size, struct error *error);
void evidence_free(struct evidence *evidence);
/*
 * Finds the objects of addresses; they live as long as map does. -ENOENT with a message: addresses are of none, or the functions that are said to be
 * there are elsewhere, so that the evidence is another kernel's. Of what is no compiled file's (trampolines, the vDSO) the object stays NULL if most others are found.
 */
int evidence_resolve(struct evidence *evidence, const char *file, const struct link_map *map, struct error *error);
/* The text again, with objects where they are known: its first line, the others, and the last. */
void evidence_print_heading(uint64_t lost, struct text *out);
void evidence_print_calls(const struct evidence *evidence, struct text *out);
void evidence_print_end(struct text *out);

#endif
