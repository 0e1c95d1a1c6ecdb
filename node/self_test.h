/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's self-test: which kind of KVM a machine has, found by running a scratch VM. */
#ifndef LV_NODE_SELF_TEST_H
#define LV_NODE_SELF_TEST_H

#include <stddef.h>

#include "base/error.h"

enum self_test { SELF_TEST_UNKNOWN, SELF_TEST_PAGE_TABLE, SELF_TEST_HARDWARE };

/*
 * *kind is UNKNOWN where /dev/kvm cannot be used (0), or where the test failed (a negative errno with the monitor's words). Takes
 * the time of a short VM.
 */
int self_test(enum self_test *kind, struct error *error);

#endif
