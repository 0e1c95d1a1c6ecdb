/* SPDX-License-Identifier: Apache-2.0 */
/* For tests/e2e/run_terminal.py: says what comes from its terminal. "deaf": only waits, and takes no SIGINT; "waits": only waits. */
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "check.h"

static volatile sig_atomic_t got;

static void on_signal(int signo)
{
	got = signo;
}

static void mode(tcflag_t local)
{
	struct termios t;

	tcgetattr(0, &t);
	t.c_lflag = local;
	tcsetattr(0, TCSANOW, &t);
}

static void say_signal(const char *more)
{
	struct winsize size;

	if (got == SIGWINCH && !ioctl(0, TIOCGWINSZ, &size))
		printf("SIGWINCH %d %d\n", size.ws_row, size.ws_col);
	else if (got)
		printf("%s%s\n", got == SIGINT ? "SIGINT" : "SIGQUIT", more);
	got = 0;
}

static void compute(void)
{
	puts("computes");
	while (!got)
		;
	say_signal(" while it computed");
}

static void act(char key)
{
	if (key == 'i') {
		mode(ISIG | ECHO | ECHOCTL);
		puts("signals");
	} else if (key == 'c') {
		compute();
	} else if (key == 'q') {
		exit(7);
	} else {
		printf("key %d\n", key);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = argc > 1 ? SIG_IGN : on_signal };
	struct winsize size = { 0 };
	char key;

	setlinebuf(stdout);
	if (argc > 1) {
		if (!strcmp(argv[1], "deaf"))
			sigaction(SIGINT, &action, NULL);
		puts(argv[1]);
		for (;;)
			pause();
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGQUIT, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	mode(0);
	ioctl(1, TIOCGWINSZ, &size);
	printf("%d %d %s\n", size.ws_row, size.ws_col, ttyname(0));
	for (;;) {
		ssize_t n = read(0, &key, 1);

		say_signal("");
		if (n == 1)
			act(key);
		else if (n == 0 || errno != EINTR)
			return 1;
	}
}
