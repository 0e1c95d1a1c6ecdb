/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration on its way to the monitor: what was encoded is what is decoded, and what nobody encoded is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/unit/encoded.h"
#include "vmm/config_decode.h"

#define ROUNDS 1000

static void defaults(struct machine_config *c)
{
	machine_config_init(c);
	c->cwd = c->hostname = "-"; /* what a Linux guest's configuration does not say */
}

static void got_device(const struct device_config *d, int vsock_dir, struct text *out)
{
	if (d->type == LV_DEV_BLOCK) {
		text_format(out, "disk %d %d %d %.20s\n", d->block.fd, d->block.lock, d->block.read_only, d->block.serial);
	} else if (d->type == LV_DEV_VSOCK) {
		text_format(out, "vsock %d %d %llu\n", d->vsock.listener, vsock_dir, (unsigned long long)d->vsock.cid);
	} else {
		const struct lv_net_config *net = &d->net.config;
		text_format(out, "net %d", d->net.fd);
		for (unsigned i = 0; i < d->net.more; i++)
			text_format(out, "+%d", d->net.more_fd[i]);
		text_format(out, " %s%s %02x%02x%02x%02x%02x%02x %x %x %x %x %u ip6 %02x%02x %02x%02x\n", d->net.passt ? "passt" : "tap",
			    d->net.answers ? " answers" : "", net->mac[0], net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5], net->ip, net->netmask, net->gateway, net->dns, net->mtu,
			    d->net.config6.ip[0], d->net.config6.ip[15], d->net.config6.gateway[0], d->net.config6.gateway[15]);
	}
}

static char *got(const struct machine_config *c)
{
	struct text out = { 0 };
	text_format(&out, "name %s\nmemory %llu start %llu image %llu\n", c->name, (unsigned long long)c->memory, (unsigned long long)c->start_ns, (unsigned long long)c->image_ns);
	text_format(&out, "files %d %d %d %d %d %d %d %d console %d %d %d messages %d claim %u\n", c->libos_fd, c->image_fd, c->kernel_fd, c->initrd_fd, c->control_fd, c->status_fd, c->log_fd, c->cpuid_fd,
		    c->console.in, c->console.out, c->console.err, c->messages_fd, c->claim);
	text_format(&out, "cpus %u flags %d%d%d%d%d%d own %u user %u:%u\n", c->cpus, c->serial, c->tty, c->rng, c->balloon, c->kernel_kept, c->attached, c->console.own, c->uid, c->gid);
	text_format(&out, "program %s %s %s\n", c->program ? c->program : "-", c->cwd, c->hostname);
	for (int i = 0; i < c->argc; i++)
		text_format(&out, "arg %s\n", c->argv[i]);
	for (int i = 0; i < c->envc; i++)
		text_format(&out, "env %s\n", c->env[i]);
	for (int i = 0; i < c->mountc; i++)
		text_format(&out, "mount %s\n", c->mount[i]);
	if (c->kernel_fd >= 0)
		text_format(&out, "append %s\n", c->append);
	for (unsigned i = 0; i < c->device_count; i++)
		got_device(&c->device[i], c->vsock_dir, &out);
	if (c->files_fd >= 0)
		text_format(&out, "record %d %u\n", c->files_fd, c->record);
	if (c->prefault_fd >= 0)
		text_format(&out, "prefault %d %d\n", c->prefault_fd, c->prefault_always);
	return out.data;
}

static void round_trip(void **state)
{
	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		struct encoded encoded;
		struct machine_config config;
		const char *why;
		unsigned number;
		encode_random(&encoded, seed);
		defaults(&config);
		if (config_decode(&config, encoded.bytes, encoded.size, encoded.fd, encoded.fds, &why, &number))
			fail_msg("seed %u, record %u: %s", seed, number, why);
		char *text = got(&config);
		assert_string_equal(text, encoded.want);
		free(text);
		config_decode_free(&config);
		encoded_free(&encoded);
	}
}

