/* SPDX-License-Identifier: Apache-2.0 */
/* What vdso.S knows of the device page and its clocks; vdso.c asserts it. */
#ifndef LV_LIBOS_VDSO_H
#define LV_LIBOS_VDSO_H

#define VDSO_TSC_MULT 64
#define VDSO_TSC_BASE 72
#define VDSO_BASE 80
#define VDSO_SEQUENCE 112
#define VDSO_MONOTONIC 0
#define VDSO_REALTIME 1
#define VDSO_BOOTTIME 2
#define VDSO_ASK 255

#endif
