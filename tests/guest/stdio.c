/* SPDX-License-Identifier: Apache-2.0 */
/* The three standard streams: copies stdin to stdout, says on stderr how much it was. */
#include <sys/stat.h>
#include <sys/uio.h>

#include "check.h"

static void write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(1, p, n);

		if (w <= 0)
			exit(9);
		p += w;
		n -= (size_t)w;
	}
}

int main(void)
{
	static char buffer[70000];
	unsigned long total = 0, sum = 0;
	struct iovec parts[3] = {{"wri", 3}, {"te", 2}, {"v\n", 2}};
	struct stat st;
	char *volatile nowhere = (char *)16;
	ssize_t n;

	CHECK(!fstat(0, &st) && !fstat(1, &st) && !fstat(2, &st));
	IS(writev(1, parts, 3), 7);
	while ((n = read(0, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + (unsigned char)buffer[i];
		total += (unsigned long)n;
		write_all(buffer, (size_t)n);
	}
	fprintf(stderr, "%lu bytes, sum %lx\n", total, sum);
	IS(read(0, buffer, 1), 0);
	FAILS(write(1, nowhere, 10), EFAULT);
	FAILS(read(77, buffer, 1), EBADF);
	FAILS(lseek(99, 0, SEEK_CUR), EBADF);
	return check_end();
}
