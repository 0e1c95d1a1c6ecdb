/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of a Linux guest: from the initial RAM disk to the image, its program, and the exit status. What fails is told on the
 * console, and the VM ends with status 125; 126 and 127 are the program's own, as with containers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/standard.h"
#include "guest/mounts.h"
#include "guest/report.h"
#include "guest/supervise.h"

#define STATUS(code) ((code) << 8) /* as waitpid(2) has it */

/* The bytes belong to the configuration: its strings point into them. */
static int read_config(struct guest_config *config)
{
	struct stat st;
	const char *why = "";
	unsigned record = 0;
	char *bytes = NULL;
	int fd = open(LV_GUEST_CONFIG_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return report_error("configuration", LV_GUEST_CONFIG_PATH, errno);
	if (st.st_size <= LV_GUEST_CONFIG_MAX)
		bytes = malloc((size_t)st.st_size + 1);
	if (!bytes || read(fd, bytes, (size_t)st.st_size) != st.st_size)
		return report_error("configuration", LV_GUEST_CONFIG_PATH, bytes ? EIO : ENOMEM);
	close(fd);
	int err = config_parse(config, bytes, (size_t)st.st_size, &why, &record);
	return err ? report_error("configuration: " LV_GUEST_CONFIG_PATH " is not right:", why, 0), err : 0;
}

/*
 * Free memory goes back to the host in blocks of 128 KiB and more. Linux' own choice (4 MiB without huge pages) reports
 * nothing as long as less than 32 such blocks are free: never, in a small guest. Linux before 6.3 forgets the boot parameter.
 */
static void report_small_blocks(void)
{
	int fd = open("/sys/module/page_reporting/parameters/page_reporting_order", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* a kernel without reporting */
	if (write(fd, "5", 1) != 1)
		report_error("free page reporting", "order 5", errno);
	close(fd);
}

static int prepare(struct guest_config *config)
{
	int err = mounts_early();
	if (err)
		return err;
	standard_hold(); /* or a pipe would get one of the numbers and be lost when a program is started */
	report_small_blocks();
	err = read_config(config);
	if (!err)
		err = mounts_root(config);
	if (!err)
		err = mounts_enter();
	if (!err)
		err = mounts_add(config);
	if (err)
		return err;
	if (config->hostname && sethostname(config->hostname, strlen(config->hostname)))
		report_error("host name", config->hostname, errno);
	return 0;
}

int main(void)
{
	static struct guest_config config;
	static struct supervisor supervisor;
	int status = STATUS(EXIT_SETUP);
	if (getpid() != 1) {
		report_error("this program starts a virtual machine; it runs as its first process only", NULL, 0);
		return EXIT_SETUP;
	}
	report_mark(LV_MARK_INIT);
	if (!prepare(&config)) {
		if (!supervise_start(&supervisor, &config))
			status = supervise_run(&supervisor);
		supervise_finish(&supervisor);
		mounts_leave();
	}
	report_exit(status);
	return EXIT_SETUP; /* the kernel panics: it has nothing else to do without us */
}
