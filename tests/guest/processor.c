/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID tells of instructions that work: libraries choose by it, and take a processor with AVX2 but without LZCNT for an old one. */
#include <cpuid.h>

#include "check.h"

int main(void)
{
	unsigned a, b, c, d, leading, one = 1;

	__cpuid_count(7, 0, a, b, c, d);
	if (!(b >> 5 & 1)) /* a processor without AVX2 may be without the other, too */
		return 0;
	__asm__ volatile("lzcnt %1, %0" : "=r"(leading) : "r"(one)); /* BSR, where it is not there: then 0 comes out */
	__cpuid(0x80000001, a, b, c, d);
	CHECK((leading == 31) == (c >> 5 & 1));
	return check_end();
}
