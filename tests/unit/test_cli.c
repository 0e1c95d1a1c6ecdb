/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's own parts: the boot ledger, crash reports, the state directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "node/crash_report.h"
#include "node/link.h"
#include "node/monitor_control.h"
#include "node/record.h"
#include "node/state.h"
#include "node/vm_wait.h"
#include "abi/libos_header.h"
#include "parse/elf.h"

/* ---- the record ---- */

static void ledger(void **state)
{
	struct lv_status status = { 0 };
	struct ledger_line line[LV_STEPS];
	uint64_t unaccounted;
	static const enum lv_step order[] = { LV_STEP_COMMAND, LV_STEP_MONITOR, LV_STEP_VM, LV_STEP_RUN, LV_STEP_LIBOS, LV_STEP_BOOTED, LV_STEP_CONFIGURED,
		LV_STEP_MEMORY, LV_STEP_RESUMED, LV_STEP_READY, LV_STEP_PROGRAM, LV_STEP_EXIT };
	enum { STEPS = sizeof(order) / sizeof(*order) };
	for (unsigned i = 0; i < STEPS; i++)
		status.ledger[order[i]] = (struct lv_step_mark){ 1000 + 100u * i, i };
	assert_int_equal(ledger_lines(&status, line, &unaccounted), STEPS);
	assert_string_equal(line[0].step, "command");
	assert_string_equal(line[STEPS - 1].step, "exit");
	assert_int_equal(line[STEPS - 1].ns, 1100);
	assert_int_equal(line[STEPS - 1].delta, 100);
	assert_int_equal(unaccounted, 0);
	/* The packing of an image is the command's, not the monitor's. */
	status.ledger[LV_STEP_IMAGE].ns = 1060;
	assert_int_equal(ledger_lines(&status, line, &unaccounted), STEPS + 1);
	assert_string_equal(line[1].step, "image");
	assert_int_equal(line[1].delta, 60);
	assert_int_equal(line[2].delta, 40);
	status.ledger[LV_STEP_IMAGE].ns = 0;
	/* A step that was not marked leaves time that nobody explains; a guest that lies about time does not move others. */
	status.ledger[LV_STEP_READY].ns = 0;
	ledger_lines(&status, line, &unaccounted);
	assert_int_equal(unaccounted, 200);
	status.ledger[LV_STEP_READY].ns = 5;
	assert_int_equal(ledger_lines(&status, line, &unaccounted), STEPS - 1);
	for (int i = 1; i < STEPS - 1; i++)
		assert_true(line[i].ns >= line[i - 1].ns);
	status.ledger[LV_STEP_READY].ns = 1900;
	/* Of a shell, what was made ahead is no part of this start. */
	status.claim = LV_CLAIM_HIT;
	status.ledger[LV_STEP_COMMAND].ns = 1520;
	status.ledger[LV_STEP_CLAIMED].ns = 1540;
	assert_int_equal(ledger_lines(&status, line, &unaccounted), STEPS - 5 + 1);
	assert_string_equal(line[1].step, "claimed");
	assert_string_equal(line[2].step, "configured");
	assert_int_equal(line[2].delta, 60);
	assert_int_equal(unaccounted, 0);
	/* Nor has it run since then: a VM that ends at once and always has not lasted. */
	assert_int_equal(ledger_ran(&status), 300);
	status.ledger[LV_STEP_RESUMED].ns = 0;
	assert_int_equal(ledger_ran(&status), 800);
	status.ledger[LV_STEP_EXIT].ns = 0;
	assert_int_equal(ledger_ran(&status), 0);
	memset(status.ledger, 0, sizeof(status.ledger));
	assert_int_equal(ledger_ran(&status), 0);
	assert_int_equal(ledger_lines(&status, line, &unaccounted), 0);
}

