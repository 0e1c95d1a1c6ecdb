/* SPDX-License-Identifier: Apache-2.0 */
/* Words that say what a file system has besides its image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "parse/mount_word.h"

static void words(void **state)
{
	static const struct {
		const char *word;
		struct mount_word mount;
	} good[] = {
		{ "ro /", { MOUNT_READ_ONLY, 0, 0, "/", 0 } }, { "ro /a/b", { MOUNT_READ_ONLY, 0, 0, "/a/b", 0 } }, { "rw /a b", { MOUNT_WRITABLE, 0, 0, "/a b", 0 } },
		{ "tmpfs:0:1777 /tmp", { MOUNT_TMPFS, 0, 01777, "/tmp", 0 } }, { "tmpfs:9223372036854775807:0 /...", { MOUNT_TMPFS, INT64_MAX, 0, "/...", 0 } },
		{ "tmpfs:65536:7777 /.a", { MOUNT_TMPFS, 65536, 07777, "/.a", 0 } },
		{ "volume:0:ro /v", { MOUNT_VOLUME, 0, 0, "/v", 1 } }, { "volume:99:rw /v/w", { MOUNT_VOLUME, 99, 0, "/v/w", 0 } },
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct mount_word mount;
		assert_int_equal(mount_word_read(good[i].word, &mount), 0);
		assert_int_equal(mount.kind, good[i].mount.kind);
		assert_int_equal(mount.size, good[i].mount.size);
		assert_int_equal(mount.mode, good[i].mount.mode);
		assert_int_equal(mount.read_only, good[i].mount.read_only);
		assert_string_equal(mount.path, good[i].mount.path);
	}
}

static void no_words(void **state)
{
	static const char *const bad[] = { "", "ro", "ro ", "ro a", "rw /", "ro /a/", "ro //", "ro /a//b", "ro /.", "ro /..", "ro /a/../b", "ro /a/.", "r /a", "ro  /a",
		"tmpfs:0:0 /", "tmpfs:0:8 /a", "tmpfs:0:10000 /a", "tmpfs::0 /a", "tmpfs:0: /a", "tmpfs:9223372036854775808:0 /a", "tmpfs:-1:0 /a",
		"tmpfs:99999999999999999999999:0 /a", "tmpfs:0:0", "tmpfs:0:0 ", "tmpfs:0 /a", "tmpfs /a", "TMPFS:0:0 /a", "volume:0:ro /", "volume:100:ro /v", "volume::ro /v", "volume:0: /v", "volume:0:rx /v",
		"volume:0 /v", "volume:-1:rw /v" };
	char longest[4 + MOUNT_PATH_MAX + 1] = "ro /";
	struct mount_word mount;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!mount_word_read(bad[i], &mount))
			fail_msg("\"%s\" was taken", bad[i]);
	memset(longest + 4, 'x', MOUNT_PATH_MAX - 1);
	assert_int_equal(mount_word_read(longest, &mount), 0);
	longest[3 + MOUNT_PATH_MAX] = 'x';
	assert_int_equal(mount_word_read(longest, &mount), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(no_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
