/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "node/record.h"

#define TEXT_MAX 8192 /* of one event with its labels; what is longer goes without them */

static const char *const type_names[EVENT_TYPES] = {
	[EVENT_CREATE] = "create", [EVENT_START] = "start", [EVENT_LISTEN] = "listen", [EVENT_PAUSE] = "pause", [EVENT_RESUME] = "resume",
	[EVENT_OOM] = "oom", [EVENT_CRASH] = "crash", [EVENT_DIE] = "die", [EVENT_RENAME] = "rename", [EVENT_DESTROY] = "destroy",
	[EVENT_RESTART] = "restart", [EVENT_SERVICE] = "service", [EVENT_POOL] = "pool", [EVENT_DAEMON] = "daemon", [EVENT_LOST] = "lost",
};

struct events {
	struct loop *loop;
	struct loop_timer wake;
	struct event *ring[EVENTS_KEPT]; /* by id; NULL: not kept */
	uint64_t first, next;		 /* ids: the oldest that is kept, and the one to come */
	size_t bytes;
	uint64_t count[EVENT_TYPES], dropped;
	struct event_reader *readers;
	unsigned reader_count;
};

const char *event_type_name(enum event_type type)
{
	return type_names[type];
}

static struct event **slot(struct events *events, uint64_t id)
{
	return &events->ring[id % EVENTS_KEPT];
}

/* ---- one event: in one piece of memory with its texts ---- */

static json_t *object_of(uint64_t id, uint64_t time_ns, enum event_type type, const char *vm, const char *name, json_t *labels, json_t *attributes)
{
	json_t *object = json_pack("{s:I, s:I, s:s}", "id", (json_int_t)id, "time_ns", (json_int_t)time_ns, "type", type_names[type]);
	if (vm[0])
		json_object_set_new(object, "vm", json_field(vm, strlen(vm)));
	if (name[0])
		json_object_set_new(object, "name", json_field(name, strlen(name)));
	if (json_array_size(labels))
		json_object_set(object, "labels", labels);
	if (attributes)
		json_object_set(object, "attributes", attributes);
	return object;
}

static char *print(const struct event *event, json_t *attributes)
{
	json_t *object = object_of(event->id, event->time_ns, event->type, event->vm, event->name, event->labels, attributes);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	if (text && strlen(text) > TEXT_MAX) {
		free(text);
		json_object_del(object, "labels");
		json_object_set_new(object, "labels_left_out", json_true());
		text = json_dumps(object, JSON_COMPACT);
	}
	json_decref(object);
	return text;
}

static struct event *event_new(const struct event *from, json_t *attributes)
{
	char *text = print(from, attributes);
	size_t vm = strlen(from->vm) + 1, name = strlen(from->name) + 1, size = text ? strlen(text) : 0;
	struct event *event = text ? alloc_zero(sizeof(*event) + vm + name + size + 1) : NULL;
	if (event) {
		char *at = (char *)(event + 1);
		*event = *from;
		event->vm = memcpy(at, from->vm, vm);
		event->name = memcpy(at + vm, from->name, name);
		event->text = memcpy(at + vm + name, text, size + 1);
		event->size = size;
		json_incref(event->labels);
	}
	free(text);
	return event;
}

static void event_free(struct event *event)
{
	json_decref(event->labels);
	free(event);
}

static void drop_first(struct events *events)
{
	struct event **oldest = slot(events, events->first++);
	events->bytes -= (*oldest)->size;
	event_free(*oldest);
	*oldest = NULL;
}

void events_add(struct events *events, enum event_type type, const char *vm, const char *name, json_t *labels, json_t *attributes)
{
	const struct event from = { .id = events->next, .time_ns = clock_wall(), .type = type, .vm = vm ? vm : "", .name = name ? name : "", .labels = labels };
	struct event *event = event_new(&from, attributes);
	json_decref(attributes);
	events->count[type]++;
	if (!event) { /* whoever reads finds a gap, and is told */
		while (events->first < events->next)
			drop_first(events);
		events->first = ++events->next;
		return;
	}
	while (events->first < events->next && (events->next - events->first >= EVENTS_KEPT || events->bytes + event->size > EVENTS_BYTES))
		drop_first(events);
	*slot(events, events->next++) = event;
	events->bytes += event->size;
	if (events->readers)
		loop_timer_set(events->loop, &events->wake, clock_now());
}

/* ---- readers ---- */

/* Once for all that was added in one turn of the loop. A reader that is called may go, but no other. */
static void wake_all(void *context)
{
	struct events *events = context;
	for (struct event_reader *reader = events->readers, *following; reader; reader = following) {
		following = reader->following;
		if (reader->next >= events->first || reader->missing) {
			reader->wake(reader->context);
			continue;
		}
		events->dropped++;
		event_reader_detach(reader);
		reader->overtaken(reader->context);
	}
}

int event_reader_attach(struct event_reader *reader, struct events *events)
{
	if (events->reader_count == EVENT_READERS)
		return -EAGAIN;
	reader->events = events;
	reader->next = events->next;
	reader->following = events->readers;
	reader->before = &events->readers;
	if (reader->following)
		reader->following->before = &reader->following;
	events->readers = reader;
	events->reader_count++;
	return 0;
}

void event_reader_detach(struct event_reader *reader)
{
	if (!reader->events)
		return;
	*reader->before = reader->following;
	if (reader->following)
		reader->following->before = reader->before;
	reader->events->reader_count--;
	reader->events = NULL;
	event_filter_free(&reader->filter);
}

