/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read of packages, on any bytes: maintainer scripts, sysusers.d, unit files, rules. Names of accounts and paths that come of it are such.
 * fuzz-sources: tinyx/packages/maintainer.c tinyx/packages/words.c tinyx/packages/accounts.c tinyx/packages/read.c tinyx/packages/unit_file.c tinyx/packages/rules.c tinyx/plan.c tinyx/image_file.c tinyx/manifest.c parse/erofs.c base/crc32c.c base/text.c base/file.c base/shown.c base/error.c
 * fuzz-libs: -ljansson -lcrypto
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/packages/maintainer.h"
#include "tinyx/packages/rules.h"
#include "tinyx/packages/unit_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

const char default_rules[] = "";

static void check(const struct plan *plan, const struct accounts *accounts)
{
	for (size_t i = 0; i < plan->count; i++) {
		const char *guest = plan->entry[i].guest;
		MUST(guest[0] == '/' && guest[1] && !strstr(guest, "/../") && !strstr(guest, "//"));
	}
	for (size_t i = 0; i < accounts->users; i++)
		MUST(account_is_name(accounts->user[i].name) && accounts->user[i].home[0] == '/' && !strpbrk(accounts->user[i].home, ":\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan plan = { 0 };
	struct accounts accounts = { 0 };
	struct text said = { 0 }, passwd = { 0 }, group = { 0 };
	struct error error = { 0 };
	struct unit unit = { 0 };
	struct rules rules = { 0 };
	char *text = alloc_format("%.*s", (int)size, (const char *)data);
	struct maintainer maintainer = { .all = &plan, .origin = 1, .accounts = &accounts, .said = &said, .package = "p" };
	plan_data(&plan, "/etc/one", 0644, "x", 1);
	plan_link(&plan, "/usr/loop", "loop");
	maintainer_read(&maintainer, text);
	maintainer_sysusers(&maintainer, text);
	accounts_print(&accounts, &passwd, &group);
	check(&plan, &accounts);
	unit_parse(&unit, "unit", text, NULL, NULL);
	MUST(!unit.command.count || unit.command.item[0][0] == '/');
	MUST(!rules_parse(&rules, text, "rules", &error) || error.text[0]);
	rules_for(&rules, "/usr/share/doc/x");
	rules_free(&rules);
	unit_free(&unit);
	plan_free(&plan);
	accounts_free(&accounts);
	text_free(&said);
	text_free(&passwd);
	text_free(&group);
	free(text);
	return 0;
}
