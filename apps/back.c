/* SPDX-License-Identifier: Apache-2.0 */
/* Sends back what it gets: standard input to standard output. */
#include <stddef.h>
#include <unistd.h>

int main(void)
{
	char buffer[4096];
	ssize_t n, put;
	while ((n = read(0, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0; done < n; done += put)
			if ((put = write(1, buffer + done, (size_t)(n - done))) < 0)
				return 1;
	return n < 0;
}
