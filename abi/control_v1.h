/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 1 of the status record and of the control socket's replies, as monitors wrote them that still run after an update.
 * Requests were what they are now, but CRASH and TAIL did not exist: every reply had all. Nobody writes this any more.
 */
#ifndef LV_ABI_CONTROL_V1_H
#define LV_ABI_CONTROL_V1_H

#include "abi/control.h"

struct lv_status_v1 {
	uint64_t magic;
	uint32_t version; /* 1 */
	uint32_t size;
	uint32_t state; /* STARTING, RUNNING or EXITED */
	uint32_t pid;
	int32_t wait_status;
	uint32_t crashed;
	uint64_t start_realtime_ns;
	uint64_t ram_size, ram_limit, memory_used;
	struct lv_step_mark ledger[11]; /* as many steps as there were */
	uint64_t exits, exits_mmio, exits_signal, waits;
	char kvm_kind[16]; /* never filled */
	struct lv_missing missing[LV_MISSING_SLOTS];
	uint16_t device_count;
	uint16_t own_error;
	uint32_t guest;
	struct lv_device_stats device[LV_MAX_DEVICES];
	struct lv_balloon balloon;
	struct lv_crash crash;
	char error[256];
	uint32_t tail_size;
	char tail[2048];
};
static_assert(sizeof(struct lv_status_v1) == 7200, "version 1 of the status record");

struct lv_control_reply_v1 {
	int64_t result;
	struct lv_status_v1 status;
};

#endif
