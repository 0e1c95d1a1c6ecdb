/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library's dynamic linker finds out of the processor when it starts: the same in the first program, and in those
 * after it, for which the library OS answers; and the same as the instruction says. "linker": at how many of them in the dynamic
 * linker its code has been changed.
 */
#include "check.h"

#include <cpuid.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/platform/x86.h>
#include <sys/wait.h>

extern char **environ;
static char said[8192];

/* All that it keeps: the leaves, and the sizes of caches. */
static int say(char *text, size_t size)
{
	const struct cpuid_feature *feature;
	int n = 0;

	for (unsigned leaf = 0; (feature = __x86_get_cpuid_feature_leaf(leaf)) != NULL && leaf < CPUID_INDEX_19 + 1; leaf++)
		for (unsigned i = 0; i < 4; i++)
			n += leaf == CPUID_INDEX_1 && i == 1 ? 0 : /* EBX: where it runs */
			     snprintf(text + n, size - n, "%u.%u %08x %08x\n", leaf, i, feature->cpuid_array[i], feature->active_array[i]);
	for (int name = _SC_LEVEL1_ICACHE_SIZE; name <= _SC_LEVEL4_CACHE_LINESIZE; name++)
		n += snprintf(text + n, size - n, "%d %ld\n", name, sysconf(name));
	return n;
}

/* The same program once more: is what it says what this one does? */
static bool child_agrees(char *self)
{
	char *argv[] = { self, "say", NULL }, heard[sizeof(said)];
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1, n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe(ends) || posix_spawn_file_actions_init(&actions) || posix_spawn_file_actions_adddup2(&actions, ends[1], 1) ||
	    posix_spawn_file_actions_addclose(&actions, ends[0]) || posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ))
		return false;
	close(ends[1]);
	while ((got = read(ends[0], heard + n, sizeof(heard) - 1 - n)) > 0)
		n += got;
	heard[n] = 0;
	close(ends[0]);
	return waitpid(pid, &status, 0) == pid && status == 0 && strcmp(heard, said) == 0;
}

/* The bytes before one, which a jump displaces, are not those of the file. */
static bool is_changed(int fd, const unsigned char *memory, off_t at)
{
	unsigned char file[8];

	return pread(fd, file, sizeof(file), at - 8) == 8 && memcmp(file, memory - 8, 8) != 0;
}

static int count_in_linker(struct dl_phdr_info *info, size_t size, void *count)
{
	int fd = strstr(info->dlpi_name, "/ld-linux") ? open(info->dlpi_name, O_RDONLY) : -1;

	for (int i = 0; fd >= 0 && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *load = &info->dlpi_phdr[i];
		const unsigned char *from = (const unsigned char *)(info->dlpi_addr + load->p_vaddr), *end = from + load->p_filesz, *at = from + 8;

		while (load->p_type == PT_LOAD && load->p_flags & PF_X && (at = memmem(at, (size_t)(end - at), "\x0f\xa2", 2))) {
			*(int *)count += is_changed(fd, at, (off_t)load->p_offset + (at - from));
			at += 2;
		}
	}
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int say_count(void)
{
	int count = 0;

	return dl_iterate_phdr(count_in_linker, &count) != 1 || printf("%d\n", count) < 0;
}

int main(int argc, char **argv)
{
	const struct cpuid_feature *one;
	unsigned eax, ebx, ecx, edx;

	if (argc > 1 && strcmp(argv[1], "linker") == 0)
		return say_count();
	say(said, sizeof(said));
	if (argc > 1)
		return fputs(said, stdout) < 0;
	for (int i = 0; i < 4; i++)
		CHECK(child_agrees(argv[0]));
	one = __x86_get_cpuid_feature_leaf(CPUID_INDEX_1);
	__cpuid(1, eax, ebx, ecx, edx);
	CHECK(one->cpuid_array[2] == ecx && one->cpuid_array[3] == edx);
	CHECK(one->cpuid_array[0] == eax);
	return check_end();
}
