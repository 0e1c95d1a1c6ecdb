/* SPDX-License-Identifier: Apache-2.0 */
/* Saved VMs on disk: what is written reads back, what is foreign, damaged or somebody else's is refused by name, and at every step the older one is whole. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tinyx/file_digest.h"
#include "node/save_chain.h"
#include "node/save_dir.h"
#include "node/save_view.h"
#include "node/state.h"
#include "tests/unit/save_sample.h"
#include "tests/unit/scratch.h"

static char *top;

static int setup(void **state)
{
	top = scratch();
	char *kept = alloc_format("%s/kept", top);
	setenv("LIGHTVM_KEPT", kept, 1);
	free(kept);
	return 0;
}

static int teardown(void **state)
{
	tree_remove(AT_FDCWD, top);
	free(top);
	return 0;
}

/* Up to the moment before it is published. */
static void draft(struct save_draft *draft, const char *path, const char *words)
{
	struct save_manifest manifest = save_sample();
	struct error error = { 0 };
	assert_int_equal(save_begin(draft, path, &error), 0);
	assert_int_equal(fd_write(draft->memory, words, 6), 0);
	assert_int_equal(fd_write(draft->state, "state", 5), 0);
	assert_int_equal(save_finish(draft, &manifest, &error), 0);
	save_manifest_free(&manifest);
}

static void publish(const char *path, const char *words)
{
	struct save_draft made;
	struct error error = { 0 };
	draft(&made, path, words);
	assert_int_equal(save_publish(&made, &error), 0);
	save_free(&made);
}

static void holds(const char *path, const char *words)
{
	struct save save;
	struct error error = { 0 };
	char data[7] = "";
	assert_int_equal(save_open(&save, path, &error), 0);
	assert_int_equal(pread(save.memory, data, 6, 0), 6);
	assert_string_equal(data, words);
	save_close(&save);
}

static void refused(const char *path, int err, const char *words)
{
	struct save save;
	struct error error = { 0 };
	assert_int_equal(save_open(&save, path, &error), err);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, error.text);
	save_close(&save);
}

static bool is_there(const char *path)
{
	struct stat st;
	return !lstat(path, &st);
}

/* ---- the directory ---- */

static void the_older_one_stays_until_the_newer_is_whole(void **state)
{
	struct save_draft killed, second;
	struct error error = { 0 };
	struct stat st;
	char *path = alloc_format("%s/web", top), *hidden = alloc_format("%s/.web.saving", top), *file = alloc_format("%s/memory", path);
	publish(path, "first!");
	holds(path, "first!");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Two commands save to one place. */
	draft(&killed, path, "second");
	holds(path, "first!");
	assert_int_equal(save_begin(&second, path, &error), -EBUSY);
	assert_non_null(strstr(error.text, "another command saves to it"));
	save_free(&second);
	assert_true(is_there(hidden));
	/* Who is killed holds no lock any more: the next one takes away what is left. */
	close(killed.dir);
	killed.dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* nothing of it is found by save_free */
	close(killed.around);
	killed.around = -1;
	assert_true(is_there(hidden));
	publish(path, "third!");
	holds(path, "third!");
	assert_false(is_there(hidden));
	save_free(&killed);
	/* One that is given up leaves nothing. */
	draft(&second, path, "fourth");
	save_free(&second);
	assert_false(is_there(hidden));
	holds(path, "third!");
	assert_int_equal(save_remove(path, &error), 0);
	assert_false(is_there(path));
	free(path), free(hidden), free(file);
}

/* In a directory of the user's own nobody may save to that name again. */
static void leftovers_beside_it_go(void **state)
{
	struct save_draft other;
	char *path = alloc_format("%s/around/web", top), *around = alloc_format("%s/around", top);
	char *left = alloc_format("%s/.old.saving", around), *memory = alloc_format("%s/memory", left);
	char *foreign = alloc_format("%s/.mine.saving", around), *mine = alloc_format("%s/memory", foreign), *more = alloc_format("%s/diary", foreign);
	char *busy = alloc_format("%s/busy", around), *hidden = alloc_format("%s/.busy.saving", around);
	assert_int_equal(mkdir(around, 0700), 0);
	assert_int_equal(mkdir(left, 0700), 0);
	assert_int_equal(mkdir(foreign, 0700), 0);
	assert_int_equal(file_write(AT_FDCWD, memory, "x", 1, 0600), 0);
	assert_int_equal(file_write(AT_FDCWD, mine, "x", 1, 0600), 0);
	assert_int_equal(file_write(AT_FDCWD, more, "x", 1, 0600), 0);
	draft(&other, busy, "other!");
	publish(path, "first!");
	assert_false(is_there(left));
	assert_true(is_there(mine)); /* with what no save has in it, it is no leftover of ours */
	assert_true(is_there(more));
	assert_true(is_there(hidden)); /* somebody works in it */
	save_free(&other);
	assert_false(is_there(hidden));
	tree_remove(AT_FDCWD, around);
	free(path), free(around), free(left), free(memory), free(foreign), free(mine), free(more), free(busy), free(hidden);
}

