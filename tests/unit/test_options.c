/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser, numbers, and small strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/options.h"

struct target {
	bool all, detach;
	const char *name, *format, *wait;
	struct strings env;
	uint64_t memory, tail;
};

#define AT(field) offsetof(struct target, field)
static const struct option_spec table[] = {
	{ .name = "all", .letter = 'a', .kind = OPTION_FLAG, .offset = AT(all), .help = "all of them" },
	{ .name = "detach", .letter = 'd', .kind = OPTION_FLAG, .offset = AT(detach), .help = "in the background" },
	{ .name = "name", .kind = OPTION_STRING, .offset = AT(name), .value = "NAME", .help = "a name" },
	{ .name = "format", .kind = OPTION_STRING, .offset = AT(format), .value = "FORMAT", .help = "table or json", .words = "table json tap:" },
	{ .name = "env", .letter = 'e', .kind = OPTION_LIST, .offset = AT(env), .value = "NAME=VALUE", .help = "a variable" },
	{ .name = "memory", .letter = 'm', .kind = OPTION_SIZE, .offset = AT(memory), .value = "SIZE", .help = "memory", .low = 4096, .high = 1ull << 30 },
	{ .name = "tail", .letter = 'n', .kind = OPTION_NUMBER, .offset = AT(tail), .value = "LINES", .help = "lines", .high = 10000 },
	{ .name = "wait", .kind = OPTION_STRING, .offset = AT(wait), .value = "WHAT", .help = "waits", .words = "listen exit", .otherwise = "listen" },
	{ 0 },
};

struct parsed {
	struct target target;
	struct option_result result;
	struct error error;
	int err, argc;
	char *argv[16];
};

/* words: separated by spaces */
static void parse(struct parsed *p, char *words, bool first_ends)
{
	char *save = NULL;
	memset(p, 0, sizeof(*p));
	p->argv[p->argc++] = "verb";
	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		p->argv[p->argc++] = word;
	p->err = options_parse(table, p->argc, p->argv, first_ends, &p->target, &p->result, &p->error);
}

#define PARSE(p, text, first_ends) char words_[] = text; struct parsed p; parse(&p, words_, first_ends)

/* An option whose value may be left out never takes the next word for it. */
static void optional_value(void **state)
{
	PARSE(p, "--wait exit", true);
	assert_int_equal(p.err, 0);
	assert_string_equal(p.target.wait, "listen");
	assert_int_equal(p.result.first, 2);
	char with[] = "--wait=exit prog", wrong[] = "--wait=dinner prog";
	parse(&p, with, true);
	assert_int_equal(p.err, 0);
	assert_string_equal(p.target.wait, "exit");
	parse(&p, wrong, true);
	assert_int_equal(p.err, -EINVAL);
	assert_non_null(strstr(p.error.text, "dinner"));
}

static void long_short_and_attached(void **state)
{
	PARSE(p, "-ad --name=x -m64M --env A=1 -eB=2 -n 7 --format json one two", false);
	assert_int_equal(p.err, 0);
	assert_true(p.target.all && p.target.detach);
	assert_string_equal(p.target.name, "x");
	assert_string_equal(p.target.format, "json");
	assert_int_equal(p.target.memory, 64 << 20);
	assert_int_equal(p.target.tail, 7);
	assert_int_equal(p.target.env.count, 2);
	assert_string_equal(p.target.env.item[1], "B=2");
	assert_int_equal(p.argc - p.result.first, 2);
	assert_string_equal(p.argv[p.result.first], "one");
	options_free(table, &p.target);
}

static void operands_between_options(void **state)
{
	PARSE(p, "one -a two --name x -- -d", false);
	assert_int_equal(p.err, 0);
	assert_true(p.target.all);
	assert_false(p.target.detach);
	assert_int_equal(p.argc - p.result.first, 3);
	assert_string_equal(p.argv[p.result.first], "one");
	assert_string_equal(p.argv[p.result.first + 1], "two");
	assert_string_equal(p.argv[p.result.first + 2], "-d");
}

static void first_operand_ends(void **state)
{
	PARSE(p, "-a program -d --nonsense", true);
	assert_int_equal(p.err, 0);
	assert_false(p.target.detach);
	assert_int_equal(p.argc - p.result.first, 3);
	assert_string_equal(p.argv[p.result.first], "program");
}

