/* SPDX-License-Identifier: Apache-2.0 */
/* Images of packages, without packages: words of a shell, accounts, maintainer scripts, unit files, rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tinyx/packages/accounts.h"
#include "tinyx/packages/debs.h"
#include "tinyx/packages/maintainer.h"
#include "tinyx/packages/rules.h"
#include "tinyx/packages/unit_file.h"
#include "tinyx/packages/words.h"

/* ---- words ---- */

static void expect_words(const char *text, const struct variables *variables, const char *joined, bool is_unclear)
{
	struct strings words = { 0 };
	struct text got = { 0 };
	bool unclear;
	words_split(text, variables, &words, &unclear);
	text_put(&got, "");
	for (size_t i = 0; i < words.count; i++)
		text_format(&got, "[%s]", words.item[i]);
	assert_string_equal(got.data, joined);
	assert_int_equal(unclear, is_unclear);
	text_free(&got);
	strings_free(&words);
}

static void test_words(void **state)
{
	struct variables variables = { 0 };
	variables_set(&variables, "A", "one two");
	variables_set(&variables, "B", "x");
	variables_set(&variables, "B", "y");
	expect_words("a  'b c' \"d\\\"e\" f\\ g # rest", NULL, "[a][b c][d\"e][f g]", false);
	expect_words("$A \"$A\" ${B}z ${C:-word} '$A' \"\" $C", &variables, "[one][two][one two][yz][word][$A][]", false);
	expect_words("a \\\n b\nc", NULL, "[a][b]", false);
	expect_words("a >/dev/null 2>&1 b < c; d", NULL, "[a][b]", false);
	expect_words("a $(b c) d", NULL, "[a][d]", true);
	expect_words("a ${B%x}", &variables, "[a]", true);
	expect_words("a `b`", NULL, "[a]", true);
	expect_words("\"never ends", NULL, "[never ends]", false);
	expect_words("${", NULL, "", true);
	expect_words("$", NULL, "", true);
	variables_free(&variables);
}

/* ---- scripts ---- */

struct world {
	struct plan plan;
	struct accounts accounts;
	struct text said;
};

static void run_script(struct world *world, const char *script)
{
	struct maintainer maintainer = { .all = &world->plan, .origin = 1, .mtime = 7, .accounts = &world->accounts, .said = &world->said, .package = "pkg" };
	maintainer_read(&maintainer, script);
}

static void world_free(struct world *world)
{
	plan_free(&world->plan);
	accounts_free(&world->accounts);
	text_free(&world->said);
}

static void test_script_accounts(void **state)
{
	struct world world = { 0 };
	uint32_t id, group;
	run_script(&world, "set -e\nUSER=web\nif [ \"$1\" = configure ]; then\n  adduser --system --home /var/lib/web --quiet \\\n    --group ${USER} || true\nfi\n"
			   "addgroup --system readers >/dev/null; adduser web readers\nuseradd -r -g readers -s /bin/sh -d /srv other\n"
			   "adduser --system plain\nadduser --system 'bad:name'\nadduser --system \"$(id -un)\"\nadduser --system --home /a:b --group homeless\n");
	assert_true(accounts_user(&world.accounts, "web", &id, &group));
	assert_int_equal(id, 101);
	assert_int_equal(group, 101);
	assert_true(accounts_user(&world.accounts, "plain", &id, &group));
	assert_int_equal(group, 65534);
	assert_false(accounts_user(&world.accounts, "bad:name", &id, &group));
	assert_true(accounts_user(&world.accounts, "proxy", &id, &group)); /* Debian's own */
	assert_int_equal(id, 13);
	struct text passwd = { 0 }, groups = { 0 };
	accounts_print(&world.accounts, &passwd, &groups);
	assert_non_null(strstr(passwd.data, "web:x:101:101:web:/var/lib/web:/usr/sbin/nologin\n"));
	assert_non_null(strstr(passwd.data, "other:x:103:102:other:/srv:/bin/sh\n"));
	assert_non_null(strstr(passwd.data, "homeless:x:105:105:homeless:/nonexistent:/usr/sbin/nologin\n"));
	assert_non_null(strstr(groups.data, "readers:x:102:web\n"));
	assert_string_equal(world.said.data, "user web (101): as pkg makes it\ngroup readers (102): as pkg makes it\nuser other (103): as pkg makes it\n"
					     "user plain (104): as pkg makes it\nuser homeless (105): as pkg makes it\n");
	text_free(&passwd);
	text_free(&groups);
	world_free(&world);
	world = (struct world){ 0 };
	/* A group that is there already is the user's. */
	run_script(&world, "addgroup --system cache\nadduser --system --group cache\n");
	assert_true(accounts_user(&world.accounts, "cache", &id, &group));
	assert_int_equal(group, 101);
	accounts_print(&world.accounts, &passwd, &groups);
	assert_non_null(strstr(groups.data, "cache:x:101:\n"));
	assert_null(strstr(groups.data, "cache:x:102"));
	text_free(&passwd);
	text_free(&groups);
	world_free(&world);
}

