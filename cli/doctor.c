/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm doctor: is everything there that VMs need, and which command repairs what is not. */
#include <errno.h>
#include <fcntl.h>
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
#include "node/state.h"
#include "tinyx/cache.h"

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

static struct finding check_kvm(void)
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

static struct finding check_rights(void)
{
	if (access("/dev/kvm", F_OK))
		return problem(NOTE, alloc_copy("not checked: there is no /dev/kvm"), NULL);
	if (!access("/dev/kvm", R_OK | W_OK))
		return fine("/dev/kvm may be used");
	struct stat st;
	if (stat("/dev/kvm", &st) || !(st.st_mode & 0060))
		return problem(NEEDED, alloc_copy("no right to use /dev/kvm, and its group has none either"), "sudo chmod 660 /dev/kvm && sudo chgrp kvm /dev/kvm");
	return problem(NEEDED, alloc_copy("no right to use /dev/kvm (then log in again)"), "sudo usermod -aG kvm $USER");
}

static struct finding check_monitor(void)
{
	struct error error = { 0 };
	char *monitor = paths_monitor(&error), *libos = monitor ? paths_libos(&error) : NULL;
	bool there = libos && !access(monitor, X_OK) && !access(libos, R_OK);
	struct finding found = there ? fine(monitor) : problem(NEEDED, alloc_copy(error.text[0] ? error.text : "cannot be executed"), "make install");
	free(monitor);
	free(libos);
	return found;
}

/* The monitor's self-test in a scratch VM: what it prints, in one line. */
static struct finding check_kind(void)
{
	char line[256] = "", *monitor = paths_monitor(NULL);
	int pipe_fd[2], status = 0;
	if (!monitor || access("/dev/kvm", R_OK | W_OK) || pipe2(pipe_fd, O_CLOEXEC)) {
		free(monitor);
		return problem(NOTE, alloc_copy("not checked"), NULL);
	}
	char *argv[] = { "lightvm-vmm", "--probe", NULL };
	struct spawn spawn = { SPAWN_INIT, .argv = argv, .die_with_us = true };
	struct spawned child;
	spawn.out = spawn.err = pipe_fd[1];
	bool started = !spawn_start(&spawn, monitor, &child, NULL);
	close(pipe_fd[1]);
	free(monitor);
	size_t size = 0;
	for (ssize_t n; size + 1 < sizeof(line) && (n = read(pipe_fd[0], line + size, sizeof(line) - 1 - size)) > 0;)
		size += (size_t)n;
	close(pipe_fd[0]);
	if (started)
		status = spawned_wait(&child);
	line[strcspn(line, "\n")] = 0;
	if (started && WIFEXITED(status) && !WEXITSTATUS(status))
		return fine(line[0] ? line : "the self-test passed");
	return problem(NEEDED, alloc_format("the self-test failed: %s", line[0] ? line : "no message"), NULL);
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

static struct finding check_passt(void)
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

static struct finding check_tap(void)
{
	if (access("/dev/net/tun", R_OK | W_OK))
		return problem(NOTE, alloc_format("/dev/net/tun: %s; --net tap and bridge do not work", strerror(errno)), "sudo modprobe tun");
	if (may_administer_network())
		return fine("tap devices can be made");
	return problem(NOTE, alloc_copy("no right to make tap devices; --net tap:NAME works with one made before"),
		       "sudo ip tuntap add lvm0 mode tap user $USER && sudo ip link set lvm0 up");
}

static struct finding check_huge_pages(void)
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

static struct finding check_limits(void)
{
	struct rlimit files = { 0 };
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur >= 1024)
		return fine("enough open files are allowed");
	return problem(NOTE, alloc_format("only %llu open files are allowed in a process", (unsigned long long)files.rlim_cur), "ulimit -n 1024");
}

static struct finding check_state(void)
{
	struct state state;
	struct error error = { 0 };
	struct finding found;
	if (state_open(&state, true, &error))
		found = problem(NEEDED, alloc_format("VMs cannot be recorded: %s", error.text), "export XDG_RUNTIME_DIR=$(mktemp -d)");
	else
		found = fine(state.path);
	state_close(&state);
	return found;
}

static struct finding check_cache(void)
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
	struct finding (*check)(void);
} checks[] = {
	{ "KVM device", check_kvm },
	{ "KVM rights", check_rights },
	{ "monitor", check_monitor },
	{ "KVM self-test", check_kind },
	{ "network tools", check_passt },
	{ "tap devices", check_tap },
	{ "huge pages", check_huge_pages },
	{ "limits", check_limits },
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

struct doctor_options {
	const char *format;
};

static const struct option_spec options[] = {
	{ "format", 0, OPTION_STRING, offsetof(struct doctor_options, format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct doctor_options *given = opaque;
	bool json = given->format && !strcmp(given->format, "json");
	json_t *array = json_array();
	struct text out = { 0 };
	int needed = 0;
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		struct finding found = checks[i].check();
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
	.options = options,
	.options_size = sizeof(struct doctor_options),
	.run = run,
};
