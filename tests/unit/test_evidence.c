/* SPDX-License-Identifier: Apache-2.0 */
/* From what a kernel tells of its functions to a configuration. The source is files in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tinyx/specialise/guards.h"
#include "tinyx/specialise/wanted.h"

#define HEAD "lightvm-evidence 1 lost 0\n"

static int parse(struct evidence *evidence, const char *text, struct error *error)
{
	return evidence_parse(evidence, "run", alloc_copy(text), strlen(text), error);
}

/* ---- evidence ---- */

static void test_evidence(void **state)
{
	struct evidence evidence;
	struct text out = { 0 };
	const char told[] = "lightvm-evidence 1 lost 3\nboot ffffffff80200590 start -1 swapper\nprogram net/ipv4/tcp.o tcp_sendmsg 44 nginx\nother ffffffff80200591 x.part.0 0 a?b\nend\n";
	char *all = alloc_format("hello\nlightvm-evidence 9\nno end%s", told);
	assert_int_equal(parse(&evidence, all, NULL), 0);
	assert_int_equal(evidence.lost, 3);
	assert_int_equal(evidence.count, 3);
	assert_int_equal(evidence.call[0].phase, EVIDENCE_BOOT);
	assert_true(evidence.call[0].address == 0xffffffff80200590 && !evidence.call[0].object && evidence.call[0].call == -1);
	assert_int_equal(evidence.call[1].phase, EVIDENCE_PROGRAM);
	assert_string_equal(evidence.call[1].object, "net/ipv4/tcp.o");
	assert_string_equal(evidence.call[1].function, "tcp_sendmsg");
	assert_string_equal(evidence.call[2].comm, "a?b");
	evidence_print_heading(evidence.lost, &out);
	evidence_print_calls(&evidence, &out);
	evidence_print_end(&out);
	assert_string_equal(out.data, told);
	text_free(&out);
	evidence_free(&evidence);
	free(all);
}

static void refused(const char *text, const char *says)
{
	struct evidence evidence;
	struct error error = { 0 };
	assert_int_equal(parse(&evidence, text, &error), -EINVAL);
	if (!strstr(error.text, says))
		fail_msg("\"%s\" is not in: %s", says, error.text);
	evidence_free(&evidence);
}

static void test_bad_evidence(void **state)
{
	static const char *const lines[] = { "", "program", "program a.o f 1", "program a.o f 1 x y", "program  a.o f 1 x", "progra a.o f 1 x", "program 0 f 1 x", "program 0x12 f 1 x", "program -1 f 1 x",
		"program /a.o f 1 x", "program a/../b.o f 1 x", "program ../b.o f 1 x", "program 12345678901234567 f 1 x", "program a.o f -2 x", "program a.o f +1 x", "program a.o f 1x x", "program a.o f 99999999999 x",
		"program a.o f 1 \x1b", "program a.o f\t1 1 x" };
	refused("", "run: there is no evidence in it: a kernel of the configuration \"trace\" tells it at its end");
	refused("hello\n", "run: there is no evidence in it");
	refused("lightvm-evidence 2 lost 0\n", "run: \"lightvm-evidence 2 lost 0\": that version of evidence is not known");
	refused("lightvm-evidence 1 lost -1\n", "how many were lost is no number");
	refused("lightvm-evidence 1 lost \n", "how many were lost is no number");
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char *text = alloc_format("hello\n" HEAD "program a.o f 1 x\n%s\nprogram a.o f 1 x\n", lines[i]), *says = alloc_format("run:4: \"%s\" is no line of evidence", lines[i]);
		refused(text, says);
		free(text);
		free(says);
	}
	refused("hello\n" HEAD, "run: it ends at line 2, without the line \"end\": it is not whole");
	refused("hello\n" HEAD "program a.o f 1 x\nprogram a.o g 1 x\n", "run: it ends at line 4, without the line \"end\": it is not whole");
	refused(HEAD "program a.o f 1 x\nen", "run:3: \"en\" is no line of evidence");
	struct evidence evidence;
	const char zero[] = HEAD "program a.o f 1 x\0\n";
	char *copy = alloc_zero(sizeof(zero));
	memcpy(copy, zero, sizeof(zero));
	assert_int_equal(evidence_parse(&evidence, "run", copy, sizeof(zero) - 1, NULL), -EINVAL);
	evidence_free(&evidence);
}

