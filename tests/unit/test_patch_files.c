/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every SYSCALL and CPUID of the C libraries, the dynamic linkers, Go's runtime and the base system: what libos would put in their place (libos/mm/patch_plan.c),
 * against objdump.
 */
#include "libos/mm/mm.h"
#include "libos/mm/patch.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { OTHER, ENDS, FILLS, CALLS, LOADS, ASKS };

struct listing { /* of one file, by address */
	struct line { uint64_t at; uint8_t what; } *line;
	uint64_t *target; /* of direct jumps and calls */
	size_t lines, targets;
	char *data;       /* the file itself */
	size_t size;
};

static uint8_t what_is(const char *text)
{
	const char *prefixes[] = { "cs ", "data16 ", "repz ", "rep ", "bnd ", "notrack " };

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
		while (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			text += strlen(prefixes[i]), i = 0;
	if (strncmp(text, "syscall", 7) == 0)
		return CALLS;
	if (strncmp(text, "cpuid", 5) == 0)
		return ASKS;
	if (strncmp(text, "nop", 3) == 0 || strncmp(text, "int3", 4) == 0 || strncmp(text, "xchg   %ax,%ax", 14) == 0)
		return FILLS;
	if (strncmp(text, "mov    $", 8) == 0 && (strstr(text, ",%eax") || strstr(text, ",%rax")))
		return LOADS;
	if (strncmp(text, "ret", 3) == 0 || strncmp(text, "jmp", 3) == 0 || strncmp(text, "ud2", 3) == 0 || strncmp(text, "hlt", 3) == 0)
		return ENDS;
	return OTHER;
}

/* "  401000:\tmnemonic operands": what is no such line is left out. */
static void read_line(struct listing *listing, const char *text)
{
	char *end;
	uint64_t at = strtoull(text, &end, 16), to;

	if (end == text || end[0] != ':' || end[1] != '\t')
		return;
	text = end + 2;
	if (listing->lines % 65536 == 0) {
		listing->line = realloc(listing->line, (listing->lines + 65536) * sizeof(*listing->line));
		listing->target = realloc(listing->target, (listing->lines + 65536) * sizeof(*listing->target));
	}
	listing->line[listing->lines++] = (struct line){ .at = at, .what = what_is(text) };
	while (*text && *text != ' ')
		text++;
	to = strtoull(text, &end, 16);
	if (end != text && (*end == ' ' || *end == '\n'))
		listing->target[listing->targets++] = to;
}

static bool list(struct listing *listing, const char *path)
{
	char command[600], text[512];
	FILE *file = fopen(path, "r"), *dump;

	if (!file)
		return false;
	fseek(file, 0, SEEK_END);
	listing->size = ftell(file);
	rewind(file);
	listing->data = malloc(listing->size);
	assert_int_equal(fread(listing->data, 1, listing->size, file), listing->size);
	fclose(file);
	snprintf(command, sizeof(command), "objdump -d -w --no-show-raw-insn %s 2>/dev/null", path);
	dump = popen(command, "r");
	assert_non_null(dump);
	while (fgets(text, sizeof(text), dump))
		read_line(listing, text);
	return pclose(dump) == 0 && listing->lines;
}

static void unlist(struct listing *listing)
{
	free(listing->line);
	free(listing->target);
	free(listing->data);
}

/* The file's bytes from an address on, and how many. */
static const uint8_t *bytes_at(const struct listing *listing, uint64_t at, size_t *n)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)listing->data;
	const Elf64_Phdr *segment = (const Elf64_Phdr *)(listing->data + header->e_phoff);

	for (int i = 0; i < header->e_phnum; i++)
		if (segment[i].p_type == PT_LOAD && at >= segment[i].p_vaddr && at < segment[i].p_vaddr + segment[i].p_filesz) {
			*n = segment[i].p_vaddr + segment[i].p_filesz - at;
			return (const uint8_t *)listing->data + segment[i].p_offset + (at - segment[i].p_vaddr);
		}
	fail_msg("no segment holds %lx", at);
	return NULL;
}

