/* SPDX-License-Identifier: Apache-2.0 */
#include "node/restart_policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"

const char *const restart_words[] = { "no", "on-failure", "always", "unless-stopped", NULL };

int restart_parse(const char *word, struct config_restart *restart, struct error *error)
{
	uint64_t most = 0;
	size_t n = strcspn(word, ":");
	for (int i = 0; restart_words[i]; i++) {
		if (strlen(restart_words[i]) != n || strncmp(restart_words[i], word, n))
			continue;
		if (word[n] && i != RESTART_ON_FAILURE)
			break;
		if (word[n] && (number_parse(word + n + 1, &most) || !most || most > RESTART_MOST))
			return error_set(error, -ERANGE, "--restart: \"%s\": how often is a number from 1 to %d", word, RESTART_MOST);
		*restart = (struct config_restart){ (enum restart_policy)i, (uint32_t)most };
		return 0;
	}
	return error_set(error, -EINVAL, "--restart: \"%s\" is none of no, on-failure[:N], always, unless-stopped", word);
}

char *restart_print(const struct config_restart *restart, char *buffer, size_t room)
{
	if (restart->most)
		snprintf(buffer, room, "%s:%u", restart_words[restart->policy], restart->most);
	else
		snprintf(buffer, room, "%s", restart_words[restart->policy]);
	return buffer;
}

bool restart_due(const struct config_restart *restart, struct restart_record *record, bool failed, uint64_t lasted_ms)
{
	record->next_ns = 0;
	if (restart->policy == RESTART_NO || (restart->policy == RESTART_ON_FAILURE && !failed))
		return false;
	if (restart->policy == RESTART_ON_FAILURE && restart->most && record->restarts >= restart->most)
		return false;
	if (!record->delay_ms || lasted_ms >= RESTART_SOUND_MS)
		record->delay_ms = RESTART_FIRST_MS;
	else
		record->delay_ms = record->delay_ms < RESTART_LAST_MS / 2 ? record->delay_ms * 2 : RESTART_LAST_MS;
	return true;
}

bool restart_at_start(const struct config_restart *restart, bool stopped, bool ended, bool failed)
{
	switch (restart->policy) {
	case RESTART_ALWAYS: return true;
	case RESTART_UNLESS_STOPPED: return !stopped;
	case RESTART_ON_FAILURE: return !stopped && ended && failed;
	case RESTART_NO: break;
	}
	return false;
}
