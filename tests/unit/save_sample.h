/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a saved VM, as tests have it: with a memory of 6 bytes, a state of 5, and this processor's words. */
#ifndef LV_TESTS_UNIT_SAVE_SAMPLE_H
#define LV_TESTS_UNIT_SAVE_SAMPLE_H

#include "node/save_manifest.h"

/* The caller's, for save_manifest_free. */
struct save_manifest save_sample(void);

#endif
