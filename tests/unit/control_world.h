/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket with a VM behind it that notes what is asked of it, and its clients. What fails ends the test. */
#ifndef LV_TEST_CONTROL_WORLD_H
#define LV_TEST_CONTROL_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/ring_driver.h"
#include "vmm/vmm_control.h"

struct control_world {
	struct guest guest;
	struct device *console;
	struct status status;
	struct control control;
	struct sockaddr_un address;
	socklen_t address_len;
	int signalled;
	bool killed;
	int asked; /* how often the threads were asked for */
	uint64_t limit;
	int pauses; /* what the next pause is answered with */
	bool paused, advanced;
	int saves; /* what the next save is answered with; 1: its descriptors are taken, and closed */
	bool again; /* the last look: its client had looked before */
	int lends, takes_back; /* what is answered to either */
	int ended; /* saves that are over */
	bool stays; /* the last of them: its client says what comes next */
};

struct control_answer { /* with what follows it */
	struct lv_control_reply head;
	union {
		struct lv_status status;
		struct lv_crash_report crash;
		struct lv_calls_report calls;
		char tail[LV_TAIL_MAX];
		uint8_t bytes[4096];
	};
};

int control_setup(void **state); /* *state: a struct control_world */
int control_teardown(void **state);
#define CONTROL_TEST(name) cmocka_unit_test_setup_teardown(name, control_setup, control_teardown)

/* A client's socket. */
int control_dial(struct control_world *world);
/* Sends bytes and descriptors as they are; the length of the answer, 0 if the monitor hung up, or -EAGAIN. */
ssize_t control_talk_raw(struct control_world *world, int fd, const void *bytes, size_t len, const int *fds, unsigned count, struct control_answer *reply);
/* An answer of the length that it says it has. */
void control_expect_whole(const struct control_answer *reply, ssize_t n);
/* A request and its whole answer: the result. */
int64_t control_send(struct control_world *world, int fd, const struct lv_control_request *request, const int *fds, unsigned count, struct control_answer *reply);
int64_t control_talk(struct control_world *world, int fd, unsigned op, int64_t arg, const int *fds, unsigned count);
int open_descriptors(void);

#endif
