/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/lines.h"

#include <string.h>

char *lines_next(struct lines *lines)
{
	char *line = lines->at;
	if (!line || !*line)
		return NULL;
	lines->number = lines->next + 1;
	for (char *end = line;; end++) {
		end = strchr(end, '\n');
		lines->next++;
		if (!end) {
			lines->at = NULL;
			return line;
		}
		if (end == line || end[-1] != '\\') {
			*end = 0;
			lines->at = end + 1;
			return line;
		}
		end[-1] = end[0] = ' ';
	}
}

char *line_trim(char *line)
{
	line += strspn(line, " \t\r");
	for (char *end = line + strlen(line); end > line && strchr(" \t\r", end[-1]);)
		*--end = 0;
	return line;
}
