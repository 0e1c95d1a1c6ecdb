/* SPDX-License-Identifier: Apache-2.0 */
/* Where lightvm's other parts are installed, or lie in a build tree. */
#ifndef LV_NODE_NODE_PATHS_H
#define LV_NODE_NODE_PATHS_H

#include <stdbool.h>

#include "base/error.h"

/* $LIGHTVM_VMM, or beside our own binary; the caller's. NULL with a message that lists where it was looked for. */
char *paths_monitor(struct error *error);
/* $LIGHTVM_LIBOS, likewise. */
char *paths_libos(struct error *error);
/* $LIGHTVM_INIT, likewise: the initial RAM disk of Linux guests. */
char *paths_init(struct error *error);
/* $LIGHTVM_TLS, likewise: what secures connections between hosts. */
char *paths_tls(struct error *error);
char *paths_fs(struct error *error); /* the server of live volumes */
/* A start file of templates, or what is made of one, by its name (docs/state.md). */
char *paths_template(const char *name, struct error *error);
/* $LIGHTVM_TAR, likewise: what makes tar archives of a guest's files, and files of archives. */
char *paths_tar(struct error *error);
/* $LIGHTVM_AGENT, likewise: what serves requests in a guest of the library OS. */
char *paths_agent(struct error *error);
/* The command line itself, likewise. */
char *paths_command(struct error *error);

/*
 * The directory of lightvmd's sockets, the caller's; NULL: out of memory. $LIGHTVM_RUN; else of the system's daemon (root's)
 * $XDG_RUNTIME_DIR/lightvm unless that is logind's, then /run/lightvm; of a user's own $XDG_RUNTIME_DIR/lightvm, then /tmp/lightvm-UID.
 */
char *paths_run(bool system);
/* Opens it, and makes it if it is not there; nobody else may be able to write to it. A descriptor, or a negative errno with a message. */
int paths_run_open(const char *directory, struct error *error);

#endif
