/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile ATTACK [SEED [DEVICE]]: makes the attack, then leaves with status 42 if it is still alive. After an attack on a ring
 * libos must be alive too: the program ends as programs do. "list" lists the attacks: set, name, what they stop.
 */
#include "hostile.h"

const char *target = "console";
uint64_t random_state = 88172645463325252ull;

static const struct attack *const sets[] = {ring_attacks, call_attacks, machine_attacks};
static const char *const names[] = {"ring", "call", "machine"};

static void list(void)
{
	for (int s = 0; s < 3; s++)
		for (const struct attack *a = sets[s]; a->name; a++)
			printf("%s %s %s\n", names[s], a->name, a->stops ? a->stops : "");
}

static const struct attack *find(const char *name, int *set)
{
	for (*set = 0; *set < 3; ++*set)
		for (const struct attack *a = sets[*set]; a->name; a++)
			if (!strcmp(a->name, name))
				return a;
	return NULL;
}

int main(int argc, char **argv)
{
	int set = 0;
	const struct attack *attack = argc > 1 ? find(argv[1], &set) : NULL;

	if (argc > 2)
		random_state += strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ull;
	if (argc > 3)
		target = argv[3];
	if (!attack) {
		list();
		return 2;
	}
	printf("attack %s\n", attack->name);
	fflush(stdout);
	attack->run();
	let_pass(20);
	if (set > 0)
		leave(42);
	printf("alive\n"); /* goes nowhere if the console is what stopped */
	fflush(stdout);
	return 42;
}
