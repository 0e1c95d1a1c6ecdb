/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/option_values.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"

int option_number(const char *option, const char *value, uint64_t most, uint64_t *number)
{
	int err = number_parse(value, number);
	if (err == -EINVAL)
		return log_error("--%s: '%s' is not a number", option, value);
	if (err || *number > most)
		return log_error("--%s: %s is more than %llu", option, value, (unsigned long long)most);
	return 0;
}

int option_size(const char *option, const char *value, uint64_t *bytes)
{
	return size_parse(value, bytes) ? log_error("--%s: '%s' is not a size (examples: 64M, 1G, 33554432)", option, value) : 0;
}

/* A path, or fd:N for a descriptor that is open already. */
int option_file(const char *option, const char *value, int flags, int *fd)
{
	uint64_t number;
	if (strncmp(value, "fd:", 3) == 0) {
		if (option_number(option, value + 3, 1 << 20, &number) < 0)
			return -1;
		if (fcntl(number, F_GETFD) < 0)
			return log_error("--%s: descriptor %s is not open", option, value + 3);
		*fd = number;
		fcntl(*fd, F_SETFD, FD_CLOEXEC);
		return 0;
	}
	*fd = open(value, flags | O_CLOEXEC, 0644);
	return *fd < 0 ? log_error("--%s: %s: %s", option, value, strerror(errno)) : 0;
}
