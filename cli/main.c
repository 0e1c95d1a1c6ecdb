/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm: runs programs as virtual machines and looks after them. Each verb is a line in this table. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/standard.h"
#include "cli/all_verbs.h"
#include "cli/verb.h"

const struct verb *const verbs[] = {
	&verb_run, &verb_ps, &verb_logs, &verb_console, &verb_exec, &verb_cp,
	&verb_create, &verb_start, &verb_stop, &verb_restart, &verb_kill, &verb_wait, &verb_pause, &verb_resume, &verb_rename, &verb_rm, &verb_prune,
	&verb_save, &verb_restore, &verb_clone, &verb_checkpoint,
	&verb_top, &verb_stats, &verb_events, &verb_update, &verb_inspect, &verb_port, &verb_balloon, &verb_boot_time,
	&verb_migrate, &verb_image, &verb_pull, &verb_images, &verb_tag, &verb_rmi, &verb_volume, &verb_kernel,
	&verb_pool, &verb_service, &verb_host, &verb_daemon,
	&verb_doctor, &verb_capacity, &verb_completion, &verb_version,
	&verb_unpause, &verb_man, NULL,
};

/* A command lives as long as its one task: there is nothing better to do. */
static void end_out_of_memory(void)
{
	static const char message[] = "lightvm: error: out of memory\n";
	(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
	_exit(EXIT_OWN);
}

/* From the random bytes that the kernel gives every program (the first eight are the stack's canary): jansson would read /dev/urandom. */
static void seed_tables(void)
{
	const char *given = (const char *)getauxval(AT_RANDOM);
	size_t seed = 0;
	if (given)
		memcpy(&seed, given + 8, sizeof(seed));
	json_object_seed(seed);
}

int main(int argc, char **argv)
{
	standard_hold();
	on_out_of_memory = end_out_of_memory;
	struct context context = { .start_ns = clock_now() };
	seed_tables();
	const char *level = getenv("LIGHTVM_LOG");
	if (level && log_level_parse(level, &log_level))
		log_warn("LIGHTVM_LOG=%s is none of error, warn, info, debug", level);
	if (argc > 1 && !strcmp(argv[1], "--version"))
		argv[1] = "version";
	return verbs_run(verbs, "lightvm", &context, argc, argv);
}