/* ---- a linker's map ---- */

static const char map_text[] = "LOAD a.o\n .text 0x0000000000000010 0x10 not_in_the_map.o\nLinker script and memory map\n\n .text          0xffffffff80200000      0x100 init/main.o\n"
			       " *fill*         0xffffffff80200100        0x10 cccc\n                0xffffffff80200010                start\n .text.unlikely.long\n                0xffffffff80200200       0x20 net/ipv4/tcp.o\n"
			       " .text          0xffffffff80200110      0x0 empty.o\n .discard       0x0000000000000000       0x10 gone.o\n.text           0xffffffff80200000   0x1000 all.o\n .data 0xzz 0x1 b.o\n"
			       " .text 0xffffffffffffffff 0x10 wraps.o\n .text 0xffffffff80200310 0x10 /top.o\n .text 0xffffffff80200320 0x10 a\tb.o\n .text 0xffffffff80200300 0x10 two words.o";

static void test_map(void **state)
{
	struct link_map map;
	assert_int_equal(link_map_parse(&map, alloc_copy(map_text), sizeof(map_text) - 1), 0);
	assert_int_equal(map.count, 2);
	assert_string_equal(link_map_object(&map, 0xffffffff80200000), "init/main.o");
	assert_string_equal(link_map_object(&map, 0xffffffff802000ff), "init/main.o");
	assert_null(link_map_object(&map, 0xffffffff80200100));
	assert_string_equal(link_map_object(&map, 0xffffffff80200200), "net/ipv4/tcp.o");
	assert_null(link_map_object(&map, 0xffffffff801fffff));
	assert_null(link_map_object(&map, 0));
	assert_int_equal(map.symbols, 1);
	assert_false(link_map_elsewhere(&map, "start", 0xffffffff80200010));
	assert_false(link_map_elsewhere(&map, "start", 0xffffffff80200014));
	assert_true(link_map_elsewhere(&map, "start", 0xffffffff80200020));
	assert_true(link_map_elsewhere(&map, "start", 0xffffffff80200000));
	assert_false(link_map_elsewhere(&map, "star", 0xffffffff80200000));
	link_map_free(&map);
	static const char *const bad[] = { "", " .text 0x10 0x10 a.o\n", "Linker script and memory map\n", "Linker script and memory map\n .text 0x10 0x10 a.c\n" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(link_map_parse(&map, alloc_copy(bad[i]), strlen(bad[i])), -EINVAL);
		link_map_free(&map);
	}
}

static void test_resolve(void **state)
{
	struct link_map map;
	struct evidence evidence;
	struct error error = { 0 };
	assert_int_equal(link_map_parse(&map, alloc_copy(map_text), sizeof(map_text) - 1), 0);
	assert_int_equal(parse(&evidence, HEAD "program ffffffff80200210 f 1 x\nprogram a.o g 1 x\nend\n", NULL), 0);
	assert_int_equal(evidence_resolve(&evidence, "run", &map, &error), 0);
	assert_string_equal(evidence.call[0].object, "net/ipv4/tcp.o");
	assert_string_equal(evidence.call[1].object, "a.o");
	evidence_free(&evidence);
	assert_int_equal(parse(&evidence, HEAD "program ffffffff80200210 f 1 x\nprogram ffffffff81200210 g 1 x\nend\nand more\n", NULL), 0);
	assert_int_equal(evidence_resolve(&evidence, "run", &map, &error), -ENOENT);
	assert_string_equal(error.text, "run: 1 of its 2 addresses are not those of the functions that it names: it is the evidence of another kernel");
	evidence_free(&evidence);
	/* Each address is in an object, but the function that is said to be there is not. */
	assert_int_equal(parse(&evidence, HEAD "program ffffffff80200050 start 1 x\nend\n", NULL), 0);
	assert_int_equal(evidence_resolve(&evidence, "run", &map, &error), -ENOENT);
	evidence_free(&evidence);
	assert_int_equal(parse(&evidence, HEAD "program ffffffff80200010 start 1 x\nend\n", NULL), 0);
	assert_int_equal(evidence_resolve(&evidence, "run", &map, &error), 0);
	evidence_free(&evidence);
	link_map_free(&map);
}