static void refused(const void *bytes, size_t size, const int *fds, unsigned count, const char *message)
{
	struct machine_config config;
	const char *why = "";
	unsigned number;
	defaults(&config);
	assert_int_equal(config_decode(&config, bytes, size, fds, count, &why, &number), -EINVAL);
	if (message)
		assert_string_equal(why, message);
	config_decode_free(&config);
}

static struct lv_record *find(const struct encoded *encoded, uint32_t type)
{
	char *at = encoded->bytes + sizeof(struct lv_records);
	while (at < encoded->bytes + encoded->size) {
		struct lv_record *record = (struct lv_record *)at;
		if (record->type == type)
			return record;
		at += sizeof(*record) + ((record->size + 3) & ~3u);
	}
	return NULL;
}

/* One that has a network with a free place in its queues, and a disk. */
static void encode_rich(struct encoded *encoded)
{
	for (unsigned seed = 1;; seed++) {
		encode_random(encoded, seed);
		if (find(encoded, LV_VM_NET) && find(encoded, LV_VM_DISK))
			return;
		encoded_free(encoded);
	}
}

#define AFTER(record) ((void *)((struct lv_record *)(record) + 1))
static void refusals(void **state)
{
	struct encoded e;
	encode_rich(&e);
	struct lv_records *header = (void *)e.bytes;
	struct lv_record *first = find(&e, LV_VM_MACHINE), *name = find(&e, LV_VM_NAME);
	struct lv_vm_machine *machine = AFTER(first);
	struct lv_vm_net *net = AFTER(find(&e, LV_VM_NET));
	struct lv_vm_disk *disk = AFTER(find(&e, LV_VM_DISK));
	int more[LV_VM_FDS_MAX + 1] = { 0 };
	for (size_t size = 0; size < e.size; size++)
		refused(e.bytes, size, e.fd, e.fds, NULL);
	refused(e.bytes, e.size, e.fd, e.fds - 1, "it names a descriptor that did not come");
	refused(e.bytes, e.size, e.fd, e.fds + 1, "a descriptor came that it does not name");
	refused(e.bytes, e.size, more, LV_VM_FDS_MAX + 1, "it has too many descriptors");
#define WITH(place, value, message) do { \
	__typeof__(place) was = place; \
	place = value; \
	refused(e.bytes, e.size, e.fd, e.fds, message); \
	place = was; \
} while (0)
	WITH(header->version, LV_VM_RECORDS_VERSION + 1, "it has another version");
	WITH(header->records, header->records - 1, "something follows the last record");
	WITH(first->type, 99u, "a record is of an unknown type");
	WITH(name->type, (uint32_t)LV_VM_MACHINE, "a record has the wrong size");
	WITH(first->type, (uint32_t)LV_VM_NAME, "a string does not end where its record ends");
	WITH(machine->cpus, 0u, "its number of vCPUs is impossible");
	WITH(machine->cpus, 33u, "its number of vCPUs is impossible");
	WITH(machine->status, machine->control, "it names a descriptor twice");
	WITH(machine->control, -2, "it names a descriptor that did not come");
	WITH(net->fd[0], -1, "a network has no descriptor, or passt several");
	WITH(net->passt, 2u, "a network has no descriptor, or passt several");
	WITH(net->config.mtu, 100, "a network's MTU is too small, or its address is for many");
	WITH(net->config.mac[0], 1, "a network's MTU is too small, or its address is for many");
	WITH(disk->fd, -1, "a disk has no descriptor");
	WITH(disk->read_only, 2u, "a disk has no descriptor");
	const char *answers = "answers to the host's loopback need a passt that is filtered, and its gateway";
	*net = (struct lv_vm_net){ .fd = { net->fd[0], LV_VM_NO_FD }, .passt = 1, .config = net->config, .answers = 1 };
	WITH(net->answers, 2u, answers);
	WITH(net->passt, 0u, answers);
	WITH(net->spoof, 1u, answers);
	WITH(net->config.gateway, 0u, answers);
	encoded_free(&e);
}

