/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/host_accounts.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"
#include "tinyx/packages/maintainer.h"

#define INFO "/var/lib/dpkg/info/"
#define TEXT_MAX (4u << 20)

static char *read_text(const char *path)
{
	char *data = NULL;
	size_t size;
	return file_read(AT_FDCWD, path, TEXT_MAX, &data, &size) ? NULL : data;
}

static void read_with(struct maintainer *maintainer, void (*read)(struct maintainer *maintainer, const char *text), const char *format)
{
	char *path = alloc_format(format, maintainer->package), *text = read_text(path);
	if (text)
		read(maintainer, text);
	free(text);
	free(path);
}

/* Directories and owners that the scripts would make go into a plan that nobody asks. */
static void read_scripts(struct accounts *accounts, const struct strings *packages)
{
	struct plan made = { 0 };
	struct text said = { 0 };
	for (size_t i = 0; i < packages->count; i++) {
		struct maintainer maintainer = { .all = &made, .accounts = accounts, .said = &said, .package = packages->item[i] };
		read_with(&maintainer, maintainer_sysusers, "/usr/lib/sysusers.d/%s.conf");
		read_with(&maintainer, maintainer_read, INFO "%s.preinst");
		read_with(&maintainer, maintainer_read, INFO "%s.postinst");
	}
	text_free(&said);
	plan_free(&made);
}

void host_accounts_add(struct plan *plan)
{
	struct accounts accounts = { 0 };
	struct text passwd = { 0 }, group = { 0 };
	read_scripts(&accounts, &plan->owners);
	if (accounts_made(&accounts)) {
		char *users = read_text("/etc/passwd"), *groups = read_text("/etc/group");
		accounts_number(&accounts, users ? users : "", groups ? groups : "");
		plan_depend(plan, "/etc/passwd");
		plan_depend(plan, "/etc/group");
		free(users);
		free(groups);
	}
	accounts_print(&accounts, &passwd, &group);
	plan_data(plan, "/etc/passwd", 0644, passwd.data, passwd.size);
	plan_data(plan, "/etc/group", 0644, group.data, group.size);
	text_free(&passwd);
	text_free(&group);
	accounts_free(&accounts);
}