/* As apache2's own script does it, in functions that are handed all arguments. */
static void test_script_enables(void **state)
{
	struct world world = { 0 };
	static const char needs[] = "# Depends: core mime\nLoadModule";
	char file[] = "/tmp/test-packages-XXXXXX";
	int fd = mkstemp(file);
	assert_int_equal(write(fd, needs, sizeof(needs) - 1), sizeof(needs) - 1);
	close(fd);
	plan_put(&world.plan, (struct plan_entry){ .guest = alloc_copy("/etc/apache2/mods-available/mime.load"), .kind = PLAN_FILE, .mode = 0644, .source = alloc_copy(file), .size = sizeof(needs) - 1 });
	plan_data(&world.plan, "/etc/apache2/mods-available/core.load", 0644, "x", 1);
	plan_data(&world.plan, "/etc/apache2/mods-available/mime.conf", 0644, "x", 1);
	plan_data(&world.plan, "/etc/apache2/sites-available/first.conf", 0644, "x", 1);
	run_script(&world, "all()\n{\n\tif true; then\n\tfor m in none mime ../../x; do\n\ta2enmod -m -q $m\n\tdone\n\tfi\n}\nmake() {\n\tadduser --system \"$@\"\n}\nall $@\nmake one two\na2ensite -q first\n");
	const struct plan_entry *link = plan_find(&world.plan, "/etc/apache2/mods-enabled/mime.conf");
	assert_true(link && link->kind == PLAN_LINK && !strcmp(link->source, "../mods-available/mime.conf"));
	assert_non_null(plan_follow(&world.plan, "/etc/apache2/mods-enabled/mime.load"));
	assert_non_null(plan_find(&world.plan, "/etc/apache2/mods-enabled/core.load"));
	assert_non_null(plan_follow(&world.plan, "/etc/apache2/sites-enabled/first.conf"));
	assert_null(plan_find(&world.plan, "/etc/apache2/mods-enabled/none.load"));
	unlink(file);
	assert_false(accounts_made(&world.accounts)); /* quoted, they are several words, which no name is */
	world_free(&world);
}

/* Files of the host belong to the numbers that it gave. */
static void test_numbers_of_the_host(void **state)
{
	struct world world = { 0 };
	struct text passwd = { 0 }, groups = { 0 };
	assert_false(accounts_made(&world.accounts));
	run_script(&world, "adduser --system --group web\nadduser --system --ingroup www-data other\naddgroup --system shadows\n");
	assert_true(accounts_made(&world.accounts));
	accounts_number(&world.accounts, "web2:x:5:5::/:\nroot:x:7:7::/:\nweb:x:998:997::/:\nother", "shadows:x:993:a,b\nweb:x:997:\nwww-data:x:1:\n");
	accounts_print(&world.accounts, &passwd, &groups);
	assert_non_null(strstr(passwd.data, "root:x:0:0:"));
	assert_non_null(strstr(passwd.data, "proxy:x:13:13:proxy:/bin:/usr/sbin/nologin\n")); /* base-passwd's */
	assert_non_null(strstr(passwd.data, "man:x:6:12:"));
	assert_null(strstr(groups.data, "nobody"));
	assert_non_null(strstr(passwd.data, "web:x:998:997:"));
	assert_non_null(strstr(passwd.data, "other:x:102:33:"));
	assert_non_null(strstr(groups.data, "web:x:997:"));
	assert_non_null(strstr(groups.data, "www-data:x:33:"));
	assert_non_null(strstr(groups.data, "shadows:x:993:"));
	text_free(&passwd);
	text_free(&groups);
	world_free(&world);
}

