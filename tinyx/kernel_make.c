/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/kernel_make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/spawn.h"
#include "tinyx/pack.h"

#define LINE_MAX_MAKE 512
#define COMPLAINTS_MAX 500
#define STEPS_GENERAL 1600 /* compilations of "general": what a first build of anything is measured by */
#define STEPS_BASE 1140

struct output {
	const struct make *make;
	int log;
	unsigned steps, total;
	struct text complaints; /* the first lines that look like an error */
	struct text last;	/* the last line, if none did */
};

/* ---- tools ---- */

int make_check_tools(struct error *error)
{
	static const struct {
		const char *tool, *package;
	} tools[] = { { "make", "make" }, { "gcc", "gcc" }, { "ld", "binutils" }, { "strip", "binutils" }, { "flex", "flex" }, { "bison", "bison" },
		{ "bc", "bc" }, { "xz", "xz-utils" }, { "tar", "tar" }, { "perl", "perl" } };
	struct text what = { 0 }, packages = { 0 };
	for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++) {
		char *path = program_find(tools[i].tool);
		if (!path) {
			text_format(&what, " %s", tools[i].tool);
			text_format(&packages, " %s", tools[i].package);
		}
		free(path);
	}
	if (access("/usr/include/libelf.h", R_OK)) {
		text_put(&what, " libelf.h");
		text_put(&packages, " libelf-dev");
	}
	int err = what.size ? error_set(error, -ENOENT, "a kernel build needs%s; run: sudo apt-get install%s", what.data, packages.data) : 0;
	text_free(&what);
	text_free(&packages);
	return err;
}

/* ---- progress ---- */

static const struct {
	const char *name;
	unsigned weight; /* its share of a first build, in percent */
} steps[KERNEL_STEPS] = {
	[KERNEL_WAITING] = { "waiting for another build to end", 0 },
	[KERNEL_UNPACKING] = { "unpacking the source", 6 },
	[KERNEL_CONFIGURING] = { "configuring", 2 },
	[KERNEL_COMPILING] = { "compiling", 91 },
	[KERNEL_COLLECTING] = { "collecting", 1 },
};

const char *kernel_step_name(enum kernel_step step)
{
	return steps[step].name;
}

void make_tell(const struct kernel_request *request, enum kernel_step step, const char *detail, unsigned done, unsigned total)
{
	struct kernel_progress progress = { .step = step, .detail = detail, .done = done, .total = total };
	for (int i = 0; i < (int)step; i++)
		progress.percent += steps[i].weight;
	if (total)
		progress.percent += (unsigned)((uint64_t)steps[step].weight * (done < total ? done : total) / total);
	request->progress(request->context, &progress);
}

/* ---- output ---- */

/* "  CC      kernel/fork.o": make's way to say what it does. */
static const char *step_of(const char *line)
{
	if (!text_starts(line, "  ") || line[2] == ' ')
		return NULL;
	const char *object = line + 2 + strcspn(line + 2, " ");
	object += strspn(object, " ");
	return *object ? object : NULL;
}

static void take_line(struct output *output, const char *line)
{
	const struct kernel_request *request = output->make->request;
	const char *step = step_of(line);
	if (step) {
		output->steps++;
		if (output->total && output->total < output->steps)
			output->total = output->steps; /* it was an estimate */
		make_tell(request, output->make->step, step, output->steps, output->total);
		return;
	}
	if ((strstr(line, "rror") || strstr(line, "***")) && output->complaints.size < COMPLAINTS_MAX)
		text_format(&output->complaints, "\n  %.200s", line);
	if (*line) {
		output->last.size = 0;
		text_format(&output->last, "\n  %.200s", line);
	}
}

static void read_lines(struct output *output, int fd)
{
	char buffer[LINE_MAX_MAKE];
	size_t have = 0;
	ssize_t n;
	while ((n = read(fd, buffer + have, sizeof(buffer) - 1 - have)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (output->log >= 0)
			fd_write(output->log, buffer + have, (size_t)n);
		have += (size_t)n;
		buffer[have] = 0;
		char *line = buffer, *end;
		/* A line longer than the buffer is taken in pieces. */
		while ((end = strchr(line, '\n')) || (line == buffer && have == sizeof(buffer) - 1)) {
			if (end)
				*end = 0;
			take_line(output, line);
			line = end ? end + 1 : buffer + have;
		}
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
	}
}

/* ---- running ---- */

/* Of our environment only what tools need: a variable such as MAKEFLAGS, CFLAGS or KBUILD_OUTPUT would change the result. */
static void environment(struct strings *list, time_t date)
{
	struct tm utc;
	char text[64] = "";
	static const char *const kept[] = { "PATH", "HOME", "TMPDIR" };
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (getenv(kept[i]))
			strings_take(list, alloc_format("%s=%s", kept[i], getenv(kept[i])));
	strings_add(list, "LC_ALL=C");
	/* The same source and configuration give the same kernel, whoever builds it. */
	if (gmtime_r(&date, &utc))
		strftime(text, sizeof(text), "%a %b %e %H:%M:%S UTC %Y", &utc);
	strings_take(list, alloc_format("KBUILD_BUILD_TIMESTAMP=%s", text));
	strings_add(list, "KBUILD_BUILD_VERSION=1"); /* or it counts */
	strings_add(list, "KBUILD_BUILD_USER=lightvm");
	strings_add(list, "KBUILD_BUILD_HOST=lightvm");
}

static int start(const struct make *make, int out, struct spawned *child, struct error *error)
{
	struct strings env = { 0 };
	environment(&env, make->date);
	struct spawn spawn = { .argv = make->argv, .env = env.item, .in = -1, .out = out, .err = out, .cgroup = -1 };
	int err = spawn_start(&spawn, make->argv[0], child, error);
	strings_free(&env);
	return err;
}

static int failed(const struct output *output, int status, struct error *error)
{
	const struct make *make = output->make;
	const char *why = output->complaints.size ? output->complaints.data : output->last.size ? output->last.data : "";
	return error_set(error, -EIO, "%s failed: %s ended with %s %d%s%s%s", kernel_step_name(make->step), make->argv[0], WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), why, make->log ? "\nall of its output is in " : "",
			 make->log ? make->log : "");
}

int make_run(const struct make *make, struct error *error)
{
	int pair[2], status = 0;
	struct spawned child;
	struct output output = { .make = make, .log = -1 };
	if (pipe2(pair, O_CLOEXEC))
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	if (make->log)
		output.log = open(make->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (make->step == KERNEL_COMPILING)
		output.total = !strcmp(make->request->config->name, "base") ? STEPS_BASE : STEPS_GENERAL;
	make_tell(make->request, make->step, NULL, 0, output.total);
	int err = start(make, pair[1], &child, error);
	close(pair[1]);
	if (!err) {
		read_lines(&output, pair[0]);
		status = spawned_wait(&child);
	}
	if (!err && status)
		err = failed(&output, status, error);
	close(pair[0]);
	if (output.log >= 0)
		close(output.log);
	text_free(&output.complaints);
	text_free(&output.last);
	return err;
}
