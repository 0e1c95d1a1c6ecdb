/* SPDX-License-Identifier: Apache-2.0 */
#include "node/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"

int memory_file(const char *name, const struct text *first, const struct text *second, struct error *error)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), err = 0;
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", name, strerror(errno));
	err = fd_write(fd, first->data, first->size);
	if (!err && second)
		err = fd_write(fd, second->data, second->size);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return error_set(error, err, "%s: %s", name, strerror(-err));
}
