/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/habits.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct habit {
	const char *words; /* separated by blanks */
	const char *answer;
	const char *verb;  /* of an option: whose; NULL: of run, create and capacity */
};

#define NO_REGISTRY "is not there: \"lightvm pull\" gets container images by skopeo, which also logs in, lists, copies and pushes them"
#define NOT_NEEDED "is not needed: nothing of the host is in a VM that it could reach, and its own kernel knows no such limit"

static const struct habit commands[] = {
	{ "managedsave", "use \"lightvm save VM\"; \"lightvm restore VM\" has it go on, \"lightvm checkpoint rm\" forgets it" },
	{ "dump", "use \"lightvm save --leave-running VM DIR\"" },
	{ "build builder buildx", "use \"lightvm image build PROGRAM\"" },
	{ "attach", "use \"lightvm console VM\"" },
	{ "list ls", "use \"lightvm ps\"" },
	{ "container", "leave that word out: \"lightvm run\", \"lightvm ps\", \"lightvm rm\" and the others are about VMs" },
	{ "info system df", "use \"lightvm doctor\", \"lightvm ps -a\", \"lightvm image ls\" and \"lightvm prune\"" },
	{ "push login logout search history export commit manifest trust scout", NO_REGISTRY },
	{ "load", "use \"lightvm image load -i FILE\"" },
	{ "import", "use \"lightvm image build --from tar:FILE\", or \"lightvm image load -i FILE\" for what \"docker save\" writes" },
	{ "network", "use \"lightvm run --net\"; the kinds of network stand in its --help" },
	{ "volume", "there are no named volumes; \"lightvm run -v DIR:/PATH\" gives a VM a copy of a directory" },
	{ "swarm node stack context", "\"lightvm host\" names other machines, and \"lightvm migrate VM HOST\" moves a VM to one; what spreads VMs over several asks each of them" },
	{ "diff", "what a VM writes is in its memory; \"lightvm cp\" gets files out of one that runs" },
	{ "init compose secret config plugin", "there is no such command" },
	{ "-v", "use \"lightvm version\"" },
	{ "-H --host -c --context --tls --tlsverify", "lightvm reaches the VMs of this machine; \"ssh HOST lightvm ...\" those of another one, and lightvmd's API is served by TLS, too" },
	{ "-D --debug -l --log-level", "set LIGHTVM_LOG=debug in the environment" },
	{ "pull push import tag", NO_REGISTRY, "image" },
	{ 0 },
};

/* Of networks. */
static const struct habit values[] = {
	{ "host", "a VM has a network of its own: -p HOST:GUEST publishes a port, and --net passt,host lets it reach the host's loopback, at 10.0.2.2" },
	{ "bridge default", "leave it out, as a VM has a network with outgoing connections and -p anyway; --net bridge:NAME names a bridge of the host" },
	{ 0 },
};

