/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened, in order: the last events are kept in a ring of bounded size, and each reader has no more than a place in it. A reader
 * that is overtaken by the ring is let go, so that one who does not read costs nothing. Ids rise by one; those of a later daemon are
 * higher than those of an earlier one, so that whoever resumes after an id that is not kept any more learns that something is missing.
 * Loop thread.
 */
#ifndef LV_DAEMON_EVENTS_H
#define LV_DAEMON_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/text.h"

#define EVENTS_KEPT 4096
#define EVENTS_BYTES (4u << 20) /* of their text, all together */
#define EVENT_READERS 1024
#define EVENT_FILTERS 16 /* conditions of one reader */

enum event_type {
	EVENT_CREATE, EVENT_START, EVENT_LISTEN, EVENT_PAUSE, EVENT_RESUME, EVENT_OOM, EVENT_CRASH, EVENT_DIE, EVENT_RENAME, EVENT_DESTROY,
	EVENT_RESTART, EVENT_SERVICE, EVENT_POOL, EVENT_DAEMON, EVENT_LOST,
	EVENT_TYPES
};
const char *event_type_name(enum event_type type);

struct event {
	uint64_t id;
	uint64_t time_ns; /* CLOCK_REALTIME at which it was seen */
	enum event_type type;
	const char *vm;    /* id; "": of no VM */
	const char *name;  /* of the VM, or of what else it is about; may be empty */
	json_t *labels;	   /* of the VM: an array of "KEY=VALUE"; NULL: none */
	const char *text;  /* one line of JSON, without its end */
	size_t size;
};

struct events;

/* first: the id of the first event; higher than that of any before. NULL: out of memory. */
struct events *events_new(struct loop *loop, uint64_t first);
void events_free(struct events *events); /* readers that there still are hear that they have to go */
/* One more. vm, name, labels: may be NULL, are copied or shared; attributes: an object or NULL, is taken. */
void events_add(struct events *events, enum event_type type, const char *vm, const char *name, json_t *labels, json_t *attributes);
uint64_t events_count(const struct events *events, enum event_type type); /* ever */
unsigned events_readers(const struct events *events);
uint64_t events_dropped(const struct events *events); /* readers that were overtaken, ever */

/* What a reader wants: of the conditions with the same key one has to be true, and each key that is there. Zero: everything. */
struct event_filter {
	struct strings vms, labels; /* ids or their beginnings, or names; KEY or KEY=VALUE */
	uint32_t types;		    /* a bit each; 0: all */
	unsigned count;
};
/* key: "vm", "type" or "label". -EINVAL with a message; the filter is freed in any case. */
int event_filter_add(struct event_filter *filter, const char *key, const char *value, struct error *error);
bool event_filter_passes(const struct event_filter *filter, const struct event *event);
void event_filter_free(struct event_filter *filter);

struct event_reader { /* lives in its owner */
	struct event_filter filter;
	/* There is something new. Called from the loop, not from within events_add. */
	void (*wake)(void *context);
	/* It was overtaken: it is a reader no more, and has to go. */
	void (*overtaken)(void *context);
	void *context;
	/* private */
	struct events *events; /* NULL: not attached */
	struct event_reader *following, **before;
	uint64_t next, after;
	bool missing;
};

/* Begins with what comes from now on. -EAGAIN: there are EVENT_READERS. */
int event_reader_attach(struct event_reader *reader, struct events *events);
/*
 * Before the first read: begins behind the event `after`, which the reader has had (0: with all that are kept). If some behind it are not kept, the first that is
 * read says so: EVENT_LOST, whose id is that from which reading goes on.
 */
void event_reader_resume(struct event_reader *reader, uint64_t after);
/* The same with the first event that was seen at or after this time. */
void event_reader_since(struct event_reader *reader, uint64_t time_ns);
void event_reader_detach(struct event_reader *reader); /* may be called twice; frees the filter */
/*
 * The next event that passes the filter; valid until the loop is returned to. lost: room for one that says what is missing; its text is the reader's to free
 * with text_free(text). NULL: nothing new.
 */
const struct event *event_reader_next(struct event_reader *reader, struct event *lost, struct text *text);

#endif
