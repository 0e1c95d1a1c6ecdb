/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in a Linux guest, tried as ordinary processes: configuration, DHCP messages, sessions of the agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/deadline.h"
#include "base/frame.h"
#include "base/text.h"
#include "base/tree.h"
#include "guest/guest_agent.h"
#include "guest/config.h"
#include "guest/dhcp.h"
#include "guest/pump.h"
#include "tests/unit/scratch.h"
#include "tinyx/cpio.h"

/* ---- configuration ---- */

static void begin(struct text *out)
{
	struct lv_records header = { LV_GUEST_CONFIG_MAGIC, LV_GUEST_CONFIG_VERSION, 0, 0 };
	text_add(out, &header, sizeof(header));
}

static void record(struct text *out, uint32_t type, const void *data, size_t size)
{
	struct lv_record head = { type, (uint32_t)size };
	text_add(out, &head, sizeof(head));
	text_add(out, data, size);
	text_add(out, "\0\0\0", -size % 4);
	((struct lv_records *)out->data)->records++;
	((struct lv_records *)out->data)->size = (uint32_t)out->size;
}

static void string(struct text *out, uint32_t type, const char *value)
{
	record(out, type, value, strlen(value) + 1);
}

static void whole_configuration(void **state)
{
	struct text bytes = { 0 };
	struct guest_config config;
	struct lv_guest_net net = { .ip = 1, .mtu = 1500 };
	const char *why;
	unsigned number;
	begin(&bytes);
	string(&bytes, LV_GUEST_PROGRAM, "/bin/x");
	string(&bytes, LV_GUEST_ARG, "x");
	string(&bytes, LV_GUEST_ARG, "");
	string(&bytes, LV_GUEST_ENV, "A=b=c");
	string(&bytes, LV_GUEST_CWD, "/tmp");
	record(&bytes, LV_GUEST_NET, &net, sizeof(net));
	assert_int_equal(config_parse(&config, bytes.data, bytes.size, &why, &number), 0);
	assert_string_equal(config.program, "/bin/x");
	assert_int_equal(config.argc, 2);
	assert_string_equal(config.argv[1], "");
	assert_null(config.argv[2]);
	assert_string_equal(env_get(config.env, "A"), "b=c");
	assert_null(env_get(config.env, "AA"));
	assert_string_equal(config.cwd, "/tmp");
	assert_true(config.has_net && config.net.mtu == 1500);
	config_free(&config);
	text_free(&bytes);
}

static void refuses(const struct text *bytes, size_t size, const char *reason)
{
	struct guest_config config;
	const char *why = "";
	unsigned number;
	assert_int_equal(config_parse(&config, bytes->data, size, &why, &number), -EINVAL);
	assert_string_equal(why, reason);
	config_free(&config);
}

static void damaged_configurations(void **state)
{
	struct text bytes = { 0 };
	begin(&bytes);
	refuses(&bytes, 3, "its size is impossible");
	refuses(&bytes, bytes.size, "it is cut short"); /* size still 0 */
	string(&bytes, LV_GUEST_ARG, "x");
	refuses(&bytes, bytes.size, "it names no program");
	string(&bytes, LV_GUEST_PROGRAM, "/p");
	refuses(&bytes, bytes.size - 4, "it is cut short");
	string(&bytes, LV_GUEST_PROGRAM, "/p");
	refuses(&bytes, bytes.size, "a record is there twice");
	text_free(&bytes);

	begin(&bytes);
	record(&bytes, LV_GUEST_PROGRAM, "ab", 2);
	refuses(&bytes, bytes.size, "a string does not end where its record ends");
	((struct lv_records *)bytes.data)->version = 9;
	refuses(&bytes, bytes.size, "it has another version");
	((struct lv_records *)bytes.data)->magic = 9;
	refuses(&bytes, bytes.size, "it does not begin like one");
	text_free(&bytes);

	begin(&bytes);
	record(&bytes, 77, "", 0);
	refuses(&bytes, bytes.size, "a record is of an unknown type");
	((struct lv_records *)bytes.data)->records = 2;
	((struct lv_record *)(bytes.data + 16))->type = LV_GUEST_NET;
	refuses(&bytes, bytes.size, "a record has the wrong size");
	((struct lv_record *)(bytes.data + 16))->size = 0xffffffff;
	refuses(&bytes, bytes.size, "a record is longer than the rest");
	((struct lv_records *)bytes.data)->records = 0xffffffff;
	refuses(&bytes, bytes.size, "it has too many records");
	text_free(&bytes);

	begin(&bytes);
	string(&bytes, LV_GUEST_PROGRAM, "p");
	string(&bytes, LV_GUEST_ARG, "p");
	string(&bytes, LV_GUEST_ENV, "=x");
	refuses(&bytes, bytes.size, "its environment has something that is not NAME=VALUE");
	text_free(&bytes);
}