/* ---- what stands around a function ---- */

static void guards_are(const char *function, unsigned line, const char *wanted)
{
	static const char text[] = "#ifdef CONFIG_A\nstatic int called(void);\n#if defined(CONFIG_B) && IS_ENABLED(CONFIG_C)\n# define X\nstatic int both(int a,\n\t\tint b)\n{\n\tcalled();\n}\n#else\nint other(void) {}\n#endif\n"
				   "int\ncalled(void) { }\n#endif\nSYSCALL_DEFINE2(asked, int, a, int, b)\n{\n}\n#ifdef CONFIG_OFF\nint twice(void)\n{\n}\n#endif\n#if !defined(CONFIG_A)\nint twice(void)\n{\n}\n#endif\n"
				   "#if defined(CONFIG_A) || defined(CONFIG_B)\nint either(void) { }\n#endif\n#if CONFIG_LEVELS > 3\nint number(void) { }\n#endif\n#ifdef CONFIG_D\nint not_twice(void) { }\n#elif defined(CONFIG_E)\nint elif(void) { }\n#endif\n"
				   "#endif\n#endif\nint bare(void) { }\n#ifdef CONFIG_OFF\nint off(void) { }\n";
	struct guards guards;
	struct text got = { 0 };
	assert_int_equal(guards_find(text, function, &guards), 0);
	text_put(&got, "");
	for (size_t i = 0; i < guards.options.count; i++)
		text_format(&got, "%s%s", i ? " " : "", guards.options.item[i]);
	if (strcmp(got.data, wanted) || guards.line != line)
		fail_msg("%s: \"%s\" at %u, not \"%s\" at %u", function, got.data, guards.line, wanted, line);
	text_free(&got);
	guards_free(&guards);
}

static void test_guards(void **state)
{
	guards_are("both", 5, "A B C");
	guards_are("both.isra.0", 5, "A B C");
	guards_are("other", 11, "A");
	guards_are("called", 14, "A");
	guards_are("__x64_sys_asked", 16, "");
	guards_are("__do_sys_asked", 16, "");
	guards_are("twice", 20, "");
	guards_are("either", 30, "");
	guards_are("number", 33, "");
	guards_are("not_twice", 36, "D");
	guards_are("elif", 38, "");
	guards_are("bare", 42, "");
	guards_are("off", 44, "OFF");
	guards_are("nothing", 0, "");
	guards_are("", 0, "");
}

/* ---- the configuration ---- */

struct file {
	const char *path, *text;
};

static struct file tree[] = {
	{ "Kconfig", "config NET\n\tbool \"Networking\"\nconfig INET\n\tbool \"TCP/IP\"\n\tdepends on NET && (OLD || PROTOCOLS)\n\tselect HASH\nconfig PROTOCOLS\n\tbool \"Protocols\"\nconfig OLD\n\tbool \"Old\"\n"
		     "config HASH\n\tbool\nconfig CRC\n\tbool\nconfig DRIVER\n\tbool \"A driver\"\n\tselect CRC if NET\nconfig TABLE\n\tdef_bool NET\nconfig TRACER\n\tbool \"Tracer\"\nconfig FAST\n\tbool \"Fast\"\nconfig BLOCK\n\tbool \"Block\"\nconfig SHARED\n\tbool\nconfig ONE\n\tbool \"1\"\n\tselect SHARED\nconfig TWO\n\tbool \"2\"\n\tselect SHARED\n" },
	{ "Kbuild", "obj-$(CONFIG_NET) += net/\nobj-y += lib/ kernel/\n" },
	{ "net/Makefile", "obj-$(CONFIG_INET) += tcp.o\n" },
	{ "net/tcp.c", "int tcp_send(void)\n{\n}\n#ifdef CONFIG_FAST\nint tcp_fast(void)\n{\n}\n#endif\n" },
	{ "lib/Makefile", "obj-$(CONFIG_CRC) += crc.o\nobj-$(CONFIG_TABLE) += table.o\nobj-$(CONFIG_BLOCK) += block.o\nobj-$(CONFIG_SHARED) += shared.o\nobj-y += always.o\n" },
	{ "kernel/Makefile", "obj-$(CONFIG_TRACER) += tracer.o\n" },
	{ NULL, NULL },
};

