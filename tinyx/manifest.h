/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of an image: what to run and with which defaults. JSON, schema in docs/image.md. */
#ifndef LV_TINYX_MANIFEST_H
#define LV_TINYX_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct manifest { /* zero-initialised: empty */
	char *name;            /* NULL: none */
	char *program;         /* absolute path in the image; NULL: the first of args names it, or the command line */
	struct strings args;   /* argv, argv[0] first; empty: the program's path */
	uint32_t entry;        /* without program: how many of args the command line's arguments do not replace (a container's entry point) */
	struct strings env;    /* NAME=VALUE */
	char *cwd, *hostname;  /* NULL: the default */
	uint32_t uid, gid;
	uint64_t memory;       /* bytes; 0: the default */
	struct strings ports;  /* "80", "53/udp": where the program listens; for information */
	struct strings volumes; /* absolute paths that can be written to where the rest cannot */
	struct strings labels; /* NAME=VALUE */
	char *stop_signal;     /* "SIGQUIT": what asks the program to end; NULL: SIGTERM */
	char *health;          /* a container's health check, JSON; for information */
	char *trimmed;         /* SHA-256 of the image of which this one has only what was used; NULL: it has all */
	struct strings kernels; /* "libos", "linux": kernel kinds it is known to run on */
};

/* The bytes are hostile. 0, or -EINVAL with a message that names the field. Free in both cases. */
int manifest_parse(struct manifest *manifest, const char *json, size_t size, struct error *error);
/* JSON text, terminated by a newline. */
void manifest_print(const struct manifest *manifest, struct text *out);
void manifest_free(struct manifest *manifest);

#endif
