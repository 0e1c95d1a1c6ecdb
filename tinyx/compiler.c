/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/compiler.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tinyx/commands.h"
#include "tinyx/companions.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* "x86_64-linux-gnu-gcc-12" */
static bool is_compiler(const char *real)
{
	static const char *const names[] = { "gcc", "g++", "clang" };
	const char *base = strrchr(real, '/') + 1;
	for (size_t i = 0; i < COUNT(names); i++) {
		const char *at = strstr(base, names[i]);
		if (at && (at == base || at[-1] == '-') && at[strlen(names[i]) + strspn(at + strlen(names[i]), "-.0123456789")] == 0)
			return true;
	}
	return false;
}

void compiler_add(struct plan *plan, const char *host)
{
	static const char *const tools[] = { "as", "ld", "ar", "nm", "ranlib", "strip", "objcopy", "gcc-ar" };
	static const char *const packages[] = { "libc6-dev", "linux-libc-dev", "libcrypt-dev" };
	/* Its own libraries, also those that end in .a; C++'s headers. */
	static const char *const trees[] = { "/usr/lib/gcc", "/usr/include/c++", "/usr/include/x86_64-linux-gnu/c++" };
	char *real = realpath(host, NULL);
	bool compiler = real && is_compiler(real);
	free(real);
	if (!compiler)
		return;
	plan_why(plan, "what a compiler starts or reads");
	struct error ignored;
	for (size_t i = 0; i < COUNT(trees); i++)
		plan_add(plan, trees[i], true, &ignored);
	for (size_t i = 0; i < COUNT(tools); i++) {
		char *path = program_find(tools[i]);
		if (path)
			plan_add(plan, path, false, &ignored);
		free(path);
	}
	for (size_t i = 0; i < COUNT(packages); i++)
		companions_add_package(plan, packages[i]);
}