void event_reader_resume(struct event_reader *reader, uint64_t after)
{
	const struct events *events = reader->events;
	reader->after = after;
	reader->next = events->first;
	if (after >= events->first && after < events->next)
		reader->next = after + 1;
	/* One that was never given, by this daemon at least, is of another life: what was in between, nobody knows. */
	reader->missing = after && (after + 1 < events->first || after >= events->next);
}

void event_reader_since(struct event_reader *reader, uint64_t time_ns)
{
	struct events *events = reader->events;
	for (reader->next = events->first; reader->next < events->next && (*slot(events, reader->next))->time_ns < time_ns;)
		reader->next++;
}

static const struct event *say_lost(struct event_reader *reader, struct event *lost, struct text *text)
{
	*lost = (struct event){ .id = reader->next - 1, .time_ns = clock_wall(), .type = EVENT_LOST, .vm = "", .name = "" };
	json_t *attributes = json_pack("{s:I, s:I}", "after", (json_int_t)reader->after, "next", (json_int_t)reader->next);
	char *line = print(lost, attributes);
	json_decref(attributes);
	text_put(text, line ? line : "");
	free(line);
	lost->text = text->data ? text->data : "";
	lost->size = text->size;
	reader->missing = false;
	return lost;
}

const struct event *event_reader_next(struct event_reader *reader, struct event *lost, struct text *text)
{
	struct events *events = reader->events;
	if (!events)
		return NULL;
	if (reader->missing) {
		if (reader->next < events->first)
			reader->next = events->first;
		return say_lost(reader, lost, text);
	}
	if (reader->next < events->first)
		return NULL; /* it will hear that it was overtaken */
	while (reader->next < events->next) {
		const struct event *event = *slot(events, reader->next++);
		if (event_filter_passes(&reader->filter, event))
			return event;
	}
	return NULL;
}

/* ---- what a reader wants ---- */

static int add_type(struct event_filter *filter, const char *value, struct error *error)
{
	struct text known = { 0 };
	for (int type = 0; type < EVENT_TYPES; type++) {
		if (!strcmp(type_names[type], value)) {
			filter->types |= 1u << type;
			text_free(&known);
			return 0;
		}
		text_format(&known, "%s%s", type ? ", " : "", type_names[type]);
	}
	error_set(error, -EINVAL, "type: \"%.40s\" is none of %s", value, known.data ? known.data : "those that there are");
	text_free(&known);
	return -EINVAL;
}

int event_filter_add(struct event_filter *filter, const char *key, const char *value, struct error *error)
{
	int err = 0;
	if (++filter->count > EVENT_FILTERS)
		err = error_set(error, -EINVAL, "more than %d conditions", EVENT_FILTERS);
	else if (!strcmp(key, "type") || !strcmp(key, "event"))
		err = add_type(filter, value, error);
	else if (!*value)
		err = error_set(error, -EINVAL, "%.40s: empty", key);
	else if (!strcmp(key, "vm") || !strcmp(key, "container"))
		strings_add(&filter->vms, value);
	else if (!strcmp(key, "label"))
		strings_add(&filter->labels, value);
	else
		err = error_set(error, -EINVAL, "\"%.40s\" is none of vm, type, label", key);
	if (!err && (strings_error(&filter->vms) || strings_error(&filter->labels)))
		err = error_set(error, -ENOMEM, "out of memory");
	if (err)
		event_filter_free(filter);
	return err;
}

void event_filter_free(struct event_filter *filter)
{
	strings_free(&filter->vms);
	strings_free(&filter->labels);
	*filter = (struct event_filter){ 0 };
}

static bool has_vm(const struct strings *vms, const struct event *event)
{
	bool has = !vms->count;
	for (size_t i = 0; i < vms->count && !has; i++)
		has = (event->vm[0] && text_starts(event->vm, vms->item[i])) || !strcmp(event->name, vms->item[i]);
	return has;
}

/* NAME, or NAME=VALUE; as "lightvm ps --filter label=" has it. */
static bool has_label(const struct strings *labels, const json_t *have)
{
	for (size_t i = 0; i < labels->count; i++)
		for (size_t k = 0; k < json_array_size(have); k++) {
			const char *label = json_string_value(json_array_get(have, k)), *want = labels->item[i];
			size_t n = strlen(want);
			if (label && !strncmp(label, want, n) && (!label[n] || (label[n] == '=' && !strchr(want, '='))))
				return true;
		}
	return !labels->count;
}

bool event_filter_passes(const struct event_filter *filter, const struct event *event)
{
	return (!filter->types || filter->types & 1u << event->type) && has_vm(&filter->vms, event) && has_label(&filter->labels, event->labels);
}

/* ---- its life ---- */

struct events *events_new(struct loop *loop, uint64_t first)
{
	struct events *events = alloc_zero(sizeof(*events));
	if (!events)
		return NULL;
	events->loop = loop;
	events->first = events->next = first;
	events->wake = (struct loop_timer){ .fire = wake_all, .context = events };
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	while (events->readers) {
		struct event_reader *reader = events->readers;
		event_reader_detach(reader);
		reader->overtaken(reader->context);
	}
	while (events->first < events->next)
		drop_first(events);
	loop_timer_set(events->loop, &events->wake, 0);
	free(events);
}

uint64_t events_count(const struct events *events, enum event_type type)
{
	return events->count[type];
}

unsigned events_readers(const struct events *events)
{
	return events->reader_count;
}

uint64_t events_dropped(const struct events *events)
{
	return events->dropped;
}