/* ---- only what changed ---- */

static char *kept(const char *name)
{
	struct error error = { 0 };
	char *path = save_place(name, true, &error);
	assert_non_null(path);
	return path;
}

/* Its memory says its own name: see holds(). */
static void publish_on(const char *path, const char *words, const char *parent)
{
	struct save_manifest manifest = save_sample();
	struct save_draft made;
	struct save save = SAVE_NONE;
	struct error error = { 0 };
	if (parent) {
		assert_int_equal(save_open(&save, parent, &error), 0);
		assert_int_equal(save_chain_parent(&save, &manifest.parent, &error), 0);
	}
	assert_int_equal(save_begin(&made, path, &error), 0);
	assert_int_equal(fd_write(made.memory, words, 6), 0);
	assert_int_equal(fd_write(made.state, words, 5), 0);
	assert_int_equal(save_finish(&made, &manifest, &error), 0);
	assert_int_equal(save_publish(&made, &error), 0);
	save_close(&save);
	save_free(&made);
	save_manifest_free(&manifest);
}

static int chain_of(const char *path, struct save_chain *chain, struct error *error)
{
	struct save save;
	*error = (struct error){ 0 };
	int err = save_open(&save, path, error);
	if (!err)
		err = save_chain_open(chain, &save, error);
	save_close(&save);
	return err;
}

static void chain_refused(const char *path, int err, const char *words)
{
	struct save_chain chain;
	struct error error;
	assert_int_equal(chain_of(path, &chain, &error), err);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, error.text);
	save_chain_close(&chain);
}

static void a_difference_needs_its_parent(void **state)
{
	struct save_chain chain;
	struct error error = { 0 };
	char data[7] = "", *whole = kept("whole"), *first = kept("first"), *second = kept("second"), *aside = alloc_format("%s/aside", top);
	publish_on(whole, "whole!", NULL);
	publish_on(first, "first!", whole);
	publish_on(second, "second", first);
	assert_int_equal(chain_of(second, &chain, &error), 0);
	assert_int_equal(chain.count, 2);
	assert_int_equal(pread(chain.memory[0], data, 6, 0), 6);
	assert_string_equal(data, "first!");
	assert_int_equal(pread(chain.memory[1], data, 6, 0), 6);
	assert_string_equal(data, "whole!");
	save_chain_close(&chain);
	/* Neither taken away nor replaced, as long as one of these needs it. */
	assert_int_equal(save_give_up(whole, &error), -EBUSY);
	assert_non_null(strstr(error.text, "whole stays: "));
	assert_non_null(strstr(error.text, "holds only what changed since; remove that before, with: lightvm checkpoint rm "));
	assert_int_equal(save_give_up(first, &error), -EBUSY);
	assert_int_equal(save_needed(second, &error), 0);
	holds(whole, "whole!");
	json_t *all = saves_list(&error), *view;
	size_t i, with = 0;
	json_array_foreach(all, i, view)
		with += json_is_string(json_object_get(view, "parent"));
	assert_int_equal(with, 2);
	json_decref(all);
	/* Missing, another one, another one below. */
	assert_int_equal(rename(first, aside), 0);
	chain_refused(second, -ENOENT, "it holds only what changed since another saved VM: ");
	chain_refused(second, -ENOENT, "first: there is no such directory or file");
	publish_on(first, "other!", whole);
	chain_refused(second, -ESTALE, "first is another one by now: SHA-256 of its state is ");
	tree_remove(AT_FDCWD, first);
	assert_int_equal(rename(aside, first), 0);
	tree_remove(AT_FDCWD, whole);
	publish_on(whole, "other!", NULL);
	chain_refused(second, -ESTALE, "whole is another one by now");
	assert_int_equal(save_give_up(second, &error), 0);
	assert_int_equal(save_give_up(first, &error), 0);
	assert_int_equal(save_give_up(whole, &error), 0);
	free(whole), free(first), free(second), free(aside);
}