/* A foreign kernel tells nothing: what is seen from outside explains all the time. */
static void ledger_of_linux(void **state)
{
	struct lv_status status = { .guest = LV_GUEST_LINUX };
	struct ledger_line line[LV_STEPS];
	uint64_t unaccounted;
	static const enum lv_step outside[] = { LV_STEP_COMMAND, LV_STEP_MONITOR, LV_STEP_VM, LV_STEP_MEMORY, LV_STEP_RUN, LV_STEP_EXIT };
	for (unsigned i = 0; i < 6; i++)
		status.ledger[outside[i]].ns = 1000 + 100 * i;
	assert_int_equal(ledger_lines(&status, line, &unaccounted), 6);
	assert_int_equal(unaccounted, 0);
	status.ledger[LV_STEP_INITCALL].ns = 1420;
	status.ledger[LV_STEP_READY].ns = 1450;
	assert_int_equal(ledger_lines(&status, line, &unaccounted), 8);
	assert_string_equal(line[5].step, "initcall");
	assert_int_equal(line[6].delta, 30);
	assert_int_equal(unaccounted, 0);
}

static void names_of_system_calls(void **state)
{
	char buffer[16];
	assert_string_equal(syscall_name(57, buffer, sizeof(buffer)), "fork");
	assert_string_equal(syscall_name(0, buffer, sizeof(buffer)), "read");
	assert_string_equal(syscall_name(4000000000u, buffer, sizeof(buffer)), "#4000000000");
}