static void assert_message(const char *text, const char *message)
{
	char words[128];
	struct parsed p;
	strcpy(words, text);
	parse(&p, words, false);
	assert_int_equal(p.err, -EINVAL);
	assert_string_equal(p.error.text, message);
	options_free(table, &p.target);
}

static void messages(void **state)
{
	assert_message("--nmae x", "unknown option --nmae; did you mean --name?");
	assert_message("--memroy=1", "unknown option --memroy; did you mean --memory?");
	assert_message("--hepl", "unknown option --hepl; did you mean --help?");
	assert_message("--xyzzyplugh", "unknown option --xyzzyplugh");
	assert_message("-x", "unknown option -x");
	assert_message("-ax", "unknown option -x");
	assert_message("--all=1", "--all takes no value, but \"1\" was given");
	assert_message("--name", "--name needs a value: --name NAME");
	assert_message("-m", "-m needs a value: -m SIZE");
	assert_message("-m 12Q", "--memory: \"12Q\" is not a size (examples: 64M, 1G)");
	assert_message("-m 1", "--memory: 1 is out of range (4K to 1G)");
	assert_message("-m 2G", "--memory: 2G is out of range (4K to 1G)");
	assert_message("-m 99999999999999999999", "--memory: 99999999999999999999 is out of range (4K to 1G)");
	assert_message("-n -5", "--tail: \"-5\" is not a number");
	assert_message("-n 20000", "--tail: 20000 is out of range (0 to 10000)");
	assert_message("--format yaml", "--format: \"yaml\" is none of: table json tap:");
}

static void word_prefixes(void **state)
{
	PARSE(p, "--format tap:lvm0", false);
	assert_int_equal(p.err, 0);
	assert_string_equal(p.target.format, "tap:lvm0");
}

static void help_wins(void **state)
{
	PARSE(p, "--help --nonsense", false);
	assert_int_equal(p.err, 0);
	assert_true(p.result.help);
	struct text out = { 0 };
	options_help(table, &out);
	assert_non_null(strstr(out.data, "  -m, --memory SIZE               memory\n"));
	assert_non_null(strstr(out.data, "      --name NAME                 a name\n"));
	text_free(&out);
}

