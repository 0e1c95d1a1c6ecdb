/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm doctor: is everything there that VMs need, and which command repairs what is not. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/node_paths.h"
#include "base/spawn.h"
#include "node/machine_limits.h"
#include "node/state.h"
#include "node/self_test.h"
#include "node/vm_jail.h"
#include "tinyx/cache.h"
#include "tinyx/kernel.h"

enum level { FINE, NOTE, NEEDED };

struct finding {
	enum level level;
	char *detail; /* what was found */
	char *fix;    /* the command that repairs it; NULL: none */
};

static struct finding fine(const char *detail)
{
	return (struct finding){ FINE, alloc_copy(detail), NULL };
}

static struct finding problem(enum level level, char *detail, const char *fix)
{
	return (struct finding){ level, detail, fix ? alloc_copy(fix) : NULL };
}

/* What one check found that another one needs. */
struct doctor {
	enum self_test kind;
};

/* For a machine that has no group for it, as many clouds' images: the device keeps group and mode over a boot, by udev. */
#define GRANT_KVM                                                                                                                    \
	"sudo sh -c \"groupadd -f -r kvm && chgrp kvm /dev/kvm && chmod 660 /dev/kvm && usermod -aG kvm $USER && "                   \
	"mkdir -p /etc/udev/rules.d && echo 'KERNEL==\\\"kvm\\\", GROUP=\\\"kvm\\\", MODE=\\\"0660\\\"' >/etc/udev/rules.d/65-kvm.rules\""

/* ---- the checks ---- */

static const char *processor_module(void)
{
	char *data = NULL;
	size_t size;
	const char *module = "kvm";
	if (!file_read(AT_FDCWD, "/proc/cpuinfo", 1u << 20, &data, &size))
		module = strstr(data, " vmx") ? "kvm_intel" : strstr(data, " svm") ? "kvm_amd" : "kvm";
	free(data);
	return module;
}

static struct finding check_kvm(struct doctor *doctor)
{
	if (!access("/dev/kvm", F_OK))
		return fine("/dev/kvm is there");
	const char *module = processor_module();
	char *fix = alloc_format("sudo modprobe %s", module);
	struct finding found = problem(NEEDED, alloc_format("/dev/kvm is missing%s", strcmp(module, "kvm") ? "" :
							     "; this processor shows no virtualisation: enable it in the firmware, or nested virtualisation of the machine around"), fix);
	free(fix);
	return found;
}

static struct finding check_rights(struct doctor *doctor)
{
	if (access("/dev/kvm", F_OK))
		return problem(NOTE, alloc_copy("not checked: there is no /dev/kvm"), NULL);
	if (!access("/dev/kvm", R_OK | W_OK))
		return fine("/dev/kvm may be used");
	struct stat st;
	struct group *group = stat("/dev/kvm", &st) ? NULL : getgrgid(st.st_gid);
	if (!group || !st.st_gid || !(st.st_mode & 0060))
		return problem(NEEDED, alloc_copy("no right to use /dev/kvm, and no group has one (then log in again)"), GRANT_KVM);
	char *fix = alloc_format("sudo usermod -aG %s $USER", group->gr_name);
	struct finding found = problem(NEEDED, alloc_format("no right to use /dev/kvm: only root and the group %s (then log in again)", group->gr_name), fix);
	free(fix);
	return found;
}

static struct finding check_monitor(struct doctor *doctor)
{
	struct error error = { 0 };
	char *monitor = paths_monitor(&error), *libos = monitor ? paths_libos(&error) : NULL;
	bool there = libos && !access(monitor, X_OK) && !access(libos, R_OK);
	struct finding found = there ? fine(monitor) : problem(NEEDED, alloc_copy(error.text[0] ? error.text : "cannot be executed"), "make install");
	free(monitor);
	free(libos);
	return found;
}

static struct finding check_kind(struct doctor *doctor)
{
	struct error error = { 0 };
	if (access("/dev/kvm", R_OK | W_OK))
		return problem(NOTE, alloc_copy("not checked: /dev/kvm cannot be used"), NULL);
	if (self_test(&doctor->kind, &error))
		return problem(NEEDED, alloc_copy(error.text), NULL);
	return fine(doctor->kind == SELF_TEST_PAGE_TABLE ? "passed: a VM ran; this KVM works by page tables" : "passed: a VM ran; this KVM uses VT-x or AMD-V");
}

