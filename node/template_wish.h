/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user says of a template (docs/state.md): when a program that starts has come as far as it is to be copied, and what it loads before. The start file
 * of a runtime that has one is known here.
 */
#ifndef LV_NODE_TEMPLATE_WISH_H
#define LV_NODE_TEMPLATE_WISH_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

#define TEMPLATE_SECONDS_MAX 3600
#define TEMPLATE_PRELOAD_MAX 256 /* words */

enum template_at {
	TEMPLATE_NONE,
	TEMPLATE_CALL,    /* it reads /dev/template: a copy is given arguments, environment and directory of its own */
	TEMPLATE_LISTEN,  /* it listens on a TCP port: a copy is what it is */
	TEMPLATE_SECONDS, /* so long after its start, likewise */
};

struct template_wish { /* zero-initialised: none */
	enum template_at at;
	unsigned seconds;       /* of TEMPLATE_SECONDS */
	struct strings preload; /* of TEMPLATE_CALL: the program's arguments while it is made a template */
	bool accept_shared_random;
};

/* "call", "listen" or a number of seconds. -EINVAL with a message that begins with option. */
int template_wish_at(struct template_wish *wish, const char *option, const char *word, struct error *error);
/* { "at": "call"|"listen"|SECONDS, "preload": [WORD...], "accept_shared_random": BOOL }. -EINVAL with a message that names the key. Free in both cases. */
int template_wish_from_json(struct template_wish *wish, const json_t *json, struct error *error);
/* What parts of it do not go together. -EINVAL with a message. */
int template_wish_check(const struct template_wish *wish, struct error *error);
void template_wish_free(struct template_wish *wish);

/*
 * The start file of the runtime that program is, as seen by its name: "HOST:/PATH", a volume for its image, the caller's. *volume NULL: it has none. -ENOENT with a message: it is
 * not installed.
 */
int template_start_volume(const struct template_wish *wish, const char *program, char **volume, struct error *error);
/* What it is started with in the template, behind its own name: added to args. Its start file's path in the image: NULL: it has none, and reads /dev/template itself. */
const char *template_start_args(const struct template_wish *wish, const char *program, struct strings *args);
/* Copies of it that have asked to be copied share a generator of random numbers all the same: which; NULL: none that is known. */
const char *template_start_shares(const struct template_wish *wish, const char *program);

#endif