#define INPUT "is not there: \"lightvm console VM\" leads to a VM's input and output, and Ctrl-C back"
#define NOT_THERE "is not there"
static const struct habit options[] = {
	{ "privileged cap-add cap-drop security-opt userns pid ipc uts cgroupns ulimit sysctl shm-size group-add device-cgroup-rule oom-kill-disable oom-score-adj pids-limit", NOT_NEEDED },
	{ "device gpus", "cannot be had: devices of the host are not handed to VMs; disks are, with --disk" },
	{ "volume-from volumes-from volume-driver", "is not there; -v DIR:/PATH[:ro] packs a copy of a directory, --tmpfs PATH is an empty one in memory" },
	{ "expose P publish-all", "is not needed: -p HOST:GUEST publishes a port" },
	{ "platform pull disable-content-trust", "has no meaning here: programs are this machine's own" },
	{ "q quiet", "is not needed: what packs an image says so on a terminal only" },
	{ "a attach sig-proxy", "is not needed: without -d a VM's input, output and signals are the terminal's" },
	{ "detach-keys", "is not there: Ctrl-C three times ends a VM in the foreground; start it with -d and use \"lightvm console\"" },
	{ "mac-address", "is called --mac here" },
	{ "link-local-ip network-alias dns-search dns-option dns-opt", "is not there; --ip, --ip6, --gateway, --dns and --mac are" },
	{ "runtime isolation", "has no meaning here; --kernel says what the program runs on" },
	{ "pidfile", "is called --pid-file here" },
	{ "stop-timeout stop-signal", "is not there; \"lightvm stop -t SECONDS\" says how long, \"lightvm kill -s SIGNAL\" sends another signal" },
	{ "memory-reservation memory-swap memory-swappiness kernel-memory", "is not there: -m is all that a VM may use, and what it does not use it does not hold" },
	{ "c cpu-shares cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpuset-cpus cpuset-mems cpu-count cpu-percent cgroup-parent blkio-weight blkio-weight-device",
	  "is not there: start it in a control group, as with: systemd-run --scope -p CPUQuota=50% lightvm run ..." },
	{ "device-read-bps device-read-iops device-write-bps device-write-iops io-maxbandwidth io-maxiops storage-opt",
	  "is not there: start it in a control group, as with: systemd-run --scope -p IOReadBandwidthMax=... lightvm run ..." },
	{ "health-cmd health-interval health-retries health-start-period health-start-interval health-timeout no-healthcheck log-driver log-opt add-host link domainname annotation use-api-socket", NOT_THERE },
	{ "s size", "is not there: VMs have no layers; \"lightvm stats\" has their memory", "ps" },
	{ "since until t timestamps details", "is not there: a log has the program's own words; -n N begins with the last lines", "logs" },
	{ "s size type", "is not there: everything is printed, as JSON", "inspect" },
	{ "o output", "is not there: \"lightvm save VM DIR\" saves a running VM; for images it is \"lightvm image save -o FILE IMAGE\"", "save" },
	{ "d detach", "is not there: let the program go to the background itself, as with sh -c 'PROGRAM &'", "exec" },
	{ "privileged", "is not needed: what exec starts has all rights in the VM that its user (-u) has", "exec" },
	{ "env-file detach-keys", NOT_THERE, "exec" },
	{ "s signal", "is not there; use \"lightvm kill -s SIGNAL\", then \"lightvm stop\"", "stop" },
	{ "s signal", "is not there; use \"lightvm kill -s SIGNAL\", then \"lightvm restart\"", "restart" },
	{ "l link", "is not there: no VM is linked to another one", "rm" },
	{ "i interactive detach-keys", INPUT, "start" },
	{ "a archive L follow-link q quiet", "is not there: owners, modes and links are copied as far as this user may", "cp" },
	{ "cpus c cpu-shares cpuset-cpus restart pids-limit memory-swap memory-reservation blkio-weight", "cannot change while a VM lives; memory can (-m)", "update" },
	{ "no-trunc", "is not needed: nothing is cut", "stats" },
	{ "n no-trunc", "is not needed", "events" },
	{ 0 },
};

static bool same_verb(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static const char *answer(const struct habit *habit, const char *verb, const char *word)
{
	size_t n = strlen(word);
	for (; n && habit->words; habit++)
		for (const char *at = same_verb(habit->verb, verb) ? habit->words : ""; *at; at += strspn(at, " ")) {
			size_t size = strcspn(at, " ");
			if (size == n && !memcmp(at, word, n))
				return habit->answer;
			at += size;
		}
	return NULL;
}

const char *habit_command(const char *word)
{
	return answer(commands, NULL, word);
}

const char *habit_below(const char *parent, const char *word)
{
	return answer(commands, parent, word);
}

/* Of --net alone. */
const char *habit_value(const char *message)
{
	char word[16];
	bool is_net = sscanf(message, "--net: \"%15[a-z]\"", word) == 1 || sscanf(message, "--network: \"%15[a-z]\"", word) == 1;
	return is_net ? answer(values, NULL, word) : NULL;
}

const char *habit_option(const char *verb, const char *name)
{
	bool makes = !strcmp(verb, "run") || !strcmp(verb, "create") || !strcmp(verb, "capacity");
	return answer(options, makes ? NULL : verb, name);
}
