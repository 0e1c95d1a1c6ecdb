/* SPDX-License-Identifier: Apache-2.0 */
/* Where an image keeps its manifest, and what else is ours in it. The manifest is JSON; docs/image.md has the schema. */
#ifndef LV_ABI_IMAGE_MANIFEST_H
#define LV_ABI_IMAGE_MANIFEST_H

#define LV_MANIFEST_PATH "/.lightvm/manifest.json"
#define LV_CONTAINER_PATH "/.lightvm/container.json" /* the configuration of the container image that it was made of, as it was */
#define LV_MANIFEST_VERSION 1
#define LV_MANIFEST_MAX (64 * 1024) /* bytes */

#endif
