/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): the checksum of EROFS, and of saved VMs. */
#ifndef LV_BASE_CRC32C_H
#define LV_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of size more bytes, begun with ~0; without the final inversion. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);
/* The same as a processor works it out that has no instruction for it; for tests. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif
