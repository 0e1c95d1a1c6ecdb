/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a VM that comes from another host may have as disks: those that are meant, below the one directory that is for it, and nothing else is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk_claim.h"
#include "base/file.h"
#include "node/migrate_disks.h"
#include "tests/unit/scratch.h"

#define SIZE 4096

struct fixture {
	char *top, *place; /* what is in top, and not below place, is none of the VM's */
	int held[2];       /* the disk, and its lock */
};

static char *path_of(const char *dir, const char *rest)
{
	char *path = alloc_format("%s%s", dir, rest);
	assert_non_null(path);
	return path;
}

static int make(const char *dir, const char *rest)
{
	char *path = path_of(dir, rest);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && !ftruncate(fd, SIZE));
	free(path);
	return fd;
}

static void link_to(const char *target, const char *dir, const char *rest)
{
	char *path = path_of(dir, rest);
	assert_int_equal(symlink(target, path), 0);
	free(path);
}

static int hold(int fd, bool read_only)
{
	char message[256];
	int lock;
	assert_int_equal(disk_claim(fd, "disk", read_only, &lock, message, sizeof(message)), 0);
	return lock;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->top = scratch();
	f->place = path_of(f->top, "/place");
	assert_int_equal(mkdir(f->place, 0700), 0);
	char *deeper = path_of(f->place, "/deeper"), *fifo = path_of(f->place, "/fifo");
	assert_true(!mkdir(deeper, 0700) && !mkfifo(fifo, 0600));
	close(make(f->top, "/outside"));
	close(make(f->place, "/free"));
	close(make(deeper, "/disk"));
	link_to("../outside", f->place, "/link");
	link_to("disk", f->place, "/inner");
	link_to("..", f->place, "/up");
	f->held[0] = make(f->place, "/disk");
	f->held[1] = hold(f->held[0], false);
	free(deeper);
	free(fifo);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "/place/deeper/disk", "/place/deeper", "/place/fifo", "/place/free", "/place/link", "/place/inner", "/place/up", "/place/disk", "/place", "/outside", "" };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char *path = path_of(f->top, files[i]);
		assert_int_equal(remove(path), 0);
		free(path);
	}
	close(f->held[0]);
	if (f->held[1] >= 0)
		close(f->held[1]);
	free(f->top);
	free(f->place);
	free(f);
	return 0;
}

/* What an honest source says of the file at that path. */
static json_t *told_of(const char *path)
{
	struct error error = { 0 };
	json_t *config = json_pack("{s:[{s:s}]}", "disks", "path", path), *told = migrate_disks_tell(config, &error);
	assert_non_null(told);
	json_decref(config);
	return told;
}

static struct vm_config with_disk(char *path)
{
	struct vm_config config = { .disks = 1, .disk = { { .path = path, .fd = -1, .lock = -1 } } };
	return config;
}

static void expect(int err, const char *text, int found, const struct error *error)
{
	if (found != err || (err && !strstr(error->text, text)))
		fail_msg("%d in place of %d, and \"%s\" in place of \"%s\"", found, err, error->text, text);
}

/* Both times that it is looked at: when it is offered, and when it is taken. */
static void refused(const char *path, const char *place, const json_t *told, int err, const char *text)
{
	struct error error = { 0 };
	struct vm_config config = with_disk((char *)path);
	expect(err, text, migrate_disks_check(&config, told, place, &error), &error);
	expect(err, text, migrate_disks_open(&config, told, place, &error), &error);
	assert_true(config.disk[0].fd < 0 && config.disk[0].lock < 0);
}

