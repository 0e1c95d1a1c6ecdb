/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/evidence.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define HEADING "lightvm-evidence "
#define END "end"
#define WORDS 5

static const char *const phases[] = { [EVIDENCE_BOOT] = "boot", [EVIDENCE_PROGRAM] = "program", [EVIDENCE_OTHER] = "other" };
#define PHASES (sizeof(phases) / sizeof(*phases))

/* ---- words ---- */

static bool take_phase(const char *word, enum evidence_phase *phase)
{
	for (size_t i = 0; i < PHASES; i++)
		if (!strcmp(word, phases[i])) {
			*phase = (enum evidence_phase)i;
			return true;
		}
	return false;
}

static bool take_place(const char *word, struct evidence_call *call)
{
	if (link_object_is_fit(word)) {
		call->object = word;
		return true;
	}
	char *end;
	errno = 0;
	call->address = strtoull(word, &end, 16);
	return !errno && !*end && call->address && strspn(word, "0123456789abcdef") == (size_t)(end - word);
}

static bool take_call(const char *word, int *call)
{
	char *end;
	errno = 0;
	long value = strtol(word, &end, 10);
	*call = (int)value;
	return !errno && end != word && !*end && value >= -1 && value <= INT_MAX && (strspn(word, "0123456789") == strlen(word) || !strcmp(word, "-1"));
}

static bool is_printable(const char *line)
{
	for (; *line; line++)
		if (*line < ' ' || *line > '~')
			return false;
	return true;
}

/* ---- lines ---- */

static bool take_line(char *line, struct evidence_call *call)
{
	char *word[WORDS] = { 0 };
	size_t count = 0;
	*call = (struct evidence_call){ 0 };
	if (!is_printable(line))
		return false;
	for (char *at = line, *one; (one = strsep(&at, " ")); count++) {
		if (count == WORDS || !*one)
			return false;
		word[count] = one;
	}
	if (count != WORDS || !take_phase(word[0], &call->phase) || !take_place(word[1], call) || !take_call(word[3], &call->call))
		return false;
	call->function = word[2];
	call->comm = word[4];
	return true;
}

/* The last line that begins like that, wherever what a program printed last has ended. */
static char *last_heading(char *text)
{
	char *found = NULL;
	for (char *at = text; (at = strstr(at, HEADING)); at += strlen(HEADING))
		found = at;
	return found;
}

static int take_heading(struct evidence *evidence, const char *file, const char *line, struct error *error)
{
	char *end;
	const char *version = line + strlen(HEADING);
	if (!text_starts(version, "1 lost "))
		return error_set(error, -EINVAL, "%s: \"%.60s\": that version of evidence is not known", file, line);
	const char *lost = version + strlen("1 lost ");
	errno = 0;
	evidence->lost = strtoull(lost, &end, 10);
	return errno || *end || strspn(lost, "0123456789") != strlen(lost) || !*lost ? error_set(error, -EINVAL, "%s: \"%.60s\": how many were lost is no number", file, line) : 0;
}

static int take_lines(struct evidence *evidence, const char *file, char *at, unsigned number, struct error *error)
{
	for (char *line; (line = strsep(&at, "\n")) && (at || *line); number++) {
		if (!strcmp(line, END))
			return 0;
		char *copy = alloc_format("%.80s", line);
		bool right = take_line(line, &evidence->call[evidence->count]);
		if (!right)
			error_set(error, -EINVAL, "%s:%u: \"%s\" is no line of evidence (PHASE PLACE FUNCTION CALL PROCESS)", file, number, copy ? copy : "");
		free(copy);
		if (!right)
			return -EINVAL;
		evidence->count++;
	}
	return error_set(error, -EINVAL, "%s: it ends at line %u, without the line \"" END "\": it is not whole", file, number - 1);
}

static unsigned lines_of(const char *text, const char *end)
{
	unsigned lines = 0;
	for (; text < end && *text; text++)
		lines += *text == '\n';
	return lines;
}

int evidence_parse(struct evidence *evidence, const char *file, char *text, size_t size, struct error *error)
{
	*evidence = (struct evidence){ .text = text };
	char *heading = strlen(text) == size ? last_heading(text) : NULL, *at = heading;
	if (!heading)
		return error_set(error, -EINVAL, "%s: there is no evidence in it: a kernel of the configuration \"trace\" tells it at its end, on the program's standard error", file);
	const unsigned number = lines_of(text, heading) + 2;
	evidence->call = alloc_zero((lines_of(heading, text + size) + 1) * sizeof(*evidence->call));
	if (!evidence->call)
		return error_set(error, -ENOMEM, "%s: no memory", file);
	strsep(&at, "\n");
	int err = take_heading(evidence, file, heading, error);
	return err ? err : take_lines(evidence, file, at, number, error);
}

void evidence_free(struct evidence *evidence)
{
	free(evidence->call);
	free(evidence->text);
	*evidence = (struct evidence){ 0 };
}

/* ---- objects ---- */

int evidence_resolve(struct evidence *evidence, const char *file, const struct link_map *map, struct error *error)
{
	size_t found = 0, unknown = 0;
	for (size_t i = 0; i < evidence->count; i++) {
		struct evidence_call *call = &evidence->call[i];
		bool known = call->object;
		if (!known) {
			call->object = link_map_object(map, call->address);
			known = call->object && !link_map_elsewhere(map, call->function, call->address);
		}
		*(known ? &found : &unknown) += 1;
	}
	if (unknown > found / 16)
		return error_set(error, -ENOENT, "%s: %zu of its %zu addresses are not those of the functions that it names: it is the evidence of another kernel", file, unknown, evidence->count);
	return 0;
}

void evidence_print_heading(uint64_t lost, struct text *out)
{
	text_format(out, HEADING "1 lost %" PRIu64 "\n", lost);
}

void evidence_print_calls(const struct evidence *evidence, struct text *out)
{
	for (size_t i = 0; i < evidence->count; i++) {
		const struct evidence_call *call = &evidence->call[i];
		text_format(out, "%s ", phases[call->phase]);
		if (call->object)
			text_put(out, call->object);
		else
			text_format(out, "%" PRIx64, call->address);
		text_format(out, " %s %d %s\n", call->function, call->call, call->comm);
	}
}

void evidence_print_end(struct text *out)
{
	text_put(out, END "\n");
}
