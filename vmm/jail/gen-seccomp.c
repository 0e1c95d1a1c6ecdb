/* SPDX-License-Identifier: Apache-2.0 */
/* Build tool: compiles lists of system calls into the BPF programs that jail.c loads, as C arrays on standard output. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/jail/self.h"

static const struct {
	const char *name;
	unsigned long value;
} symbols[] = {
	{ "KVM_RUN", KVM_RUN },
	{ "KVM_IRQ_LINE", KVM_IRQ_LINE },
	{ "KVM_IOEVENTFD", KVM_IOEVENTFD },
	{ "KVM_GET_LAPIC", (unsigned)KVM_GET_LAPIC },
	{ "KVM_GET_IRQCHIP", (unsigned)KVM_GET_IRQCHIP },
	{ "KVM_GET_CLOCK", (unsigned)KVM_GET_CLOCK },
	{ "KVM_SET_CLOCK", KVM_SET_CLOCK },
	{ "KVM_GET_DEVICE_ATTR", KVM_GET_DEVICE_ATTR },
	{ "KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR },
	{ "KVM_KVMCLOCK_CTRL", KVM_KVMCLOCK_CTRL },
	{ "KVM_GET_REGS", KVM_GET_REGS },
	{ "KVM_SET_REGS", KVM_SET_REGS },
	{ "KVM_GET_VCPU_EVENTS", (unsigned)KVM_GET_VCPU_EVENTS },
	{ "KVM_GET_SREGS", KVM_GET_SREGS },
	{ "KVM_SET_SREGS", KVM_SET_SREGS },
	{ "KVM_SET_XCRS", KVM_SET_XCRS },
	{ "KVM_SET_XSAVE", KVM_SET_XSAVE },
	{ "KVM_SET_DEBUGREGS", KVM_SET_DEBUGREGS },
	{ "KVM_SET_VCPU_EVENTS", KVM_SET_VCPU_EVENTS },
	{ "KVM_SET_MP_STATE", KVM_SET_MP_STATE },
	{ "KVM_SET_MSRS", KVM_SET_MSRS },
	{ "KVM_GET_XCRS", (unsigned)KVM_GET_XCRS },
	{ "KVM_GET_XSAVE", (unsigned)KVM_GET_XSAVE },
	{ "KVM_GET_DEBUGREGS", (unsigned)KVM_GET_DEBUGREGS },
	{ "KVM_GET_MP_STATE", (unsigned)KVM_GET_MP_STATE },
	{ "KVM_GET_MSRS", (unsigned)KVM_GET_MSRS },
	{ "KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION },
	{ "TUNGETIFF", (unsigned)TUNGETIFF },
	{ "TUNSETVNETHDRSZ", TUNSETVNETHDRSZ },
	{ "TUNATTACHFILTER", TUNATTACHFILTER },
	{ "TUNSETQUEUE", TUNSETQUEUE },
	{ "TUNSETOFFLOAD", TUNSETOFFLOAD },
	{ "BLKGETSIZE64", (unsigned)BLKGETSIZE64 },
	{ "TIOCGPTN", (unsigned)TIOCGPTN },
	{ "TIOCOUTQ", TIOCOUTQ },
	{ "UFFDIO_API", (unsigned)UFFDIO_API },
	{ "UFFDIO_REGISTER", (unsigned)UFFDIO_REGISTER },
	{ "UFFDIO_WAKE", (unsigned)UFFDIO_WAKE },
	{ "USERFAULTFD_IOC_NEW", (unsigned)_IO(UFFDIO, 0) },
	{ "UFFDIO_WRITEPROTECT", (unsigned)UFFDIO_WRITEPROTECT },
	{ "SELF", SECCOMP_SELF },
	{ "SIGUSR1", SIGUSR1 },
	{ "TCGETS", TCGETS },
	{ "TIOCGWINSZ", TIOCGWINSZ },
	{ "AF_UNIX", AF_UNIX },
	{ "F_GETFL", F_GETFL },
	{ "F_SETFL", F_SETFL },
	{ "F_GET_SEALS", F_GET_SEALS },
	{ "F_OFD_SETLK", F_OFD_SETLK },
	{ "F_OFD_GETLK", F_OFD_GETLK },
	{ "SECCOMP_SET_MODE_FILTER", SECCOMP_SET_MODE_FILTER },
	{ "ENOSYS", ENOSYS },
	{ "EPERM", EPERM },
};

struct source {
	const char *file;
	unsigned line;
};

static bool complain(const struct source *at, const char *what, const char *word)
{
	fprintf(stderr, "%s:%u: %s: '%s'\n", at->file, at->line, what, word);
	return false;
}

static bool parse_value(const struct source *at, const char *text, unsigned long *value)
{
	char *end;

	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++)
		if (!strcmp(symbols[i].name, text)) {
			*value = symbols[i].value;
			return true;
		}
	*value = strtoul(text, &end, 0);
	return (*text && !*end) || complain(at, "neither a number nor a name of gen-seccomp.c", text);
}

/* aN=VALUE or aN&MASK=VALUE */
static bool parse_condition(const struct source *at, char *word, struct scmp_arg_cmp *condition)
{
	char *equals = strchr(word, '='), *mask = strchr(word, '&');
	unsigned long value, bits = 0;

	if (word[0] != 'a' || word[1] < '0' || word[1] > '5' || !equals || (mask ? mask : equals) != word + 2)
		return complain(at, "not a condition", word);
	*equals = 0;
	if (!parse_value(at, equals + 1, &value) || (mask && !parse_value(at, mask + 1, &bits)))
		return false;
	/* ioctl numbers and flags are 32 bits wide in the kernel; so are they here, whatever the upper half holds. */
	*condition = SCMP_CMP(word[1] - '0', SCMP_CMP_MASKED_EQ, mask ? bits : 0xffffffff, value);
	return true;
}

