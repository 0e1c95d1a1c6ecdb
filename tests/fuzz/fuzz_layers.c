/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two layers of any bytes, cut apart at the first byte's place: unpacked, read as tar archives and applied over each other; what comes of it must be a plan
 * whose paths are clean and have their directories.
 * fuzz-sources: tinyx/layer_stream.c tinyx/layers.c tinyx/tar.c tinyx/plan.c tinyx/image_file.c tinyx/manifest.c parse/erofs.c base/crc32c.c base/text.c base/file.c base/shown.c base/error.c
 * fuzz-libs: -ljansson -lcrypto -larchive -lz -lzstd
 * fuzz-seeds: layers
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "tinyx/layer_stream.h"
#include "tinyx/layers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())
#define LIMIT (1u << 20)

static void apply(struct layers *layers, const uint8_t *data, size_t size, struct spool *spool)
{
	struct error error = { 0 };
	struct layer_stream *stream;
	struct tar *tar = NULL;
	int fd = memfd_create("layer", MFD_CLOEXEC);
	MUST(write(fd, data, size) == (ssize_t)size);
	int err = layer_stream_open(&stream, &(struct layer_span){ .fd = fd, .size = size }, LIMIT, "layer", &error);
	struct tar_feed feed = layer_stream_feed(stream);
	if (!err)
		err = tar_open_feed(&tar, &feed, "layer", &error);
	if (!err)
		err = layers_apply(layers, tar, spool, "layer", &error);
	MUST(!err || (err < 0 && error.text[0]));
	tar_close(tar);
	layer_stream_close(stream);
	close(fd);
}

static void check(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entry[i];
		MUST(entry->guest[0] == '/' && !strstr(entry->guest, "//") && !text_ends(entry->guest, "/.."));
		char *dir = alloc_copy(entry->guest), *slash = strrchr(dir, '/');
		*slash = 0;
		MUST(slash == dir || (plan_find(plan, dir) && plan_find(plan, dir)->kind == PLAN_DIR));
		free(dir);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct spool spool;
	struct plan plan = { 0 };
	if (size < 2)
		return 0;
	if (fd < 0)
		fd = memfd_create("spool", MFD_CLOEXEC);
	spool_init(&spool, fd, LIMIT);
	struct layers *layers = layers_new();
	size_t first = 1 + (size - 1) * data[0] / 255;
	apply(layers, data + 1, first - 1, &spool);
	apply(layers, data + first, size - first, &spool);
	layers_plan(layers, &plan);
	check(&plan);
	plan_free(&plan);
	layers_free(layers);
	return 0;
}
