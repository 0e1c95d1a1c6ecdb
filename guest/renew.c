/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that stood still, or goes on as another one: what a kernel cannot know of that. */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "abi/agent.h"
#include "guest/guest_agent.h"

#define NS 1000000000ull

static int set_clock(uint64_t ns)
{
	const struct timespec now = { .tv_sec = (time_t)(ns / NS), .tv_nsec = (long)(ns % NS) };
	return clock_settime(CLOCK_REALTIME, &now) ? -errno : 0;
}

/* Counted as entropy, and drawn from at once: until then two copies of a VM would give out the same numbers. */
static int add_seed(const uint8_t *seed)
{
	struct {
		struct rand_pool_info head;
		uint8_t bytes[sizeof(((struct lv_agent_renew *)0)->seed)];
	} pool = { .head = { .entropy_count = sizeof(pool.bytes) * 8, .buf_size = sizeof(pool.bytes) } };
	memcpy(pool.bytes, seed, sizeof(pool.bytes)); /* where head.buf begins */
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG) ? -errno : 0;
	close(fd);
	return err;
}

static int become_another(const struct lv_agent_renew *renew, const char **what)
{
	*what = "the seed of random numbers";
	int err = add_seed(renew->seed);
	const size_t size = strnlen(renew->hostname, sizeof(renew->hostname));
	if (err || !size)
		return err;
	*what = "the host name";
	return sethostname(renew->hostname, size) ? -errno : 0;
}

int guest_renew(const struct lv_agent_renew *renew, const char **what)
{
	*what = "the wall clock";
	int err = set_clock(renew->realtime_ns);
	return !err && renew->flags & LV_RENEW_IDENTITY ? become_another(renew, what) : err;
}
