/* SPDX-License-Identifier: Apache-2.0 */
/* The user that a container image names, as numbers: by the image's own /etc/passwd and /etc/group. */
#ifndef LV_TINYX_OCI_USER_H
#define LV_TINYX_OCI_USER_H

#include <stdint.h>

#include "base/error.h"

/*
 * user: "USER[:GROUP]", each a name or a number; passwd, group: the files' text, "" where there is none. Without GROUP it is the one that passwd has for the user, or 0.
 * -ENOENT with a message that names what is not there.
 */
int oci_user_find(const char *user, const char *passwd, const char *group, uint32_t *uid, uint32_t *gid, struct error *error);

#endif
