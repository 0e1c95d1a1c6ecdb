/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small objects. Each touched page costs an idle VM 4 KiB, so classes share pages: a page is cut into quarters, and
 * each quarter holds objects of one class. The page's header says what lies in it, hence kfree needs no size.
 */
#include "libos/mm/mm.h"

#define QUARTERS 4
#define QUARTER 1024u
#define HEADER 128u
#define CLASSES 7               /* 16 bytes << class, up to a whole quarter */
#define HALF_SIZE ((4096u - HEADER) / 2)
#define HALF_CLASS CLASSES      /* two objects in a page */
#define EMPTY 0xff
#define LARGE_HEADER 16u

enum kind { KIND_QUARTERS = 0x5141, KIND_HALVES = 0x4148, KIND_LARGE = 0x4c41 };

struct unit { /* what holds objects of one class: a quarter, or a page of halves */
	struct unit *next, *prev; /* in the list of its class, while it has a free object */
	uint8_t class, index;
	uint8_t in_use, capacity;
	uint16_t free; /* offset in the page of the first free object, which holds that of the next; 0: none */
};

struct slab_page {
	uint16_t kind, quarters_used;
	uint32_t pages; /* of KIND_LARGE */
	uint64_t reserved;
	struct unit unit[QUARTERS];
};
_Static_assert(sizeof(struct slab_page) <= HEADER, "the header fits");

static struct unit *partial[CLASSES + 1]; /* units with a free object */
static struct unit *empty[2];             /* quarters without a class: whole ones; first ones, in which the header lies */

static struct slab_page *page_of(const void *p)
{
	return (struct slab_page *)ALIGN_DOWN((uint64_t)p, LV_PAGE);
}

static void list_push(struct unit **list, struct unit *unit)
{
	unit->prev = NULL;
	unit->next = *list;
	if (unit->next)
		unit->next->prev = unit;
	*list = unit;
}

static void list_drop(struct unit **list, struct unit *unit)
{
	if (unit->prev)
		unit->prev->next = unit->next;
	else
		*list = unit->next;
	if (unit->next)
		unit->next->prev = unit->prev;
}

static unsigned class_size(unsigned class)
{
	return class == HALF_CLASS ? HALF_SIZE : 16u << class;
}

static unsigned class_of(size_t size)
{
	if (size <= 16)
		return 0;
	return size > QUARTER ? HALF_CLASS : 60u - __builtin_clzll(size - 1);
}

static struct slab_page *page_new(enum kind kind)
{
	struct slab_page *page = page_alloc(0);

	if (!page)
		return NULL;
	memset(page, 0, HEADER);
	page->kind = kind;
	for (unsigned i = 0; i < QUARTERS; i++) {
		page->unit[i].index = i;
		page->unit[i].class = EMPTY;
		if (kind == KIND_QUARTERS)
			list_push(&empty[i == 0], &page->unit[i]);
	}
	return page;
}

/* Links the unit's objects; start and end are offsets in its page. */
static void unit_fill(struct unit *unit, unsigned class, unsigned start, unsigned end)
{
	char *page = (char *)page_of(unit);
	unsigned size = class_size(class);

	unit->class = class;
	unit->in_use = 0;
	unit->capacity = (end - start) / size;
	unit->free = 0;
	for (unsigned i = unit->capacity; i-- > 0;) {
		*(uint16_t *)(page + start + i * size) = unit->free;
		unit->free = start + i * size;
	}
	list_push(&partial[class], unit);
}

static struct unit *take_quarter(unsigned class)
{
	/* The first quarter is smaller: it serves small objects first, and those of a whole quarter never. */
	unsigned first = class <= 5 && empty[1];
	struct unit *unit = empty[first];

	if (!unit && (!page_new(KIND_QUARTERS) || !(unit = empty[first])))
		return NULL;
	list_drop(&empty[first], unit);
	page_of(unit)->quarters_used++;
	unit_fill(unit, class, first ? HEADER : unit->index * QUARTER, (unit->index + 1) * QUARTER);
	return unit;
}

