/* SPDX-License-Identifier: Apache-2.0 */
/* A VM whose memory is still on its way (vmm/state/pager.h): who waits for a page gets it, and nobody waits for ever, whenever it is that who brings it goes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/memory_later.h"
#include "base/error.h"
#include "vmm/state/pager.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

#define PAGE 4096
#define PAGES 4
#define PATIENCE_S 20

/* A monitor as far as its pager knows it. What is asked of its vCPUs comes out of a pipe; who lets them go waits for a word, where that is wanted. */
struct world {
	struct machine_config config;
	struct vm vm;
	struct sockaddr_un address;
	socklen_t address_size;
	uint8_t *map;
	int holds[2], gate[2];
	bool gated;
};
static struct world *world;

void vcpu_hold_all(struct vm *vm, bool on)
{
	char byte = (char)on;

	assert_true(vm == &world->vm);
	assert_int_equal(write(world->holds[1], &byte, 1), 1);
	if (world->gated && !on)
		assert_int_equal(read(world->gate[0], &byte, 1), 1);
}

static int ready(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, PATIENCE_S * 1000);
}

static void expect_hold(bool on)
{
	char byte;

	assert_int_equal(ready(world->holds[0]), 1);
	assert_int_equal(read(world->holds[0], &byte, 1), 1);
	assert_int_equal(byte, on);
}

static int setup(void **state)
{
	static struct world worlds[8], *next = worlds; /* a pager that ends does so in its own time */
	struct error error;
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (device < 0)
		return 0; /* *state stays NULL */
	world = next++;
	*world = (struct world){ .address = { .sun_family = AF_UNIX }, .address_size = sizeof(world->address) };
	struct machine_config *config = &world->config;
	*config = (struct machine_config){ .memory_fd = memfd_create("memory", MFD_CLOEXEC), .pager = { .device = device, .listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) } };
	world->vm.config = config;
	assert_int_equal(ftruncate(config->memory_fd, PAGES * PAGE), 0);
	assert_int_equal(pipe2(world->holds, O_CLOEXEC) | pipe2(world->gate, O_CLOEXEC), 0);
	assert_int_equal(bind(config->pager.listener, (struct sockaddr *)&world->address, sizeof(sa_family_t)), 0); /* a name that the kernel finds */
	assert_int_equal(getsockname(config->pager.listener, (struct sockaddr *)&world->address, &world->address_size), 0);
	assert_int_equal(listen(config->pager.listener, 1), 0);
	assert_int_equal(pager_open(&world->vm, &error), 0);
	world->map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, config->memory_fd, 0);
	assert_true(world->map != MAP_FAILED);
	assert_int_equal(pager_cover(world->vm.pager, &(struct mem_file){ .hva = world->map, .len = PAGES * PAGE, .offset = 0 }), 0);
	*state = world;
	return 0;
}

static void need_device(void *const *state)
{
	if (*state)
		return;
	print_message("/dev/userfaultfd cannot be opened\n");
	skip();
}

static int come(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&world->address, world->address_size), 0);
	return fd;
}

static void say(int fd, uint64_t offset, uint64_t size)
{
	const struct lv_pager_range there = { .offset = offset, .size = size };

	assert_int_equal(send(fd, &there, sizeof(there), MSG_NOSIGNAL), sizeof(there));
}

/* Who waits for a page: a thread, as a vCPU is one. */
static void *touch(void *at)
{
	return (void *)(uintptr_t)*(volatile uint8_t *)at;
}

static pthread_t begin_touch(unsigned page)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, touch, world->map + page * PAGE), 0);
	return thread;
}

static uint8_t end_touch(pthread_t thread)
{
	struct timespec until;
	void *value;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(pthread_timedjoin_np(thread, &value, &until), 0);
	return (uint8_t)(uintptr_t)value;
}

/* All has come: who touches what is not there finds zero, and nothing was held since. */
static void expect_over(void)
{
	assert_int_equal(end_touch(begin_touch(PAGES - 1)), 0);
	assert_false(pager_waits(world->vm.pager));
	assert_int_equal(poll(&(struct pollfd){ .fd = world->holds[0], .events = POLLIN }, 1, 0), 0);
}

/* A page is waited for, asked for, and brought; after the end the others are zero. */
static void test_brings(void **state)
{
	need_device(state);
	int bringer = come();
	struct lv_pager_hello hello;
	struct lv_pager_range want;

	assert_int_equal(pager_start(world->vm.pager), 0);
	expect_hold(false);
	assert_int_equal(ready(bringer), 1);
	assert_int_equal(recv(bringer, &hello, sizeof(hello), 0), sizeof(hello));
	assert_true(hello.magic == LV_PAGER_MAGIC && hello.size == PAGES * PAGE);
	pthread_t thread = begin_touch(1);
	assert_int_equal(ready(bringer), 1);
	assert_int_equal(recv(bringer, &want, sizeof(want), 0), sizeof(want));
	assert_true(want.offset == PAGE && want.size == PAGE);
	assert_int_equal(pwrite(world->config.memory_fd, "x", 1, PAGE), 1);
	say(bringer, PAGE, PAGE);
	assert_int_equal(end_touch(thread), 'x');
	assert_true(pager_waits(world->vm.pager));
	say(bringer, 0, 0);
	expect_over();
	close(bringer);
}

/* It has said that all is there, and gone: what it was still asked for, and never read, changes nothing about that. */
static void test_goes_unasked(void **state)
{
	need_device(state);
	int bringer = come();

	world->gated = true;
	assert_int_equal(pager_start(world->vm.pager), 0);
	assert_int_equal(ready(bringer), 1); /* which is greeted: that is what it does not read */
	expect_hold(false);
	say(bringer, 0, 0);
	close(bringer);
	assert_int_equal(write(world->gate[1], "", 1), 1);
	expect_over();
}

/* The same before anybody has looked whether it is there. */
static void test_goes_early(void **state)
{
	need_device(state);
	int bringer = come();

	say(bringer, 0, 0);
	close(bringer);
	assert_int_equal(pager_start(world->vm.pager), 0);
	expect_hold(false);
	expect_over();
}

/* Without that word the VM stands still until another one comes, who is asked again. */
static void test_another_comes(void **state)
{
	need_device(state);
	int bringer = come();

	assert_int_equal(pager_start(world->vm.pager), 0);
	expect_hold(false);
	pthread_t thread = begin_touch(0);
	close(bringer);
	expect_hold(true);
	assert_true(pager_waits(world->vm.pager));
	bringer = come();
	expect_hold(false);
	assert_int_equal(pwrite(world->config.memory_fd, "y", 1, 0), 1);
	say(bringer, 0, PAGES * PAGE);
	assert_int_equal(end_touch(thread), 'y');
	say(bringer, 0, 0);
	expect_over();
	close(bringer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_brings, setup),
		cmocka_unit_test_setup(test_goes_unasked, setup),
		cmocka_unit_test_setup(test_goes_early, setup),
		cmocka_unit_test_setup(test_another_comes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
