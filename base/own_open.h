/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams are open file descriptions that others share: who wants one that does not block needs one of his own. */
#ifndef LV_BASE_OWN_OPEN_H
#define LV_BASE_OWN_OPEN_H

/*
 * A non-blocking description of our own of the pipe or terminal behind fd; access: O_RDONLY or O_WRONLY. A negative errno
 * where there can be none (no right to open it anew), or where it would not be the same thing: files have their position in
 * the description, the other end of a terminal would be another terminal, and sockets cannot be opened. Close-on-exec, the caller's.
 */
int own_open(int fd, int access);

#endif
