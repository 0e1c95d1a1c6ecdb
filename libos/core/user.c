/* SPDX-License-Identifier: Apache-2.0 */
/* The program's memory: the range is checked here, the rest is found out by touching it (user_copy.S). */
#include "libos/core/user.h"

#include <asm/errno.h>

int user_read_at(void *to, uaddr_t from, size_t n)
{
	return user_range(from, n) && !user_copy(to, (const void *)from, n) ? 0 : -EFAULT;
}

int user_write_at(uaddr_t to, const void *from, size_t n)
{
	return user_range(to, n) && !user_copy((void *)to, from, n) ? 0 : -EFAULT;
}

int user_zero_at(uaddr_t to, size_t n)
{
	return user_range(to, n) && !user_clear((void *)to, n) ? 0 : -EFAULT;
}

int64_t user_string_at(char *to, uaddr_t from, size_t size)
{
	/* A string that ends in front of the border must not be refused, one that does not must not be read beyond it. */
	size_t there = from < LV_WINDOW ? LV_WINDOW - from : user_range(from, 0) ? USER_END - from : 0;
	size_t room = there < size ? there : size;
	int64_t n = room ? user_copy_string(to, (const char *)from, room) : -EFAULT;

	return n < 0 ? -EFAULT : (size_t)n < room ? n : room < size ? -EFAULT : -ENAMETOOLONG;
}

int user_touch(uaddr_t at)
{
	uint32_t word;

	return user_cmpxchg(at, 0, 0, &word);
}

int user_cmpxchg(uaddr_t at, uint32_t old, uint32_t new, uint32_t *found)
{
	return user_range(at, sizeof(uint32_t)) && !user_exchange((uint32_t *)at, old, new, found) ? 0 : -EFAULT;
}

int user_save_vectors(uaddr_t to, size_t n, uint64_t mask)
{
	return user_range(to, n) && !user_xsave((void *)to, mask) ? 0 : -EFAULT;
}

int user_load_vectors(uaddr_t from, size_t n, uint64_t mask)
{
	return user_range(from, n) && !user_xrstor((const void *)from, mask) ? 0 : -EFAULT;
}

size_t buffer_get(void *to, uaddr_t from, size_t n)
{
	return n - user_copy(to, (const void *)from, n);
}

size_t buffer_put(uaddr_t to, const void *from, size_t n)
{
	return n - user_copy((void *)to, from, n);
}

size_t buffer_zero(uaddr_t to, size_t n)
{
	return n - user_clear((void *)to, n);
}

size_t buffer_present(uaddr_t from, size_t n)
{
	size_t there = 0;
	char byte;

	while (there < n && !user_copy(&byte, (const void *)(from + there), 1))
		there += LV_PAGE - (from + there) % LV_PAGE;
	return there < n ? there : n;
}
