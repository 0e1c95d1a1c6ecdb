/* SPDX-License-Identifier: Apache-2.0 */
#include "node/claim.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "node/daemon_client.h"

#define MIB (1ull << 20)

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
		*shell = SHELL_NONE;
		shell->monitor = (struct spawned){ .pid = (pid_t)claimed.pid, .pidfd = fds[1] };
		shell->socket = fds[0];
		return LV_CLAIM_HIT;
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	return said->size == sizeof(claimed) && claimed.claim > LV_CLAIM_HIT && claimed.claim < LV_CLAIMS ? (enum lv_claim)claimed.claim : LV_CLAIM_NONE;
}

static enum lv_claim none(int err)
{
	return err == -ETIMEDOUT ? LV_CLAIM_LATE : LV_CLAIM_NONE;
}

enum lv_claim claim_take(int daemon, struct shell *shell)
{
	struct text said = { 0 };
	struct error error = { 0 };
	int fds[2];
	unsigned count = 2;
	int err = daemon_receive(daemon, &said, fds, &count, &error);
	/* Late: what comes from here on the daemon cannot send, and knows it; what came before is still there. So both say the same of this claim. */
	if (err == -ETIMEDOUT && !shutdown(daemon, SHUT_RD)) {
		count = 2;
		err = daemon_receive(daemon, &said, fds, &count, &error) ? -ETIMEDOUT : 0;
	}
	enum lv_claim claim = err ? none(err) : take(&said, fds, count, shell);
	text_free(&said);
	return claim;
}

int claim_open(enum lv_claim *claim)
{
	int daemon = daemon_open_within(CLAIM_MS);
	*claim = daemon == -ETIMEDOUT || daemon == -EAGAIN ? LV_CLAIM_LATE : LV_CLAIM_NONE;
	return daemon;
}

enum lv_claim claim_ask(int daemon, const struct claim_wish *asked)
{
	struct lv_daemon_claim wish = { .memory = asked->memory, .image = asked->image, .ram_mib = (uint32_t)((asked->ram + MIB - 1) / MIB) };
	struct shell_build build;
	struct error error = { 0 };
	if (shell_build(&build, &error))
		return LV_CLAIM_NONE;
	memcpy(wish.libos, build.libos, sizeof(wish.libos));
	memcpy(wish.monitor, build.monitor, sizeof(wish.monitor));
	wish.first_user = build.first_user;
	wish.users = build.users;
	wish.user = geteuid();
	memcpy(wish.ahead, asked->ahead, sizeof(wish.ahead));
	int err = daemon_send(daemon, LV_DMN_CLAIM, &wish, sizeof(wish), NULL, 0, &error);
	return err ? none(err) : LV_CLAIM_HIT;
}
