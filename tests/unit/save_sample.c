/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/save_sample.h"

#include "base/text.h"

struct save_manifest save_sample(void)
{
	struct save_manifest manifest = { .id = "0123456789ab", .name = alloc_copy("web"), .saved_ns = 17, .libos_build = "0123456789012345678901234567890123456789",
		.image_sha256 = "", .memory_limit = 1 << 28, .memory_size = 6, .state_size = 5, .memory_taken = 4096,
		.config = json_pack("{s:s, s:s}", "id", "0123456789ab", "program", "/bin/x") };
	strings_add(&manifest.devices, "console");
	strings_add(&manifest.devices, "net");
	cpu_words_read(&manifest.cpu);
	return manifest;
}
