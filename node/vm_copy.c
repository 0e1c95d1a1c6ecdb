/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/frame.h"
#include "base/spawn.h"
#include "node/agent_client.h"
#include "node/node_paths.h"

#define PATIENCE_S 60 /* without a byte from the guest */

/* ---- what the agent is asked ---- */

static int expect_ok(int fd, struct error *error)
{
	struct lv_agent_frame frame;
	char *body = alloc_zero(LV_AGENT_DATA_MAX);
	int err = body ? agent_answer(fd, &frame, body, deadline_in(PATIENCE_S * 1000), error) : error_set(error, -ENOMEM, "out of memory");
	if (!err && frame.type != LV_AGENT_OK)
		err = error_set(error, -EPROTO, "the agent gave an answer of an unknown type (%u)", frame.type);
	free(body);
	return err;
}

static int ask(const struct vm_info *info, enum lv_agent_type type, const struct text *request, struct error *error)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = agent_connect(info, error);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int err = text_error(request) ? -ENOMEM : frame_send(fd, type, request->data, request->size);
	err = err ? error_set(error, err, "the agent: %s", strerror(-err)) : expect_ok(fd, error);
	if (err)
		close(fd);
	return err ? err : fd;
}

int vm_copy_pull(const struct vm_info *info, const char *path, struct error *error)
{
	struct text request = { 0 };
	text_put(&request, path);
	int fd = ask(info, LV_AGENT_PULL, &request, error);
	text_free(&request);
	return fd;
}

int vm_copy_push(const struct vm_info *info, const char *path, const char *name, struct error *error)
{
	struct text request = { 0 };
	const struct lv_agent_push head = { .name_size = (uint32_t)strlen(name) };
	text_add(&request, &head, sizeof(head));
	text_put(&request, path);
	text_put(&request, name);
	int fd = ask(info, LV_AGENT_PUSH, &request, error);
	text_free(&request);
	return fd;
}

int vm_copy_pushed(int fd, int err, const char *why, struct error *error)
{
	struct error reason = { 0 };
	if (err)
		shutdown(fd, SHUT_WR); /* or it would wait for the rest */
	int answer = expect_ok(fd, &reason);
	/* A guest that could not go on says why; that a tree has no end it says only because we have broken off. */
	if (answer && (!err || err == -EPIPE || err == -ECONNRESET) && reason.code != -ECONNRESET)
		return error_set(error, answer, "%s", reason.text);
	return err ? error_set(error, err, "%s", why) : answer ? error_set(error, answer, "%s", reason.text) : 0;
}

char *vm_copy_name(const char *path)
{
	char *copy = alloc_copy(path), *name = copy ? basename(copy) : NULL;
	name = name ? alloc_copy(!strcmp(name, "/") || !strcmp(name, ".") || !strcmp(name, "..") ? "" : name) : NULL;
	free(copy);
	return name;
}

/* ---- lightvm-tar ---- */

void vm_copied_free(struct vm_copied *copied)
{
	strings_free(&copied->left_out);
}

static int take_line(char *line, struct vm_copied *copied, struct error *error)
{
	unsigned long long files, bytes;
	int code, n = 0;
	if (!strncmp(line, "note ", 5)) {
		if (copied->notes++ < VM_COPY_NOTES)
			strings_add(&copied->left_out, line + 5);
	} else if (sscanf(line, "done %llu %llu", &files, &bytes) == 2) {
		copied->files = files;
		copied->bytes = bytes;
		return 1;
	} else if (sscanf(line, "fail %d %n", &code, &n) == 1 && n) {
		return error_set(error, code > 0 ? -code : -EIO, "%s", line + n);
	}
	return 0;
}

/* Up to its end. */
static int listen_to(int said, struct vm_copied *copied, struct error *error)
{
	FILE *stream = fdopen(said, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int end = 0;
	if (!stream) {
		close(said);
		return error_set(error, -ENOMEM, "out of memory");
	}
	while (end >= 0 && (n = getline(&line, &room, stream)) > 0) {
		line[n - (line[n - 1] == '\n')] = 0;
		int met = take_line(line, copied, error);
		end = met ? met : end;
	}
	free(line);
	fclose(stream);
	if (!end)
		return error_set(error, -EIO, "lightvm-tar ended without a word");
	return end < 0 ? end : strings_error(&copied->left_out) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

static int convert(char **argv, int in, int out, struct vm_copied *copied, struct error *error)
{
	struct spawned child = SPAWNED_NONE;
	int said[2];
	*copied = (struct vm_copied){ 0 };
	argv[0] = paths_tar(error);
	if (!argv[0])
		return error->code;
	int err = pipe2(said, O_CLOEXEC) ? error_set(error, -errno, "pipe: %s", strerror(errno)) : 0;
	if (!err) {
		struct spawn spawn = { SPAWN_INIT, .argv = argv, .die_with_us = true };
		spawn.in = in;
		spawn.out = out;
		spawn.err = said[1];
		err = spawn_start(&spawn, argv[0], &child, error);
		close(said[1]);
		if (err)
			close(said[0]);
	}
	free(argv[0]);
	if (err)
		return err;
	err = listen_to(said[0], copied, error);
	spawned_wait(&child);
	return err;
}

int vm_copy_to_tar(int from, const char *name, struct vm_copy_limits limits, int out, struct vm_copied *copied, struct error *error)
{
	char bytes[24], files[24];
	char *argv[] = { NULL, "from-tree", (char *)(*name ? name : "."), bytes, files, NULL };
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)limits.bytes);
	snprintf(files, sizeof(files), "%llu", (unsigned long long)limits.files);
	return convert(argv, from, out, copied, error);
}

int vm_copy_from_tar(int in, int to, struct vm_copied *copied, struct error *error)
{
	char *argv[] = { NULL, "to-tree", NULL };
	struct error reason = { 0 };
	int err = convert(argv, in, to, copied, &reason);
	return vm_copy_pushed(to, err, reason.text, error);
}