/* Whatever the guest wrote: no access outside the record, and readable text. */
static void hostile_crash_records(void **state)
{
	struct hostile {
		struct lv_status status;
		struct lv_report report;
	} *hostile = malloc(sizeof(*hostile));
	unsigned seed = 1;
	for (int round = 0; round < 200; round++) {
		uint8_t *byte = (uint8_t *)hostile;
		for (size_t i = 0; i < sizeof(*hostile); i++)
			byte[i] = round == 0 ? 0xff : (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
		struct text out = { 0 };
		crash_report(&hostile->status, &hostile->report, NULL, &out);
		assert_non_null(strstr(out.data, "registers:"));
		assert_null(strchr(out.data, 27));
		text_free(&out);
		json_decref(record_json(&hostile->status, &hostile->report.what));
	}
	free(hostile);
}

/* A guest's words in it begin no line of their own, which would be taken for ours. */
static void crash_in_its_lines(void **state)
{
	struct lv_status status = { .crashed = 1 };
	struct lv_report *report = alloc_zero(sizeof(*report));
	struct lv_crash *crash = &report->what.crash;
	struct text out = { 0 };
	strcpy(crash->message, "one\nlightvm: two");
	crash->reg[16] = 0x401005; /* RIP */
	crash->maps = 1;
	crash->map[0] = (struct lv_text_map){ .start = 0x401000, .end = 0x402000 };
	strcpy(crash->map[0].path, "/three\nlightvm: four");
	crash_report(&status, report, NULL, &out);
	assert_non_null(strstr(out.data, "one?lightvm: two\n"));
	assert_non_null(strstr(out.data, "(/three?lightvm: four)\n"));
	text_free(&out);
	free(report);
}

/* What monitors of other versions have written: the one before, as a whole; a later one, as far as all versions are the same. */
/* Names of the library OS are those of the build that ran, or none. */
static void names_of_another_build(void **state)
{
	const char *build = getenv("LV_BUILD");
	struct lv_status status = { .crashed = 1 };
	struct lv_report *report = alloc_zero(sizeof(*report));
	struct lv_libos_header header;
	struct text path = { 0 }, out = { 0 };
	char *data;
	size_t size;
	struct elf elf;

	text_format(&path, "%s/libos/libos.elf", build ? build : "build");
	assert_int_equal(file_read(AT_FDCWD, path.data, 16 << 20, &data, &size), 0);
	assert_int_equal(elf_parse(&elf, data, size, NULL), 0);
	memcpy(&header, data + elf.load[0].offset, sizeof(header));
	free(data);
	setenv("LIGHTVM_LIBOS", path.data, 1);
	report->what.crash.reg[16] = (header.text_start + header.text_end) / 2; /* RIP: in some function */
	memcpy(status.libos_build, header.build.id, sizeof(status.libos_build));
	crash_report(&status, report, NULL, &out);
	assert_null(strstr(out.data, "  +0x"));
	text_free(&out);
	status.libos_build[3]++;
	out = (struct text){ 0 };
	crash_report(&status, report, NULL, &out);
	assert_non_null(strstr(out.data, "  +0x"));
	text_free(&out);
	text_free(&path);
	free(report);
	unsetenv("LIGHTVM_LIBOS");
}

/* Before control version 6 a report ended with the last output. */
static void report_without_calls(void **state)
{
	struct lv_report written = { .what.crash.signal = 11, .tail_size = 4, .tail = "last" }, report;
	int fd = memfd_create("status", 0);
	memset(&report, 0xff, sizeof(report));
	assert_int_equal(pwrite(fd, &written, offsetof(struct lv_report, calls), LV_REPORT_OFFSET), offsetof(struct lv_report, calls));
	assert_int_equal(report_read(fd, &report), 0);
	assert_int_equal(report.what.crash.signal, 11);
	assert_int_equal(report.tail_size, 4);
	assert_int_equal(report.calls.calls.made, 0);
	assert_int_equal(report.calls.maps, 0);
	assert_int_equal(ftruncate(fd, LV_REPORT_OFFSET + 100), 0);
	assert_int_equal(report_read(fd, &report), -EIO);
	close(fd);
}

static void records_of_other_versions(void **state)
{
	static struct lv_status_v1 old = { .magic = LV_STATUS_MAGIC, .version = 1, .size = sizeof(old), .state = LV_STATE_EXITED, .pid = 42,
		.wait_status = 11, .crashed = 1, .memory_used = 4711, .device_count = 1, .device[0] = { .type = LV_DEV_NET, .wakes = 3 },
		.missing[2] = { 57, 5 }, .crash = { .signal = 11, .message = "of old" }, .error = "why", .tail_size = 4, .tail = "last" };
	struct lv_status newer = { .magic = LV_STATUS_MAGIC, .version = LV_STATUS_VERSION + 1, .size = 40, .state = LV_STATE_EXITED, .pid = 43,
		.wait_status = 3 << 8, .own_error = 77, .exits = 99 };
	struct lv_status status;
	struct lv_report report;
	int fd = memfd_create("status", 0);
	assert_int_equal(status_read(fd, &status), 0); /* nothing was written yet */
	assert_int_equal(status.magic, 0);
	assert_int_equal(pwrite(fd, &old, sizeof(old), 0), sizeof(old));
	assert_int_equal(status_read(fd, &status), 0);
	assert_int_equal(status.pid, 42);
	assert_int_equal(status.wait_status, 11);
	assert_int_equal(status.crash_signal, 11);
	assert_int_equal(status.memory_used, 4711);
	assert_int_equal(status.device_count, 1);
	assert_int_equal(status.device[0].wakes, 3);
	assert_string_equal(status.error, "why");
	assert_int_equal(report_read(fd, &report), 0);
	assert_string_equal(report.what.crash.message, "of old");
	assert_int_equal(report.what.missing[2].count, 5);
	assert_int_equal(report.tail_size, 4);
	assert_memory_equal(report.tail, "last", 4);
	assert_int_equal(pwrite(fd, &newer, sizeof(newer), 0), sizeof(newer));
	assert_int_equal(status_read(fd, &status), -EPROTONOSUPPORT);
	assert_int_equal(status.pid, 43);
	assert_int_equal(status.state, LV_STATE_EXITED);
	assert_int_equal(status.wait_status, 3 << 8);
	assert_int_equal(status.own_error, 0);
	assert_int_equal(status.exits, 0);
	assert_string_equal(status.error, "its record is of version 4; this lightvm knows versions up to 3");
	/* cut short, or not one at all */
	assert_int_equal(ftruncate(fd, 20), 0);
	assert_int_equal(status_read(fd, &status), -EIO);
	assert_int_equal(status.magic, 0);
	close(fd);
}

/* The ledger was shorter. */
static void record_of_version_2(void **state)
{
	struct lv_status_v2 old = { .magic = LV_STATUS_MAGIC, .version = 2, .size = offsetof(struct lv_status_v2, device[2]), .state = LV_STATE_RUNNING, .pid = 7, .waits = 5,
		.ledger[LV_STEP_IMAGE] = { 11, 12 }, .balloon.target = 13, .libos_build = "build", .files_full = 14, .error = "why", .device_count = 2,
		.device[1] = { .type = LV_DEV_NET, .wakes = 15 } };
	struct lv_status status;
	int fd = memfd_create("status", 0);
	assert_int_equal(pwrite(fd, &old, old.size, 0), old.size);
	assert_int_equal(status_read(fd, &status), 0);
	assert_true(status.pid == 7 && status.waits == 5 && status.ledger[LV_STEP_IMAGE].exits == 12 && !status.ledger[LV_STEP_BOOTED].ns);
	assert_true(status.balloon.target == 13 && status.files_full == 14 && status.claim == LV_CLAIM_NONE && status.device_count == 2 && status.device[1].wakes == 15);
	assert_string_equal((char *)status.libos_build, "build");
	assert_string_equal(status.error, "why");
	old.size = offsetof(struct lv_status_v2, device[4]); /* more than there is */
	assert_int_equal(pwrite(fd, &old, sizeof(uint64_t[3]), 0), sizeof(uint64_t[3]));
	assert_int_equal(status_read(fd, &status), -EIO);
	close(fd);
}

/* Lines of an offset and 32 bytes, in hexadecimal digits; what no line names is zero. */
static void read_hex(const char *path, uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "r");
	unsigned at, byte;
	char row[65];
	assert_non_null(file);
	memset(bytes, 0, size);
	while (fscanf(file, "%x %64s", &at, row) == 2)
		for (unsigned i = 0; i < 32; i++) {
			assert_int_equal(sscanf(row + 2 * i, "%2x", &byte), 1);
			assert_true(at + i < size);
			bytes[at + i] = (uint8_t)byte;
		}
	fclose(file);
}

