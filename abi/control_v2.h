/* SPDX-License-Identifier: Apache-2.0 */
/* Version 2 of the status record, as monitors wrote it that still run after an update. Its report lies where it does now. Nobody writes this any more. */
#ifndef LV_ABI_CONTROL_V2_H
#define LV_ABI_CONTROL_V2_H

#include "abi/control.h"

struct lv_status_v2 { /* as struct lv_status, but for the length of the ledger and what came after files_full */
	uint64_t magic;
	uint32_t version, size, state, pid;
	int32_t wait_status;
	uint32_t crashed, own_error, guest;
	uint16_t kvm, jail;
	uint32_t crash_signal, control_version, device_count;
	uint64_t start_realtime_ns;
	uint64_t ram_size, ram_limit, memory_used;
	uint64_t exits, exits_mmio, exits_signal, waits;
	struct lv_step_mark ledger[12];
	struct lv_balloon balloon;
	uint8_t libos_build[LV_BUILD_ID];
	uint32_t files_full;
	char error[128];
	struct lv_device_stats device[LV_MAX_DEVICES];
};
static_assert(offsetof(struct lv_status_v2, ledger) == offsetof(struct lv_status, ledger), "what is before the ledger is the same");
static_assert(offsetof(struct lv_status_v2, device) == 584, "version 2 of the status record");

#endif