static struct finding check_linux_guests(struct doctor *doctor)
{
	if (doctor->kind == SELF_TEST_PAGE_TABLE)
		return problem(NOTE, alloc_copy("do not run here: KVM by page tables would emulate their kernel; programs run on the library OS"), NULL);
	if (doctor->kind == SELF_TEST_UNKNOWN)
		return problem(NOTE, alloc_copy("not checked"), NULL);
	struct kernel kernel;
	bool built = !kernel_find(KERNEL_DEFAULT, &kernel, NULL);
	kernel_free(&kernel);
	return built ? fine("run, with --kernel linux") : problem(NOTE, alloc_copy("would run; their kernel is not built yet"), "lightvm kernel build");
}

static struct finding check_jail(struct doctor *doctor)
{
	struct error error = { 0 };
	if (!vm_jail_try(&error))
		return fine("full: monitors have namespaces and an empty root of their own");
	return problem(NOTE, alloc_format("basic: a filter of system calls, no capabilities; VMs run all the same. Refused: %s", error.text), NULL);
}

static bool installed(const char *name)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin" };
	char path[256];
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static struct finding check_passt(struct doctor *doctor)
{
	return installed("passt") ? fine("passt is installed")
				  : problem(NEEDED, alloc_copy("passt is missing: -p and --net passt do not work"), "sudo apt-get install passt");
}

static bool may_administer_network(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	return !syscall(SYS_capget, &header, data) && (data[0].effective & (1u << CAP_NET_ADMIN));
}

static struct finding check_tap(struct doctor *doctor)
{
	if (access("/dev/net/tun", F_OK))
		return problem(NOTE, alloc_copy("/dev/net/tun is missing; --net tap and bridge do not work"), "sudo modprobe tun");
	if (access("/dev/net/tun", R_OK | W_OK)) /* a module does not help: it is a right */
		return problem(NOTE, alloc_format("/dev/net/tun: %s; --net tap and bridge do not work", strerror(errno)), "sudo chmod 666 /dev/net/tun");
	if (may_administer_network())
		return fine("tap devices can be made");
	return problem(NOTE, alloc_copy("no right to make tap devices; --net tap:NAME works with one made before"),
		       "sudo ip tuntap add lvm0 mode tap user $USER && sudo ip link set lvm0 up");
}

static struct finding check_faults(struct doctor *doctor)
{
	static const char *const way = "/dev/userfaultfd: %s; VMs come here by pre-copy only (lightvm migrate --post-copy)";
	if (access("/dev/userfaultfd", F_OK))
		return problem(NOTE, alloc_format(way, "the kernel has none (Linux 6.1 is the first that can)"), NULL);
	if (access("/dev/userfaultfd", R_OK | W_OK))
		return problem(NOTE, alloc_format(way, strerror(errno)), "sudo setfacl -m u:$USER:rw /dev/userfaultfd");
	return fine("VMs can come here before their memory (post-copy)");
}

