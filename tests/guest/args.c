/* SPDX-License-Identifier: Apache-2.0 */
/* What the program finds on its stack: arguments, environment, auxiliary vector. */
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include "check.h"

extern char **environ;

static void show_strings(int argc, char **argv)
{
	static const char *const names[] = {"GUEST_ONE", "GUEST_EMPTY", "GUEST_SPACE", "GUEST_NONE"}; /* their order is free */

	for (int i = 1; i < argc; i++)
		printf("argv[%d] = '%s'\n", i, argv[i]);
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		printf("env %s=%s\n", names[i], getenv(names[i]) ? getenv(names[i]) : "(none)");
}

static void check_auxv(char **argv)
{
	const ElfW(Phdr) *ph = (const void *)getauxval(AT_PHDR);
	bool has_load = false;

	for (unsigned long i = 0; ph && i < getauxval(AT_PHNUM); i++)
		has_load |= ph[i].p_type == PT_LOAD;
	CHECK(has_load);
	CHECK(getauxval(AT_PAGESZ) == 4096);
	CHECK(getauxval(AT_PHENT) == sizeof(ElfW(Phdr)));
	CHECK(getauxval(AT_ENTRY) != 0);
	CHECK(getauxval(AT_RANDOM) != 0);
	CHECK(getauxval(AT_SECURE) == 0);
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
	CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	CHECK(getauxval(AT_HWCAP) != 0);
	CHECK(getauxval(AT_EXECFN) && strlen((const char *)getauxval(AT_EXECFN)) > 0);
	CHECK(getauxval(AT_PLATFORM) && !strcmp((const char *)getauxval(AT_PLATFORM), "x86_64"));
	CHECK(argv[0] && argv[0][0]);
}

static void check_stack(int argc, char **argv)
{
	uint64_t aligned;

	CHECK(argv[argc] == NULL);
	CHECK(environ == argv + argc + 1);
	__asm__("mov %%rsp, %0" : "=r"(aligned));
	CHECK(aligned > 4096);
}

int main(int argc, char **argv)
{
	show_strings(argc, argv);
	check_stack(argc, argv);
	check_auxv(argv);
	CHECK(getenv("GUEST_MISSING") == NULL);
	CHECK(!setenv("GUEST_NEW", "1", 1) && !strcmp(getenv("GUEST_NEW"), "1"));
	CHECK(getpid() > 0);
	return check_end();
}
