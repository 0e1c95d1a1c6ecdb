/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/monitor_control.h"
#include "node/save_files.h"

static int ask(int vm_dir, int fd, struct error *error)
{
	struct control_answer answer = { 0 };
	int connection = control_connect(vm_dir, CONTROL_PATIENCE_MS);
	int err = connection < 0 ? connection : control_call(connection, LV_CTL_TOUCHED, 0, &fd, 1, &answer);
	if (connection >= 0)
		close(connection);
	if (!err)
		return 0;
	const char *why = err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET ? "the VM has ended" : strerror(-err);
	return error_set(error, err, "%s", answer.why[0] ? answer.why : why);
}

int save_pages_learn(const struct save *save, int vm_dir, struct error *error)
{
	unlinkat(save->dir, SAVE_PAGES_NEW, 0); /* of a command that was killed here */
	int fd = openat(save->dir, SAVE_PAGES_NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, -errno, "%s/" SAVE_PAGES_NEW ": %s", save->path, strerror(errno));
	int err = ask(vm_dir, fd, error);
	if (!err && (fsync(fd) || renameat(save->dir, SAVE_PAGES_NEW, save->dir, SAVE_PAGES)))
		err = error_set(error, -errno, "%s/" SAVE_PAGES ": %s", save->path, strerror(errno));
	close(fd);
	if (err)
		unlinkat(save->dir, SAVE_PAGES_NEW, 0);
	return err;
}
