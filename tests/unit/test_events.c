/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of events: order, resuming, what is lost, filters, and readers that do not read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/events.h"

#define FIRST 1000

static struct loop loop;
static struct events *events;
static struct event_reader reader;
static int woken, overtaken;

static void on_wake(void *context)
{
	woken++;
}

static void on_overtaken(void *context)
{
	overtaken++;
}

static int set_up(void **state)
{
	woken = overtaken = 0;
	reader = (struct event_reader){ .wake = on_wake, .overtaken = on_overtaken };
	events = events_new(&loop, FIRST);
	return loop_init(&loop) || !events;
}

static int tear_down(void **state)
{
	event_reader_detach(&reader);
	events_free(events);
	loop_fini(&loop);
	return 0;
}

static void add(enum event_type type, const char *vm, const char *name)
{
	events_add(events, type, vm, name, NULL, NULL);
}

/* The id of the next one, 0: none; its text in line. */
static char line[16384];
static enum event_type type;
static uint64_t next(void)
{
	struct event lost;
	struct text text = { 0 };
	const struct event *event = event_reader_next(&reader, &lost, &text);
	if (event) {
		snprintf(line, sizeof(line), "%s", event->text);
		type = event->type;
	}
	text_free(&text);
	return event ? event->id : 0;
}

static void test_order(void **state)
{
	add(EVENT_CREATE, "a", "before");
	assert_int_equal(event_reader_attach(&reader, events), 0);
	assert_int_equal(next(), 0);
	add(EVENT_CREATE, "b", "one");
	events_add(events, EVENT_DIE, "b", "one", NULL, json_pack("{s:i}", "exit_status", 3));
	loop_once(&loop, 1000);
	assert_int_equal(woken, 1); /* once for both */
	assert_int_equal(next(), FIRST + 1);
	assert_non_null(strstr(line, "\"id\":1001"));
	assert_non_null(strstr(line, "\"type\":\"create\",\"vm\":\"b\",\"name\":\"one\""));
	assert_int_equal(next(), FIRST + 2);
	assert_non_null(strstr(line, "\"attributes\":{\"exit_status\":3}"));
	assert_int_equal(next(), 0);
	assert_int_equal(events_count(events, EVENT_CREATE), 2);
}

static void test_resume(void **state)
{
	for (int i = 0; i < 5; i++)
		add(EVENT_START, "a", "");
	assert_int_equal(event_reader_attach(&reader, events), 0);
	event_reader_resume(&reader, FIRST + 2);
	assert_int_equal(next(), FIRST + 3);
	assert_int_equal(next(), FIRST + 4);
	assert_int_equal(next(), 0);
	event_reader_resume(&reader, FIRST + 4); /* it has had all */
	assert_int_equal(next(), 0);
	event_reader_resume(&reader, 0); /* it wants all */
	assert_int_equal(next(), FIRST);
}

static void check_lost(uint64_t after, const char *said)
{
	event_reader_resume(&reader, after);
	assert_int_equal(next(), FIRST - 1); /* from which it would resume */
	assert_int_equal(type, EVENT_LOST);
	assert_non_null(strstr(line, said));
	assert_int_equal(next(), FIRST);
	assert_int_equal(type, EVENT_START);
}

static void test_lost(void **state)
{
	add(EVENT_START, "a", "");
	assert_int_equal(event_reader_attach(&reader, events), 0);
	check_lost(7, "\"type\":\"lost\",\"attributes\":{\"after\":7,\"next\":1000}"); /* of a daemon before */
	check_lost(FIRST + 1, "\"after\":1001");				       /* that nobody has given */
	check_lost(UINT64_MAX, "\"type\":\"lost\"");
	event_reader_resume(&reader, FIRST - 1); /* nothing is missing */
	assert_int_equal(next(), FIRST);
	assert_int_equal(type, EVENT_START);
}

static void test_bounded(void **state)
{
	for (int i = 0; i < EVENTS_KEPT + 10; i++)
		add(EVENT_START, "a", "");
	assert_int_equal(event_reader_attach(&reader, events), 0);
	event_reader_resume(&reader, FIRST);
	next();
	assert_int_equal(type, EVENT_LOST);
	uint64_t first = next(), last = first;
	for (uint64_t id; (id = next()); last = id)
		assert_int_equal(id, last + 1);
	assert_int_equal(last, FIRST + EVENTS_KEPT + 9);
	assert_true(last - first + 1 <= EVENTS_KEPT && last - first + 1 >= EVENTS_KEPT - 1);
}

/* Long ones are bounded by their bytes. */
static void test_bytes(void **state)
{
	char name[5000];
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	for (int i = 0; i < EVENTS_KEPT; i++)
		add(EVENT_START, "a", name);
	assert_int_equal(event_reader_attach(&reader, events), 0);
	event_reader_resume(&reader, 0);
	size_t n = 0;
	while (next())
		n++;
	assert_true(n > 500 && n * sizeof(name) <= EVENTS_BYTES);
}