/* ---- DHCP ---- */

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };

/* A server's answer out of the client's own message. */
static size_t answer(uint8_t *message, uint8_t type, const char *ip)
{
	uint32_t address = inet_addr(ip), mask = inet_addr("255.255.255.0"), gateway = inet_addr("10.9.8.1");
	dhcp_build(message, DHCP_DISCOVER, 0x12345678, mac, NULL);
	message[0] = 2;
	memcpy(message + 16, &address, 4);
	uint8_t *at = message + 240;
	*at++ = 0; /* padding */
	memcpy(at, (uint8_t[]){ 53, 1, type, 1, 4 }, 5);
	memcpy(at + 5, &mask, 4);
	memcpy(at + 9, (uint8_t[]){ 3, 4 }, 2);
	memcpy(at + 11, &gateway, 4);
	memcpy(at + 15, (uint8_t[]){ 51, 4, 0, 0, 14, 16, 255 }, 7);
	return 240 + 1 + 22;
}

static void dhcp_messages(void **state)
{
	uint8_t message[DHCP_MESSAGE];
	struct dhcp_lease lease;
	size_t size = answer(message, DHCP_OFFER, "10.9.8.7");
	assert_int_equal(dhcp_parse(message, size, 0x12345678, mac, &lease), DHCP_OFFER);
	assert_int_equal(lease.net.ip, inet_addr("10.9.8.7"));
	assert_int_equal(lease.net.gateway, inet_addr("10.9.8.1"));
	assert_int_equal(lease.lease_s, 3600);
	assert_int_equal(dhcp_parse(message, size, 0x12345679, mac, &lease), -EAGAIN);
	for (size_t cut = 0; cut < size; cut++)
		assert_true(dhcp_parse(message, cut, 0x12345678, mac, &lease) != DHCP_ACK);
	message[242] = 255; /* an option that is longer than the message */
	assert_int_equal(dhcp_parse(message, size, 0x12345678, mac, &lease), -EPROTO);
	assert_int_equal(dhcp_build(message, DHCP_DISCOVER, 1, mac, NULL), 300);
}

/* ---- the agent ---- */

struct peer {
	int fd;
	pid_t pid;
	struct lv_agent_frame frame;
	char body[LV_AGENT_DATA_MAX + 1];
};

static char *base_env[] = { "FROM=vm", "PATH=/usr/bin:/bin", NULL };

static void serve_in(struct peer *peer, struct agent_world world)
{
	int pair[2];
	static struct guest_config config;
	config = (struct guest_config){ .env = base_env, .envc = 2 };
	world.config = &config;
	sockets(pair);
	peer->fd = pair[1];
	peer->pid = fork();
	if (!peer->pid) {
		close(pair[1]);
		agent_serve(pair[0], &world);
		_exit(0);
	}
	close(pair[0]);
}

static void serve(struct peer *peer, pid_t program)
{
	serve_in(peer, (struct agent_world){ .program = program });
}

static void hello(struct peer *peer)
{
	struct lv_agent_hello greeting = { LV_AGENT_MAGIC, LV_AGENT_VERSION };
	assert_int_equal(frame_send(peer->fd, LV_AGENT_HELLO, &greeting, sizeof(greeting)), 0);
}

