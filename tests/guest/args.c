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

/* argv[0], argv[1], ..., envp[0], ... end to end, then the file's name and the end of the stack; the vectors lie below. */
static void check_layout(int argc, char **argv)
{
	char *at = argv[0];
	bool rising = true;

	for (char **s = argv; s < argv + argc; at += strlen(at) + 1)
		rising &= *s++ == at;
	for (char **s = environ; *s; at += strlen(at) + 1)
		rising &= *s++ == at;
	CHECK(rising);
	CHECK(at == (char *)getauxval(AT_EXECFN));
	at += strlen(at) + 1;
	CHECK((uintptr_t)(at + 8) % 4096 == 0);
	for (int i = 0; i < 8; i++)
		rising &= at[i] == 0;
	CHECK(rising);
	CHECK((char *)getauxval(AT_PLATFORM) < argv[0] && (char *)getauxval(AT_RANDOM) < argv[0]);
	CHECK((uintptr_t)argv % 16 == 8 && (char *)argv < argv[0]);
}

static size_t slurp(const char *name, char *text, size_t size)
{
	FILE *f = fopen(name, "r");
	size_t n = f ? fread(text, 1, size - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return n;
}

/* One of the numbers in /proc/self/stat, which has no blank in its name here. */
static uint64_t stat_field(int number)
{
	static char text[4096];
	char *at = text;

	slurp("/proc/self/stat", text, sizeof(text));
	for (int i = 1; i < number && at; i++)
		at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
	return at ? strtoull(at, NULL, 10) : 0;
}

/* A title written over argv, as setproctitle and libuv do it, and what /proc says before and after. Last: it destroys them. */
static void check_title(int argc, char **argv)
{
	static char text[65536];
	char *env = environ[0], *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
	size_t room = end - argv[0];

	CHECK(slurp("/proc/self/cmdline", text, sizeof(text)) == room && !memcmp(text, argv[0], room));
	CHECK(slurp("/proc/self/environ", text, sizeof(text)) && !strcmp(text, env));
	CHECK(stat_field(48) == (uintptr_t)argv[0] && stat_field(49) == (uintptr_t)end && stat_field(50) == (uintptr_t)env);
	CHECK(stat_field(28) == (uintptr_t)(argv - 1));
	CHECK(stat_field(26) <= (uintptr_t)check_title && stat_field(27) > (uintptr_t)check_title);
	CHECK(stat_field(45) <= (uintptr_t)&check_failures && stat_field(47) <= (uintptr_t)sbrk(0));
	memset(argv[0], 0, room);
	strcpy(argv[0], "titled");
	CHECK(slurp("/proc/self/cmdline", text, sizeof(text)) == room && !strcmp(text, "titled"));
	/* longer than all arguments: into the environment */
	memset(argv[0], 'x', room + 2);
	argv[0][room + 2] = 0;
	CHECK(slurp("/proc/self/cmdline", text, sizeof(text)) == room + 3 && strlen(text) == room + 2);
	CHECK(slurp("/proc/self/environ", text, sizeof(text)) && !strncmp(text, "xx", 3));
}

int main(int argc, char **argv)
{
	show_strings(argc, argv);
	check_stack(argc, argv);
	check_auxv(argv);
	check_layout(argc, argv);
	CHECK(getenv("GUEST_MISSING") == NULL);
	CHECK(!setenv("GUEST_NEW", "1", 1) && !strcmp(getenv("GUEST_NEW"), "1"));
	CHECK(getpid() > 0);
	check_title(argc, argv);
	return check_end();
}
