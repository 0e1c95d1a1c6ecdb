/* SPDX-License-Identifier: Apache-2.0 */
/* The words of -v that are packed: what of the host is where in the image. */
#ifndef LV_TINYX_IMAGE_VOLUME_H
#define LV_TINYX_IMAGE_VOLUME_H

#include "base/error.h"
#include "base/text.h"

#define VOLUME_LIVE ":live" /* of a volume: the VM has the directory itself, and nothing of it is packed */

/* Splits "HOST:GUEST[:ro]"; host and guest are the caller's. -EINVAL with message. */
int volume_parse(const char *word, char **host, char **guest, struct error *error);
/* What the VM will have at this path is on the host: there too, or where the last volume over it comes from; the caller's. volumes may be NULL. */
char *volume_host(const struct strings *volumes, const char *path);

#endif
