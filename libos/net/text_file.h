/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that the network makes: /etc/resolv.conf and /etc/hosts. */
#ifndef LV_NET_TEXT_FILE_H
#define LV_NET_TEXT_FILE_H

#include <stddef.h>

struct text_file {
	const char *path;
	size_t n; /* bytes that we wrote; 0: it is not ours */
	char text[256];
};

/*
 * Has the file say so: makes it, in the RAM layer, or writes it anew if it says what we wrote last. What the image, the program or a live volume says there stays.
 * Waits for nothing.
 */
void text_file_set(struct text_file *file, const char *text, size_t n);

#endif