/* From the call at this line on, both see instructions begin at the same places. */
static void check_lengths(const struct listing *listing, size_t line, const uint8_t *text, size_t n)
{
	uint64_t rip = listing->line[line].at + 2, at = rip;

	for (size_t i = line + 1; i < listing->lines && at <= rip + PATCH_REACH && listing->line[i].at == at; i++) {
		enum insn_kind kind;
		unsigned size = patch_insn(text + (at - rip), n - (at - rip), &kind);
		uint8_t what = listing->line[i].what;

		if (size == 0)
			return;
		at += size;
		if (i + 1 < listing->lines && listing->line[i + 1].at != at && listing->line[i + 1].at < at + 16)
			fail_msg("at %lx: %u bytes, objdump goes on at %lx", at - size, size, listing->line[i + 1].at);
		if (kind != (what == FILLS ? INSN_PADDING : what == ENDS ? INSN_END : INSN_OTHER))
			fail_msg("at %lx: kind %d, by objdump %d", at - size, kind, what);
	}
}

/* The padding found is what objdump calls so, behind what ends; nothing jumps there. */
static void check_padding(const struct listing *listing, size_t line, uint64_t begin, unsigned size)
{
	size_t i = line;

	while (listing->line[i].at < begin)
		i++;
	assert_int_equal(listing->line[i].at, begin);
	assert_int_equal(listing->line[i - 1].what, ENDS);
	for (; listing->line[i].at < begin + size; i++)
		assert_int_equal(listing->line[i].what, FILLS);
	for (size_t t = 0; t < listing->targets; t++)
		if (listing->target[t] >= begin && listing->target[t] < begin + size)
			fail_msg("a jump leads to the padding at %lx", begin);
}

/* What would be displaced is, by objdump, one instruction that loads the number; nothing jumps to the middle of it. */
static bool check_number(const struct listing *listing, size_t line)
{
	uint64_t at = listing->line[line].at, begin;
	size_t n, before = 48;
	const uint8_t *text;
	uint32_t nr;
	unsigned displaced;

	if (line < before)
		return false;
	text = bytes_at(listing, at - before, &n);
	memcpy(&nr, text + before - 4, 4);
	displaced = patch_number(text, before, nr);
	if (!displaced)
		return false;
	begin = listing->line[line - 1].at;
	assert_int_equal(listing->line[line - 1].what, LOADS);
	assert_true(at - begin == displaced || (displaced == 6 && at - begin == 7));
	for (size_t t = 0; t < listing->targets; t++)
		if (listing->target[t] > begin && listing->target[t] < at)
			fail_msg("a jump leads to the middle of what loads a number, %lx", begin);
	return true;
}

/* What is written, read by objdump: a jump to the trampoline, which sets RCX and jumps through its page's first bytes. */
static void check_written(uint64_t rip, const uint8_t following[3])
{
	char path[] = "/tmp/test_patch.XXXXXX", command[256], text[256], want[4][64];
	uint8_t code[32] = { 0xe9, 0x05, following[0], following[1], following[2] };
	uint64_t page = 0x7000000000, va = page + 0x123;
	int file = mkstemp(path), found = 0;
	FILE *dump;

	patch_trampoline(code + 5, va, rip, PATCH_ENTRY_SYSCALL);
	assert_true(file >= 0 && write(file, code, sizeof(code)) == sizeof(code) && close(file) == 0);
	snprintf(want[0], sizeof(want[0]), "jmp    0x%lx", patch_pun(rip, following, 0x05));
	snprintf(want[1], sizeof(want[1]), "movabs $0x%lx,%%rcx", rip);
	snprintf(want[2], sizeof(want[2]), "# 0x%lx", page);
	for (int part = 0; part < 2; part++) {
		snprintf(command, sizeof(command), "objdump -D -w -b binary -m i386:x86-64 --adjust-vma=0x%lx --start-address=0x%lx --stop-address=0x%lx %s",
			 part ? va - 5 : rip - 2, part ? va : rip - 2, part ? va + PATCH_TRAMPOLINE : rip + 3, path);
		dump = popen(command, "r");
		assert_non_null(dump);
		while (fgets(text, sizeof(text), dump))
			for (int i = 0; i < 3; i++)
				found += strstr(text, want[i]) ? 1 << i : 0;
		pclose(dump);
	}
	unlink(path);
	assert_int_equal(found, 7);
}

/* ---- which way is open ---- */

