/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands a shell's words and scripts bring into an image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tinyx/commands.h"

static char work[] = "/tmp/test-commands-XXXXXX";

static char *put(const char *name, const char *text)
{
	char *path = alloc_format("%s/%s", work, name);
	assert_int_equal(file_write(AT_FDCWD, path, text, strlen(text), 0755), 0);
	chmod(path, 0755);
	return path;
}

/* A machine with these programs, and no others. */
static int setup(void **state)
{
	static const char *const programs[] = { "sh", "bash", "ls", "tr", "git", "cc", "one", "two", "three", "timeout", "env", "xargs", "find", "python3", "go", "gcc" };
	if (!mkdtemp(work))
		return -1;
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		free(put(programs[i], "\177ELF"));
	setenv("PATH", work, 1);
	return 0;
}

static int teardown(void **state)
{
	return tree_remove(AT_FDCWD, work);
}

/* The names that are found, with "+" in front if the usual ones come, too. */
static char *found(const char *program, const char *const *words)
{
	struct strings list = { 0 };
	struct commands commands = { 0 };
	struct text text = { 0 };
	for (; words && *words; words++)
		strings_add(&list, *words);
	commands_find(program, words ? &list : NULL, &commands);
	text_put(&text, commands.shell ? "+" : "");
	for (size_t i = 0; i < commands.named.count; i++)
		text_format(&text, " %s", strrchr(commands.named.item[i], '/') + 1);
	commands_free(&commands);
	strings_free(&list);
	return text.data;
}

static void brings(const char *script, const char *expected)
{
	char *names = found("/bin/bash", (const char *const[]){ "-c", script, NULL });
	assert_string_equal(names, expected);
	free(names);
}

static void words_of_shells(void **state)
{
	brings("one", "+ one");
	brings("ls | tr a b", "+");
	brings("one|two && three arg; git", "+ one two three git");
	brings("echo one two", "+");
	brings("x=$(one) y=`two` three", "+ one two three");
	brings("echo \"$(one | two) three\"", "+ one two");
	brings("echo '$(one)'", "+");
	brings("if one; then two; else three; fi", "+ one two three");
	brings("A=1 B=2 one", "+ one");
	brings("(one; two) > out", "+ one two");
	brings("$CMD one", "+");
	brings("\"$CMD\" one; two", "+ two");
	brings("timeout -s 9 5 one; env X=1 two; xargs -n 1 three", "+ one two three");
	brings("find . -exec one {} +; sh -c 'two | three'", "+ one two three");
	brings("# one\ntwo # three", "+ two");
	brings("case $x in a) one ;; b) two ;; esac", "+ one two");
	brings("for i in one two; do three $i; done", "+ three");
	brings("one; one; one", "+ one");
	brings("missing; /nowhere/one; ./one", "+");
	brings("", "+");
	brings("((((((((((((((((((((one))))))))))))))))))))", "+ one");
	brings("echo \"unfinished $(one", "+ one");
}

static void programs_that_start_others(void **state)
{
	char *names = found("/usr/bin/timeout", (const char *const[]){ "1", "one", "two", NULL });
	assert_string_equal(names, " one");
	free(names);
	names = found("/usr/bin/env", (const char *const[]){ "A=b", "bash", "-c", "one | ls", NULL });
	assert_string_equal(names, "+ bash one");
	free(names);
	names = found("/usr/bin/one", (const char *const[]){ "two", NULL });
	assert_string_equal(names, "");
	free(names);
	names = found("/usr/bin/python3.11", (const char *const[]){ "one", NULL });
	assert_string_equal(names, "+");
	free(names);
	names = found("/usr/local/go/bin/go", (const char *const[]){ "build", NULL });
	assert_string_equal(names, "+ gcc");
	free(names);
	names = found("/usr/bin/Rsync", NULL);
	assert_string_equal(names, "");
	free(names);
}

static void scripts(void **state)
{
	char *shell = put("build", "#!/usr/bin/env bash\nset -e\none \\\n  --flag\nif ! two; then exit 1; fi\n"), *plain = put("plain", "three\n");
	char *python = put("tool", "#!/usr/bin/env python3\none\n"), *names = found(shell, NULL);
	assert_string_equal(names, "+ one two");
	free(names);
	names = found("/bin/sh", (const char *const[]){ "-e", plain, "one", NULL });
	assert_string_equal(names, "+ three");
	free(names);
	names = found(python, NULL);
	assert_string_equal(names, "+");
	free(names);
	names = found(plain, NULL);
	assert_string_equal(names, "");
	free(names);
	names = found("/bin/sh", (const char *const[]){ "-c", "build", NULL }); /* what it starts is a script, too */
	assert_string_equal(names, "+ build one two");
	free(names);
	free(shell);
	free(plain);
	free(python);
}

/* Nobody hangs at a pipe that is called a script, and no end of words makes more than the bound. */
static void odd_scripts(void **state)
{
	struct commands commands = { 0 };
	struct text text = { 0 };
	char *path = alloc_format("%s/pipe", work), *names;
	assert_int_equal(mkfifo(path, 0600), 0);
	names = found("/bin/sh", (const char *const[]){ path, NULL });
	assert_string_equal(names, "+");
	free(names);
	free(path);
	for (int i = 0; i < 100; i++) {
		path = alloc_format("many%d", i);
		free(put(path, "x"));
		text_format(&text, "%s;", path);
		free(path);
	}
	const struct strings words = { .item = (char *[]){ "-c", text.data }, .count = 2 };
	commands_find("/bin/sh", &words, &commands);
	assert_int_equal(commands.named.count, COMMANDS_MAX);
	commands_free(&commands);
	text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_of_shells),
		cmocka_unit_test(programs_that_start_others),
		cmocka_unit_test(scripts),
		cmocka_unit_test(odd_scripts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