static uint32_t next(struct peer *peer)
{
	assert_int_equal(frame_receive(peer->fd, &peer->frame, peer->body, LV_AGENT_DATA_MAX, DEADLINE_NEVER), 0);
	peer->body[peer->frame.size] = 0;
	return peer->frame.type;
}

static void over(struct peer *peer)
{
	close(peer->fd);
	assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
}

static void ask(struct peer *peer, const char *script, uint32_t flags)
{
	struct text request = { 0 };
	struct lv_guest_streams streams = { .flags = flags, .rows = 12, .columns = 34 };
	char *user = alloc_format("%u:%u", getuid(), getgid());
	begin(&request);
	string(&request, LV_GUEST_PROGRAM, "sh");
	string(&request, LV_GUEST_ARG, "sh");
	string(&request, LV_GUEST_ARG, "-c");
	string(&request, LV_GUEST_ARG, script);
	string(&request, LV_GUEST_ENV, "MINE=1");
	string(&request, LV_GUEST_USER, user);
	record(&request, LV_GUEST_STREAMS, &streams, sizeof(streams));
	hello(peer);
	assert_int_equal(frame_send(peer->fd, LV_AGENT_EXEC, request.data, request.size), 0);
	assert_int_equal(next(peer), LV_AGENT_HELLO);
	text_free(&request);
	free(user);
}

/* Everything up to EXIT: output by stream, the wait status. */
static int collect(struct peer *peer, struct text *out, struct text *err)
{
	int status = -1;
	for (;;) {
		uint32_t type = next(peer);
		if (type == LV_AGENT_STDOUT)
			text_add(out, peer->body, peer->frame.size);
		else if (type == LV_AGENT_STDERR)
			text_add(err, peer->body, peer->frame.size);
		else if (type == LV_AGENT_EXIT) {
			memcpy(&status, peer->body, sizeof(status));
			return status;
		} else {
			assert_int_equal(type, LV_AGENT_CREDIT);
		}
	}
}

static void exec_output_and_status(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	serve(&peer, 0);
	ask(&peer, "echo $FROM $MINE; echo wrong >&2; cat; exit 7", LV_GUEST_NO_STDIN);
	assert_int_equal(collect(&peer, &out, &err), 7 << 8);
	assert_string_equal(out.data, "vm 1\n");
	assert_string_equal(err.data, "wrong\n");
	text_free(&out);
	text_free(&err);
	over(&peer);
}

static void exec_input(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	serve(&peer, 0);
	ask(&peer, "cat", 0);
	frame_send(peer.fd, LV_AGENT_STDIN, "one\n", 4);
	frame_send(peer.fd, LV_AGENT_STDIN, "two\n", 4);
	frame_send(peer.fd, LV_AGENT_STDIN, "", 0);
	assert_int_equal(collect(&peer, &out, &err), 0);
	assert_string_equal(out.data, "one\ntwo\n");
	text_free(&out);
	over(&peer);
}

static void exec_signal(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	int32_t number = SIGTERM;
	serve(&peer, 0);
	ask(&peer, "echo ready; sleep 100", 0);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	frame_send(peer.fd, LV_AGENT_SIGNAL, &number, sizeof(number));
	assert_int_equal(collect(&peer, &out, &err), SIGTERM);
	over(&peer);
}

static void exec_terminal(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	struct lv_agent_size size = { 50, 100 };
	serve(&peer, 0);
	ask(&peer, "trap 'exit 9' INT; tty >/dev/null && stty size; read x; stty size; while :; do read x; done", LV_GUEST_TERMINAL);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	assert_string_equal(peer.body, "12 34\r\n");
	frame_send(peer.fd, LV_AGENT_RESIZE, &size, sizeof(size));
	frame_send(peer.fd, LV_AGENT_STDIN, "\n", 1);
	while (!out.size || !strstr(out.data, "50 100"))
		if (next(&peer) == LV_AGENT_STDOUT)
			text_add(&out, peer.body, peer.frame.size);
	frame_send(peer.fd, LV_AGENT_STDIN, "\003", 1); /* Ctrl-C */
	assert_int_equal(collect(&peer, &out, &err), 9 << 8);
	text_free(&out);
	over(&peer);
}

