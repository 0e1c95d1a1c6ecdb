/* SPDX-License-Identifier: Apache-2.0 */
#include "node/claim.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "node/daemon_client.h"

/* A hit has two descriptors: the socket, and the process'. */
static enum lv_claim take(const struct text *said, const int fds[2], unsigned count, struct shell *shell)
{
	struct lv_daemon_claimed claimed;
	bool hit = false;
	if (said->size == sizeof(claimed)) {
		memcpy(&claimed, said->data, sizeof(claimed));
		hit = claimed.claim == LV_CLAIM_HIT && count == 2 && claimed.pid;
	}
	if (hit) {
		*shell = (struct shell){ .monitor = { .pid = (pid_t)claimed.pid, .pidfd = fds[1] }, .socket = fds[0] };
		return LV_CLAIM_HIT;
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	return said->size == sizeof(claimed) && claimed.claim > LV_CLAIM_HIT && claimed.claim < LV_CLAIMS ? (enum lv_claim)claimed.claim : LV_CLAIM_NONE;
}

static enum lv_claim call(int daemon, const struct lv_daemon_claim *wish, struct shell *shell)
{
	struct text said = { 0 };
	struct error error = { 0 };
	int fds[2];
	unsigned count = 2;
	int err = daemon_call(daemon, LV_DMN_CLAIM, wish, sizeof(*wish), NULL, 0, &said, fds, &count, &error);
	enum lv_claim claim = err == -ETIMEDOUT ? LV_CLAIM_LATE : err ? LV_CLAIM_NONE : take(&said, fds, count, shell);
	text_free(&said);
	return claim;
}

enum lv_claim claim_shell(uint64_t memory, uint64_t image, struct shell *shell)
{
	struct lv_daemon_claim wish = { .memory = memory, .image = image };
	struct shell_build build;
	struct error error = { 0 };
	int daemon = daemon_open_within(CLAIM_MS);
	if (daemon < 0)
		return daemon == -ETIMEDOUT || daemon == -EAGAIN ? LV_CLAIM_LATE : LV_CLAIM_NONE;
	enum lv_claim claim = LV_CLAIM_NONE;
	if (!shell_build(&build, &error)) {
		memcpy(wish.libos, build.libos, sizeof(wish.libos));
		memcpy(wish.monitor, build.monitor, sizeof(wish.monitor));
		wish.first_user = build.first_user;
		wish.users = build.users;
		wish.user = geteuid();
		claim = call(daemon, &wish, shell);
	}
	close(daemon);
	return claim;
}
