/* SPDX-License-Identifier: Apache-2.0 */
/* The status record: what a monitor leaves of its VM, whatever the guest says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/status.h"

struct fixture {
	struct guest guest;
	struct status status;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct device_config config = { .type = LV_DEV_CONSOLE, .console = { -1, -1, -1, -1, false, false, 0 } };

	guest_init(&f->guest);
	guest_add_device(&f->guest, &config);
	status_init(&f->status, memfd_create("status", MFD_CLOEXEC));
	f->status.devices = &f->guest.devices;
	f->status.shared = &f->guest.shared;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->status.fd);
	guest_fini(&f->guest);
	free(f);
	return 0;
}

static void test_record(void **state)
{
	struct fixture *f = *state;
	struct lv_status record;
	struct lv_report report;

	status_mark(&f->status, LV_STEP_VM);
	f->status.record.wait_status = 3 << 8;
	/* a guest that lies about its own crash */
	f->status.record.crashed = 1;
	f->guest.shared.crash.frames = 1000;
	f->guest.shared.crash.maps = 9;
	memset((void *)f->guest.shared.crash.message, 'x', sizeof(f->guest.shared.crash.message));
	assert_int_equal(status_write(&f->status, LV_STATE_RUNNING), 0);
	assert_int_equal(lseek(f->status.fd, 0, SEEK_END), LV_STATUS_SIZE(1)); /* while it runs it is short */
	assert_int_equal(status_write(&f->status, LV_STATE_EXITED), 0);
	assert_int_equal(pread(f->status.fd, &record, LV_STATUS_SIZE(1), 0), LV_STATUS_SIZE(1));
	assert_int_equal(record.state, LV_STATE_EXITED);
	assert_int_equal(record.size, LV_STATUS_SIZE(1));
	assert_int_equal(record.wait_status, 3 << 8);
	assert_true(record.ledger[LV_STEP_VM].ns);
	assert_int_equal(pread(f->status.fd, &report, sizeof(report), LV_REPORT_OFFSET), sizeof(report));
	assert_int_equal(report.what.crash.frames, 0);
	assert_int_equal(report.what.crash.maps, 0);
	assert_int_equal(strlen(report.what.crash.message), sizeof(report.what.crash.message) - 1);
}

static void test_record_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	int fd = f->status.fd;

	f->status.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(status_write(&f->status, LV_STATE_RUNNING), -ENOSPC);
	close(f->status.fd);
	f->status.fd = fd;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_record), TEST(test_record_cannot_be_written) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
