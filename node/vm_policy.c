/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "node/daemon_client.h"
#include "node/json_rows.h"
#include "node/kept.h"
#include "node/vm_config.h"

#define RECORD_FILE "restart"
#define RECORD_MAX 8192

#define ROW(...) JSON_ROW(struct restart_record, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("restarts", ROW_U32, restarts),
	ROW("delay_ms", ROW_U32, delay_ms),
	ROW("next_ns", ROW_U64, next_ns),
	ROW("error", ROW_TEXT, error),
	{ 0 },
};
#undef ROW

struct config_restart policy_of(const json_t *config)
{
	struct config_restart restart = { 0 };
	const char *word = config_string(config, "restart");
	for (int i = 0; restart_words[i]; i++)
		if (!strcmp(restart_words[i], word))
			restart.policy = (enum restart_policy)i;
	json_int_t most = json_integer_value(json_object_get(config, "restart_most"));
	restart.most = most > 0 && most <= RESTART_MOST ? (uint32_t)most : 0;
	return restart;
}

void policy_clear(struct restart_record *record)
{
	free(record->error);
	*record = (struct restart_record){ 0 };
}

void policy_load(int vm_dir, struct restart_record *record)
{
	char *data;
	size_t size;
	*record = (struct restart_record){ 0 };
	if (file_read(vm_dir, RECORD_FILE, RECORD_MAX, &data, &size))
		return;
	json_t *json = json_loadb(data, size, 0, NULL);
	free(data);
	if (!json || rows_read(rows, NULL, record, json, RECORD_FILE, NULL))
		policy_clear(record);
	json_decref(json);
}

int policy_save(int vm_dir, const struct restart_record *record)
{
	json_t *json = rows_write(rows, record);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int err = text ? file_write(vm_dir, RECORD_FILE, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	json_decref(json);
	return err;
}

int policy_stop(const char *id, struct error *error)
{
	int dir = kept_open(KEPT_VM, false, error);
	int err = dir < 0 ? dir : kept_has(dir, id) ? kept_mark(dir, id, true) : 0;
	if (dir >= 0 && err)
		error_set(error, err, "VM %s: that it was stopped cannot be noted: %s", id, strerror(-err));
	if (dir >= 0)
		close(dir);
	return err == -ENOENT ? 0 : err;
}

void policy_begin(const struct vm_dir *vm)
{
	int dir = kept_open(KEPT_VM, false, NULL);
	if (dir < 0)
		return;
	if (kept_has(dir, vm->id)) {
		kept_mark(dir, vm->id, false);
		unlinkat(vm->dir, RECORD_FILE, 0);
	}
	close(dir);
}

bool policy_stopped(const char *id)
{
	int dir = kept_open(KEPT_VM, false, NULL);
	bool stopped = dir >= 0 && kept_marked(dir, id);
	if (dir >= 0)
		close(dir);
	return stopped;
}

bool policy_waits(const struct vm_info *info)
{
	const struct config_restart restart = policy_of(info->config);
	struct restart_record record;
	if (info->alive || restart.policy == RESTART_NO || policy_stopped(info->dir.id))
		return false;
	policy_load(info->dir.dir, &record);
	bool due = record.next_ns || (restart.policy != RESTART_ON_FAILURE && info->state != VM_CREATED); /* the others go on whatever came of it */
	policy_clear(&record);
	return due;
}

static int tell(const char *id, struct error *error)
{
	struct text said = { 0 };
	int fd = daemon_open();
	if (fd < 0)
		return error_set(error, fd, "none answers: %s; start it with: systemctl start lightvmd (or in the foreground: lightvmd)", strerror(-fd));
	int err = daemon_call(fd, LV_DMN_MIND, id, strlen(id), NULL, 0, &said, NULL, NULL, error);
	text_free(&said);
	close(fd);
	return err;
}

int policy_ready(const struct config_restart *restart, struct error *error)
{
	char word[24];
	struct error why = { 0 };
	if (restart->policy == RESTART_NO || !tell("", &why))
		return 0;
	return error_set(error, -EOPNOTSUPP, "--restart %s needs lightvmd: %s", restart_print(restart, word, sizeof(word)), why.text);
}

bool policy_tell(const char *id)
{
	return !tell(id, NULL);
}

json_t *policy_json(const struct vm_info *info)
{
	struct config_restart restart = policy_of(info->config);
	struct restart_record record;
	if (restart.policy == RESTART_NO)
		return json_null();
	policy_load(info->dir.dir, &record);
	json_t *json = rows_write(rows, &record);
	policy_clear(&record);
	if (json && (json_object_set_new(json, "policy", json_string(restart_words[restart.policy])) ||
		     json_object_set_new(json, "most", json_integer(restart.most)) ||
		     json_object_set_new(json, "stopped", json_boolean(policy_stopped(info->dir.id))))) {
		json_decref(json);
		return NULL;
	}
	return json;
}