/* As the last monitor of version 1 wrote it of a program that said "last words", called what is missing twice, and crashed. */
static void recorded_by_version_1(void **state)
{
	uint8_t bytes[7200];
	struct lv_status status;
	struct lv_report report;
	int fd = memfd_create("status", MFD_CLOEXEC);
	read_hex(LV_STATUS_V1, bytes, sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(status_read(fd, &status), 0);
	assert_int_equal(report_read(fd, &report), 0);
	assert_int_equal(status.state, LV_STATE_EXITED);
	assert_true(status.crashed);
	assert_int_equal(status.wait_status, 11);
	assert_int_equal(status.crash_signal, 11);
	assert_int_equal(status.control_version, 1);
	assert_int_equal(status.ram_size, 6291456);
	assert_int_equal(status.ram_limit, 256 << 20);
	assert_int_equal(status.memory_used, 372736);
	assert_int_equal(status.exits, 3);
	assert_int_equal(status.exits_mmio, 3);
	assert_int_equal(status.device_count, 1);
	assert_int_equal(status.device[0].type, LV_DEV_CONSOLE);
	assert_int_equal(status.device[0].bytes[LV_CONSOLE_STDOUT], strlen("last words\n"));
	assert_true(status.ledger[LV_STEP_PROGRAM].ns > status.ledger[LV_STEP_MONITOR].ns);
	assert_int_equal(report.what.missing[0].nr, 294);
	assert_int_equal(report.what.missing[0].count, 2);
	assert_int_equal(report.what.crash.signal, 11);
	assert_int_equal(report.what.crash.cr2, 16);
	assert_string_equal(report.what.crash.map[0].path, "/srv/a/prog");
	assert_int_equal(report.tail_size, strlen("last words\n"));
	assert_memory_equal(report.tail, "last words\n", report.tail_size);
	close(fd);
}

/* A monitor from before an update: it answers everything with everything, and knows nothing of new requests. */
static void *old_monitor(void *context)
{
	int fd = accept(*(int *)context, NULL, NULL);
	static struct lv_control_reply_v1 reply = { .status = { .magic = LV_STATUS_MAGIC, .version = 1, .size = sizeof(reply.status),
		.state = LV_STATE_RUNNING, .pid = 44, .tail_size = 3, .tail = "old", .balloon.actual = 4096 } };
	struct lv_control_request request;
	while (fd >= 0) {
		while (recv(fd, &request, sizeof(request), 0) == sizeof(request)) {
			uint32_t op; /* as it understood it: 32 bits */
			memcpy(&op, (const char *)&request + offsetof(struct lv_control_request, op), sizeof(op));
			reply.result = op >= 1 && op <= 6 ? 0 : -EOPNOTSUPP;
			send(fd, &reply, sizeof(reply), MSG_NOSIGNAL);
		}
		close(fd);
		fd = accept(*(int *)context, NULL, NULL);
	}
	return NULL;
}

static void monitor_of_the_version_before(void **state)
{
	char template[] = "/tmp/test-control-XXXXXX";
	struct lv_status status;
	struct lv_report report;
	struct control_answer answer = { 0 };
	pthread_t thread;
	assert_non_null(mkdtemp(template));
	int dir = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC), listener = control_listen(dir);
	assert_true(listener >= 0);
	assert_int_equal(pthread_create(&thread, NULL, old_monitor, &listener), 0);
	assert_int_equal(control_status(dir, 5000, &status), 0);
	assert_int_equal(status.pid, 44);
	assert_int_equal(control_report(dir, 5000, &report), 0);
	assert_memory_equal(report.tail, "old", 3);
	assert_int_equal(control_ask(dir, LV_CTL_KILL, 0, NULL, deadline_in(5000)), 0);
	assert_int_equal(control_ask(dir, LV_CTL_BALLOON, -1, &answer, deadline_in(5000)), 0);
	assert_int_equal(answer.status.balloon.actual, 4096);
	assert_int_equal(answer.version, 1);
	const struct vm_dir vm = { .id = "0123456789ab", .dir = dir, .status = -1 };
	struct error error = { 0 };
	assert_int_equal(vm_await_listen(&vm, 5000, &error), -EPROTONOSUPPORT);
	assert_string_equal(error.text, "the monitor of VM 0123456789ab is older than this lightvm and cannot tell when its program listens");
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	close(dir);
	assert_int_equal(tree_remove(AT_FDCWD, template), 0);
}

