# SPDX-License-Identifier: Apache-2.0
"""A program on a terminal of its own, for the scripts that are its user."""
import fcntl
import os
import pty
import struct
import termios


def resize(fd, rows, columns):
    """Gives the terminal of this descriptor a size."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def pair():
    """A terminal of 30 rows and 90 columns: the descriptor of who looks at it, and that of who is on it."""
    master, slave = pty.openpty()
    resize(slave, 30, 90)
    return master, slave


def start(slave, *command):
    """The command as a session whose terminal this is; its process."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in 0, 1, 2:
            os.dup2(slave, descriptor)
        os.execvp(command[0], command)
    return pid