static void exec_not_found(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 }, request = { 0 };
	char *user = alloc_format("%u:%u", getuid(), getgid());
	serve(&peer, 0);
	begin(&request);
	string(&request, LV_GUEST_PROGRAM, "no-such-program");
	string(&request, LV_GUEST_ARG, "x");
	string(&request, LV_GUEST_USER, user);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_EXEC, request.data, request.size);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(collect(&peer, &out, &err), 127 << 8);
	assert_non_null(strstr(err.data, "no-such-program: No such file or directory"));
	text_free(&err);
	text_free(&request);
	free(user);
	over(&peer);
}

/* More input than the window allows breaks the rules; the session ends and takes the program along. */
static void exec_too_much_input(void **state)
{
	struct peer peer;
	char bytes[LV_AGENT_DATA_MAX] = { 0 };
	serve(&peer, 0);
	ask(&peer, "echo $$; exec sleep 100", 0);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	pid_t pid = atoi(peer.body);
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(process >= 0);
	for (int i = 0; i < 8; i++)
		frame_send(peer.fd, LV_AGENT_STDIN, bytes, sizeof(bytes));
	uint32_t type;
	while ((type = next(&peer)) == LV_AGENT_CREDIT)
		;
	assert_int_equal(type, LV_AGENT_ERROR);
	over(&peer);
	struct pollfd ended = { .fd = process, .events = POLLIN };
	assert_int_equal(poll(&ended, 1, PATIENCE_S * 1000), 1);
	close(process);
}

static void bad_requests(void **state)
{
	struct peer peer;
	struct lv_agent_hello old = { LV_AGENT_MAGIC, 99 };
	struct lv_agent_frame huge = { LV_AGENT_EXEC, 0xffffffff };
	serve(&peer, 0);
	frame_send(peer.fd, LV_AGENT_EXEC, "GET / HTTP/1.0\r\n", 16);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	frame_send(peer.fd, LV_AGENT_HELLO, &old, sizeof(old));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	assert_non_null(strstr(peer.body + 4, "version 1, not 99"));
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	fd_write(peer.fd, &huge, sizeof(huge));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_EXEC, "garbage", 7);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PULL, "relative", 8);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, 200, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
}

static void kill_and_resources(void **state)
{
	struct peer peer;
	struct lv_agent_resources resources;
	int32_t number = SIGKILL;
	int status;
	pid_t victim = fork();
	if (!victim) {
		pause();
		_exit(1);
	}
	serve(&peer, victim);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
	assert_int_equal(waitpid(victim, &status, 0), victim);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_RESOURCES, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_RESOURCES);
	assert_int_equal(peer.frame.size, sizeof(resources));
	memcpy(&resources, peer.body, sizeof(resources));
	assert_true(resources.memory_total > resources.memory_free && resources.processors > 0);
	over(&peer);
}

static void lists_processes(void **state)
{
	struct peer peer;
	struct lv_agent_processes told;
	bool found = false;
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PROCESSES, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_PROCESSES);
	assert_in_range(peer.frame.size, LV_AGENT_PROCESSES_SIZE(1), sizeof(told));
	memcpy(&told, peer.body, peer.frame.size);
	assert_int_equal(peer.frame.size, LV_AGENT_PROCESSES_SIZE(told.count));
	assert_true(told.total >= told.count);
	for (uint32_t i = 0; i < told.count; i++)
		if (told.process[i].pid == getpid()) {
			found = true;
			assert_int_equal(told.process[i].parent, getppid());
			assert_non_null(strstr(told.process[i].name, "test_guest"));
			assert_true(told.process[i].memory > 0 && told.process[i].threads == 1);
		}
	assert_true(found || told.total > LV_AGENT_PROCESSES_MAX);
	over(&peer);
}