/* ---- the state directory ---- */

static int setup(void **state)
{
	char template[] = "/tmp/test-cli-XXXXXX";
	if (!mkdtemp(template))
		return -1;
	setenv("XDG_RUNTIME_DIR", template, 1);
	setenv("LIGHTVM_LIBOS", "/dev/null", 1);
	return 0;
}

static int teardown(void **state)
{
	return tree_remove(AT_FDCWD, getenv("XDG_RUNTIME_DIR"));
}

static int count(void *context, const char *id)
{
	++*(int *)context;
	return 0;
}

static void make(const struct state *where, const char *id, const char *name, struct vm_dir *vm)
{
	struct error error = { 0 };
	assert_int_equal(vm_create(where, id, vm, &error), 0);
	assert_int_equal(vm_publish(where, vm, name, &error), 0);
}

static void vms(void **state)
{
	struct state where;
	struct vm_dir one, two, found;
	struct error error = { 0 };
	int n = 0;
	assert_int_equal(state_open(&where, false, &error), -ENOENT);
	state_close(&where);
	assert_int_equal(state_open(&where, true, &error), 0);
	make(&where, "aaaaaaaaaa01", "web", &one);
	make(&where, "aaaaaaaaaa02", NULL, &two);
	state_each(&where, count, &n);
	assert_int_equal(n, 2);

	assert_int_equal(vm_find(&where, "web", &found, &error), 0);
	assert_string_equal(found.id, "aaaaaaaaaa01");
	assert_true(vm_alive(&found)); /* its lock is held, by us */
	vm_close(&one);
	assert_false(vm_alive(&found));
	vm_close(&found);
	assert_int_equal(vm_find(&where, "aaaaaaaaaa02", &found, &error), 0);
	vm_close(&found);
	assert_int_equal(vm_find(&where, "aaa", &found, &error), -EEXIST);
	assert_string_equal(error.text, "\"aaa\" is the beginning of 2 ids; give more digits");
	assert_int_equal(vm_find(&where, "../names", &found, &error), -ENOENT);
	assert_string_equal(error.text, "there is no VM \"../names\"; \"lightvm ps -a\" lists them");
	assert_int_equal(vm_find(&where, "", &found, &error), -ENOENT);

	/* A name belongs to one VM until that is removed. */
	struct vm_dir three;
	assert_int_equal(vm_create(&where, "bbbbbbbbbb03", &three, &error), 0);
	assert_int_equal(vm_publish(&where, &three, "web", &error), -EEXIST);
	assert_string_equal(error.text, "the name \"web\" is taken by VM aaaaaaaaaa01; remove that one with: lightvm rm -f web");
	assert_int_equal(vm_find(&where, "web", &found, &error), 0);
	assert_int_equal(vm_remove(&where, &found, "web", &error), 0);
	vm_close(&found);
	assert_int_equal(vm_publish(&where, &three, "web", &error), 0);
	assert_int_equal(vm_find(&where, "bb", &found, &error), 0);
	vm_close(&found);
	vm_close(&two);
	vm_close(&three);
	state_close(&where);
}