static int give(void *context, const char *path, char **text, size_t *size)
{
	for (const struct file *file = context; file->path; file++)
		if (!strcmp(file->path, path)) {
			*text = alloc_copy(file->text);
			*size = strlen(*text);
			return 0;
		}
	return -ENOENT;
}

static const char *call_name(uint32_t number, char *buffer, size_t room)
{
	snprintf(buffer, room, "call %u", (unsigned)number);
	return buffer;
}

static const char general_text[] = "CONFIG_NET=y\nCONFIG_INET=y\nCONFIG_PROTOCOLS=y\nCONFIG_HASH=y\nCONFIG_CRC=y\nCONFIG_DRIVER=y\nCONFIG_TABLE=y\nCONFIG_FAST=y\nCONFIG_BLOCK=y\nCONFIG_SHARED=y\nCONFIG_ONE=y\nCONFIG_TWO=y\n";

/* What these calls and the options that were asked for become, when base sets BLOCK. */
static void becomes_beyond(const char *baseline, const char *calls, const char *with, const char *wanted_lines, size_t unknown)
{
	const struct kernel_source source = { .read = give, .context = tree };
	struct dot_config general;
	struct evidence evidence, least;
	struct wanted wanted = { 0 };
	struct error error = { 0 };
	struct text out = { 0 };
	char *text = alloc_format(HEAD "%send\n", calls), *others = alloc_format("%send\n", baseline);
	assert_int_equal(dot_config_parse(&general, alloc_copy(general_text), sizeof(general_text) - 1), 0);
	const struct wanted_source from = { .baseline = &least, .source = &source, .general = &general, .call_name = call_name };
	assert_int_equal(parse(&least, others, NULL), 0);
	assert_int_equal(parse(&evidence, text, NULL), 0);
	assert_int_equal(wanted_add(&wanted, &from, &evidence, &error), 0);
	if (with)
		assert_int_equal(wanted_ask(&wanted, &from, with, &error), 0);
	assert_int_equal(wanted_close(&wanted, &from, &error), 0);
	text_put(&out, "");
	wanted_print(&wanted, &from, "CONFIG_BLOCK=y\n", &out);
	assert_string_equal(out.data, wanted_lines);
	assert_int_equal(wanted.unknown.count, unknown);
	text_free(&out);
	wanted_free(&wanted);
	evidence_free(&evidence);
	evidence_free(&least);
	dot_config_free(&general);
	free(text);
	free(others);
}

static void becomes(const char *calls, const char *with, const char *wanted_lines, size_t unknown)
{
	becomes_beyond(HEAD, calls, with, wanted_lines, unknown);
}

#define OPEN ": several options could bring what that is for, SHARED\n"
#define FOLLOWS "\n# --- nobody is asked for these: the build ends if one of them has not followed\n"
#define INET_DEPENDS "# INET depends on it (Kconfig:3)\nCONFIG_PROTOCOLS=y\n"

