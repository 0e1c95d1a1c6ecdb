/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define SCRIPT_MAX_BYTES (256u << 10)
#define WORD_MAX_BYTES 128
#define NESTED_MAX 16
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Busybox is none: it is the commands, too. */
static const char *const shells[] = { "sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh" };

/* What starts the program that its arguments name; options and numbers may come first. */
static const char *const starters[] = { "env", "timeout", "nice", "ionice", "nohup", "setsid", "stdbuf", "time", "xargs", "chroot", "chrt", "flock", "setpriv",
	"taskset", "unshare", "watch", "strace", "catchsegv", "exec", "command", "eval", "builtin", "sudo" };

/* Languages whose programs start commands as shells do, but say so in ways of their own: the beginning of the interpreter's name. */
static const char *const languages[] = { "python", "perl", "ruby", "php", "node", "deno", "bun", "lua", "tclsh", "guile", "make", "gmake", "R", "Rscript", "git", "java",
	"javac", "jshell", "go", "cargo", "rustc", "erl", "escript", "julia" };

/* Compilers that leave the rest to another one. */
static const struct partner {
	const char *program, *starts;
} partners[] = { { "go", "gcc" }, { "cargo", "rustc" }, { "cargo", "cc" }, { "rustc", "cc" } };

/* Behind which a command can stand. */
static const char *const keywords[] = { "if", "then", "elif", "else", "while", "until", "do", "!", "{" };
/* The same behind a command: "bash -c", "find -exec". */
static const char *const behind[] = { "-c", "-exec", "-execdir", "-ok" };

/* POSIX' shell utilities, and what scripts take for granted beside them. */
static const char *const usual[] = { "[", "awk", "base64", "basename", "cat", "chgrp", "chmod", "chown", "cksum", "clear", "cmp", "comm", "cp", "csplit", "cut", "date",
	"dd", "df", "diff", "dirname", "du", "echo", "egrep", "env", "expand", "expr", "false", "fgrep", "find", "flock", "fmt", "fold", "getent", "getopt", "grep", "groups",
	"gunzip", "gzip", "head", "hostname", "id", "install", "join", "kill", "link", "ln", "logname", "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mktemp", "more", "mv",
	"nice", "nl", "nohup", "nproc", "od", "paste", "pathchk", "printenv", "printf", "pwd", "readlink", "realpath", "rm", "rmdir", "run-parts", "sed", "seq", "setsid",
	"sh", "sha1sum", "sha256sum", "shuf", "sleep", "sort", "split", "stat", "stdbuf", "stty", "sum", "sync", "tac", "tail", "tar", "tee", "test", "timeout", "touch", "tput",
	"tr", "true", "truncate", "tsort", "tty", "uname", "unexpand", "uniq", "unlink", "wc", "which", "who", "whoami", "xargs", "yes", "zcat" };

static bool one_of(const char *const *table, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(table[i], word))
			return true;
	return false;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool is_shell(const char *path) { return one_of(shells, COUNT(shells), base_of(path)); }
static bool is_starter(const char *path) { return one_of(starters, COUNT(starters), base_of(path)); }

/* "python3.11" is one of "python", "rsync" is none of "R". */
static bool is_language(const char *path)
{
	const char *base = base_of(path);
	for (size_t i = 0; i < COUNT(languages); i++) {
		size_t n = strlen(languages[i]);
		if (!strncmp(base, languages[i], n) && !base[n + strspn(base + n, "0123456789.")])
			return true;
	}
	return false;
}

static bool is_usual(const char *path) { return one_of(usual, COUNT(usual), base_of(path)); }

char *program_find(const char *name)
{
	const char *path = getenv("PATH");
	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		size_t n = strcspn(path, ":");
		char *full = alloc_format("%.*s/%s", (int)n, path, name);
		if (n && !access(full, X_OK))
			return full;
		free(full);
		path += n + (path[n] == ':');
	}
	return NULL;
}

char *program_find_for(const struct plan *plan, const char *name)
{
	static const char *const dirs[] = { "/usr/local/bin", "/usr/bin", "/usr/sbin" };
	if (!plan->from)
		return program_find(name);
	for (size_t i = 0; i < COUNT(dirs); i++) {
		char *path = alloc_format("%s/%s", dirs[i], name);
		if (plan_has(plan, path))
			return path;
		free(path);
	}
	return NULL;
}

/* ---- a text, as far as a shell's grammar says where commands stand ---- */

