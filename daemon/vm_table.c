/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/vm_table.h"

#include <stdlib.h>
#include <string.h>

/* Ids are random digits. */
static size_t slot_of(const char *id)
{
	size_t slot = 0;
	for (size_t i = 0; i < 8 && id[i]; i++)
		slot = slot * 16 + (size_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
	return slot % VM_TABLE_SLOTS;
}

static struct watched **status_slot(struct vm_table *table, int watch)
{
	return &table->by_status[(unsigned)watch % VM_TABLE_SLOTS];
}

static struct watched **directory_slot(struct vm_table *table, int watch)
{
	return &table->by_directory[(unsigned)watch % VM_TABLE_SLOTS];
}

struct watched *table_add(struct vm_table *table, const char *id)
{
	struct watched *vm = alloc_zero(sizeof(*vm)), **slot = &table->by_id[slot_of(id)];
	if (!vm)
		return NULL;
	*vm = (struct watched){ .status = -1, .on_status = -1, .on_directory = -1, .by_id = *slot };
	strncpy(vm->seen.id, id, STATE_ID);
	*slot = vm;
	table->count++;
	return vm;
}

static void take_out_watches(struct vm_table *table, struct watched *vm)
{
	struct watched **at = status_slot(table, vm->on_status);
	while (vm->on_status >= 0 && *at != vm)
		at = &(*at)->by_status;
	if (vm->on_status >= 0)
		*at = vm->by_status;
	at = directory_slot(table, vm->on_directory);
	while (vm->on_directory >= 0 && *at != vm)
		at = &(*at)->by_directory;
	if (vm->on_directory >= 0)
		*at = vm->by_directory;
	vm->on_status = vm->on_directory = -1;
}

void table_watches(struct vm_table *table, struct watched *vm, int on_status, int on_directory)
{
	take_out_watches(table, vm);
	vm->on_status = on_status;
	vm->on_directory = on_directory;
	if (on_status >= 0) {
		struct watched **slot = status_slot(table, on_status);
		vm->by_status = *slot;
		*slot = vm;
	}
	if (on_directory >= 0) {
		struct watched **slot = directory_slot(table, on_directory);
		vm->by_directory = *slot;
		*slot = vm;
	}
}

void table_remove(struct vm_table *table, struct watched *vm)
{
	struct watched **at = &table->by_id[slot_of(vm->seen.id)];
	while (*at != vm)
		at = &(*at)->by_id;
	*at = vm->by_id;
	take_out_watches(table, vm);
	table->count--;
	json_decref(vm->seen.labels);
	oom_mark_clear(&vm->seen.oom);
	free(vm);
}

struct watched *table_find(const struct vm_table *table, const char *id)
{
	struct watched *vm = table->by_id[slot_of(id)];
	while (vm && strcmp(vm->seen.id, id))
		vm = vm->by_id;
	return vm;
}

struct watched *table_by_watch(const struct vm_table *table, int watch)
{
	size_t slot = (unsigned)watch % VM_TABLE_SLOTS;
	struct watched *vm = table->by_status[slot];
	while (vm && vm->on_status != watch)
		vm = vm->by_status;
	if (vm)
		return vm;
	for (vm = table->by_directory[slot]; vm && vm->on_directory != watch;)
		vm = vm->by_directory;
	return vm;
}

void table_each(const struct vm_table *table, void (*each)(void *context, struct watched *vm), void *context)
{
	for (size_t i = 0; i < VM_TABLE_SLOTS; i++)
		for (struct watched *vm = table->by_id[i], *next; vm; vm = next) {
			next = vm->by_id;
			each(context, vm);
		}
}
