/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that the network makes: /etc/resolv.conf and /etc/hosts. */
#ifndef LV_NET_TEXT_FILE_H
#define LV_NET_TEXT_FILE_H

#include <stddef.h>

/* Makes a file in the RAM layer: 0, -EEXIST if there is one, or another negative errno. */
int text_file_make(const char *path, const char *text, size_t n);

#endif
