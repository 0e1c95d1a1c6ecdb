/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-agent: the agent of a library-OS guest, started by libos for one connection: agent USER:GROUP DIRECTORY, with the environment of the VM's program. */
#include <unistd.h>

#include "guest/guest_agent.h"

#define CONNECTION 3
#define FIRST_PROGRAM 1

int main(int argc, char **argv)
{
	struct guest_config config = { .user = argc > 1 ? argv[1] : NULL, .cwd = argc > 2 ? argv[2] : NULL, .env = environ };
	const struct agent_world world = { .config = &config, .program = FIRST_PROGRAM };

	while (environ[config.envc])
		config.envc++;
	agent_serve(CONNECTION, &world);
	return 0;
}
