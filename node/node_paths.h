/* SPDX-License-Identifier: Apache-2.0 */
/* Where lightvm's other parts are installed, or lie in a build tree. */
#ifndef LV_NODE_NODE_PATHS_H
#define LV_NODE_NODE_PATHS_H

#include "base/error.h"

/* $LIGHTVM_VMM, or beside our own binary; the caller's. NULL with a message that lists where it was looked for. */
char *paths_monitor(struct error *error);
/* $LIGHTVM_LIBOS, likewise. */
char *paths_libos(struct error *error);
/* $LIGHTVM_INIT, likewise: the initial RAM disk of Linux guests. */
char *paths_init(struct error *error);

#endif
