/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO as a dynamic linker, Go's runtime and an unwinder read it, and what its functions answer. */
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "check.h"

#define NS 1000000000ll

struct vdso {
	const char *base, *strings;
	const ElfW(Sym) *symbols;
	const uint32_t *hash;
	const uint16_t *versions_of;
	const ElfW(Verdef) *versions;
	bool frames;
};

static void read_dynamic(struct vdso *vdso, const ElfW(Dyn) *dynamic)
{
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		const char *at = vdso->base + dynamic->d_un.d_ptr;

		if (dynamic->d_tag == DT_STRTAB)
			vdso->strings = at;
		if (dynamic->d_tag == DT_SYMTAB)
			vdso->symbols = (const void *)at;
		if (dynamic->d_tag == DT_HASH)
			vdso->hash = (const void *)at;
		if (dynamic->d_tag == DT_VERSYM)
			vdso->versions_of = (const void *)at;
		if (dynamic->d_tag == DT_VERDEF)
			vdso->versions = (const void *)at;
	}
}

static void read_vdso(struct vdso *vdso)
{
	const ElfW(Ehdr) *header = (const void *)vdso->base;
	const ElfW(Phdr) *segment = (const void *)(vdso->base + header->e_phoff);

	for (int i = 0; i < header->e_phnum; i++)
		if (segment[i].p_type == PT_GNU_EH_FRAME)
			vdso->frames = true;
	for (int i = 0; i < header->e_phnum; i++)
		if (segment[i].p_type == PT_DYNAMIC)
			read_dynamic(vdso, (const void *)(vdso->base + segment[i].p_offset));
}

static unsigned long hash_of(const char *name)
{
	unsigned long hash = 0, top;

	for (; *name; name++) {
		hash = (hash << 4) + (unsigned char)*name;
		top = hash & 0xf0000000;
		hash = (hash ^ top >> 24) & ~top;
	}
	return hash;
}

/* The index of the version, as Go finds it: by hash and name, not the file's own. */
static unsigned version_of(const struct vdso *vdso, const char *name)
{
	for (const ElfW(Verdef) *def = vdso->versions;; def = (const void *)((const char *)def + def->vd_next)) {
		const ElfW(Verdaux) *aux = (const void *)((const char *)def + def->vd_aux);

		if (!(def->vd_flags & VER_FLG_BASE) && def->vd_hash == hash_of(name) && !strcmp(vdso->strings + aux->vda_name, name))
			return def->vd_ndx & 0x7fff;
		if (!def->vd_next)
			return 0;
	}
}

static void *function(const struct vdso *vdso, const char *name)
{
	unsigned version = version_of(vdso, "LINUX_2.6");
	const uint32_t *buckets = vdso->hash + 2, *chain = buckets + vdso->hash[0];

	for (uint32_t i = buckets[hash_of(name) % vdso->hash[0]]; i; i = chain[i]) {
		const ElfW(Sym) *symbol = &vdso->symbols[i];

		if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && symbol->st_size &&
		    (vdso->versions_of[i] & 0x7fff) == version && !strcmp(vdso->strings + symbol->st_name, name))
			return (void *)(vdso->base + symbol->st_value);
	}
	return NULL;
}

static long long ns(const struct timespec *time)
{
	return time->tv_sec * NS + time->tv_nsec;
}

/* Between two calls that ask the kernel, the same clock shows something between. */
static bool agrees(int (*gettime)(clockid_t, struct timespec *), int clock)
{
	struct timespec before, seen, after;

	if (syscall(SYS_clock_gettime, clock, &before) || gettime(clock, &seen) || syscall(SYS_clock_gettime, clock, &after))
		return false;
	return ns(&before) <= ns(&seen) && ns(&seen) <= ns(&after) && seen.tv_nsec >= 0 && seen.tv_nsec < NS;
}