static void test_wanted(void **state)
{
	becomes("program net/tcp.o tcp_send 44 nginx\n", NULL,
		"# tcp_send of net/tcp.o (net/Makefile:1) was called by nginx in call 44\nCONFIG_INET=y\n# tcp_send of net/tcp.o (Kbuild:1) was called by nginx in call 44\nCONFIG_NET=y\n" INET_DEPENDS, 0);
	/* What stands around a function in its file. */
	becomes("program net/tcp.o tcp_send 44 nginx\nprogram net/tcp.o tcp_fast.part.0 -1 nginx\n", NULL,
		"# tcp_send of net/tcp.o (net/Makefile:1) was called by nginx in call 44\nCONFIG_INET=y\n# tcp_send of net/tcp.o (Kbuild:1) was called by nginx in call 44\nCONFIG_NET=y\n"
		"# tcp_fast.part.0 of net/tcp.o (net/tcp.c:5) was called by nginx\nCONFIG_FAST=y\n" INET_DEPENDS, 0);
	/* Nobody else's calls count, nor does what every kernel has, the tracer's own, or what base has. */
	becomes("boot net/tcp.o a 1 x\nother net/tcp.o a 1 x\nprogram lib/always.o a 1 x\nprogram kernel/tracer.o a 1 x\nprogram lib/block.o a 1 x\n", NULL, "", 0);
	/* An option that nobody can ask for: the only one that selects it is taken, of several none is; one that is there by default needs what that needs. */
	becomes("program lib/crc.o a 1 x\n", NULL, "# selects CRC (Kconfig:15)\nCONFIG_DRIVER=y\n" FOLLOWS "# a of lib/crc.o (lib/Makefile:1) was called by x in call 1\nCONFIG_CRC=y\n", 0);
	becomes("program lib/shared.o a 1 x\n", NULL, FOLLOWS "# a of lib/shared.o (lib/Makefile:4) was called by x in call 1" OPEN, 0);
	becomes("program lib/shared.o a 1 x\n", "TWO", "# asked for by --with\nCONFIG_TWO=y\n" FOLLOWS "# a of lib/shared.o (lib/Makefile:4) was called by x in call 1\nCONFIG_SHARED=y\n", 0);
	becomes("program lib/table.o a 1 x\n", NULL, FOLLOWS "# a of lib/table.o (lib/Makefile:2) was called by x in call 1\nCONFIG_TABLE=y\n", 0);
	/* What every process does shows no need; another function of the same file does, and so does one of that name in another file. */
	becomes_beyond(HEAD "program lib/crc.o a 1 e\nprogram lib/shared.o a 1 e\nother lib/table.o a 1 e\n", "program lib/crc.o a 1 x\nprogram lib/shared.o b 1 x\nprogram lib/table.o a 1 x\n", NULL,
		       FOLLOWS "# b of lib/shared.o (lib/Makefile:4) was called by x in call 1" OPEN "# a of lib/table.o (lib/Makefile:2) was called by x in call 1\nCONFIG_TABLE=y\n", 0);
	becomes("program lib/nowhere.o a 1 x\nprogram lib/nowhere.o b 1 x\n", NULL, "", 1);
	becomes("program lib/always.o a 1 x\n", "INET", "# asked for by --with\nCONFIG_INET=y\n# INET depends on it (Kconfig:3)\nCONFIG_NET=y\n" INET_DEPENDS, 0);
}

static void test_bad_wish(void **state)
{
	struct dot_config general;
	struct wanted wanted = { 0 };
	struct error error = { 0 };
	assert_int_equal(dot_config_parse(&general, alloc_copy(general_text), sizeof(general_text) - 1), 0);
	const struct wanted_source from = { .general = &general };
	assert_int_equal(wanted_ask(&wanted, &from, "NOSUCH", &error), -ENOENT);
	assert_string_equal(error.text, "CONFIG_NOSUCH: kernel general does not have that option, and options are taken from there");
	wanted_free(&wanted);
	dot_config_free(&general);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evidence), cmocka_unit_test(test_bad_evidence), cmocka_unit_test(test_map), cmocka_unit_test(test_resolve), cmocka_unit_test(test_guards), cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_bad_wish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