static void expect_place(const char *want)
{
	struct state where;
	struct error error = { 0 };
	state_open(&where, false, &error);
	assert_string_equal(where.path, want);
	state_close(&where);
}

/* Not where logind would delete the records of VMs that run on. */
static void places(void **state)
{
	char *before = strdup(getenv("XDG_RUNTIME_DIR")), logind[32], kept[64];
	snprintf(logind, sizeof(logind), "/run/user/%u", (unsigned)geteuid());
	snprintf(kept, sizeof(kept), "%s/lightvm", before);
	expect_place(kept);
	setenv("XDG_RUNTIME_DIR", logind, 1);
	setenv("XDG_STATE_HOME", "/nonexistent/state", 1);
	expect_place(geteuid() ? "/nonexistent/state/lightvm" : "/run/lightvm");
	setenv("LIGHTVM_STATE", "/nonexistent/chosen", 1);
	expect_place("/nonexistent/chosen");
	unsetenv("LIGHTVM_STATE");
	unsetenv("XDG_STATE_HOME");
	setenv("XDG_RUNTIME_DIR", before, 1);
	free(before);
}

/* What a version before has left elsewhere is found by id and name, listed, and removed from there. */
static void old_places(void **state)
{
	char *elsewhere = strdup(getenv("XDG_RUNTIME_DIR")), *now = malloc(strlen(elsewhere) + 5);
	struct state old, where;
	struct vm_dir vm, found;
	struct error error = { 0 };
	int n = 0;
	assert_int_equal(state_open(&old, true, &error), 0);
	make(&old, "cccccccccc01", "left", &vm);
	sprintf(now, "%s/now", elsewhere);
	setenv("LIGHTVM_STATE", now, 1);
	assert_int_equal(state_open(&where, true, &error), 0);
	unsetenv("LIGHTVM_STATE");
	assert_int_equal(vm_find(&where, "left", &found, &error), -ENOENT);
	where.old[1] = dup(old.dir);
	assert_int_equal(vm_find(&where, "left", &found, &error), 0);
	assert_true(vm_alive(&found));
	state_each(&where, count, &n);
	assert_true(n >= 1);
	vm_close(&vm);
	assert_int_equal(vm_remove(&where, &found, "left", &error), 0);
	vm_close(&found);
	assert_int_equal(vm_find(&where, "cccccccccc01", &found, &error), -ENOENT);
	assert_int_equal(faccessat(old.dir, "names/left", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	state_close(&where);
	state_close(&old);
	free(now);
	free(elsewhere);
}

static void vm_names(void **state)
{
	assert_true(vm_name_valid("a") && vm_name_valid("web-1.example_x"));
	assert_false(vm_name_valid("") || vm_name_valid(".x") || vm_name_valid("-x") || vm_name_valid("a/b") || vm_name_valid("a b"));
	assert_false(vm_name_valid("0123456789012345678901234567890123456789012345678901234567890123"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ledger), cmocka_unit_test(ledger_of_linux),
		cmocka_unit_test(names_of_system_calls), cmocka_unit_test(hostile_crash_records), cmocka_unit_test(crash_in_its_lines), cmocka_unit_test(names_of_another_build), cmocka_unit_test(records_of_other_versions),
		cmocka_unit_test(report_without_calls),
		cmocka_unit_test(record_of_version_2), cmocka_unit_test(recorded_by_version_1),
		cmocka_unit_test(monitor_of_the_version_before), cmocka_unit_test(vms), cmocka_unit_test(places), cmocka_unit_test(old_places), cmocka_unit_test(vm_names),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
