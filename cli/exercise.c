/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exercise.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/spawn.h"
#include "cli/run_config.h"
#include "cli/verb.h"
#include "node/launch.h"
#include "node/monitor_control.h"
#include "node/vm_end.h"
#include "node/vm_info.h"
#include "node/vm_wait.h"
#include "tinyx/packages/words.h"

#define STOP_MS 10000 /* for a server to end once it is asked to */

struct exercising {
	const struct exercise *exercise;
	uint64_t deadline;
	struct vm_config config;
	struct state state;
	struct vm_dir vm;
	struct launch launch;
	bool launched;
};

char *exercise_text(const struct exercise *exercise)
{
	const char *command = exercise->command, *test = exercise->test;
	return alloc_format("%s%s%s%s%s%s%s", command ? "\"" : "", command ? command : test ? "" : "its own command", command ? "\"" : "", command && test ? " with " : "", test ? "the test \"" : "",
			    test ? test : "", test ? "\"" : "");
}

static int split(const char *command, struct strings *words, struct error *error)
{
	bool unclear = false;
	const char *end = words_split(command, NULL, words, &unclear);
	if (unclear || end[strspn(end, " \t\n")])
		return error_set(error, -EINVAL, "--run \"%s\": there is no shell in between: give one command, in plain words or quotes; a script is --run '/bin/sh FILE' if the image has a shell", command);
	return words->count ? 0 : error_set(error, -EINVAL, "--run \"%s\": it has no words", command);
}

/* The image stands before its words. */
static int configure(struct exercising *at, struct error *error)
{
	const struct exercise *exercise = at->exercise;
	struct run_options given = { .detach = true, .remove = true, .memory = exercise->memory, .kernel = "libos" };
	struct strings words = { 0 };
	struct source source = { 0 };
	struct template_wish template = { 0 };
	strings_add(&words, exercise->image);
	if (exercise->env)
		given.env = *exercise->env; /* borrowed */
	if (exercise->ports)
		given.ports = *exercise->ports;
	int err = exercise->command ? split(exercise->command, &words, error) : 0;
	if (!err)
		err = vm_new_id(at->config.id, error);
	if (!err)
		err = run_config(&at->config, &given, (struct operands){ .argc = (int)words.count, .argv = words.item }, &source, &template, error);
	at->config.record |= exercise->record;
	at->config.tied = true;
	template_wish_free(&template);
	source_facts_free(&source.facts);
	strings_free(&words);
	return err;
}

static int start(struct exercising *at, struct error *error)
{
	int err = configure(at, error);
	if (!err)
		err = state_open(&at->state, true, error);
	if (!err)
		err = launch_create(&at->state, &at->config, &at->vm, error);
	if (err)
		return err;
	at->launched = true;
	err = launch_start(&at->launch, &at->config, &at->vm, clock_now(), error);
	return err ? err : launch_settle(&at->launch, error);
}

static int time_is_up(const struct exercising *at, const char *what, struct error *error)
{
	char *text = exercise_text(at->exercise);
	error_set(error, -ETIMEDOUT, "%s: %s within %u s; it was ended. --timeout SECONDS gives it more%s", text, what, at->exercise->seconds,
		  at->exercise->test ? "" : "; a server does not end: exercise it with --test 'COMMAND OF THE HOST' and -p HOST:GUEST");
	free(text);
	return -ETIMEDOUT;
}

/* In a session of its own, so that what it has started ends with it. */
static int run_test(const struct exercising *at, int *status, struct error *error)
{
	char *argv[] = { "sh", "-c", (char *)at->exercise->test, NULL };
	const struct spawn spawn = { SPAWN_INIT, .argv = argv, .env = environ, .session = true, .die_with_us = true };
	struct spawned child = SPAWNED_NONE;
	int err = spawn_start(&spawn, "/bin/sh", &child, error);
	if (err)
		return err;
	const pid_t pid = child.pid;
	bool ended = spawned_ends(&child, deadline_left(at->deadline));
	kill(-pid, SIGKILL);
	*status = vm_exit_code(spawned_wait(&child));
	return ended ? 0 : time_is_up(at, "the test did not end", error);
}

static int stop(struct exercising *at, struct error *error)
{
	struct vm_info info;
	int err = vm_info_open(&at->state, at->config.id, &info);
	if (!err)
		err = vm_end(&info, STOP_MS, error);
	vm_info_close(&info);
	return err;
}

static int serve(struct exercising *at, struct exercised *done, struct error *error)
{
	int err = vm_await_listen(&at->vm, deadline_left(at->deadline), error);
	if (err == -ETIMEDOUT)
		return time_is_up(at, "the program did not listen on a TCP port", error);
	if (!err)
		err = run_test(at, &done->status, error);
	return err ? err : stop(at, error);
}

static void note_end(struct exercising *at, struct exercised *done)
{
	struct lv_report report;
	struct lv_status record;
	if (!vm_report(&at->vm, &report) && report.tail_size <= sizeof(report.tail))
		done->output = alloc_format("%.*s", (int)report.tail_size, report.tail);
	if (done->status < 0)
		done->status = !vm_status(&at->vm, &record) && record.state == LV_STATE_EXITED && !record.own_error ? vm_exit_code(record.wait_status) : EXIT_OWN;
	vm_files_open(&done->files, &at->vm);
}

int exercise_run(const struct exercise *exercise, struct exercised *done, struct error *error)
{
	struct exercising at = { .exercise = exercise, .deadline = deadline_in((int)exercise->seconds * 1000), .state = STATE_NONE, .vm = VM_DIR_NONE, .launch = LAUNCH_NONE };
	*done = EXERCISED_NONE;
	config_init(&at.config);
	int err = start(&at, error);
	if (!err && exercise->test)
		err = serve(&at, done, error);
	if (!err && !spawned_ends(&at.launch.monitor, deadline_left(at.deadline)))
		err = time_is_up(&at, exercise->test ? "the program did not end when it was stopped" : "it did not end", error);
	if (err && at.launched)
		launch_kill(&at.launch);
	if (at.launched)
		launch_reap(&at.launch);
	if (!err)
		note_end(&at, done);
	launch_end(&at.launch);
	if (at.launched)
		vm_remove(&at.state, &at.vm, "", NULL);
	vm_close(&at.vm);
	state_close(&at.state);
	config_free(&at.config);
	return err;
}

void exercised_free(struct exercised *done)
{
	vm_files_close(&done->files);
	free(done->output);
	*done = EXERCISED_NONE;
}
