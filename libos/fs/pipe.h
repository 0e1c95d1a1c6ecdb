/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, for what moves bytes between them and other files without the program (sys_splice.c). */
#ifndef LV_LIBOS_PIPE_H
#define LV_LIBOS_PIPE_H

#include "libos/fs/vfs.h"

struct pipe;

struct pipe *pipe_of(const struct file *file); /* NULL: it is none. A FIFO is one, too */
/* Waits for bytes: 1, 0 at the end of all writers, -EAGAIN (nonblock) or what a signal makes of it. */
int pipe_await_bytes(struct pipe *pipe, bool nonblock);
/* Waits for room: 0, -EAGAIN (nonblock), -EPIPE after SIGPIPE: nobody reads. */
int pipe_await_room(struct pipe *pipe, bool nonblock);
size_t pipe_room(const struct pipe *pipe); /* bytes that can be put now */
/* Copies up to n of the bytes that come next, of one packet at most, and leaves them: how many went into the buffer. */
size_t pipe_peek(struct pipe *pipe, uaddr_t to, size_t n);
void pipe_hold(struct pipe *pipe, bool on); /* nobody else takes bytes from it (pipe_await_bytes waits); for who looks at some and takes them later */
bool pipe_is_held(const struct pipe *pipe);
void pipe_skip(struct pipe *pipe, size_t n); /* so many of them are taken */
/* Puts what there is room for: bytes, or -EFAULT, -ENOMEM if it was none. */
int64_t pipe_put(struct pipe *pipe, uaddr_t from, size_t n);

#endif
