/* SPDX-License-Identifier: Apache-2.0 */
/* What a terminal gets to see of words that come from a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/shown.h"

static void expect(const char *text, unsigned allow, const char *want)
{
	char out[256], in_place[256];
	size_t n = strlen(text), size = text_shown(out, text, n, allow, NULL);
	memcpy(in_place, text, n);
	assert_int_equal(size, strlen(want));
	assert_memory_equal(out, want, size);
	assert_int_equal(text_shown(in_place, in_place, n, allow, NULL), size);
	assert_memory_equal(in_place, want, size);
}

static void test_plain(void **state)
{
	expect("", 0, "");
	expect("nginx: ready\n", SHOWN_LINES, "nginx: ready\n");
	expect("gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80", 0, "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void test_controls(void **state)
{
	expect("a\nb\tc", 0, "a?b?c");
	expect("\x1b]0;title\x07", SHOWN_LINES, "?]0;title?");
	expect("x\x7fy\rz", SHOWN_LINES, "x?y?z");
	expect("\xc2\x9b" "31m", SHOWN_LINES, "?31m");	   /* C1 in UTF-8: CSI */
	expect("\x9b" "31m", SHOWN_LINES, "?31m");	   /* and in eight bits */
	expect("a\xe2\x80\xae" "b\xe2\x81\xa6" "c\xd8\x9c", 0, "a?b?c?"); /* right-to-left override, isolate, Arabic letter mark */
}

static void test_not_utf8(void **state)
{
	expect("\xff\xfe", 0, "??");
	expect("a\xc3", 0, "a?");
	expect("\xc0\xaf", 0, "??");	    /* overlong */
	expect("\xed\xa0\x80", 0, "???");    /* a surrogate */
	expect("\xf4\x90\x80\x80", 0, "????"); /* beyond the last code point */
	expect("\xe2\x28\xa1", 0, "?(?");
}

static void test_colours(void **state)
{
	expect("\x1b[31mred\x1b[0m\r\n", SHOWN_LINES | SHOWN_COLOURS, "\x1b[31mred\x1b[0m\r\n");
	expect("\x1b[1;38;5;9mx\x1b[m", SHOWN_COLOURS, "\x1b[1;38;5;9mx\x1b[m");
	expect("\x1b[2J\x1b[5n\x1b[?25l", SHOWN_COLOURS, "?[2J?[5n?[?25l");
	expect("\x1b]52;c;cHduZWQ=\x07", SHOWN_COLOURS, "?]52;c;cHduZWQ=?");
	expect("\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m", SHOWN_COLOURS, "?[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m");
}

/* Cut anywhere, a stream shows the same as in one piece. */
static void test_streams(void **state)
{
	static const char text[] = "a\x1b[1;31mgr\xc3\xbcn\x1b]0;t\x07 \xf0\x9f\x98\x80\xff\x1b[0m.";
	char whole[64], parts[64], piece[64];
	size_t want = text_shown(whole, text, sizeof(text) - 1, SHOWN_COLOURS, NULL);
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		size_t rest, size = text_shown(parts, text, cut, SHOWN_COLOURS, &rest);
		assert_true(rest < SHOWN_REST && rest <= cut);
		size_t left = sizeof(text) - 1 - (cut - rest);
		memcpy(piece, text + cut - rest, left);
		size += text_shown(parts + size, piece, left, SHOWN_COLOURS, NULL);
		assert_int_equal(size, want);
		assert_memory_equal(parts, whole, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_controls), cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_colours), cmocka_unit_test(test_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