static void durations(void **state)
{
	static const struct { const char *word; int err; uint64_t value; } cases[] = {
		{ "500ms", 0, 500000000 }, { "90s", 0, 90000000000 }, { "10m", 0, 600000000000 }, { "2h", 0, 7200000000000 }, { "1d", 0, 86400000000000 },
		{ "0s", 0, 0 }, { "", -EINVAL, 0 }, { "s", -EINVAL, 0 }, { "10", -EINVAL, 0 }, { "10 s", -EINVAL, 0 }, { "-1s", -EINVAL, 0 }, { "1M", -EINVAL, 0 },
		{ "1sec", -EINVAL, 0 }, { "18446744073709551615d", -ERANGE, 0 }, { "18446744073709551616s", -ERANGE, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t value = 42;
		assert_int_equal(duration_parse(cases[i].word, &value), cases[i].err);
		assert_int_equal(value, cases[i].err ? 42 : cases[i].value);
	}
}

static void sizes(void **state)
{
	static const struct { const char *word; int err; uint64_t value; } cases[] = {
		{ "0", 0, 0 }, { "1k", 0, 1024 }, { "1K", 0, 1024 }, { "3MiB", 0, 3 << 20 }, { "2gb", 0, 2ull << 30 }, { "16T", 0, 16ull << 40 },
		{ "", -EINVAL, 0 }, { "M", -EINVAL, 0 }, { "1.5M", -EINVAL, 0 }, { "1MM", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "1 M", -EINVAL, 0 },
		{ "18446744073709551615", 0, UINT64_MAX }, { "18446744073709551616", -ERANGE, 0 }, { "18014398509481984K", -ERANGE, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t value = 42;
		assert_int_equal(size_parse(cases[i].word, &value), cases[i].err);
		assert_int_equal(value, cases[i].err ? 42 : cases[i].value);
	}
	char buffer[24];
	assert_string_equal(size_print(64 << 20, buffer, sizeof(buffer)), "64M");
	assert_string_equal(size_print(1536, buffer, sizeof(buffer)), "1.5K");
	assert_string_equal(size_print(1000, buffer, sizeof(buffer)), "1000");
	assert_string_equal(size_print(0, buffer, sizeof(buffer)), "0");
	assert_string_equal(size_print(1280, buffer, sizeof(buffer)), "1.2K"); /* 1.25: to the even digit, as printf */
	assert_string_equal(size_print(1408, buffer, sizeof(buffer)), "1.4K"); /* 1.375 */
	assert_string_equal(size_print((1ull << 20) - 1, buffer, sizeof(buffer)), "1024.0K");
	assert_string_equal(size_print(UINT64_MAX, buffer, sizeof(buffer)), "16777216.0T");
	for (uint64_t bytes = 1024; bytes < 1 << 20; bytes += 64) {
		char printed[24];
		snprintf(printed, sizeof(printed), "%.1fK", (double)bytes / 1024);
		assert_string_equal(size_print(bytes, buffer, sizeof(buffer)), bytes % 1024 ? printed : size_print(bytes, printed, sizeof(printed)));
	}
	assert_int_equal(number_print(UINT64_MAX, buffer), 20);
	assert_string_equal(buffer, "18446744073709551615");
}

static void addresses(void **state)
{
	uint32_t ip, mask;
	uint8_t mac[6];
	assert_int_equal(cidr_parse("10.0.2.15/24", &ip, &mask), 0);
	assert_memory_equal(&ip, "\x0a\x00\x02\x0f", 4);
	assert_memory_equal(&mask, "\xff\xff\xff\x00", 4);
	assert_int_equal(cidr_parse("10.0.2.15/32", &ip, &mask), 0);
	assert_int_equal(mask, ~0u);
	assert_int_equal(cidr_parse("10.0.2.15/0", &ip, &mask), -ERANGE);
	assert_int_equal(cidr_parse("10.0.2.15/33", &ip, &mask), -ERANGE);
	assert_int_equal(cidr_parse("10.0.2/24", &ip, &mask), -EINVAL);
	assert_int_equal(cidr_parse("1000.1000.1000.1000/24", &ip, &mask), -EINVAL);
	assert_int_equal(mac_parse("02:00:aB:00:00:01", mac), 0);
	assert_int_equal(mac[2], 0xab);
	assert_int_equal(mac_parse("01:00:00:00:00:01", mac), -EINVAL);
	assert_int_equal(mac_parse("02:00:00:00:00", mac), -EINVAL);
	assert_int_equal(mac_parse("02:00:00:00:00:01:02", mac), -EINVAL);
	assert_int_equal(mac_parse("", mac), -EINVAL);
}

static void signals(void **state)
{
	int number = 0;
	assert_int_equal(signal_parse("TERM", &number), 0);
	assert_int_equal(number, SIGTERM);
	assert_int_equal(signal_parse("sigusr1", &number), 0);
	assert_int_equal(number, SIGUSR1);
	assert_int_equal(signal_parse("9", &number), 0);
	assert_int_equal(signal_parse("0", &number), -ERANGE);
	assert_int_equal(signal_parse("32", &number), -ERANGE);
	assert_int_equal(signal_parse("NOPE", &number), -EINVAL);
	assert_string_equal(signal_name(11), "SIGSEGV");
	assert_string_equal(signal_name(-1), "signal");
	assert_string_equal(signal_name(99), "signal");
}

static void strings(void **state)
{
	struct strings list = { 0 };
	for (int i = 0; i < 100; i++)
		strings_take(&list, alloc_format("item %d", i));
	assert_int_equal(list.count, 100);
	assert_string_equal(list.item[99], "item 99");
	assert_null(list.item[100]);
	assert_true(strings_have(&list, "item 50"));
	assert_false(strings_have(&list, "item"));
	strings_free(&list);
	assert_int_equal(text_distance("name", "nmae"), 1);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
}

static void errors(void **state)
{
	struct error error = { 0 };
	assert_int_equal(error_set(&error, -ENOENT, "file %s", "x"), -ENOENT);
	assert_int_equal(error_prefix(&error, "disk %d", 1), -ENOENT);
	assert_string_equal(error.text, "disk 1: file x");
	assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(optional_value), cmocka_unit_test(long_short_and_attached), cmocka_unit_test(operands_between_options), cmocka_unit_test(first_operand_ends),
		cmocka_unit_test(messages), cmocka_unit_test(word_prefixes), cmocka_unit_test(help_wins), cmocka_unit_test(durations), cmocka_unit_test(sizes),
		cmocka_unit_test(addresses), cmocka_unit_test(signals), cmocka_unit_test(strings), cmocka_unit_test(errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
