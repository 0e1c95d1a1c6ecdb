/* SPDX-License-Identifier: Apache-2.0 */
/* The files of tinyx/kernel/, which the program carries in itself (kernel/embed.sh). */
#ifndef LV_TINYX_KERNEL_FILES_H
#define LV_TINYX_KERNEL_FILES_H

extern const char kernel_base_config[], kernel_general_config[], kernel_container_config[], kernel_trace_config[];
extern const char kernel_lightvm_c[];  /* is compiled into the kernel, */
extern const char kernel_recorder_c[]; /* and behind it this one, where functions are traced */

#endif
