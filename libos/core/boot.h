/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that are brought up once, in this order. */
#ifndef LV_LIBOS_BOOT_H
#define LV_LIBOS_BOOT_H

void mm_init(void);      /* mm.c */
void vfs_init(void);     /* vfs.c: the image and the RAM layer over it, /dev, /proc */
void console_init(void); /* console.c: descriptors 0, 1 and 2 */
void block_init(void);   /* block.c: /dev/vda ... */
void net_init(void);     /* net/: loopback, and the net device if there is one */

void net_exit(void);     /* net/: connections are closed, and what was sent leaves, before the VM ends */

#endif