static void expect_entry(const struct world *world, const char *path, mode_t mode, uint32_t uid, uint32_t gid)
{
	const struct plan_entry *entry = plan_find(&world->plan, path);
	assert_non_null(entry);
	assert_int_equal(entry->mode, mode);
	assert_int_equal(entry->uid, uid);
	assert_int_equal(entry->gid, gid);
}

static void test_script_files(void **state)
{
	struct world world = { 0 };
	plan_data(&world.plan, "/etc/app.conf", 0644, "x", 1);
	plan_data(&world.plan, "/usr/bin/app.real", 0755, "x", 1);
	plan_dir(&world.plan, "/usr/share/app", 0755);
	run_script(&world, "adduser --system --group app\nsetup () {\n\tmkdir -p $1\n\tchown app:adm \"$1\"\n\tchmod $2 $1\n}\nsetup /var/log/app 2750\n"
			   "for DIR in /var/lib/app /var/spool/app; do\n  install -d -o app -g app -m 0700 $DIR\ndone\n"
			   "dpkg-statoverride --update --add root app 0640 /etc/app.conf\nln -s ../sites/one /etc/on\nln -s /etc/other /usr/share/app\n"
			   "update-alternatives --install /usr/bin/app app /usr/bin/app.real 50 --slave /usr/share/no no /usr/share/none\n"
			   "mkdir -p relative ../up /a/../../b '/new\nline'\nchown -R app /nowhere\nchmod u+s /usr/bin/app.real\nrm -rf /etc/app.conf\n");
	expect_entry(&world, "/var/log/app", 02750, 101, 4);
	expect_entry(&world, "/var/lib/app", 0700, 101, 101);
	expect_entry(&world, "/var/spool/app", 0700, 101, 101);
	expect_entry(&world, "/etc/app.conf", 0640, 0, 101);
	expect_entry(&world, "/usr/bin/app.real", 0755, 0, 0);
	assert_string_equal(plan_find(&world.plan, "/etc/on")->source, "../sites/one");
	assert_string_equal(plan_find(&world.plan, "/usr/share/app/other")->source, "/etc/other");
	assert_string_equal(plan_find(&world.plan, "/usr/bin/app")->source, "/usr/bin/app.real");
	assert_null(plan_find(&world.plan, "/usr/share/no"));
	assert_null(plan_find(&world.plan, "/relative"));
	assert_null(plan_find(&world.plan, "/b"));
	assert_int_equal(plan_find(&world.plan, "/var/log/app")->mtime, 7);
	world_free(&world);
}

/* What never ends for a shell, or grows, ends here. */
static void test_script_hostile(void **state)
{
	struct world world = { 0 };
	run_script(&world, "f () {\nf\nf\n}\nf\nwhile true; do while true; do while true; do while true; do while true; do mkdir /deep; done; done\n");
	run_script(&world, "A=xxxxxxxxxxxxxxxx\nfor I in 1 2 3 4 5 6 7 8; do for J in 1 2 3 4 5 6 7 8; do for K in 1 2 3 4 5 6 7 8; do A=$A$A$A$A; mkdir /$A; done; done; done\n");
	run_script(&world, "f () {");
	run_script(&world, "for");
	run_script(&world, "for X in");
	run_script(&world, "chown\nchmod\nadduser --home\nln -s\ninstall -d -m\ndpkg-statoverride --add\ncp\nupdate-alternatives --install");
	struct maintainer maintainer = { .all = &world.plan, .accounts = &world.accounts, .said = &world.said, .package = "pkg" };
	uint32_t id, group;
	maintainer_sysusers(&maintainer, "# comment\nu daemonuser - \"Some One\" /var/lib/d /bin/sh\ng onlygroup 17\nm daemonuser onlygroup\nu\nu bad/name\nx y z");
	assert_true(accounts_user(&world.accounts, "daemonuser", &id, &group));
	assert_true(accounts_group(&world.accounts, "onlygroup", &id));
	world_free(&world);
}