static struct unit *unit_new(unsigned class)
{
	struct slab_page *page;

	if (class != HALF_CLASS)
		return take_quarter(class);
	page = page_new(KIND_HALVES);
	if (!page)
		return NULL;
	unit_fill(&page->unit[0], HALF_CLASS, HEADER, LV_PAGE);
	return &page->unit[0];
}

static void *unit_take(struct unit *unit)
{
	char *object = (char *)page_of(unit) + unit->free;

	unit->free = *(uint16_t *)object;
	unit->in_use++;
	if (!unit->free)
		list_drop(&partial[unit->class], unit);
	return object;
}

static void unit_free(struct unit *unit)
{
	struct slab_page *page = page_of(unit);

	/* One unit of a class is kept, so that allocating and freeing one object in turn stays cheap. */
	if (partial[unit->class] == unit && !unit->next)
		return;
	list_drop(&partial[unit->class], unit);
	unit->class = EMPTY;
	if (page->kind == KIND_QUARTERS) {
		list_push(&empty[unit->index == 0], unit);
		if (--page->quarters_used)
			return;
		for (unsigned i = 0; i < QUARTERS; i++)
			list_drop(&empty[i == 0], &page->unit[i]);
	}
	page_free(page, 0);
}

static void *large_alloc(size_t size)
{
	uint64_t pages = (size + LARGE_HEADER + LV_PAGE - 1) / LV_PAGE;
	struct slab_page *page = size < 1ull << 30 ? page_alloc_run(pages) : NULL;

	if (!page)
		return NULL;
	page->kind = KIND_LARGE;
	page->pages = pages;
	return (char *)page + LARGE_HEADER;
}

void *kmalloc(size_t size)
{
	struct unit *unit;
	unsigned class;

	if (size > HALF_SIZE)
		return large_alloc(size);
	class = class_of(size);
	unit = partial[class] ? partial[class] : unit_new(class);
	return unit ? unit_take(unit) : NULL;
}

void *kzalloc(size_t size)
{
	void *p = kmalloc(size);

	if (p)
		memset(p, 0, size);
	return p;
}

static struct unit *unit_of(void *p)
{
	struct slab_page *page = page_of(p);
	unsigned index = page->kind == KIND_QUARTERS ? ((uint64_t)p & (LV_PAGE - 1)) / QUARTER : 0;

	ASSERT(page->kind == KIND_QUARTERS || page->kind == KIND_HALVES);
	ASSERT(page->unit[index].class <= HALF_CLASS);
	return &page->unit[index];
}

static size_t capacity_of(void *p)
{
	if (page_of(p)->kind == KIND_LARGE)
		return page_of(p)->pages * LV_PAGE - LARGE_HEADER;
	return class_size(unit_of(p)->class);
}

void *krealloc(void *p, size_t size)
{
	size_t capacity = p ? capacity_of(p) : 0;
	void *bigger;

	/* Stay, unless much would be wasted. */
	if (p && size <= capacity && size >= capacity / 4)
		return p;
	bigger = kmalloc(size);
	if (!bigger)
		return p && size <= capacity ? p : NULL;
	if (p)
		memcpy(bigger, p, MIN(size, capacity));
	kfree(p);
	return bigger;
}

void kfree(void *p)
{
	struct unit *unit;

	if (!p)
		return;
	if (page_of(p)->kind == KIND_LARGE) {
		ASSERT(((uint64_t)p & (LV_PAGE - 1)) == LARGE_HEADER);
		page_of(p)->kind = 0;
		page_free_run(page_of(p), page_of(p)->pages);
		return;
	}
	unit = unit_of(p);
	ASSERT(unit->in_use);
	*(uint16_t *)p = unit->free;
	if (!unit->free)
		list_push(&partial[unit->class], unit);
	unit->free = (uint64_t)p & (LV_PAGE - 1);
	if (--unit->in_use == 0)
		unit_free(unit);
}

char *kstrdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = kmalloc(n);

	if (copy)
		memcpy(copy, s, n);
	return copy;
}