/* As publish(), with its memory compressed. */
static void publish_small(const char *path, const char *words)
{
	struct save_manifest manifest = save_sample();
	struct save_draft made;
	struct error error = { 0 };
	assert_int_equal(save_begin(&made, path, &error), 0);
	assert_int_equal(fd_write(made.memory, words, 6), 0);
	assert_int_equal(fd_write(made.state, "state", 5), 0);
	assert_int_equal(save_compress(&made, &manifest, &error), 0);
	assert_int_equal(save_finish(&made, &manifest, &error), 0);
	assert_int_equal(save_publish(&made, &error), 0);
	save_free(&made);
	save_manifest_free(&manifest);
}

static void a_compressed_one_has_its_memory(void **state)
{
	struct save save;
	struct error error = { 0 };
	char data[7] = "", *path = kept("small"), *packed = alloc_format("%s/memory.zst", path), *plain = alloc_format("%s/memory", path);
	publish_on(path, "before", NULL);
	publish_small(path, "small!");
	assert_true(is_there(packed));
	assert_false(is_there(plain));
	assert_int_equal(save_open(&save, path, &error), 0);
	assert_int_equal(save.memory, -1);
	int memory = save_open_memory(&save, &error);
	assert_true(memory >= 0);
	assert_int_equal(pread(memory, data, 7, 0), 6);
	assert_string_equal(data, "small!");
	assert_int_equal(pwrite(memory, "x", 1, 0), -1); /* nobody who has it can change it */
	assert_int_equal(save_is_plain(&save, "nothing can be made of it", &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "small: its memory is compressed: nothing can be made of it"));
	close(memory);
	/* What cannot be the memory of such a VM is not unpacked. */
	const uint64_t most = config_memory_file_most(false, save.manifest.memory_limit);
	save.manifest.memory_size = most + 1;
	assert_int_equal(save_open_memory(&save, &error), -EFBIG);
	char *told = alloc_format("small/memory.zst: memory_size: %llu bytes are more than a VM with a memory_limit of 268435456 can have", (unsigned long long)most + 1);
	assert_non_null(strstr(error.text, told));
	free(told);
	save.manifest.memory_size = most; /* could be: it is what is unpacked that is refused */
	assert_int_equal(save_open_memory(&save, &error), -EBADMSG);
	save_close(&save);
	/* One that says that it is a difference from it. */
	char *part = kept("part");
	publish_on(part, "change", path);
	chain_refused(part, -EOPNOTSUPP, "small: its memory is compressed: nothing can be a difference from it");
	assert_int_equal(truncate(packed, 5), 0);
	refused(path, -EBADMSG, "memory.zst: 5 bytes where the manifest says");
	assert_int_equal(save_remove(path, &error), 0);
	assert_false(is_there(path));
	assert_int_equal(save_remove(part, &error), 0);
	free(path), free(packed), free(plain), free(part);
}

static void a_chain_has_an_end(void **state)
{
	struct save_chain chain;
	struct error error = { 0 };
	char *path[LV_VM_BELOW_MAX + 2], name[8];
	for (unsigned i = 0; i < LV_VM_BELOW_MAX + 2; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		path[i] = kept(name);
		publish_on(path[i], "memory", i ? path[i - 1] : NULL);
	}
	assert_int_equal(chain_of(path[LV_VM_BELOW_MAX], &chain, &error), 0);
	assert_int_equal(chain.count, LV_VM_BELOW_MAX);
	save_chain_close(&chain);
	chain_refused(path[LV_VM_BELOW_MAX + 1], -ELOOP, "it is a difference from more than 7 others");
	/* One that goes round: all have the same state. */
	tree_remove(AT_FDCWD, path[0]);
	publish_on(path[0], "memory", path[1]);
	chain_refused(path[1], -ELOOP, "it is a difference from more than 7 others");
	for (unsigned i = 0; i < LV_VM_BELOW_MAX + 2; i++) {
		tree_remove(AT_FDCWD, path[i]);
		free(path[i]);
	}
}

