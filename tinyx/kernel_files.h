/* SPDX-License-Identifier: Apache-2.0 */
/* The files of tinyx/kernel/, which the program carries in itself (kernel/embed.sh). */
#ifndef LV_TINYX_KERNEL_FILES_H
#define LV_TINYX_KERNEL_FILES_H

extern const char kernel_base_config[], kernel_general_config[], kernel_container_config[];
extern const char kernel_lightvm_c[]; /* is compiled into the kernel */

#endif