static void outside(void **state)
{
	const struct fixture *f = *state;
	static const struct {
		const char *rest;
		int err;
		const char *text;
	} bad[] = {
		{ "/outside", -EPERM, "is in no directory from which this host takes disks" },
		{ "/placebo/disk", -EPERM, "is in no directory from which" },
		{ "/place", -EPERM, "is in no directory from which" },
		{ "/place/../outside", -EXDEV, "/place/../outside, here: " },
		{ "/place/deeper/../../outside", -EXDEV, ", here: " },
		{ "/place//etc/passwd", -EXDEV, ", here: " },
		{ "/place/link", -ELOOP, ", here: " },
		{ "/place/inner", -ELOOP, ", here: " }, /* it leads nowhere else, but may later */
		{ "/place/up/outside", -ELOOP, ", here: " },
		{ "/place/nothing", -ENOENT, ", here: No such file or directory" },
		{ "/place/disk/x", -ENOTDIR, ", here: " },
		{ "/place/deeper", -EINVAL, "is no regular file here" },
		{ "/place/.", -EINVAL, "is no regular file here" },
		{ "/place/fifo", -EINVAL, "is no regular file here" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char *path = path_of(f->top, bad[i].rest), *disk = path_of(f->place, "/disk");
		json_t *told = told_of(disk);
		refused(path, f->place, told, bad[i].err, bad[i].text);
		refused(path, NULL, told, -EPERM, "lightvm host serve --disks DIR");
		json_decref(told);
		free(path);
		free(disk);
	}
	refused("place/disk", f->place, NULL, -EPERM, "is in no directory");
	refused(NULL, f->place, NULL, -EPERM, "is in no directory");
	refused("/nowhere/disk", "/nowhere", NULL, -ENOENT, "/nowhere/disk, here: ");
}

static void another_file(void **state)
{
	const struct fixture *f = *state;
	static const char *const unreadable[] = { "[]", "{}", "[7]", "[null]", "[{\"size\": 4096}]", "[{\"inode\": 1}]", "[{\"size\": \"4096\", \"inode\": 1}]", "[{\"size\": 4096.0, \"inode\": 1}]" };
	char *disk = path_of(f->place, "/disk"), *other = path_of(f->place, "/free");
	json_t *told = told_of(other);
	refused(disk, f->place, told, -ESTALE, "is not the same file here: it is number");
	json_object_set_new(json_array_get(told, 0), "size", json_integer(512));
	refused(disk, f->place, told, -ESTALE, "is not the same file here: it has 4096 bytes, and 512 there");
	json_decref(told);
	refused(disk, f->place, NULL, -EPROTO, "the other host does not say which file that is");
	for (size_t i = 0; i < sizeof(unreadable) / sizeof(*unreadable); i++) {
		told = json_loads(unreadable[i], 0, NULL);
		assert_non_null(told);
		refused(disk, f->place, told, -EPROTO, "the other host does not say which file that is");
		json_decref(told);
	}
	free(disk);
	free(other);
}

/* Somebody has to hold it as long as the VM is there, and nobody any more when it is taken. */
static void lock(void **state)
{
	struct fixture *f = *state;
	struct error error = { 0 };
	char *disk = path_of(f->place, "/disk"), *slashes = path_of(f->place, "///");
	json_t *told = told_of(disk);
	struct vm_config config = with_disk(disk);
	assert_int_equal(migrate_disks_check(&config, told, f->place, &error), 0);
	assert_int_equal(migrate_disks_check(&config, told, slashes, &error), 0);
	assert_int_equal(migrate_disks_check(&config, told, "/", &error), 0);
	expect(-EBUSY, "is in use by another VM", migrate_disks_open(&config, told, f->place, &error), &error);
	close(config.disk[0].fd);
	close(f->held[1]);
	expect(-ESTALE, "nobody does here", migrate_disks_check(&config, told, f->place, &error), &error);
	assert_int_equal(migrate_disks_open(&config, told, f->place, &error), 0);
	assert_int_equal(fcntl(config.disk[0].fd, F_GETFL) & O_ACCMODE, O_RDWR);
	f->held[1] = config.disk[0].lock;
	assert_int_equal(migrate_disks_check(&config, told, f->place, &error), 0); /* for whoever comes next */
	close(config.disk[0].fd);
	json_decref(told);
	free(disk);
	free(slashes);
}

/* Readers share it, and it is opened for nothing but reading. */
static void readers(void **state)
{
	struct fixture *f = *state;
	struct error error = { 0 };
	char *disk = path_of(f->place, "/disk");
	json_t *told = told_of(disk);
	struct vm_config config = with_disk(disk);
	config.disk[0].read_only = true;
	close(f->held[1]);
	f->held[1] = hold(f->held[0], true);
	assert_int_equal(migrate_disks_check(&config, told, f->place, &error), 0);
	assert_int_equal(migrate_disks_open(&config, told, f->place, &error), 0);
	assert_int_equal(fcntl(config.disk[0].fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(config.disk[0].fd);
	close(config.disk[0].lock);
	json_decref(told);
	free(disk);
}

static void source(void **state)
{
	(void)state;
	struct error error = { 0 };
	json_t *none = json_object(), *gone = json_pack("{s:[{s:s}]}", "disks", "path", "/nowhere/disk"), *device = json_pack("{s:[{s:s}]}", "disks", "path", "/dev/null");
	json_t *told = migrate_disks_tell(none, &error);
	assert_int_equal(json_array_size(told), 0);
	assert_true(json_is_array(told));
	assert_null(migrate_disks_tell(gone, &error));
	expect(-ENOENT, "disk /nowhere/disk: ", error.code, &error);
	assert_null(migrate_disks_tell(device, &error));
	expect(-EOPNOTSUPP, "disk /dev/null is no regular file", error.code, &error);
	json_decref(told);
	json_decref(none);
	json_decref(gone);
	json_decref(device);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = { TEST(outside), TEST(another_file), TEST(lock), TEST(readers), cmocka_unit_test(source) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