static void what_is_no_saved_vm_is_not_replaced(void **state)
{
	struct save_draft made;
	struct error error = { 0 };
	char *path = alloc_format("%s/mine", top), *file = alloc_format("%s/mine/letter", top), *nowhere = alloc_format("%s/no/where", top);
	assert_int_equal(mkdir(path, 0700), 0);
	publish(path, "first!"); /* an empty one is */
	assert_int_equal(save_remove(path, &error), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_write(AT_FDCWD, file, "dear", 4, 0600), 0);
	assert_int_equal(save_begin(&made, path, &error), -EEXIST);
	assert_non_null(strstr(error.text, "mine is there, and no saved VM; name another directory"));
	save_free(&made);
	assert_int_equal(save_remove(path, &error), -ENOENT);
	assert_non_null(strstr(error.text, "there is no vm.json in it; nothing was removed"));
	assert_int_equal(save_begin(&made, file, &error), -EEXIST);
	assert_non_null(strstr(error.text, "letter is there, and no directory"));
	save_free(&made);
	assert_int_equal(save_begin(&made, nowhere, &error), -ENOENT);
	save_free(&made);
	assert_true(is_there(file));
	tree_remove(AT_FDCWD, path);
	free(path), free(file), free(nowhere);
}

static void what_others_may_have_written_is_not_read(void **state)
{
	char *path = alloc_format("%s/checked", top), *memory = alloc_format("%s/memory", path), *other = alloc_format("%s/other", path), *link = alloc_format("%s/link", top);
	publish(path, "first!");
	assert_int_equal(symlink(path, link), 0);
	refused(link, -ELOOP, "is a symbolic link");
	chmod(path, 0770);
	refused(path, -EPERM, "others than its owner may write to");
	chmod(path, 0700);
	chmod(memory, 0620);
	refused(path, -EPERM, "memory: others than its owner may write to it (mode 620)");
	chmod(memory, 0600);
	if (!geteuid()) {
		assert_int_equal(chown(memory, 65534, 65534), 0);
		refused(path, -EPERM, "memory: it belongs to user 65534, not to user 0");
		assert_int_equal(chown(memory, 0, 0), 0);
	}
	assert_int_equal(truncate(memory, 5), 0);
	refused(path, -EBADMSG, "memory: 5 bytes where the manifest says 6; it is not whole");
	assert_int_equal(rename(memory, other), 0);
	refused(path, -ENOENT, "memory: No such file");
	assert_int_equal(symlink(other, memory), 0);
	refused(path, -ELOOP, "memory: ");
	unlink(memory);
	assert_int_equal(mkfifo(memory, 0600), 0);
	refused(path, -EPERM, "memory: not a file");
	unlink(memory);
	free(memory);
	memory = alloc_format("%s/vm.json", path);
	assert_int_equal(file_write(AT_FDCWD, memory, "{\"format\": 1,", 13, 0600), 0);
	refused(path, -EINVAL, "checked/vm.json: line 1: ");
	assert_int_equal(truncate(memory, (off_t)SAVE_MANIFEST_MAX + 1), 0);
	refused(path, -EFBIG, "vm.json: File too large");
	unlink(memory);
	refused(path, -ENOENT, "no saved VM: there is no vm.json in it");
	refused("/nowhere/at/all", -ENOENT, "there is no such directory or file");
	tree_remove(AT_FDCWD, path);
	unlink(link);
	free(path), free(memory), free(other), free(link);
}

static void the_users_place_is_listed(void **state)
{
	struct error error = { 0 };
	char *one = save_place("one", true, &error), *two = save_place("two", true, &error), *hidden = save_place(".gone.saving", true, &error);
	publish(one, "first!");
	assert_int_equal(mkdir(two, 0700), 0);
	assert_int_equal(mkdir(hidden, 0700), 0); /* of one that was killed */
	json_t *all = saves_list(&error);
	assert_int_equal(json_array_size(all), 2);
	assert_string_equal(config_string(json_array_get(all, 0), "name"), "one");
	assert_string_equal(config_string(json_array_get(all, 0), "program"), "/bin/x");
	assert_non_null(strstr(config_string(json_array_get(all, 1), "error"), "no saved VM"));
	json_decref(all);
	assert_false(is_there(hidden));
	char *found = save_find(NULL, "one", &error), *missing = save_find(NULL, "three", &error);
	assert_string_equal(found, one);
	assert_null(missing);
	assert_string_equal(error.text, "there is no saved VM \"three\"; \"lightvm checkpoint ls\" lists them");
	json_t *view = save_view(one, &error);
	assert_string_equal(config_string(view, "path"), one);
	json_decref(view);
	free(one), free(two), free(hidden), free(found);
}

/* What a manifest names as its kernel may be anything by now: a pipe would hold us. */
static void digest_of_a_file_only(void **state)
{
	struct error error = { 0 };
	char hex[FILE_DIGEST_HEX + 1], *path = alloc_format("%s/digested", top);
	assert_int_equal(file_write(AT_FDCWD, path, "abc", 3, 0600), 0);
	assert_int_equal(file_digest(path, hex, &error), 0);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2, B.1 */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(file_digest(path, hex, &error), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_digest(path, hex, &error), -EINVAL);
	assert_non_null(strstr(error.text, "/digested: "));
	assert_int_equal(file_digest(top, hex, &error), -EISDIR);
	free(path);
}

