/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image of Debian packages: their files in one plan, from which the packer takes what it needs, as it else takes it from the host; which of them come along
 * at any rate; what their maintainer scripts would make; and what the image starts.
 */
#ifndef LV_TINYX_PACKAGES_H
#define LV_TINYX_PACKAGES_H

#include "base/error.h"
#include "base/text.h"
#include "tinyx/packages/accounts.h"
#include "tinyx/packages/debs.h"
#include "tinyx/packages/rules.h"
#include "tinyx/plan.h"
#include "tinyx/stage.h"
#include "tinyx/tar.h"

#define PACKAGES_LIST "/.lightvm/packages" /* in the image: a line for each package, "NAME VERSION SHA256" */

struct package { /* of debs.item with the same index */
	char *section, *priority, *source, *depends; /* NULL: its control file does not say */
	bool essential;
	bool has_library; /* in a directory of libraries */
	int64_t mtime;	  /* of its newest file, seconds: what is made for it is as old */
	bool whole;	  /* all of it comes along, but for what the rules leave */
};

struct packages {
	struct debs debs;
	struct package *item;
	struct rules rules;
	struct plan all;     /* what all of them hold; entries' origin: index in item + 1 */
	struct stage stage;  /* their contents */
	struct spool spool;
	int dir;             /* where the stage is */
	struct accounts accounts;
	struct text said;    /* what was done by rule, a line for each: for people */
};
#define PACKAGES_CLOSED ((struct packages){ .stage = STAGE_NONE, .dir = -1 })

struct package_start {
	char *program;       /* absolute path in the packages */
	struct strings args; /* argv, its first word too */
	struct strings env;
	char *cwd;
	uint32_t uid, gid;
};

/*
 * Finds, fetches and reads the packages, and with scripts those of the rules of that name; maintainer scripts are read, and what they would make is in the plan and the accounts. rules: a file, NULL: the
 * default ones. Messages name the package. Close in any case; plans made from all must be gone or written by then.
 */
int packages_open(struct packages *packages, const struct strings *names, const char *rules, bool scripts, const struct debs_watch *watch, struct error *error);
/*
 * What to start: program, a path or a name in the packages, or if it is NULL what the packages themselves start: a rule's command, the unit file's, or the program of a
 * package's name. It is said. -ENOENT: there is none; free in any case.
 */
int packages_start(struct packages *packages, const char *program, struct package_start *start, struct error *error);
/* Whether a shell, or a script of one, is started. */
bool packages_start_shell(const struct packages *packages, const struct package_start *start);
void package_start_free(struct package_start *start);
/* Adds to plan, whose from is all, what comes along at any rate when program is started: the packages asked for, and those that are no libraries. */
void packages_add(struct packages *packages, struct plan *plan, const char *program);
/* Adds what belongs to the libraries that the plan has by now: plugins and data of their packages. */
void packages_add_data(struct packages *packages, struct plan *plan);
/* Adds users and groups, and the list of packages of which something is in the plan. */
void packages_finish(struct packages *packages, struct plan *plan);
void packages_close(struct packages *packages);

#endif
