/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, strings and text formatting for a program without a C library. The compiler turns such loops into calls of
 * the very functions they implement; the empty asm statements keep it from doing so.
 */
#include <stdarg.h>

#include "libos/core/libos.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) word;
typedef uint32_t __attribute__((may_alias, aligned(1))) half;
typedef uint16_t __attribute__((may_alias, aligned(1))) quarter;

#define KEEP_LOOP() __asm__ volatile("" : : : "memory")
/* From here on the microcoded string instructions are faster than a loop of words. */
#define STRING_MIN 256

/* At most 16 bytes, with overlapping loads that all happen before the first store: right for memmove too. */
static inline void copy_small(char *to, const char *from, size_t n)
{
	if (n >= 8) {
		uint64_t first = *(const word *)from, last = *(const word *)(from + n - 8);

		*(word *)to = first;
		*(word *)(to + n - 8) = last;
	} else if (n >= 4) {
		uint32_t first = *(const half *)from, last = *(const half *)(from + n - 4);

		*(half *)to = first;
		*(half *)(to + n - 4) = last;
	} else if (n >= 2) {
		uint16_t first = *(const quarter *)from, last = *(const quarter *)(from + n - 2);

		*(quarter *)to = first;
		*(quarter *)(to + n - 2) = last;
	} else if (n) {
		*to = *from;
	}
}

/* Right for a target that starts before an overlapping source: each word is read before anything is written over it. */
static inline void copy_forwards(char *d, const char *s, size_t n)
{
	if (n >= STRING_MIN) {
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		return;
	}
	for (; n > 16; n -= 8, d += 8, s += 8) {
		*(word *)d = *(const word *)s;
		KEEP_LOOP();
	}
	copy_small(d, s, n);
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	copy_forwards(to, from, n);
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	char *d = to;
	const char *s = from;

	if ((uintptr_t)d - (uintptr_t)s >= n) { /* the target does not start inside the source */
		copy_forwards(d, s, n);
		return to;
	}
	for (; n > 16; n -= 8) {
		*(word *)(d + n - 8) = *(const word *)(s + n - 8);
		KEEP_LOOP();
	}
	copy_small(d, s, n);
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	char *d = to;

	if (n >= STRING_MIN) {
		__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(byte) : "memory");
		return to;
	}
	uint64_t fill = (uint8_t)byte * 0x0101010101010101ull;

	for (; n >= 8; n -= 8, d += 8) {
		*(word *)d = fill;
		KEEP_LOOP();
	}
	for (; n; n--) {
		*d++ = (char)byte;
		KEEP_LOOP();
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n >= 8 && *(const word *)x == *(const word *)y; n -= 8, x += 8, y += 8)
		KEEP_LOOP();
	for (; n; n--, x++, y++) {
		if (*x != *y)
			return *x - *y;
		KEEP_LOOP();
	}
	return 0;
}

void *memchr(const void *s, int c, size_t n)
{
	const uint8_t *p = s;

	for (; n; n--, p++) {
		if (*p == (uint8_t)c)
			return (void *)p;
		KEEP_LOOP();
	}
	return NULL;
}

size_t strlen(const char *s)
{
	const char *p = s;

	while (*p) {
		p++;
		KEEP_LOOP();
	}
	return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
	const char *end = memchr(s, 0, max);

	return end ? (size_t)(end - s) : max;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++) {
		if (*a != *b)
			return (uint8_t)*a - (uint8_t)*b;
		if (!*a)
			break;
		KEEP_LOOP();
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++) {
		if (!*s)
			return NULL;
		KEEP_LOOP();
	}
	return (char *)s;
}

/* ---- formatted text ---- */

struct text { /* output that counts on when the buffer is full */
	char *buffer;
	size_t size, length;
};

struct spec { /* one conversion */
	bool left, zero, sign;
	int width, precision; /* precision -1: none */
	int size;             /* 0: int, 1: 64 bits */
};

static void put(struct text *t, char c)
{
	if (t->length + 1 < t->size)
		t->buffer[t->length] = c;
	t->length++;
}

