/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel's Kconfig files and Makefiles say, and what a configuration has of it. The source is files in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tinyx/specialise/explain.h"

struct file {
	const char *path, *text;
};

/* context: files, ended by one without a path. */
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

/* ---- expressions ---- */

static const char *value(void *context, const char *name)
{
	static const char *const set[][2] = { { "YES", "y" }, { "OTHER", "y" }, { "MODULE", "m" }, { "COUNT", "100" }, { "WORD", "text" } };
	for (size_t i = 0; i < sizeof(set) / sizeof(*set); i++)
		if (!strcmp(set[i][0], name))
			return set[i][1];
	return "";
}

static const struct kconfig_values all = { .value = value };

static void test_worth(void **state)
{
	static const struct {
		const char *expression;
		int worth;
	} cases[] = {
		{ "YES", KCONFIG_YES }, { "NO", KCONFIG_NO }, { "MODULE", KCONFIG_MODULE }, { "!YES", KCONFIG_NO }, { "!MODULE", KCONFIG_MODULE },
		{ "YES && NO", KCONFIG_NO }, { "YES && MODULE", KCONFIG_MODULE }, { "NO || MODULE", KCONFIG_MODULE }, { "NO || YES && NO", KCONFIG_NO },
		{ "(NO || YES) && !NO", KCONFIG_YES }, { "MODULE = m", KCONFIG_YES }, { "YES!=n", KCONFIG_YES }, { "NO = n", KCONFIG_YES },
		{ "COUNT >= 0x64", KCONFIG_YES }, { "COUNT < 20", KCONFIG_NO }, { "COUNT = 100", KCONFIG_YES }, { "WORD = \"text\"", KCONFIG_YES }, { "y", KCONFIG_YES }, { "n", KCONFIG_NO },
		{ "$(success,test -n \"$(X)\") && YES", KCONFIG_YES },
		{ "", -EINVAL }, { "YES &&", -EINVAL }, { "(YES", -EINVAL }, { "YES)", -EINVAL }, { "YES NO", -EINVAL }, { "\"open", -EINVAL }, { "$(open", -EINVAL }, { "&& YES", -EINVAL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (kconfig_evaluate(cases[i].expression, &all) != cases[i].worth)
			fail_msg("%s: %d", cases[i].expression, kconfig_evaluate(cases[i].expression, &all));
}

/* So deep that a reader without a bound would leave its stack. */
static void test_depth(void **state)
{
	struct text deep = { 0 };
	for (int i = 0; i < 100000; i++)
		text_put(&deep, "(");
	assert_int_equal(kconfig_evaluate(deep.data, &all), -EINVAL);
	for (size_t i = 0; i < deep.size; i++)
		deep.data[i] = '!';
	assert_int_equal(kconfig_evaluate(deep.data, &all), -EINVAL);
	text_free(&deep);
}

static void holders_are(const char *expression, const char *wanted)
{
	struct strings names = { 0 };
	struct text got = { 0 };
	kconfig_holders(expression, &all, &names);
	text_put(&got, "");
	for (size_t i = 0; i < names.count; i++)
		text_format(&got, "%s%s", i ? " " : "", names.item[i]);
	assert_string_equal(got.data ? got.data : "", wanted);
	text_free(&got);
	strings_free(&names);
}

static void test_holders(void **state)
{
	holders_are("YES && MODULE", "YES MODULE");
	holders_are("NO || YES || OTHER", "YES");
	holders_are("(YES && NO) || OTHER", "OTHER");
	holders_are("YES && !NO", "YES");
	holders_are("YES && NO", "");
	holders_are("YES && COUNT > 3", "YES");
	holders_are("YES && (", "");
}

static void test_conditions(void **state)
{
	const char *expression;
	char *name = kconfig_condition("NAME if A && B", &expression);
	assert_string_equal(name, "NAME");
	assert_string_equal(expression, "A && B");
	free(name);
	name = kconfig_condition("NAME", &expression);
	assert_string_equal(name, "NAME");
	assert_null(expression);
	free(name);
}

/* ---- Kconfig ---- */

static struct file tree[] = {
	{ "Kconfig", "# a comment\nmainmenu \"Linux # not a comment\"\nsource \"net/Kconfig\"\nsource \"arch/$(SRCARCH)/Kconfig\"\n" },
	{ "net/Kconfig", "menuconfig NET\n\tbool \"Networking\"\n\tselect CRC if YES\n\thelp\n\t  config HELP\n\n\t    bool \"more\"\n\nif NET\n\nmenu \"Protocols\"\n\tdepends on \\\n\t\tPROTOCOLS\n\n"
			 "config INET\n\ttristate \"TCP/IP\"\n\tdepends on !OLD\n\tdefault y if NET\n\nendmenu\nendif\nconfig INET\n\tbool\nconfig CRC\n\tdef_bool n\n" },
	{ "arch/x86/Kconfig", "X := $(shell,true)\nchoice\n\tprompt \"one\"\n\tdepends on NET\nconfig ONE\n\tbool \"1\"\nendchoice\n" },
	{ "Kbuild", "obj-$(CONFIG_NET)\t+= net/\nobj-y += fs/ arch/$(SRCARCH)/ # all\n" },
	{ "Makefile", "libs-y\t:= lib/\n" },
	{ "lib/Makefile", "lib-y := crc.o\n" },
	{ "net/Makefile", "ifeq ($(CONFIG_IPV4),y)\nobj-$(CONFIG_INET) += ipv4/\nelse\nobj-y += none.o\nendif\nobj-$(CONFIG_FAR) += far/away/ # two levels\n" },
	{ "net/ipv4/Makefile", "obj-y := tcp.o \\\n\tudp.o $(mmu-y)\nobj-$(CONFIG_WHOLE) += whole.o\nwhole-y := part.o $(whole-y)\nwhole-$(CONFIG_PART) += small.o\nmmu-$(CONFIG_MMU) := mapped.o\n"
			      "obj-$(CONFIG_NO) += twice.o\nobj-$(CONFIG_YES) += twice.o\ncflags-y += -O2\nloop-y := pool.o\npool-y := loop.o\n" },
	{ "arch/x86/Makefile", "libs-$(CONFIG_YES) += arch/x86/lib/\n" },
	{ "arch/x86/lib/Makefile", "lib-y := copy_$(BITS).o\n" },
	{ NULL, NULL },
};

static const struct kernel_source source = { .read = give, .context = tree };

static void test_kconfig(void **state)
{
	struct kconfig kconfig;
	size_t count;
	assert_int_equal(kconfig_read(&kconfig, &source, "Kconfig", NULL), 0);
	assert_int_equal(kconfig.count, 5);
	const struct kconfig_entry *inet = kconfig_find(&kconfig, "INET", &count);
	assert_int_equal(count, 2);
	assert_string_equal(inet->type, "tristate");
	assert_string_equal(inet->prompt, "TCP/IP");
	assert_int_equal(inet->line, 15);
	assert_int_equal(inet->depends.count, 3);
	assert_string_equal(inet->depends.item[0], "NET");
	assert_string_equal(inet->depends.item[1], "PROTOCOLS");
	assert_string_equal(inet->depends.item[2], "!OLD");
	assert_string_equal(inet->defaults.item[0], "y if NET");
	assert_int_equal(inet[1].depends.count, 0);
	assert_string_equal(kconfig_find(&kconfig, "NET", &count)->selects.item[0], "CRC if YES");
	assert_string_equal(kconfig_find(&kconfig, "ONE", &count)->depends.item[0], "NET");
	assert_null(kconfig_find(&kconfig, "HELP", &count));
	kconfig_free(&kconfig);
}

static void refused(const char *text, int code, const char *says)
{
	struct file files[] = { { "Kconfig", text }, { NULL, NULL } };
	struct kernel_source bad = { .read = give, .context = files };
	struct kconfig kconfig;
	struct error error = { 0 };
	assert_int_equal(kconfig_read(&kconfig, &bad, "Kconfig", &error), code);
	assert_string_equal(error.text, says);
	kconfig_free(&kconfig);
}

static void test_bad_kconfig(void **state)
{
	refused("config A\n\twhat\n", -EINVAL, "Kconfig:2: that is not understood: \"what\"");
	refused("config a-b\n", -EINVAL, "Kconfig:1: that is no name of an option: \"a-b\"");
	refused("config A\n\tbool \"x\n", -EINVAL, "Kconfig:2: a prompt without an end: \"\"x\"");
	refused("config A\n\tdepends B\n", -EINVAL, "Kconfig:2: that depends on nothing: \"B\"");
	refused("menu \"x\"\n", -EINVAL, "Kconfig: a menu, choice or if has no end");
	refused("if A\nendmenu\n", -EINVAL, "Kconfig:2: nothing like that is open here: \"endmenu\"");
	refused("source \"none\"\n", -ENOENT, "none: No such file or directory");
	refused("source \"$(WHERE)/x\"\n", -EINVAL, "Kconfig:1: which file is that: \"\"$(WHERE)/x\"\"");
	/* A few lines that would become gigabytes: what stands around options is kept with each of them. */
	struct text many = { 0 };
	text_put(&many, "menu \"x\"\n\tdepends on ");
	for (unsigned i = 0; i < 1u << 20; i++)
		text_put(&many, "A");
	for (unsigned i = 0; i < 100; i++)
		text_format(&many, "\nconfig B%u", i);
	text_put(&many, "\nendmenu\n");
	refused(many.data, -E2BIG, "Kconfig:65: options and what they depend on take more than 64 MiB");
	text_free(&many);
	refused("source \"Kconfig\"\n", -EINVAL, "Kconfig:1: too many files that source others: \"\"Kconfig\"\"");
}

/* ---- Makefiles ---- */

static bool is_yes(void *context, const char *option)
{
	return !strcmp(option, "YES");
}

static void needs_are(const char *object, const char *wanted)
{
	struct kbuild kbuild = { .source = &source };
	struct kbuild_needs needs = { 0 };
	struct error error = { 0 };
	struct text got = { 0 };
	int err = kbuild_find(&kbuild, object, is_yes, NULL, &needs, &error);
	for (size_t i = 0; i < needs.count && !err; i++)
		text_format(&got, "%s%s %s:%u", i ? ", " : "", needs.item[i].option, needs.item[i].path, needs.item[i].line);
	assert_string_equal(err ? error.text : got.data ? got.data : "", wanted);
	text_free(&got);
	free(needs.item);
	kbuild_close(&kbuild);
}

/* An ifdef whose option has no name asks for none: what stands in it needs what stands around it. */
static void test_nameless_option(void **state)
{
	struct kbuild_file file;
	char text[] = "ifdef CONFIG_\nobj-y := a.o\nendif\nifdef CONFIG_A\nobj-y += b.o\nendif\n";
	assert_int_equal(kbuild_parse(&file, "Makefile", text, sizeof(text) - 1, NULL), 0);
	assert_int_equal(file.count, 2);
	assert_int_equal(file.rule[0].around.count, 0);
	assert_string_equal(file.rule[1].around.item[0], "A");
	kbuild_free(&file);
}

static void around_is(const char *condition, const char *wanted)
{
	struct kbuild_file file;
	struct text got = { 0 };
	char *text = alloc_format("%s\nobj-y += a.o\nendif\n", condition);
	assert_int_equal(kbuild_parse(&file, "Makefile", text, strlen(text), NULL), 0);
	assert_int_equal(file.count, 1);
	text_put(&got, "");
	for (size_t i = 0; i < file.rule[0].around.count; i++)
		text_format(&got, "%s%s", i ? " " : "", file.rule[0].around.item[i]);
	if (strcmp(got.data, wanted))
		fail_msg("%s: \"%s\", not \"%s\"", condition, got.data, wanted);
	text_free(&got);
	kbuild_free(&file);
	free(text);
}

/* Of a condition that is not understood as a whole nothing is said, rather than a part of it. */
static void test_conditions_around(void **state)
{
	around_is("ifdef CONFIG_A", "A");
	around_is("ifeq ($(CONFIG_A),y)", "A");
	around_is("ifeq ($(CONFIG_A), y)", "A");
	around_is("ifneq ($(CONFIG_A),)", "A");
	around_is("ifeq ($(CONFIG_A)$(CONFIG_B),yy)", "A B");
	around_is("ifeq ($(CONFIG_A)$(CONFIG_B)$(CONFIG_C),yyy)", "A B C");
	around_is("ifeq ($(CONFIG_A)$(CONFIG_B),yy)\nobj-$(CONFIG_X) :=\nifdef CONFIG_C\nendif", "A B");
	around_is("ifeq ($(CONFIG_A)$(CONFIG_B),y)", ""); /* one of them */
	around_is("ifneq ($(CONFIG_A)$(CONFIG_B),)", ""); /* one of them, or both */
	around_is("ifeq ($(CONFIG_A)_$(CONFIG_B),y_y)", "");
	around_is("ifeq ($(CONFIG_A)x,yx)", "");
	around_is("ifeq ($(CONFIG_A),yes)", "");
	around_is("ifeq ($(CONFIG_A),yy)", "");
	around_is("ifeq ($(CONFIG_A),m)", "");
	around_is("ifeq ($(CONFIG_A),)", "");
	around_is("ifneq ($(CONFIG_A),y)", "");
	around_is("ifeq ($(CONFIG_A)", "");
	around_is("ifndef CONFIG_A", "");
}

#define IPV4 "INET net/Makefile:2, IPV4 net/Makefile:2, NET Kbuild:1"

static void test_kbuild(void **state)
{
	needs_are("net/ipv4/tcp.o", IPV4);
	needs_are("net/ipv4/udp.o", IPV4);
	needs_are("net/ipv4/part.o", "WHOLE net/ipv4/Makefile:3, " IPV4);
	needs_are("net/ipv4/small.o", "PART net/ipv4/Makefile:5, WHOLE net/ipv4/Makefile:3, " IPV4);
	needs_are("net/ipv4/mapped.o", "MMU net/ipv4/Makefile:6, " IPV4);
	needs_are("net/ipv4/twice.o", "YES net/ipv4/Makefile:8, " IPV4);
	needs_are("net/none.o", "NET Kbuild:1");
	needs_are("lib/crc.o", "");
	needs_are("arch/x86/lib/copy_64.o", "YES arch/x86/Makefile:1");
	needs_are("net/ipv4/other.o", "net/ipv4/other.o: no Makefile names it");
	needs_are("net/ipv4/pool.o", "net/ipv4/pool.o: lists of Makefiles name each other");
}

static void makefile_refused(const char *text, int code, const char *says)
{
	struct kbuild_file file;
	struct error error = { 0 };
	char *copy = alloc_copy(text);
	assert_int_equal(kbuild_parse(&file, "Makefile", copy, strlen(copy), &error), code);
	assert_string_equal(error.text, says);
	kbuild_free(&file);
	free(copy);
}

static void test_bad_makefiles(void **state)
{
	makefile_refused("endif\n", -EINVAL, "Makefile:1: no if is open here: \"endif\"");
	makefile_refused("\nelse\n", -EINVAL, "Makefile:2: no if is open here: \"else\"");
	makefile_refused("ifdef CONFIG_A\n", -EINVAL, "Makefile: an if has no end");
	struct text many = { 0 };
	text_put(&many, "ifeq (");
	for (unsigned i = 0; i < 60000; i++)
		text_put(&many, "$(CONFIG_A)");
	text_put(&many, ",");
	for (unsigned i = 0; i < 60000; i++)
		text_put(&many, "y");
	text_put(&many, ")\n");
	for (unsigned i = 0; i < 1000; i++)
		text_put(&many, "obj-y += a.o\n");
	text_put(&many, "endif\n");
	makefile_refused(many.data, -E2BIG, "Makefile:113: objects and what they need take more than 64 MiB");
	text_free(&many);
}

/* ---- configurations ---- */

static struct dot_config config_of(const char *text)
{
	struct dot_config config;
	assert_int_equal(dot_config_parse(&config, alloc_copy(text), strlen(text)), 0);
	return config;
}

static void test_diff(void **state)
{
	struct dot_config a = config_of("# x\nCONFIG_B=y\nCONFIG_A=y\n# CONFIG_C is not set\nCONFIG_HZ=100\n"), b = config_of("CONFIG_B=y\nCONFIG_D=\"w\"\nCONFIG_HZ=250\nCONFIG_E=n\n");
	struct text out = { 0 };
	dot_config_diff(&a, &b, &out);
	assert_string_equal(out.data, "-A=y\n+D=\"w\"\n-HZ=100\n+HZ=250\n");
	assert_string_equal(dot_config_value(&a, "HZ"), "100");
	assert_string_equal(dot_config_value(&a, "C"), "");
	text_free(&out);
	dot_config_free(&a);
	dot_config_free(&b);
	assert_int_equal(dot_config_parse(&a, alloc_copy("what\n"), 5), -EINVAL);
	dot_config_free(&a);
}

static void explained(char *word, int code, const char *wanted)
{
	struct dot_config built = config_of("CONFIG_NET=y\nCONFIG_YES=y\nCONFIG_CRC=y\nCONFIG_PROTOCOLS=y\n");
	struct explain explain = { .kernel = "mine", .asked = "# --- sockets\nCONFIG_NET=y\n# of old programs\n# CONFIG_INET is not set\n\nCONFIG_YES=y\n", .built = &built, .source = &source };
	struct text out = { 0 };
	struct error error = { 0 };
	assert_int_equal(explain_words(&explain, &word, 1, &out, &error), code);
	assert_string_equal(code ? error.text : out.data, wanted);
	text_free(&out);
	dot_config_free(&built);
}

static void test_explain(void **state)
{
	explained("CONFIG_NET", 0, "CONFIG_NET\n  kernel mine has it: y\n  its configuration says so, below: sockets\n  net/Kconfig:1: bool, Networking\n");
	explained("INET", 0,
		  "CONFIG_INET\n  kernel mine does not have it\n  its configuration says so, below: sockets; of old programs\n  net/Kconfig:15: tristate, TCP/IP\n  depends on NET: holds\n  depends on PROTOCOLS: holds\n  depends on !OLD: holds\n"
		  "  default y if NET\n  net/Kconfig:22: bool, not asked for: selected, or by default\n");
	explained("CRC", 0, "CONFIG_CRC\n  kernel mine has it: y\n  net/Kconfig:24: bool, not asked for: selected, or by default\n  default n\n  selected by NET (net/Kconfig:1)\n");
	explained("NOTHING", -ENOENT, "the source of kernel mine has no option CONFIG_NOTHING");
	explained("net/none.c", 0, "net/none.c\n  needs CONFIG_NET (Kbuild:1), which kernel mine has\n");
	explained("lib/crc.o", 0, "lib/crc.o\n  every kernel has it\n");
	explained("net/other.c", -ENOENT, "net/other.o: no Makefile names it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worth), cmocka_unit_test(test_depth), cmocka_unit_test(test_holders), cmocka_unit_test(test_conditions), cmocka_unit_test(test_kconfig),
		cmocka_unit_test(test_bad_kconfig), cmocka_unit_test(test_kbuild), cmocka_unit_test(test_nameless_option), cmocka_unit_test(test_conditions_around), cmocka_unit_test(test_bad_makefiles), cmocka_unit_test(test_diff), cmocka_unit_test(test_explain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