static void test_slow_reader(void **state)
{
	assert_int_equal(event_reader_attach(&reader, events), 0);
	for (int i = 0; i <= EVENTS_KEPT; i++)
		add(EVENT_START, "a", "");
	loop_once(&loop, 1000);
	assert_int_equal(overtaken, 1);
	assert_int_equal(events_readers(events), 0);
	assert_int_equal(events_dropped(events), 1);
	assert_int_equal(next(), 0);
}

static void test_too_many(void **state)
{
	static struct event_reader many[EVENT_READERS];
	for (int i = 0; i < EVENT_READERS; i++)
		assert_int_equal(event_reader_attach(&many[i], events), 0);
	assert_int_equal(event_reader_attach(&reader, events), -EAGAIN);
	for (int i = 0; i < EVENT_READERS; i++)
		event_reader_detach(&many[i]);
	assert_int_equal(event_reader_attach(&reader, events), 0);
}

static void want(const char *key, const char *value)
{
	struct error error = { 0 };
	assert_int_equal(event_filter_add(&reader.filter, key, value, &error), 0);
}

static void test_filter(void **state)
{
	json_t *labels = json_pack("[s, s]", "tier=web", "odd");
	want("type", "start");
	want("type", "die");
	want("vm", "abc");
	want("vm", "web");
	want("label", "tier");
	assert_int_equal(event_reader_attach(&reader, events), 0);
	events_add(events, EVENT_START, "abcdef", "", labels, NULL);
	events_add(events, EVENT_PAUSE, "abcdef", "", labels, NULL);  /* another type */
	events_add(events, EVENT_DIE, "123", "web", labels, NULL);
	events_add(events, EVENT_DIE, "123", "webs", labels, NULL);   /* another VM */
	events_add(events, EVENT_DIE, "123", "web", NULL, NULL);      /* without the label */
	json_decref(labels);
	assert_int_equal(next(), FIRST);
	assert_non_null(strstr(line, "\"labels\":[\"tier=web\",\"odd\"]"));
	assert_int_equal(next(), FIRST + 2);
	assert_int_equal(next(), 0);
}

static void test_label(void **state)
{
	const struct event event = { .vm = "", .name = "", .labels = json_pack("[s]", "tier=web") };
	want("label", "tier=we");
	assert_false(event_filter_passes(&reader.filter, &event));
	want("label", "tier=web");
	assert_true(event_filter_passes(&reader.filter, &event));
	event_filter_free(&reader.filter);
	want("label", "tie");
	assert_false(event_filter_passes(&reader.filter, &event));
	json_decref(event.labels);
	event_filter_free(&reader.filter);
}

static void refused(const char *key, const char *value, const char *said)
{
	struct error error = { 0 };
	assert_int_equal(event_filter_add(&reader.filter, key, value, &error), -EINVAL);
	assert_non_null(strstr(error.text, said));
}

static void test_bad_filter(void **state)
{
	refused("type", "dy", "type: \"dy\" is none of create, start,");
	refused("type", "", "type: \"\" is none of");
	refused("vm", "", "vm: empty");
	refused("image", "x", "\"image\" is none of vm, type, label");
	for (int i = 0; i < EVENT_FILTERS; i++)
		want("vm", "a");
	refused("vm", "a", "more than 16 conditions");
}

/* Bytes that are no UTF-8, and what would end the line. */
static void test_odd_bytes(void **state)
{
	assert_int_equal(event_reader_attach(&reader, events), 0);
	add(EVENT_CREATE, "a", "x\xff\n\"y");
	assert_int_equal(next(), FIRST);
	assert_non_null(strstr(line, "\"name\":\"x?\\n\\\"y\""));
	assert_null(strchr(line, '\n'));
}

static void test_long_labels(void **state)
{
	char label[10000];
	memset(label, 'l', sizeof(label));
	label[sizeof(label) - 1] = 0;
	json_t *labels = json_pack("[s]", label);
	want("label", label);
	assert_int_equal(event_reader_attach(&reader, events), 0);
	events_add(events, EVENT_CREATE, "a", "x", labels, NULL);
	json_decref(labels);
	assert_int_equal(next(), FIRST); /* they are still what a filter asks for */
	assert_non_null(strstr(line, "\"labels_left_out\":true"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = { TEST(test_order), TEST(test_resume), TEST(test_lost), TEST(test_bounded), TEST(test_bytes), TEST(test_slow_reader),
		TEST(test_too_many), TEST(test_filter), TEST(test_label), TEST(test_bad_filter), TEST(test_odd_bytes), TEST(test_long_labels) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