static struct finding check_huge_pages(struct doctor *doctor)
{
	char *data = NULL;
	size_t size;
	if (file_read(AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled", 4096, &data, &size))
		return problem(NOTE, alloc_copy("the kernel has no transparent huge pages; large programs run slower"), NULL);
	bool never = strstr(data, "[never]");
	free(data);
	if (!never)
		return fine("transparent huge pages are allowed");
	return problem(NOTE, alloc_copy("transparent huge pages are off; large programs run slower"),
		       "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
}

static struct finding check_limits(struct doctor *doctor)
{
	struct rlimit files = { 0 };
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur >= 1024)
		return fine("enough open files are allowed");
	return problem(NOTE, alloc_format("only %llu open files are allowed in a process", (unsigned long long)files.rlim_cur), "ulimit -n 1024");
}

static const struct limit *find_limit(const struct limit *limit, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(limit[i].name, name))
			return &limit[i];
	return NULL;
}

/* Which limit of the machine ends the number of VMs, for small ones: where it is not memory it can be raised. */
static struct finding check_room(struct doctor *doctor)
{
	struct state state;
	struct error error = { 0 };
	struct limit limit[LIMITS_MAX];
	state_open(&state, false, NULL);
	int count = limits_read(&limits_idle, &state, limit, &error);
	state_close(&state);
	if (count <= 0)
		return problem(NOTE, alloc_copy(error.text), NULL);
	const struct limit *memory = find_limit(limit, count, "memory");
	if (memory == limit || !memory)
		return (struct finding){ FINE, alloc_format("for some %" PRIu64 " VMs more that sleep; then %s ends", limit->room, limit->name), NULL };
	return problem(NOTE, alloc_format("for some %" PRIu64 " VMs more that sleep; then %s ends (%" PRIu64 ", of which %" PRIu64 " in use, %" PRIu64
					  " for each VM); memory would do for %" PRIu64, limit->room, limit->name, limit->most, limit->used, limit->each, memory->room),
		       limit->fix[0] ? limit->fix : NULL);
}

static struct finding check_state(struct doctor *doctor)
{
	struct state state;
	struct error error = { 0 };
	struct finding found;
	if (state_open(&state, true, &error))
		found = problem(NEEDED, alloc_format("%s", error.text), "export LIGHTVM_STATE=$(mktemp -d)");
	else
		found = fine(state.path);
	state_close(&state);
	return found;
}

static struct finding check_cache(struct doctor *doctor)
{
	struct cache cache;
	struct error error = { 0 };
	struct finding found;
	if (cache_open(&cache, true, &error))
		found = problem(NEEDED, alloc_format("images cannot be kept: %s", error.text), "export XDG_CACHE_HOME=$(mktemp -d)");
	else if (faccessat(cache.images, ".", W_OK, 0))
		found = problem(NEEDED, alloc_format("images cannot be kept: %s: %s", cache.path, strerror(errno)), "export XDG_CACHE_HOME=$(mktemp -d)");
	else
		found = fine(cache.path);
	cache_close(&cache);
	return found;
}

static const struct {
	const char *name;
	struct finding (*check)(struct doctor *doctor);
} checks[] = {
	{ "KVM device", check_kvm },
	{ "KVM rights", check_rights },
	{ "monitor", check_monitor },
	{ "KVM self-test", check_kind },
	{ "Linux guests", check_linux_guests },
	{ "jail", check_jail },
	{ "network tools", check_passt },
	{ "tap devices", check_tap },
	{ "memory faults", check_faults },
	{ "huge pages", check_huge_pages },
	{ "limits", check_limits },
	{ "room", check_room },
	{ "state directory", check_state },
	{ "image cache", check_cache },
};

/* ---- output ---- */

static const char *const level_words[] = { "ok", "note", "needed" };

static void add_line(struct text *out, const char *name, const struct finding *found)
{
	text_format(out, "%-7s %-16s %s\n", level_words[found->level], name, found->detail);
	if (found->fix)
		text_format(out, "        %-16s run: %s\n", "", found->fix);
}

static json_t *finding_json(const char *name, const struct finding *found)
{
	return json_pack("{s:s, s:s, s:s, s:s?}", "check", name, "status", level_words[found->level], "detail", found->detail, "fix", found->fix);
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct format_options *given = opaque;
	bool json = format_is_json(given);
	json_t *array = json_array();
	struct text out = { 0 };
	struct doctor doctor = { 0 };
	int needed = 0;
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		struct finding found = checks[i].check(&doctor);
		needed += found.level == NEEDED;
		add_line(&out, checks[i].name, &found);
		json_array_append_new(array, finding_json(checks[i].name, &found));
		free(found.detail);
		free(found.fix);
	}
	int status = json ? json_print(array) : text_print(&out);
	if (json)
		text_free(&out);
	else
		json_decref(array);
	return status ? status : needed ? 1 : 0;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "Check that this machine can run virtual machines, and say what repairs it",
	.text = "Exit status 0: everything that is needed is there; 1: something is missing. Lines that begin with \"note\" tell of what\n"
		"only some uses need.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = run,
};