static void clocks(const struct vdso *vdso)
{
	int (*gettime)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))function(vdso, "__vdso_clock_gettime");
	struct timespec time, last = { 0, 0 };
	bool rises = true;

	if (!CHECK(gettime))
		return;
	CHECK(agrees(gettime, CLOCK_REALTIME));
	CHECK(agrees(gettime, CLOCK_MONOTONIC));
	CHECK(agrees(gettime, CLOCK_BOOTTIME));
	CHECK(agrees(gettime, CLOCK_TAI));
	CHECK(agrees(gettime, CLOCK_MONOTONIC_RAW));
	CHECK(agrees(gettime, CLOCK_REALTIME_COARSE));
	CHECK(agrees(gettime, CLOCK_MONOTONIC_COARSE));
	CHECK(agrees(gettime, CLOCK_PROCESS_CPUTIME_ID));
	CHECK(agrees(gettime, CLOCK_THREAD_CPUTIME_ID));
	IS(gettime(10, &time), -EINVAL);
	IS(gettime(12, &time), -EINVAL);
	IS(gettime(1000, &time), -EINVAL);
	for (int i = 0; i < 100000; i++) {
		rises &= !gettime(CLOCK_MONOTONIC, &time) && ns(&time) >= ns(&last);
		last = time;
	}
	CHECK(rises);
}

static void others(const struct vdso *vdso)
{
	int (*day)(struct timeval *, void *) = (int (*)(struct timeval *, void *))function(vdso, "__vdso_gettimeofday");
	time_t (*seconds)(time_t *) = (time_t (*)(time_t *))function(vdso, "__vdso_time");
	long (*getcpu)(unsigned *, unsigned *, void *) = (long (*)(unsigned *, unsigned *, void *))function(vdso, "__vdso_getcpu");
	int (*getres)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))function(vdso, "__vdso_clock_getres");
	struct timeval before, seen, after;
	struct { int minutes, kind; } zone = { -1, -1 };
	struct timespec unit;
	time_t start, end, put;
	unsigned cpu = 1000, node = 1000;

	if (!CHECK(day && seconds && getcpu && getres))
		return;
	CHECK(!syscall(SYS_gettimeofday, &before, NULL) && !day(&seen, NULL) && !syscall(SYS_gettimeofday, &after, NULL));
	CHECK(timercmp(&before, &seen, <=) && timercmp(&seen, &after, <=) && seen.tv_usec < 1000000);
	CHECK(!day(&seen, &zone) && zone.kind == 0);
	IS(day(NULL, NULL), 0);
	start = syscall(SYS_time, NULL);
	put = seconds(NULL);
	end = syscall(SYS_time, NULL);
	CHECK(start <= put && put <= end);
	CHECK(seconds(&end) == end && end >= put);
	CHECK(!getcpu(&cpu, &node, NULL) && cpu < 1000 && node < 1000);
	CHECK(!getres(CLOCK_MONOTONIC, &unit) && unit.tv_sec == 0 && unit.tv_nsec == 1);
}

/* It is the program's own page: what is written there is seen by nobody else, and what libos needs of it stands elsewhere. */
static bool may_be_written(const struct vdso *vdso)
{
	long page = sysconf(_SC_PAGESIZE);
	char *last = (char *)vdso->base + page - 1;

	if (mprotect((void *)vdso->base, page, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	*last = 77;
	return *last == 77 && !mprotect((void *)vdso->base, page, PROT_READ | PROT_EXEC);
}

int main(void)
{
	struct vdso vdso = { .base = (const char *)getauxval(AT_SYSINFO_EHDR) };

	if (!CHECK(vdso.base && !memcmp(vdso.base, ELFMAG, SELFMAG)))
		return check_end();
	read_vdso(&vdso);
	if (!CHECK(vdso.strings && vdso.symbols && vdso.hash && vdso.versions_of && vdso.versions && vdso.frames))
		return check_end();
	CHECK(version_of(&vdso, "LINUX_2.6"));
	CHECK(!version_of(&vdso, "LINUX_2.7"));
	CHECK(!function(&vdso, "__vdso_clock_settime"));
	clocks(&vdso);
	others(&vdso);
	CHECK(!in_vm() || may_be_written(&vdso)); /* Linux lets nobody */
	CHECK(agrees((int (*)(clockid_t, struct timespec *))function(&vdso, "__vdso_clock_gettime"), CLOCK_MONOTONIC));
	return check_end();
}