struct place { /* where the loader puts a file (libos/proc/exec.c), and what of the program's is around it */
	uint64_t bias, low, high; /* of the file */
	uint64_t heap;            /* where that begins; 0: it is no program */
};
#define STACK_END (LV_STACK_TOP - (1ull << 20)) /* small files lie above it, large ones below the room under the stack */
#define STACK (STACK_END - STACK_SIZE)
#define HEAP (64ull << 20)
#define JUMP_ROOM (24ull << 20) /* before that of a static program */
#define LIBRARIES (8ull << 20) /* other ones between the stack and this one */
#define IMAGE_SIZE (256ull << 20)

static struct place place_of(const struct listing *listing, const char *path)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)listing->data;
	const Elf64_Phdr *segment = (const Elf64_Phdr *)(listing->data + header->e_phoff);
	struct place place = { .low = UINT64_MAX };
	bool program = header->e_type == ET_EXEC, names_linker = false;
	uint64_t size;

	for (int i = 0; i < header->e_phnum; i++) {
		names_linker |= segment[i].p_type == PT_INTERP;
		if (segment[i].p_type != PT_LOAD)
			continue;
		place.low = MIN(place.low, ALIGN_DOWN(segment[i].p_vaddr, 4096));
		place.high = MAX(place.high, ALIGN_UP(segment[i].p_vaddr + segment[i].p_memsz, 4096));
	}
	size = place.high - place.low;
	program |= names_linker && !strstr(path, ".so");
	/* What begins by itself, and is no program, is a dynamic linker. */
	if (header->e_type != ET_EXEC)
		place.bias = (program ? SPACE_PIE : (header->e_entry && !names_linker ? LV_STACK_TOP : STACK - LIBRARIES) - size) - place.low;
	place.low += place.bias;
	place.high += place.bias;
	if (program)
		place.heap = place.high + (names_linker ? 0 : JUMP_ROOM);
	return place;
}

#define LOWEST 0x10000

static bool place_is_free(const struct place *place, uint64_t va)
{
	if (va % 4096 < PATCH_TRAMPOLINE || va % 4096 + PATCH_TRAMPOLINE > 4096 || va < LOWEST || va >= 0x7ffffffff000)
		return false;
	if (va >= LV_STACK_TOP)
		return va < LV_BASE - IMAGE_SIZE || va >= LV_WINDOW_END;
	return !(va + 4096 > place->low && va < place->high) && !(place->heap && va + 4096 > place->heap && va < place->heap + HEAP) &&
	       va < STACK - LIBRARIES;
}

static bool pun_is_open(const struct place *place, uint64_t rip, const uint8_t following[3])
{
	for (unsigned second = 0; second < 256; second++)
		if (place_is_free(place, patch_pun(rip, following, second)))
			return true;
	return false;
}

static bool short_is_open(const struct place *place, uint64_t from, unsigned size, const uint8_t *text)
{
	uint8_t distance[4];
	int32_t value;

	memcpy(distance, text + 1, 4);
	for (unsigned choice = 0; choice < 256; choice++) {
		distance[size - 2] = choice;
		memcpy(&value, distance, 4);
		if (place_is_free(place, from + PATCH_JUMP + value))
			return true;
	}
	return false;
}

static bool begins(const struct listing *listing, uint64_t at)
{
	size_t low = 0, high = listing->lines;

	while (low < high)
		if (listing->line[(low + high) / 2].at < at)
			low = (low + high) / 2 + 1;
		else
			high = (low + high) / 2;
	return low < listing->lines && listing->line[low].at == at;
}

/* What would be displaced before a CPUID begins with an instruction, by objdump, and nothing jumps into the five bytes that change. */
static bool check_cpuid(const struct listing *listing, uint64_t at)
{
	size_t n, before = at % 4096;
	unsigned displaced = patch_before_cpuid(bytes_at(listing, at - before, &n), before);

	if (!displaced)
		return false;
	assert_true(begins(listing, at - displaced));
	for (size_t t = 0; t < listing->targets; t++)
		if (listing->target[t] > at - displaced && listing->target[t] < at - displaced + PATCH_JUMP)
			fail_msg("a jump leads to the middle of what stands before the CPUID at %lx", at);
	return true;
}

struct ways { /* how many sites go which way: the first that is open */
	unsigned sites, padding, pun, long_pun, number, none;
	unsigned cpuids, displaced;
};