/* Behind what e has. The two descriptors are the last ones. */
static struct lv_vm_state *append_state(struct encoded *e, int state, int memory)
{
	const struct lv_record head = { .type = LV_VM_STATE, .size = sizeof(struct lv_vm_state) };
	const struct lv_vm_state record = { .state = (int32_t)e->fds, .memory = (int32_t)e->fds + 1, .flags = LV_RESTORE_CLONE };
	e->bytes = realloc(e->bytes, e->size + sizeof(head) + sizeof(record));
	memcpy(e->bytes + e->size, &head, sizeof(head));
	memcpy(e->bytes + e->size + sizeof(head), &record, sizeof(record));
	e->fd[e->fds++] = state;
	e->fd[e->fds++] = memory;
	struct lv_records *header = (void *)e->bytes;
	header->size = (uint32_t)(e->size += sizeof(head) + sizeof(record));
	header->records++;
	return (void *)(e->bytes + e->size - sizeof(record));
}

/* In the place of the second record of the kind, which is as long. */
static void pages_need_a_state(struct encoded *e)
{
	struct lv_record *record = find(e, LV_VM_STATE);
	record->type = 99;
	refused(e->bytes, e->size, e->fd, e->fds, "a record is of an unknown type");
	record->type = LV_VM_PAGES;
	refused(e->bytes, e->size, e->fd, e->fds, "a record has the wrong size");
}

static void states(void **unused)
{
	struct encoded e;
	struct machine_config config;
	const char *why = NULL;
	unsigned number;
	encode_rich(&e);
	struct lv_vm_state *state = append_state(&e, 5000, 5001);
	defaults(&config);
	assert_int_equal(config_decode(&config, e.bytes, e.size, e.fd, e.fds, &why, &number), 0);
	assert_int_equal(config.state_fd, 5000);
	assert_int_equal(config.memory_fd, 5001);
	assert_int_equal(config.restore, LV_RESTORE_CLONE);
	config_decode_free(&config);
	WITH(state->flags, LV_RESTORE_FLAGS + 1, "how the state is to be restored is not known");
	WITH(state->reserved, 1u, "how the state is to be restored is not known");
	WITH(state->state, state->memory, "it names a descriptor twice");
	WITH(state->memory, LV_VM_NO_FD, "a state has no descriptor, or its memory has none");
	pages_need_a_state(&e);
	find(&e, LV_VM_PAGES)->type = LV_VM_PAGER;
	refused(e.bytes, e.size, e.fd, e.fds, "a record has the wrong size");
	find(&e, LV_VM_PAGER)->type = LV_VM_STATE;
	append_state(&e, 5002, 5003);
	refused(e.bytes, e.size, e.fd, e.fds, "a record is there twice");
	encoded_free(&e);
}

static struct lv_vm_pager *append_pager(struct encoded *e, int device, int listener)
{
	const struct lv_record head = { .type = LV_VM_PAGER, .size = sizeof(struct lv_vm_pager) };
	const struct lv_vm_pager record = { .device = (int32_t)e->fds, .listener = (int32_t)e->fds + 1 };
	e->bytes = realloc(e->bytes, e->size + sizeof(head) + sizeof(record));
	memcpy(e->bytes + e->size, &head, sizeof(head));
	memcpy(e->bytes + e->size + sizeof(head), &record, sizeof(record));
	e->fd[e->fds++] = device;
	e->fd[e->fds++] = listener;
	struct lv_records *header = (void *)e->bytes;
	header->size = (uint32_t)(e->size += sizeof(head) + sizeof(record));
	header->records++;
	return (void *)(e->bytes + e->size - sizeof(record));
}

static bool has_kernel(const struct encoded *e)
{
	const struct lv_vm_machine *machine = AFTER(find(e, LV_VM_MACHINE));
	return machine->kernel != LV_VM_NO_FD;
}