/* action: of a rule that names none, and of all but the one that allows. */
static bool add_rule(scmp_filter_ctx filter, const struct source *at, char *text, uint32_t action)
{
	struct scmp_arg_cmp condition[6];
	bool allows = action == SCMP_ACT_ALLOW;
	unsigned count = 0;
	unsigned long value;
	char *name = strtok(text, " \t\n"), *word;
	int number, r;

	if (!name)
		return true;
	number = seccomp_syscall_resolve_name(name);
	if (number == __NR_SCMP_ERROR)
		return complain(at, "no such system call", name);
	while ((word = strtok(NULL, " \t\n"))) {
		if (!strncmp(word, "errno=", 6)) {
			if (!parse_value(at, word + 6, &value))
				return false;
			if (allows)
				action = SCMP_ACT_ERRNO(value);
		} else if (count == 6 || !parse_condition(at, word, &condition[count++])) {
			return false;
		}
	}
	r = seccomp_rule_add_array(filter, action, number, count, condition);
	return r >= 0 || complain(at, strerror(-r), name);
}

static bool read_list(scmp_filter_ctx filter, const char *file, uint32_t action)
{
	struct source at = { file, 0 };
	FILE *in = fopen(file, "r");
	char line[256];
	bool good = in;

	if (!in)
		return complain(&at, strerror(errno), file);
	while (good && fgets(line, sizeof(line), in)) {
		char *reason = strchr(line, '#');

		at.line++;
		if (reason)
			*reason++ = 0;
		if (line[strspn(line, " \t\n")] && (!reason || !reason[strspn(reason, " \t\n")]))
			good = complain(&at, "a rule without a reason", line);
		good = good && add_rule(filter, &at, line, action);
	}
	fclose(in);
	return good;
}

static bool print_program(scmp_filter_ctx filter, const char *name)
{
	FILE *bpf = tmpfile();
	struct sock_filter instruction;
	int r = bpf ? seccomp_export_bpf(filter, fileno(bpf)) : -errno;

	if (r < 0) {
		fprintf(stderr, "seccomp_export_bpf: %s\n", strerror(-r));
		return false;
	}
	rewind(bpf);
	printf("\nstatic const struct sock_filter %s[] = {\n", name);
	while (fread(&instruction, sizeof(instruction), 1, bpf) == 1)
		printf("\t{ 0x%02x, %u, %u, 0x%08x },\n", instruction.code, instruction.jt, instruction.jf, instruction.k);
	printf("};\n");
	fclose(bpf);
	return fflush(stdout) == 0;
}

enum { LIBOS, DISK, LINUX, DIAL, SHELL, LISTS }; /* in the order of the arguments */

/* Allows what is in the lists (bits of their numbers), and kills for anything else; or the other way round. */
static const struct program {
	const char *name;
	unsigned lists;
	bool denies;
} programs[] = {
	{ "seccomp_libos", 1 << LIBOS, false },
	{ "seccomp_libos_disk", 1 << LIBOS | 1 << DISK, false },
	{ "seccomp_linux", 1 << LIBOS | 1 << DISK | 1 << LINUX, false },
	{ "seccomp_dial", 1 << LIBOS | 1 << DISK | 1 << LINUX | 1 << DIAL, false },
	{ "seccomp_shell", 1 << LIBOS | 1 << DISK | 1 << SHELL, false },
	{ "seccomp_narrow", 1 << DISK | 1 << SHELL, true },
	{ "seccomp_narrow_disk", 1 << SHELL, true },
};

static bool compile(const struct program *program, char **list)
{
	scmp_filter_ctx filter = seccomp_init(program->denies ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS);
	bool good = filter;

	/* The hottest calls first, the rest as a tree. */
	if (good)
		seccomp_syscall_priority(filter, SCMP_SYS(ioctl), 255);
	good = good && seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) >= 0;
	for (int i = 0; i < LISTS; i++)
		if (program->lists & 1u << i)
			good = good && read_list(filter, list[i], program->denies ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);
	good = good && print_program(filter, program->name);
	seccomp_release(filter);
	return good;
}

int main(int argc, char **argv)
{
	const struct program one = { argc == 3 ? argv[1] : NULL, 1, false };

	if (argc != 1 + LISTS && !one.name) {
		fprintf(stderr, "usage: gen-seccomp LIST DISK-LIST LINUX-LIST DIAL-LIST SHELL-LIST >HEADER, or gen-seccomp NAME LIST >HEADER\n");
		return 2;
	}
	printf("/* Made by gen-seccomp. */\n#include <linux/filter.h>\n");
	if (one.name)
		return !compile(&one, argv + 2);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (!compile(&programs[i], argv + 1))
			return 1;
	return 0;
}