static void note_command(struct commands *commands, const char *word)
{
	if (is_shell(word))
		commands->shell = true;
	if (commands->named.count >= COMMANDS_MAX)
		return;
	char *path = strchr(word, '/') ? word[0] == '/' && !access(word, X_OK) ? alloc_copy(word) : NULL : program_find(word);
	if (path && !strings_have(&commands->named, path))
		strings_take(&commands->named, path);
	else
		free(path);
}

/* "NAME=..." */
static bool is_assignment(const char *word)
{
	size_t n = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
	return n && word[n] == '=';
}

/* A word where a command can stand: true if one can stand behind it, too. */
static bool take_word(struct commands *commands, const char *word)
{
	if (one_of(keywords, COUNT(keywords), word) || is_assignment(word) || word[0] == '-' || (word[0] >= '0' && word[0] <= '9'))
		return true;
	note_command(commands, word);
	return is_starter(word);
}

struct lexer {
	struct commands *commands;
	bool expects; /* a command can stand here */
	bool odd;     /* the word has something in it that only the shell can tell */
	char quote;   /* within "..." or '...', which is one word: that; else 0 */
	char around;  /* within "..." or '...' in the place of a command, as behind -c: that; its text counts as any other */
	char outer[NESTED_MAX], closing[NESTED_MAX]; /* of $(...), (...) and `...`: the quote around it, and what ends it */
	bool expected[NESTED_MAX]; /* a command can stand behind it: "x=$(a) b" */
	size_t depth;
	char word[WORD_MAX_BYTES];
	size_t n;
};

static void end_word(struct lexer *lexer)
{
	lexer->word[lexer->n] = 0;
	if (lexer->n && lexer->odd)
		lexer->expects = lexer->expects && is_assignment(lexer->word);
	else if (lexer->n && lexer->expects)
		lexer->expects = take_word(lexer->commands, lexer->word);
	else if (lexer->n)
		lexer->expects = one_of(behind, COUNT(behind), lexer->word);
	lexer->n = 0;
	lexer->odd = false;
}

static void add_to_word(struct lexer *lexer, char c)
{
	if (lexer->n + 1 < sizeof(lexer->word))
		lexer->word[lexer->n++] = c;
	else
		lexer->odd = true;
}

static void enter(struct lexer *lexer, char closing)
{
	bool in_word = lexer->n > 0;
	lexer->odd = in_word;
	end_word(lexer);
	if (lexer->depth < NESTED_MAX) {
		lexer->expected[lexer->depth] = in_word && lexer->expects;
		lexer->outer[lexer->depth] = lexer->quote;
		lexer->closing[lexer->depth++] = closing;
	}
	lexer->quote = 0;
	lexer->expects = true;
}

/* True: a command can stand behind it, as it can behind a pattern of case, which nothing was entered for. */
static bool leave(struct lexer *lexer)
{
	end_word(lexer);
	lexer->expects = false;
	if (!lexer->depth)
		return true;
	lexer->quote = lexer->outer[--lexer->depth];
	return lexer->expected[lexer->depth];
}

/* In a place where a command can stand, what is quoted is text for a shell, or the command's name. */
static void take_quote(struct lexer *lexer, char c)
{
	if (lexer->around == c) {
		end_word(lexer);
		lexer->around = 0;
		lexer->expects = false;
	} else if (lexer->expects && !lexer->n && !lexer->around) {
		lexer->around = c;
	} else {
		lexer->quote = c;
	}
}

/* Outside of quotes. */
static void take_plain(struct lexer *lexer, char c)
{
	if (c == '"' || c == '\'') {
		take_quote(lexer, c);
	} else if (c == '(') {
		enter(lexer, ')');
	} else if (c == ')') {
		lexer->expects = leave(lexer);
	} else if (strchr(";|&\n", c)) {
		end_word(lexer);
		lexer->expects = true;
	} else if (c == ' ' || c == '\t') {
		end_word(lexer);
	} else {
		lexer->odd = lexer->odd || strchr("$*?<>\\", c);
		add_to_word(lexer, c);
	}
}

/* Here-documents are not told from the rest: a word too many costs a file that nobody needs. */
static void take_text(struct commands *commands, const char *text, size_t size, bool expects)
{
	struct lexer lexer = { .commands = commands, .expects = expects };
	for (size_t i = 0; i < size && text[i]; i++) {
		char c = text[i];
		if (c == '`' && lexer.quote != '\'') {
			if (lexer.depth && lexer.closing[lexer.depth - 1] == c)
				lexer.expects = leave(&lexer);
			else
				enter(&lexer, c);
		} else if (c == '$' && i + 1 < size && text[i + 1] == '(' && lexer.quote != '\'') {
			enter(&lexer, ')');
			i++;
		} else if (lexer.quote) {
			if (c == lexer.quote)
				lexer.quote = 0;
			else
				add_to_word(&lexer, c);
		} else if (c == '#' && !lexer.n) {
			while (i + 1 < size && text[i + 1] != '\n')
				i++;
		} else {
			take_plain(&lexer, c);
		}
	}
	end_word(&lexer);
}

