/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shown.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ESCAPE 0x1b
#define BAD 0xffffffffu
#define MORE 0 /* bytes: the character goes on behind the end */

/* The number of bytes of the character at s, and its code point; BAD with one byte: not UTF-8. */
static size_t decode(const uint8_t *s, size_t n, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf8 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	*code = BAD;
	if (s[0] >= 0xf8 || (s[0] >= 0x80 && s[0] < 0xc0))
		return 1;
	uint32_t value = size == 1 ? s[0] : s[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (i == n)
			return MORE;
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (s[i] & 0x3f);
	}
	if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 1;
	*code = value;
	return size;
}

static bool acts(uint32_t code, unsigned allow)
{
	if (code == '\n' || code == '\t')
		return !(allow & SHOWN_LINES);
	if (code == '\r')
		return !(allow & SHOWN_COLOURS);
	return code < ' ' || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code > 0x10ffff;
}

/* The length of the colour that begins at s, which is an escape; 1: another sequence. */
static size_t colour(const uint8_t *s, size_t n)
{
	size_t i = 1;
	for (; i < n && i < SHOWN_REST - 1; i++) {
		bool inside = i == 1 ? s[i] == '[' : (s[i] >= '0' && s[i] <= '9') || s[i] == ';';
		if (!inside)
			return i > 1 && s[i] == 'm' ? i + 1 : 1;
	}
	return i == n ? MORE : 1;
}

/* Bytes at the beginning that are what they look like: nearly everything, so that they are gone through in one step. */
static size_t plain(const uint8_t *s, size_t n)
{
	size_t i = 0;
	while (i < n && s[i] >= ' ' && s[i] < 0x7f)
		i++;
	return i;
}

size_t text_shown(char *out, const char *text, size_t n, unsigned allow, size_t *rest)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t at = 0, size = 0;
	for (;;) {
		size_t run = plain(s + at, n - at);
		if (run && out + size != text + at)
			memmove(out + size, text + at, run);
		size += run;
		at += run;
		if (at == n)
			break;
		uint32_t code = ESCAPE;
		bool keep = s[at] == ESCAPE && allow & SHOWN_COLOURS;
		size_t step = keep ? colour(s + at, n - at) : decode(s + at, n - at, &code);
		if (step == MORE && rest)
			break;
		if (step == MORE)
			step = 1, keep = false, code = BAD;
		else if (keep)
			keep = step > 1;
		else
			keep = !acts(code, allow);
		if (keep)
			memmove(out + size, text + at, step);
		else
			out[size] = '?';
		size += keep ? step : 1;
		at += step;
	}
	if (rest)
		*rest = n - at;
	return size;
}

void shown_from(struct text *text, size_t start, unsigned allow)
{
	if (text->size <= start)
		return;
	text->size = start + text_shown(text->data + start, text->data + start, text->size - start, allow, NULL);
	text->data[text->size] = 0;
}