static void put_padded(struct text *t, const struct spec *spec, const char *prefix, const char *s, size_t n)
{
	size_t prefix_len = strlen(prefix);
	int pad = spec->width - (int)(n + prefix_len);

	if (!spec->left && !spec->zero)
		for (; pad > 0; pad--)
			put(t, ' ');
	for (size_t i = 0; i < prefix_len; i++)
		put(t, prefix[i]);
	if (!spec->left && spec->zero)
		for (; pad > 0; pad--)
			put(t, '0');
	for (size_t i = 0; i < n; i++)
		put(t, s[i]);
	for (; pad > 0; pad--)
		put(t, ' ');
}

static void put_number(struct text *t, const struct spec *spec, const char *prefix, uint64_t value, unsigned base, bool upper)
{
	const char *digit = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = digit[value % base];
		value /= base;
	} while (value);
	put_padded(t, spec, prefix, digits + at, sizeof(digits) - at);
}

static const char *parse_spec(const char *p, struct spec *spec, va_list *args)
{
	*spec = (struct spec){ .precision = -1 };
	for (;; p++) {
		if (*p == '-')
			spec->left = true;
		else if (*p == '0')
			spec->zero = true;
		else if (*p == '+')
			spec->sign = true;
		else
			break;
	}
	if (*p == '*') {
		spec->width = va_arg(*args, int);
		p++;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		spec->width = spec->width * 10 + *p - '0';
	if (*p == '.') {
		spec->precision = 0;
		if (*++p == '*') {
			spec->precision = va_arg(*args, int);
			p++;
		}
		for (; *p >= '0' && *p <= '9'; p++)
			spec->precision = spec->precision * 10 + *p - '0';
	}
	for (; *p == 'l' || *p == 'z' || *p == 'h'; p++)
		spec->size |= *p != 'h';
	return p;
}

static void put_conversion(struct text *t, char conversion, struct spec *spec, va_list *args)
{
	const char *s;
	int64_t n;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		n = spec->size ? va_arg(*args, int64_t) : va_arg(*args, int);
		put_number(t, spec, n < 0 ? "-" : spec->sign ? "+" : "", n < 0 ? 0 - (uint64_t)n : (uint64_t)n, 10, false);
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		put_number(t, spec, "", spec->size ? va_arg(*args, uint64_t) : va_arg(*args, unsigned),
			conversion == 'u' ? 10 : conversion == 'o' ? 8 : 16, conversion == 'X');
		break;
	case 'p':
		put_number(t, spec, "0x", va_arg(*args, uintptr_t), 16, false);
		break;
	case 's':
		s = va_arg(*args, const char *);
		if (!s)
			s = "(null)";
		spec->zero = false;
		put_padded(t, spec, "", s, spec->precision >= 0 ? strnlen(s, (size_t)spec->precision) : strlen(s));
		break;
	case 'c':
		c = (char)va_arg(*args, int);
		put_padded(t, spec, "", &c, 1);
		break;
	default: /* also %% */
		put(t, conversion);
	}
}

int vsnprintf(char *buffer, size_t size, const char *format, va_list list)
{
	struct text t = { .buffer = buffer, .size = size };
	struct spec spec;
	va_list args;

	va_copy(args, list); /* a parameter's address would be that of a pointer, not of a va_list */
	for (const char *p = format; *p; p++) {
		if (*p != '%') {
			put(&t, *p);
			continue;
		}
		p = parse_spec(p + 1, &spec, &args);
		if (!*p)
			break;
		put_conversion(&t, *p, &spec, &args);
	}
	va_end(args);
	if (size)
		buffer[MIN(t.length, size - 1)] = 0;
	return (int)t.length;
}

int snprintf(char *buffer, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(buffer, size, format, args);

	va_end(args);
	return n;
}

/* What the compiler calls for __builtin_popcountl on processors that may lack the instruction. */
int __popcountdi2(long value);
int __popcountdi2(long value)
{
	int bits = 0;

	for (uint64_t rest = (uint64_t)value; rest; rest &= rest - 1)
		bits++;
	return bits;
}
