/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzzer's bytes, taken one after the other; zeroes when there are no more. */
#ifndef LV_TESTS_FUZZ_INPUT_H
#define LV_TESTS_FUZZ_INPUT_H

#include <stdint.h>

struct input {
	const uint8_t *at, *end;
};

static inline uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint32_t take_word(struct input *in)
{
	uint32_t value = take(in);

	value |= take(in) << 8;
	value |= take(in) << 16;
	return value | (uint32_t)take(in) << 24;
}

#endif
