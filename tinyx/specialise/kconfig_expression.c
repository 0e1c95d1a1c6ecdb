/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions of Kconfig: ||, &&, !, comparisons, symbols, constants in quotes. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/kconfig.h"

#define DEPTH_MAX 64 /* of parentheses and exclamation marks */
#define WORD_MAX 128

struct parse {
	const char *at;
	const struct kconfig_values *values;
	struct strings *names; /* NULL: only worth */
	unsigned depth;
	bool wrong;
};

static int either(struct parse *parse);

static void blanks(struct parse *parse)
{
	parse->at += strspn(parse->at, " \t");
}

static bool take(struct parse *parse, const char *what)
{
	blanks(parse);
	if (!text_starts(parse->at, what))
		return false;
	parse->at += strlen(what);
	return true;
}

struct word {
	char text[WORD_MAX];
	bool constant, macro;
};

/* "$(success,test -n "$(X)")": up to the parenthesis that ends it. */
static void skip_macro(struct parse *parse)
{
	unsigned open = 0;
	parse->wrong |= parse->at[1] != '(';
	for (; *parse->at && !parse->wrong; parse->at++) {
		open += *parse->at == '(';
		if (*parse->at == ')' && !--open) {
			parse->at++;
			return;
		}
	}
	parse->wrong = true;
}

static bool symbol_letter(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-./", c));
}

/* The length of the word at from, which is in quotes or not; what follows it is next. */
static size_t measure(struct parse *parse, const char **from, bool quoted)
{
	size_t len = 0;
	if (quoted) {
		const char *end = strchr(*from + 1, **from);
		parse->wrong |= !end;
		len = end ? (size_t)(end - ++*from) : 0;
		parse->at = end ? end + 1 : *from;
		return len;
	}
	while (symbol_letter((*from)[len]))
		len++;
	parse->wrong |= !len;
	parse->at += len;
	return len;
}

static void take_word(struct parse *parse, struct word *word)
{
	*word = (struct word){ 0 };
	blanks(parse);
	const char *from = parse->at;
	word->macro = *from == '$';
	word->constant = *from == '"' || *from == '\'';
	if (word->macro) {
		skip_macro(parse);
		return;
	}
	size_t len = measure(parse, &from, word->constant);
	if (len >= sizeof(word->text))
		parse->wrong = true;
	else
		memcpy(word->text, from, len);
}

static bool is_literal(const struct word *word)
{
	return word->constant || !strcmp(word->text, "y") || !strcmp(word->text, "m") || !strcmp(word->text, "n") ||
	       !word->text[strspn(word->text, "0123456789")] || text_starts(word->text, "0x");
}

static const char *worth(const struct parse *parse, const struct word *word)
{
	if (word->macro)
		return "y";
	if (is_literal(word))
		return word->text;
	const char *value = parse->values->value(parse->values->context, word->text);
	return *value ? value : "n";
}

static int truth(const char *value)
{
	return !strcmp(value, "y") ? KCONFIG_YES : !strcmp(value, "m") ? KCONFIG_MODULE : KCONFIG_NO;
}

static bool compares(const char *a, const char *operator, const char *b)
{
	char *end_a, *end_b;
	long long x = strtoll(a, &end_a, 0), y = strtoll(b, &end_b, 0);
	bool numbers = *a && *b && !*end_a && !*end_b;
	int order = numbers ? (x > y) - (x < y) : strcmp(a, b);
	switch (*operator) {
	case '=': return !order;
	case '!': return order;
	case '<': return operator[1] ? order <= 0 : order < 0;
	default: return operator[1] ? order >= 0 : order > 0;
	}
}

static int comparison(struct parse *parse)
{
	static const char *const operators[] = { "!=", "<=", ">=", "=", "<", ">" };
	struct word left, right;
	take_word(parse, &left);
	if (parse->wrong)
		return KCONFIG_NO;
	char *value = alloc_copy(worth(parse, &left)); /* the next one may be written where this one is */
	int result = value ? truth(value) : KCONFIG_NO;
	bool compared = false;
	parse->wrong |= !value;
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators) && !compared && !parse->wrong; i++) {
		compared = take(parse, operators[i]);
		if (!compared)
			continue;
		take_word(parse, &right);
		result = !parse->wrong && compares(value, operators[i], worth(parse, &right)) ? KCONFIG_YES : KCONFIG_NO;
	}
	if (parse->names && !compared && result != KCONFIG_NO && !left.macro && !is_literal(&left))
		strings_add(parse->names, left.text);
	free(value);
	return result;
}

static int negation(struct parse *parse);

static int single(struct parse *parse)
{
	int value;
	if (parse->depth == DEPTH_MAX || parse->wrong) {
		parse->wrong = true;
		return KCONFIG_NO;
	}
	parse->depth++;
	blanks(parse);
	if (*parse->at == '!') {
		value = negation(parse);
	} else if (take(parse, "(")) {
		value = either(parse);
		parse->wrong |= !take(parse, ")");
	} else {
		value = comparison(parse);
	}
	parse->depth--;
	return value;
}

/* What is not there has no name to ask for. */
static int negation(struct parse *parse)
{
	struct strings *names = parse->names;
	parse->at++;
	parse->names = NULL;
	int value = KCONFIG_YES - single(parse);
	parse->names = names;
	return value;
}

static void forget_after(struct strings *names, size_t count)
{
	for (; names && names->count > count; names->count--) {
		free(names->item[names->count - 1]);
		names->item[names->count - 1] = NULL;
	}
}

static int both(struct parse *parse)
{
	size_t before = parse->names ? parse->names->count : 0;
	int value = single(parse);
	while (!parse->wrong && take(parse, "&&")) {
		int other = single(parse);
		value = other < value ? other : value;
	}
	if (value == KCONFIG_NO)
		forget_after(parse->names, before);
	return value;
}

static int either(struct parse *parse)
{
	int value = both(parse);
	while (!parse->wrong && take(parse, "||")) {
		struct strings *names = parse->names;
		if (value != KCONFIG_NO)
			parse->names = NULL; /* it holds already */
		int other = both(parse);
		parse->names = names;
		value = other > value ? other : value;
	}
	return value;
}

static int whole(struct parse *parse)
{
	size_t before = parse->names ? parse->names->count : 0;
	int value = either(parse);
	blanks(parse);
	if (!parse->wrong && !*parse->at)
		return value;
	forget_after(parse->names, before);
	return -EINVAL;
}

int kconfig_evaluate(const char *expression, const struct kconfig_values *values)
{
	struct parse parse = { .at = expression, .values = values };
	return whole(&parse);
}

int kconfig_holders(const char *expression, const struct kconfig_values *values, struct strings *names)
{
	struct parse parse = { .at = expression, .values = values, .names = names };
	return whole(&parse);
}

char *kconfig_condition(const char *clause, const char **expression)
{
	size_t len = strcspn(clause, " \t");
	const char *rest = clause + len + strspn(clause + len, " \t");
	bool conditional = text_starts(rest, "if") && rest[2] && strchr(" \t(", rest[2]);
	*expression = conditional ? rest + 2 + strspn(rest + 2, " \t") : NULL;
	return alloc_format("%.*s", (int)len, clause);
}

bool kconfig_selects(const struct kconfig_entry *entry, const char *name, const struct kconfig_values *values)
{
	bool does = false;
	for (size_t i = 0; i < entry->selects.count && !does; i++) {
		const char *condition;
		char *selected = kconfig_condition(entry->selects.item[i], &condition);
		does = selected && !strcmp(selected, name) && (!condition || kconfig_evaluate(condition, values) > KCONFIG_NO);
		free(selected);
	}
	return does;
}