/* Memory that comes while it runs is a state's, whatever kind of guest that is. */
static void pager_of(bool is_linux)
{
	struct encoded e;
	struct machine_config config;
	const char *why = NULL;
	unsigned seed = 1, number;
	for (encode_random(&e, seed); has_kernel(&e) != is_linux; encode_random(&e, ++seed))
		encoded_free(&e);
	append_state(&e, 5000, 5001);
	append_pager(&e, 5002, 5003);
	defaults(&config);
	assert_int_equal(config_decode(&config, e.bytes, e.size, e.fd, e.fds, &why, &number), 0);
	assert_int_equal(config.pager.listener, 5003);
	config_decode_free(&config);
	encoded_free(&e);
}

/* It needs who brings it, too. */
static void pagers(void **unused)
{
	struct encoded e;
	struct machine_config config;
	const char *why = NULL;
	unsigned number;
	pager_of(false);
	pager_of(true);
	encode_rich(&e);
	append_pager(&e, 5000, 5001);
	refused(e.bytes, e.size, e.fd, e.fds, "memory that is still to come is not a state's, or is one of several");
	encoded_free(&e);
	encode_rich(&e);
	append_state(&e, 5000, 5001);
	struct lv_vm_pager *pager = append_pager(&e, 5002, 5003);
	defaults(&config);
	assert_int_equal(config_decode(&config, e.bytes, e.size, e.fd, e.fds, &why, &number), 0);
	assert_int_equal(config.pager.device, 5002);
	assert_int_equal(config.pager.listener, 5003);
	config_decode_free(&config);
	WITH(pager->device, pager->listener, "it names a descriptor twice");
	WITH(pager->listener, LV_VM_NO_FD, "what waits for memory has no descriptor");
	encoded_free(&e);
}

static struct lv_vm_below *append_below(struct encoded *e, int memory)
{
	const struct lv_record head = { .type = LV_VM_BELOW, .size = sizeof(struct lv_vm_below) };
	const struct lv_vm_below record = { .memory = (int32_t)e->fds };
	e->bytes = realloc(e->bytes, e->size + sizeof(head) + sizeof(record));
	memcpy(e->bytes + e->size, &head, sizeof(head));
	memcpy(e->bytes + e->size + sizeof(head), &record, sizeof(record));
	e->fd[e->fds++] = memory;
	struct lv_records *header = (void *)e->bytes;
	header->size = (uint32_t)(e->size += sizeof(head) + sizeof(record));
	header->records++;
	return (void *)(e->bytes + e->size - sizeof(record));
}

static void memories_below(void **unused)
{
	struct encoded e;
	struct machine_config config;
	const char *why = NULL;
	unsigned number;
	encode_rich(&e);
	struct lv_vm_below *below = append_below(&e, 5002);
	refused(e.bytes, e.size, e.fd, e.fds, "it has a memory below another one, and no state");
	append_state(&e, 5000, 5001);
	below = append_below(&e, 5003);
	defaults(&config);
	assert_int_equal(config_decode(&config, e.bytes, e.size, e.fd, e.fds, &why, &number), 0);
	assert_int_equal(config.below_count, 2);
	assert_int_equal(config.below_fd[0], 5002);
	assert_int_equal(config.below_fd[1], 5003);
	config_decode_free(&config);
	WITH(below->reserved, 1u, "a memory below another one has no descriptor");
	WITH(below->memory, LV_VM_NO_FD, "a memory below another one has no descriptor");
	for (unsigned i = 2; i < LV_VM_BELOW_MAX + 1; i++)
		append_below(&e, 5004 + (int)i);
	refused(e.bytes, e.size, e.fd, e.fds, "a memory is a difference from too many others");
	encoded_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(round_trip), cmocka_unit_test(refusals), cmocka_unit_test(pagers), cmocka_unit_test(states), cmocka_unit_test(memories_below) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