/* ---- programs ---- */

/* The text of a file that somebody may take for a script; NULL: it is none. The caller's. */
static char *read_text(const char *path, size_t *size)
{
	char *data = malloc(SCRIPT_MAX_BYTES + 1);
	int fd = data ? file_open_regular(path) : -1;
	ssize_t n = fd < 0 ? -1 : pread(fd, data, 2, 0);
	bool binary = n == 2 && data[0] == 0x7f;
	n = n < 0 || binary ? -1 : pread(fd, data, SCRIPT_MAX_BYTES, 0);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(data);
		return NULL;
	}
	data[n] = 0;
	*size = (size_t)n;
	return data;
}

/* "#!/bin/sh", "#!/usr/bin/env python3" */
static bool first_line_names(const char *script, bool (*known)(const char *word))
{
	char *line = alloc_format("%.*s", (int)strcspn(script, "\n"), script), *save;
	bool found = false;
	for (char *word = text_starts(line, "#!") ? strtok_r(line + 2, " \t\r", &save) : NULL; word && !found; word = strtok_r(NULL, " \t\r", &save))
		found = known(word);
	free(line);
	return found;
}

/* given: to a shell, as a script, whatever its first line says. */
static void take_file(const char *path, struct commands *commands, bool given)
{
	size_t size = 0;
	char *text = read_text(path, &size);
	bool shell = text && (given || first_line_names(text, is_shell));
	if (shell)
		take_text(commands, text, size, true);
	commands->shell = commands->shell || shell || (text && first_line_names(text, is_language));
	free(text);
}

/* The script that a shell is given comes first of what is no option. */
static void take_script(const struct strings *words, struct commands *commands)
{
	size_t i = 0;
	while (i < words->count && words->item[i][0] == '-' && strcmp(words->item[i], "-c"))
		i++;
	if (i < words->count && words->item[i][0] != '-')
		take_file(words->item[i], commands, true);
}

static void take_words(const struct strings *words, struct commands *commands, bool expects)
{
	struct text text = { 0 };
	for (size_t i = 0; i < words->count; i++)
		text_format(&text, "%s ", words->item[i]);
	if (text.size)
		take_text(commands, text.data, text.size, expects);
	text_free(&text);
}

/* They come with the shell. */
static void drop_usual(struct strings *named)
{
	size_t kept = 0;
	for (size_t i = 0; i < named->count; i++)
		if (is_usual(named->item[i]))
			free(named->item[i]);
		else
			named->item[kept++] = named->item[i];
	if (named->item)
		named->item[kept] = NULL;
	named->count = kept;
}

void commands_find(const char *program, const struct strings *words, struct commands *commands)
{
	bool shell = is_shell(program), starter = is_starter(program);
	commands->shell = shell || is_language(program);
	for (size_t i = 0; i < COUNT(partners); i++)
		if (!strcmp(base_of(program), partners[i].program))
			note_command(commands, partners[i].starts);
	if (words && (shell || starter))
		take_words(words, commands, starter);
	if (words && shell)
		take_script(words, commands);
	if (!shell && !starter)
		take_file(program, commands, false);
	for (size_t i = 0; i < commands->named.count; i++) /* which grows by what they name */
		take_file(commands->named.item[i], commands, false);
	if (commands->shell)
		drop_usual(&commands->named);
}

bool commands_start_shell(const char *program, const char *text)
{
	return is_shell(program) || first_line_names(text, is_shell);
}

void commands_free(struct commands *commands)
{
	strings_free(&commands->named);
	*commands = (struct commands){ 0 };
}

static void add_found(struct plan *plan, const char *name)
{
	char *path = program_find_for(plan, name);
	struct error ignored;
	if (path)
		plan_add(plan, path, false, &ignored);
	free(path);
}

void commands_add_shell(struct plan *plan)
{
	struct error ignored;
	plan_why(plan, "the shell, by which the program may start others");
	plan_add(plan, "/bin/sh", false, &ignored);
}

void commands_add_usual(struct plan *plan)
{
	plan_why(plan, "a command that scripts take for granted");
	for (size_t i = 0; i < COUNT(usual); i++)
		add_found(plan, usual[i]);
}
