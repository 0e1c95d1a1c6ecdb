/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O ports: the keyboard controller as far as a reset needs it (IBM PC/AT Technical Reference, keyboard controller), and
 * the two ports of abi/linux_guest.h. What is not there reads as all ones, as on a PC's bus.
 */
#include "vmm/vm.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "abi/linux_guest.h"

#define KEYBOARD_DATA 0x60
#define KEYBOARD_STATUS 0x64 /* read: status; written: command */
#define STATUS_FULL 0x01     /* there is something to read */
#define STATUS_SYSTEM 0x04   /* the self-test went well */
#define COMMAND_READ_CONTROL 0x20
#define COMMAND_WRITE_CONTROL 0x60
#define COMMAND_TEST_SELF 0xaa
#define COMMAND_TEST_PORT 0xab
#define COMMAND_RESET 0xfe
#define CONTROL_DISABLED 0x30 /* neither a keyboard nor a mouse is enabled */

#define PM_ENABLE 2  /* of ACPI's fixed registers: remembers what was written, since kernels check that */
#define PM_CONTROL 4
#define PM_CONTROL_SLEEP (1u << 13)             /* SLP_EN: now (ACPI 6.4, table 4.16) */
#define PM_CONTROL_TYPE(value) ((value) >> 10 & 7) /* SLP_TYP */

static void keyboard_answer(struct linux_guest *guest, uint8_t data)
{
	guest->keyboard_data = data;
	guest->keyboard_full = true;
}

/* Reset, or off: without a word from PID 1 that is how a foreign kernel ends, with success, unless it panicked before. */
static void machine_end(struct linux_guest *guest)
{
	int status = guest->program_status;
	if (guest->vm->status.record.error[0] && status < 0)
		status = SIGABRT;
	vcpu_end_all(guest->vm, status < 0 ? 0 : status);
}

static void keyboard_command(struct linux_guest *guest, uint8_t command)
{
	guest->keyboard_command = command;
	switch (command) {
	case COMMAND_RESET:
		machine_end(guest);
		return;
	case COMMAND_READ_CONTROL:
		keyboard_answer(guest, guest->keyboard_control | CONTROL_DISABLED);
		return;
	case COMMAND_TEST_SELF:
		keyboard_answer(guest, 0x55);
		return;
	case COMMAND_TEST_PORT:
		keyboard_answer(guest, 0x01); /* the clock line is stuck: no keyboard */
	}
}

static void mark(struct linux_guest *guest, uint32_t value)
{
	static const enum lv_step step[] = {
		[LV_MARK_INITCALL] = LV_STEP_INITCALL, [LV_MARK_INIT] = LV_STEP_READY,
		[LV_MARK_PROGRAM] = LV_STEP_PROGRAM, [LV_MARK_LISTEN] = LV_STEP_LISTEN,
	};
	struct vm *vm = guest->vm;
	if (value == LV_MARK_PANIC)
		linux_panicked(guest);
	if (value == LV_MARK_OFF)
		machine_end(guest);
	if (value == 0 || value >= sizeof(step) / sizeof(step[0]) || vm->status.record.ledger[step[value]].ns)
		return;
	status_mark(&vm->status, step[value]);
	if (value == LV_MARK_PROGRAM || value == LV_MARK_LISTEN)
		status_write(&vm->status, LV_STATE_RUNNING);
}

void linux_panicked(struct linux_guest *guest)
{
	status_fail(&guest->vm->status, "the guest's kernel panicked; its last words are in the log");
}

/* Only what waitpid can say: an exit status, or a signal. */
static bool is_wait_status(uint32_t value)
{
	return value <= 0xffff && (WIFEXITED((int)value) || WIFSIGNALED((int)value));
}

void linux_port_write(struct linux_guest *guest, uint16_t port, unsigned size, uint32_t value)
{
	switch (port) {
	case KEYBOARD_STATUS:
		keyboard_command(guest, value);
		return;
	case KEYBOARD_DATA:
		if (guest->keyboard_command == COMMAND_WRITE_CONTROL)
			guest->keyboard_control = value;
		guest->keyboard_command = 0;
		return;
	case GUEST_PM_PORT + PM_ENABLE:
		guest->pm_enable = value;
		return;
	case GUEST_PM_PORT + PM_CONTROL:
		if (size == 2 && value & PM_CONTROL_SLEEP && PM_CONTROL_TYPE(value) == GUEST_SLEEP_OFF)
			machine_end(guest);
		return;
	case LV_PORT_MARK:
		if (size == 4)
			mark(guest, value);
		return;
	case LV_PORT_EXIT:
		if (size == 4 && is_wait_status(value))
			guest->program_status = value;
	}
}

uint32_t linux_port_read(struct linux_guest *guest, uint16_t port, unsigned size)
{
	switch (port) {
	case GUEST_PM_PORT + PM_ENABLE:
		return guest->pm_enable;
	case GUEST_PM_PORT:
	case GUEST_PM_PORT + PM_CONTROL:
		return 0;
	case KEYBOARD_STATUS:
		return STATUS_SYSTEM | (guest->keyboard_full ? STATUS_FULL : 0);
	case KEYBOARD_DATA:
		guest->keyboard_full = false;
		return guest->keyboard_data;
	}
	return ~0u;
}