static void finds(const struct state *vms, const char *word, const char *path)
{
	struct error error = { 0 };
	char *found = save_find(vms, word, &error), *kept = save_find_kept(word, &error);
	assert_string_equal(found, path);
	assert_string_equal(kept, path); /* what is removed is what goes on */
	free(found), free(kept);
}

/* A name in the user's place, a VM's, a file's here, in this order; and with a slash nothing but a path. */
static void a_word_is_the_same_everywhere(void **state)
{
	struct state vms;
	struct vm_dir vm;
	struct error error = { 0 };
	char *place = alloc_format("%s/vms", top), *here = alloc_format("%s/here", top), *file = alloc_format("%s/web", here), *link = alloc_format("%s/elsewhere", top);
	setenv("LIGHTVM_STATE", place, 1);
	assert_int_equal(mkdir(here, 0700), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(file_write(AT_FDCWD, file, "", 0, 0600), 0);
	assert_int_equal(state_open(&vms, true, &error), 0);
	finds(&vms, "web", file);
	assert_int_equal(vm_create(&vms, "dddddddddd02", &vm, &error), 0);
	assert_int_equal(vm_publish(&vms, &vm, "web", &error), 0);
	finds(&vms, "web", file); /* it was not saved */
	assert_int_equal(symlinkat(link, vm.dir, STATE_SAVED), 0);
	finds(&vms, "web", link);
	finds(&vms, "dddddddddd02", link);
	finds(&vms, "./web", file);
	char *kept = save_place("web", true, &error);
	publish(kept, "kept!!");
	finds(&vms, "web", kept);
	finds(&vms, "dddddddddd02", link);
	assert_int_equal(save_remove(kept, &error), 0);
	finds(&vms, "web", link);
	assert_int_equal(chdir("/"), 0);
	vm_close(&vm);
	state_close(&vms);
	free(place), free(here), free(file), free(link), free(kept);
}

static void *let_go(void *lock)
{
	vm_close(lock);
	return NULL;
}

/* One that has ended is held for as long as somebody waits for that; one that has not, or has written nothing, runs. */
static void held_for_a_moment(void **state)
{
	struct state where;
	struct vm_dir held, seen;
	struct error error = { 0 };
	struct lv_status record = { .magic = LV_STATUS_MAGIC, .version = LV_STATUS_VERSION, .size = LV_STATUS_SIZE(0), .state = LV_STATE_RUNNING };
	pthread_t thread;
	char *place = alloc_format("%s/state", top);
	setenv("LIGHTVM_STATE", place, 1);
	free(place);
	assert_int_equal(state_open(&where, true, &error), 0);
	assert_int_equal(vm_create(&where, "dddddddddd01", &held, &error), 0);
	assert_int_equal(vm_publish(&where, &held, NULL, &error), 0);
	assert_int_equal(vm_find(&where, "dddddddddd01", &seen, &error), 0);
	assert_true(vm_runs(&seen));
	vm_put_back(&held, &record, &(struct lv_report){ 0 });
	assert_true(vm_runs(&seen));
	record.state = LV_STATE_EXITED;
	vm_put_back(&held, &record, &(struct lv_report){ 0 });
	assert_true(vm_runs(&seen)); /* nobody lets go */
	assert_int_equal(pthread_create(&thread, NULL, let_go, &held), 0);
	assert_false(vm_runs(&seen));
	pthread_join(thread, NULL);
	assert_false(vm_runs(&seen));
	assert_int_equal(vm_remove(&where, &seen, NULL, &error), 0);
	vm_close(&seen);
	state_close(&where);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_older_one_stays_until_the_newer_is_whole),
		cmocka_unit_test(leftovers_beside_it_go),
		cmocka_unit_test(a_difference_needs_its_parent), cmocka_unit_test(a_compressed_one_has_its_memory), cmocka_unit_test(a_chain_has_an_end), cmocka_unit_test(a_word_is_the_same_everywhere), cmocka_unit_test(what_is_no_saved_vm_is_not_replaced),
		cmocka_unit_test(what_others_may_have_written_is_not_read),
		cmocka_unit_test(the_users_place_is_listed), cmocka_unit_test(digest_of_a_file_only), cmocka_unit_test(held_for_a_moment),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
