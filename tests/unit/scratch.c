/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/file.h"
#include "base/text.h"

char *scratch(void)
{
	char *path = alloc_copy("/tmp/lightvm-test-XXXXXX");
	assert_non_null(mkdtemp(path));
	return path;
}

void sockets(int pair[2])
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

void put_file(int dir, const char *name, const char *text, mode_t mode)
{
	assert_int_equal(file_write(dir, name, text, strlen(text), mode), 0);
	assert_int_equal(fchmodat(dir, name, mode, 0), 0);
}

void expect_file(int dir, const char *name, const char *text)
{
	char *data;
	size_t size;
	assert_int_equal(file_read(dir, name, 1 << 20, &data, &size), 0);
	assert_string_equal(data, text);
	free(data);
}
