/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

int terminal_enter(struct terminal *terminal)
{
	struct termios raw;
	if (tcgetattr(STDIN_FILENO, &terminal->before))
		return -errno;
	raw = terminal->before;
	cfmakeraw(&raw);
	/* Drain, not flush: what was typed ahead is for the program. */
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw))
		return -errno;
	terminal->raw = true;
	/* A reader of our output that goes must not end us before the terminal is as it was. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int terminal_keys(struct terminal *terminal)
{
	struct termios keys;
	if (tcgetattr(STDIN_FILENO, &terminal->before))
		return -errno;
	keys = terminal->before;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &keys))
		return -errno;
	terminal->raw = true;
	return 0;
}

void terminal_leave(struct terminal *terminal)
{
	if (terminal->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->raw = false;
}

bool terminal_size(uint16_t *rows, uint16_t *columns)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		return false;
	*rows = size.ws_row;
	*columns = size.ws_col;
	return true;
}