/* ---- units ---- */

static char *env_file(void *context, const char *path)
{
	assert_string_equal(path, "/etc/default/app");
	return alloc_copy("# options\nOPTS=\"-v -x 'two words'\"\n\nbad line\n");
}

/* As short as they are, these would take all of the memory, or minutes. */
static void test_script_bombs(void **state)
{
	struct world world = { 0 };
	struct text script = { 0 };
	struct strings words = { 0 };
	bool unclear;
	text_put(&script, "A='");
	for (int i = 0; i < 2000; i++)
		text_put(&script, "a ");
	text_put(&script, "'\nB=\"");
	text_put(&script, "$A\"\n");
	for (int i = 0; i < 20000; i++)
		text_put(&script, "$A ");
	run_script(&world, script.data);
	text_free(&script);
	struct variables variables = { 0 };
	variables_set(&variables, "A", "a a a a a a a a");
	for (int i = 0; i < 2000; i++)
		text_put(&script, "$A ");
	words_split(script.data, &variables, &words, &unclear);
	assert_true(unclear);
	assert_int_equal(words.count, 4096);
	strings_free(&words);
	for (int i = 0; i < 5000; i++) {
		char name[16];
		snprintf(name, sizeof(name), "N%d", i);
		variables_set(&variables, name, "x");
	}
	assert_int_equal(variables.list.count, 2 * 4096);
	variables_free(&variables);
	text_free(&script);
	/* A loop over many words whose body is long. */
	text_put(&script, "for i in");
	for (int i = 0; i < 4000; i++)
		text_put(&script, " x");
	text_put(&script, "; do : ");
	for (int i = 0; i < 100000; i++)
		text_put(&script, "wwwww");
	text_put(&script, "\ndone\nmkdir /after\n");
	run_script(&world, script.data);
	text_free(&script);
	for (int i = 0; i < 1000; i++)
		text_put(&script, "chown -R root / / / / / / / / / / / / / / / /\n");
	text_put(&script, "mkdir /.lightvm /.lightvm/x\n");
	run_script(&world, script.data);
	assert_null(plan_find(&world.plan, "/.lightvm"));
	text_free(&script);
	world_free(&world);
}

static char *plain_file(void *context, const char *path)
{
	return alloc_copy("MORE=-v -x\n");
}