/* With all places taken: what is over at once is served, the rest is told why not. */
static void crowded(void **state)
{
	struct peer peer;
	struct lv_agent_error head;
	int32_t number = 0;
	const struct agent_world world = { .program = getpid(), .crowded = true };
	serve_in(&peer, world);
	ask(&peer, "exit 0", 0);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	memcpy(&head, peer.body, sizeof(head));
	assert_int_equal(head.error, EAGAIN);
	assert_non_null(strstr(peer.body + sizeof(head), "has 64 sessions already"));
	over(&peer);
	serve_in(&peer, world);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
}

/* A signal for a program that has not started yet is for PID 1, the parent of every session. */
static void kill_before_the_start(void **state)
{
	struct peer peer;
	sigset_t set, old;
	int32_t number = SIGUSR1;
	const struct timespec patience = { .tv_sec = 10 };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	serve_in(&peer, (struct agent_world){ .starting = true });
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(sigtimedwait(&set, NULL, &patience), SIGUSR1);
	over(&peer);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void push_and_pull(void **state)
{
	char *path = scratch(), *target = alloc_format("%s/there", path);
	struct tree_report report = { 0 };
	struct text request = { 0 };
	struct lv_agent_push head = { .name_size = 1 };
	struct peer peer;
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	put_file(dir, "a", "content", 0644);
	mkdirat(dir, "there", 0755);
	text_add(&request, &head, sizeof(head));
	text_put(&request, target);
	text_put(&request, "a");
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PUSH, request.data, request.size);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(tree_send(peer.fd, dir, "a", &report), 0);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
	expect_file(dir, "there/a", "content");
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PULL, target, strlen(target));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(tree_receive(peer.fd, dir, "back", 0777, &report), 0);
	over(&peer);
	expect_file(dir, "back/a", "content");
	tree_remove(AT_FDCWD, path);
	close(dir);
	text_free(&request);
	free(target);
	free(path);
}

/* ---- small parts ---- */

static void pump_moves_and_ends(void **state)
{
	int in[2], out[2];
	struct pump pump;
	struct pollfd fds[2];
	char got[8];
	assert_int_equal(pipe2(in, O_NONBLOCK), 0);
	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	assert_int_equal(pump_init(&pump, in[0], out[1]), 0);
	assert_int_equal(write(in[1], "abc", 3), 3);
	pump_poll(&pump, fds);
	assert_int_equal(poll(fds, 2, 1000), 1);
	pump_move(&pump, fds);
	assert_int_equal(read(out[0], got, sizeof(got)), 3);
	close(in[1]);
	pump_poll(&pump, fds);
	assert_int_equal(poll(fds, 2, 1000), 1);
	pump_move(&pump, fds);
	assert_int_equal(pump.from, -1);
	assert_int_equal(read(out[0], got, sizeof(got)), 0);
	close(out[0]);
}

static void archive(void **state)
{
	struct text out = { 0 };
	cpio_add(&out, "dev/console", S_IFCHR | 0600, 0x501, "", 0);
	cpio_add(&out, "x", S_IFREG | 0644, 0, "12345", 5);
	cpio_end(&out);
	assert_int_equal(out.size % 4, 0);
	assert_memory_equal(out.data, "0707010000000000002180", 22);
	assert_memory_equal(out.data + 78, "00000005" "00000001", 16); /* rdev */
	assert_string_equal(out.data + 110, "dev/console");
	assert_memory_equal(out.data + 124 + 112, "12345\0\0\0" "070701", 14);
	text_free(&out);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_configuration), cmocka_unit_test(damaged_configurations), cmocka_unit_test(dhcp_messages),
		cmocka_unit_test(exec_output_and_status), cmocka_unit_test(exec_input), cmocka_unit_test(exec_signal),
		cmocka_unit_test(exec_terminal), cmocka_unit_test(exec_not_found), cmocka_unit_test(exec_too_much_input),
		cmocka_unit_test(bad_requests), cmocka_unit_test(kill_and_resources), cmocka_unit_test(lists_processes), cmocka_unit_test(crowded), cmocka_unit_test(kill_before_the_start), cmocka_unit_test(push_and_pull),
		cmocka_unit_test(pump_moves_and_ends), cmocka_unit_test(archive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
