/* SPDX-License-Identifier: Apache-2.0 */
/* waiter TEXT [polite|deaf]: says TEXT and waits until it is ended; polite takes its leave at SIGTERM, deaf does not listen. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_term(int signo)
{
	static const char text[] = "bye\n";

	_exit(write(1, text, sizeof(text) - 1) > 0 && signo == SIGTERM ? 4 : 5);
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "";

	if (!strcmp(how, "polite"))
		signal(SIGTERM, on_term);
	else if (!strcmp(how, "deaf"))
		signal(SIGTERM, SIG_IGN);
	printf("%s\n", argc > 1 ? argv[1] : "here");
	fflush(stdout);
	for (;;)
		pause();
}
