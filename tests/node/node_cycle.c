/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user of the toolstack that is not the command line: starts, lists and ends VMs, and looks whether anything is left of them.
 * node_cycle DIR N: DIR has a config.json, from which N VMs are made one after the other. Prints what differs; exit status 0: nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/vm_end.h"
#include "node/vm_info.h"

#define WARM_UP 5 /* until buffers of the C library are there */

struct usage {
	size_t descriptors, heap, directories;
};

static size_t entries(const char *path)
{
	size_t n = 0;
	DIR *dir = opendir(path);
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static struct usage measure(const struct state *state)
{
	char path[4096];
	struct usage usage = { .descriptors = entries("/proc/self/fd") };
	snprintf(path, sizeof(path), "%s/vms", state->path);
	usage.directories = entries(path);
	snprintf(path, sizeof(path), "%s/names", state->path);
	usage.directories += entries(path);
	usage.heap = mallinfo2().uordblks;
	return usage;
}

struct search {
	const struct state *state;
	const char *id;
	int seen;
};

static int look(void *context, const char *id)
{
	struct search *search = context;
	struct vm_info info;
	if (!vm_info_open(search->state, id, &info) && !strcmp(id, search->id) && info.alive && info.state == VM_RUNNING)
		search->seen++;
	vm_info_close(&info);
	return 0;
}

static int is_listed(const struct state *state, const char *id, struct error *error)
{
	struct search search = { .state = state, .id = id };
	int err = state_each(state, look, &search);
	if (err)
		return error_set(error, err, "listing: %s", strerror(-err));
	return search.seen == 1 ? 0 : error_set(error, -ENOENT, "VM %s is listed %d times as running", id, search.seen);
}

static int end(const struct state *state, const char *id, struct launch *launch, struct error *error)
{
	struct vm_info info;
	int err = vm_info_find(state, id, &info, error);
	if (!err)
		err = vm_end(&info, 0, error);
	if (!err)
		launch_reap(launch);
	if (!err)
		err = vm_info_remove(state, &info, error);
	vm_info_close(&info);
	return err;
}

static int start(const struct state *state, struct vm_config *config, struct vm_dir *vm, struct launch *launch, struct error *error)
{
	int err = config_validate(config, error);
	if (!err)
		err = config_open(config, error);
	if (!err)
		err = launch_create(state, config, vm, error);
	if (err)
		return err;
	err = launch_start(launch, config, vm, deadline_in(0), error);
	if (!err)
		err = launch_settle(launch, error);
	return err;
}

static int cycle(const struct state *state, int template, struct error *error)
{
	struct vm_config config;
	struct vm_dir vm = VM_DIR_NONE;
	struct launch launch = LAUNCH_NONE;
	config_init(&config);
	int err = config_load(&config, template, error);
	config.detached = true;
	if (!err)
		err = vm_new_id(config.id, error);
	free(config.name);
	config.name = strdup("cycle");
	if (!err)
		err = start(state, &config, &vm, &launch, error);
	if (!err)
		err = is_listed(state, config.id, error);
	if (!err)
		err = end(state, "cycle", &launch, error);
	launch_end(&launch);
	vm_close(&vm);
	config_free(&config);
	return err;
}

static int differs(const char *what, size_t before, size_t after)
{
	if (before != after)
		printf("%s: %zu, after all VMs %zu\n", what, before, after);
	return before != after;
}

int main(int argc, char **argv)
{
	struct state state = STATE_NONE;
	struct error error = { 0 };
	struct usage before = { 0 };
	int template = argc == 3 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, n = argc == 3 ? atoi(argv[2]) : 0;
	int err = template < 0 ? error_set(&error, -EINVAL, "usage: node_cycle DIR N") : state_open(&state, true, &error);
	for (int i = 0; i < n + WARM_UP && !err; i++) {
		if (i == WARM_UP)
			before = measure(&state);
		err = cycle(&state, template, &error);
		if (err)
			fprintf(stderr, "VM %d: ", i + 1);
	}
	if (err) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	struct usage after = measure(&state);
	int bad = differs("descriptors", before.descriptors, after.descriptors) | differs("bytes of the heap", before.heap, after.heap) |
		  differs("directories", before.directories, after.directories);
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		bad |= printf("a child is left\n");
	state_close(&state);
	close(template);
	return bad ? 1 : 0;
}
