/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/habits.h"

#include <string.h>

struct habit {
	const char *words; /* separated by blanks */
	const char *answer;
};

#define NO_REGISTRY "images are packed from programs of this machine, at their first start or by \"lightvm image build\"; registries and images of containers are not read"
#define PLANNED "is planned, but not there yet"
#define NOT_NEEDED "is not needed: nothing of the host is in a VM that it could reach, and its own kernel knows no such limit"

static const struct habit commands[] = {
	{ "save restore clone migrate", PLANNED },
	{ "images", "use \"lightvm image ls\"" },
	{ "rmi", "use \"lightvm image rm\"" },
	{ "build", "use \"lightvm image build PROGRAM\"" },
	{ "attach", "use \"lightvm console VM\"" },
	{ "list ls", "use \"lightvm ps\"" },
	{ "info system df", "use \"lightvm doctor\", \"lightvm ps -a\", \"lightvm image ls\" and \"lightvm prune\"" },
	{ "pull push load import login logout search tag history export commit", NO_REGISTRY },
	{ "network", "use \"lightvm run --net\"; the kinds of network stand in its --help" },
	{ "volume", "there are no named volumes; \"lightvm run -v DIR:/PATH\" gives a VM a copy of a directory" },
	{ "diff compose secret config plugin", "there is no such command" },
	{ 0 },
};

static const struct habit options[] = {
	{ "privileged cap-add cap-drop security-opt userns pid ipc uts cgroupns ulimit sysctl shm-size group-add", NOT_NEEDED },
	{ "device gpus", "cannot be had: devices of the host are not handed to VMs; disks are, with --disk" },
	{ "mount volume-from volumes-from", "is not there; -v DIR:/PATH[:ro] packs a copy of a directory, --tmpfs PATH is an empty one in memory" },
	{ "expose P publish-all", "is not needed: -p HOST:GUEST publishes a port" },
	{ "platform pull", "has no meaning here: programs are this machine's own" },
	{ "cpu-shares cpu-quota cpuset-cpus cgroup-parent memory-swap blkio-weight", PLANNED },
	{ "health-cmd no-healthcheck log-driver log-opt add-host link domainname", "is not there" },
	{ 0 },
};

static const char *answer(const struct habit *habit, const char *word)
{
	size_t n = strlen(word);
	for (; n && habit->words; habit++)
		for (const char *at = habit->words; *at; at += strspn(at, " ")) {
			size_t size = strcspn(at, " ");
			if (size == n && !memcmp(at, word, n))
				return habit->answer;
			at += size;
		}
	return NULL;
}

const char *habit_command(const char *word)
{
	return answer(commands, word);
}

const char *habit_option(const char *name)
{
	return answer(options, name);
}