static void check_file(const char *path, struct ways *all)
{
	struct ways ways = { 0 };
	struct place place;

	struct listing listing = { 0 };

	if (!list(&listing, path)) {
		print_message("%s: not here, or objdump cannot read it\n", path);
		unlist(&listing);
		return;
	}
	place = place_of(&listing, path);
	for (size_t i = 0; i < listing.lines; i++) {
		struct padding padding;
		bool number;
		size_t n;
		const uint8_t *text;

		if (listing.line[i].what == ASKS && listing.line[i].at % 4096) {
			ways.cpuids++;
			ways.displaced += check_cpuid(&listing, listing.line[i].at);
		}
		if (listing.line[i].what != CALLS)
			continue;
		text = bytes_at(&listing, listing.line[i].at + 2, &n);
		check_lengths(&listing, i, text, n);
		padding = patch_padding(text, MIN(n, PATCH_WINDOW));
		if (padding.size)
			check_padding(&listing, i, listing.line[i].at + 2 + padding.at, padding.size);
		if (ways.sites++ % 97 == 0 && n >= 3)
			check_written(listing.line[i].at + 2 + 0x2fc0000000, text);
		number = check_number(&listing, i);
		if (padding.size >= PATCH_JUMP || (padding.size && short_is_open(&place, listing.line[i].at + 2 + place.bias + padding.at, padding.size, text + padding.at)))
			ways.padding++;
		else if (n >= 3 && pun_is_open(&place, listing.line[i].at + 2 + place.bias, text))
			ways.pun++;
		else if (n >= 4 && place_is_free(&place, patch_long_pun(listing.line[i].at + 2 + place.bias, text)))
			ways.long_pun++;
		else if (number)
			ways.number++;
		else
			print_message("%s: no way open for the call at %lx\n", path, listing.line[i].at), ways.none++;
	}
	if (ways.sites)
		print_message("%s: %u system calls: %u by padding, %u and %u by the three and four bytes that follow, %u by the number, %u left\n", path, ways.sites,
			      ways.padding, ways.pun, ways.long_pun, ways.number, ways.none);
	if (ways.cpuids)
		print_message("%s: %u of %u CPUIDs by what stands before them\n", path, ways.displaced, ways.cpuids);
	all->cpuids += ways.cpuids;
	all->displaced += ways.displaced;
	all->sites += ways.sites;
	all->none += ways.none;
	if (!strstr(path, ".so"))
		assert_int_equal(ways.none, 0);
	/* Debian 12: one of 526 in libc.so.6 (its place would reach over the end of a page), two of 499 in musl's (fcntl and pthread_barrier_wait, where they ask again). */
	assert_in_range(ways.none, 0, ways.sites / 200);
	unlist(&listing);
}

/*
 * The libraries of the base system, and what else has system calls of its own; those without the two bytes are no use. Go's are those
 * of its runtime, the same in every program; gofmt has a fifth of what go has else.
 */
#define FILES                                                                                                                    \
	"{ dpkg-query -W -f '${Essential} ${Priority} ${Package}\n' | awk '$1 == \"yes\" || $2 == \"required\" { print $NF }' |"         \
	" xargs dpkg -L; dpkg -L libc6 musl; echo /lib/ld-musl-x86_64.so.1; go env GOROOT | sed 's,$,/bin/gofmt,'; } 2>/dev/null |" \
	" xargs -d '\n' realpath -eq | sort -u | grep -E '[.]so$|[.]so[.]|/gofmt$' | LC_ALL=C xargs -d '\n' grep -laP '\x0f\x05'"

static void test_against_objdump(void **state)
{
	struct ways all = { 0 };
	unsigned files = 0;
	char path[512];
	FILE *list = popen(FILES, "r");

	if (system("objdump --version >/dev/null 2>&1") != 0) {
		print_message("no objdump here\n");
		pclose(list);
		skip();
	}
	assert_non_null(list);
	while (fgets(path, sizeof(path), list)) {
		path[strcspn(path, "\n")] = 0;
		check_file(path, &all);
		files++;
	}
	pclose(list);
	print_message("%u system calls in %u files\n", all.sites, files);
	assert_true(all.sites > 500);
	assert_true(all.displaced > all.cpuids / 2);
}

/* With names: what becomes of the calls in those files. */
int main(int argc, char **argv)
{
	struct ways all = { 0 };

	for (int i = 1; i < argc; i++)
		check_file(argv[i], &all);
	if (argc > 1)
		return 0;

	const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_objdump) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