static void test_unit(void **state)
{
	struct unit unit = { 0 };
	unit_parse(&unit, "app",
		   "[Unit]\nExecStart=/bin/no\n[Service]\n; comment\nType = forking\nEnvironment=A=1 \"B=2 3\"\nEnvironmentFile=-/etc/default/app\nUser=app\nGroup=app\n"
		   "ExecStart=-/usr/sbin/app --name %n \\\n  $OPTS ${A} 100%%\nExecStart=/second\nRuntimeDirectory=app app/sub ../out /abs\nStateDirectory=%p\nWorkingDirectory=/srv\n[Install]\nUser=other\n",
		   env_file, NULL);
	static const char *const want[] = { "/usr/sbin/app", "--name", "app.service", "-v", "-x", "'two", "words'", "1", "100%" };
	assert_int_equal(unit.command.count, sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < unit.command.count; i++)
		assert_string_equal(unit.command.item[i], want[i]);
	assert_true(unit.forks);
	assert_string_equal(unit.user, "app");
	assert_string_equal(unit.cwd, "/srv");
	assert_int_equal(unit.dirs.count, 3);
	assert_string_equal(unit.dirs.item[1], "/run/app/sub");
	assert_string_equal(unit.dirs.item[2], "/var/lib/app");
	assert_true(strings_have(&unit.env, "B=2 3"));
	unit_free(&unit);
	/* What only a shell knows stays as it is; a ";" between blanks divides commands. */
	unit_parse(&unit, "app", "[Service]\nEnvironment=A=x;y&z\nEnvironmentFile=/plain\nExecStart=/a --re=(x|y) <b> c;d $MORE ; /bin/second\n", plain_file, NULL);
	static const char *const signs[] = { "/a", "--re=(x|y)", "<b>", "c;d", "-v", "-x" };
	assert_int_equal(unit.command.count, sizeof(signs) / sizeof(*signs));
	for (size_t i = 0; i < unit.command.count; i++)
		assert_string_equal(unit.command.item[i], signs[i]);
	assert_true(strings_have(&unit.env, "A=x;y&z"));
	assert_true(strings_have(&unit.env, "MORE=-v -x"));
	unit_free(&unit);
	unit_parse(&unit, "x", "[Service]\nExecStart=/a\nExecStart=\nExecStart=relative\nUser=\n[", NULL, NULL);
	assert_int_equal(unit.command.count, 0);
	assert_null(unit.user);
	unit_free(&unit);
}

/* ---- rules ---- */

static void test_rules(void **state)
{
	struct rules rules = { 0 };
	struct error error = { 0 };
	assert_int_equal(rules_load(&rules, NULL, default_rules, &error), 0);
	assert_false(rules_for(&rules, "/usr/share/doc/x/copyright")->keep);
	assert_null(rules_for(&rules, "/usr/bin/x"));
	assert_true(strings_have(&rules.assumed, "adduser"));
	assert_non_null(strstr(rules_start(&rules, "nginx"), "daemon off"));
	rules_free(&rules);
	assert_int_equal(rules_parse(&rules, "leave /a/*\n  keep /a/b # no comment here\nused x\n", "R", &error), -EINVAL);
	assert_string_equal(error.text, "R:2: \"#\" is no absolute path, nor a pattern that begins with \"*\"");
	rules_free(&rules);
	assert_int_equal(rules_parse(&rules, "leave /a/*\nkeep /a/b\nleave *.x\n", "R", &error), 0);
	assert_true(rules_for(&rules, "/a/b")->keep);
	assert_string_equal(rules_for(&rules, "/a/c")->place, "R:1");
	assert_string_equal(rules_for(&rules, "/a/c/d.x")->place, "R:3");
	rules_free(&rules);
	static const struct {
		const char *text, *message;
	} wrong[] = { { "frob /x", "R:1: \"frob\" is no rule" }, { "\n\nleave", "R:3: leave says of nothing" }, { "start nginx", "R:1: start needs a package and a command" } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(rules_parse(&rules, wrong[i].text, "R", &error), -EINVAL);
		assert_non_null(strstr(error.text, wrong[i].message));
		rules_free(&rules);
	}
	assert_int_equal(rules_load(&rules, "/no/such/rules", default_rules, &error), -ENOENT);
	assert_non_null(strstr(error.text, "--rules /no/such/rules"));
	rules_free(&rules);
}

static void test_names(void **state)
{
	static const char *const good[] = { "redis-server", "g++", "libc6", "python3.11", "redis-server=5:7.0.15-1~deb12u1" };
	static const char *const bad[] = { "", "a", "-y", "--option", "Redis", "redis-server-", "redis server", "../x", "a/b", "redis=", "redis=1;2", "a*", "r\303\251dis", "redis=1=2", "./x.deb" };
	struct error error = { 0 };
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_int_equal(debs_check_name(good[i], &error), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(debs_check_name(bad[i], &error), -EINVAL);
		assert_non_null(strstr(error.text, bad[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_script_accounts),
		cmocka_unit_test(test_script_enables),
		cmocka_unit_test(test_numbers_of_the_host),
		cmocka_unit_test(test_script_files),
		cmocka_unit_test(test_script_hostile),
		cmocka_unit_test(test_script_bombs),
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
