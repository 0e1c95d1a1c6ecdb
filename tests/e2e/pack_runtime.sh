#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What programs open only while they run, and no file names for the dynamic linker: the image has it.
# timeout: 120
. "$(dirname "$0")/lib.sh"

cat >"$work/runtime.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <mntent.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Says what was got of each thing; the process is the judge. */
int main(int argc, char **argv)
{
	static const char *const companions[] = { "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2" };
	char name[256] = "", japanese[] = "\x82\xa0", out[8] = "", *from = japanese, *to = out;
	size_t left = 2, room = sizeof(out);
	pthread_t thread;
	void *result = NULL, *zip = dlopen("libz.so.1", RTLD_NOW);
	printf("libz %s\n", zip && dlsym(zip, "crc32") ? "opened" : dlerror());
	for (unsigned i = 0; i < sizeof(companions) / sizeof(*companions); i++)
		printf("%s %s\n", companions[i], dlopen(companions[i], RTLD_NOW) ? "opened" : dlerror());
	iconv_t convert = iconv_open("UTF-8", "SHIFT_JIS");
	printf("iconv %s\n", convert == (iconv_t)-1 || iconv(convert, &from, &left, &to, &room) ? "failed" : out);
	printf("locale %s %s\n", setlocale(LC_ALL, "C.UTF-8"), nl_langinfo(CODESET));
	for (int i = 1; i < argc; i++) {
		time_t summer = 1720000000;
		setenv("TZ", argv[i], 1);
		tzset();
		strftime(name, sizeof(name), "%c %Z %z", localtime(&summer));
		printf("%s: %s\n", argv[i], name);
	}
	pthread_create(&thread, NULL, sleeper, NULL);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("thread %s\n", result == PTHREAD_CANCELED ? "cancelled" : "went on");
	FILE *mounts = setmntent("/etc/mtab", "r");
	printf("mtab %s\n", mounts && getmntent(mounts) ? "has a line" : "has none");
	struct addrinfo *found, hints = { .ai_family = AF_INET };
	gethostname(name, sizeof(name));
	int err = getaddrinfo("localhost", NULL, &hints, &found);
	printf("localhost %s\n", err ? gai_strerror(err) : "resolves");
	err = getenv("OWN_NAME") ? getaddrinfo(name, NULL, &hints, &found) : 0;
	printf("own name %s\n", err ? gai_strerror(err) : "resolves");
	return 0;
}
C
gcc -pthread -o "$work/runtime" "$work/runtime.c"
same 'libraries, converters, locale, zones, threads' -e OWN_NAME=1 -- "$work/runtime" UTC Europe/Berlin Asia/Tokyo
same 'without a network' --net none -h some-name -e OWN_NAME=1 -- "$work/runtime" America/New_York
same 'the zones of a language' -- /usr/bin/python3 -c 'import zoneinfo; print(zoneinfo.ZoneInfo("Europe/Berlin"), len(zoneinfo.available_timezones()) > 300)'
export TZ=Europe/Berlin
same "a zone that was asked for" -e TZ=$TZ -- /bin/date -d @1720000000
unset TZ
check 'zones are there whole or not at all' sh -c '! "$@"' - "$lightvm" run --rm /bin/cat /usr/share/zoneinfo/Etc/UTC
same 'the time of the host, without zones' -- /bin/cat /etc/localtime

# Descriptions of terminals come with the library that reads them, or with who names them.
printf 'int setupterm(const char *, int, int *); int tigetnum(const char *); int printf(const char *, ...);\nint main(void) { int err; printf("%%d", setupterm("xterm", 1, &err)); return printf(" %%d\\n", tigetnum("colors")) < 0; }\n' >"$work/terminal.c"
gcc -o "$work/terminal" "$work/terminal.c" -l:libtinfo.so.6
same 'descriptions of terminals' -- "$work/terminal"
printf '#include <stdio.h>\n#include <unistd.h>\nint main(void) { return puts(access("/lib/terminfo/d/dumb", R_OK) && access("/usr/share/terminfo/d/dumb", R_OK) ? "none" : "found") < 0; }\n' >"$work/reader.c"
gcc -static -o "$work/reader" "$work/reader.c"
same 'descriptions of terminals for who reads them without a library' -- "$work/reader"
check 'who has no word of terminals has no descriptions of them' sh -c '! "$@"' - "$lightvm" run --rm /bin/cat /lib/terminfo/d/dumb

# A native module as package managers of languages install them: any name, no right to execute.
mkdir "$work/module" "$work/elsewhere"
printf 'int seven(void) { return 7; }\n' >"$work/helper.c"
gcc -shared -fpic -o "$work/elsewhere/libhelper-of-lightvm.so" "$work/helper.c"
printf 'int seven(void);\nint sum(void) { return seven() + 35; }\n' >"$work/module.c"
gcc -shared -fpic -o "$work/module/sum.node" "$work/module.c" -L"$work/elsewhere" -lhelper-of-lightvm -Wl,-rpath,"$work/elsewhere"
chmod 644 "$work/module/sum.node"
printf 'import ctypes, sys\nprint(ctypes.CDLL(sys.argv[1]).sum())\n' >"$work/module/load.py"
same 'a module of any name and mode gets its libraries' --copy "$work/module:$work/module" -- /usr/bin/python3 "$work/module/load.py" "$work/module/sum.node"

# A library that is in the image already, by a package or a volume, is asked what it opens like any other one that the program needs.
mkdir "$work/planned"
printf '#include <iconv.h>\nint converts(void) { return iconv_open("UTF-8", "ISO-8859-15") != (iconv_t)-1; }\n' >"$work/planned/converts.c"
gcc -shared -fpic -o "$work/planned/libconverts-of-lightvm.so" "$work/planned/converts.c"
printf 'int converts(void);\nint main(void) { return !converts(); }\n' >"$work/converting.c"
gcc -o "$work/converting" "$work/converting.c" -L"$work/planned" -lconverts-of-lightvm -Wl,-rpath,"$work/planned"
same 'a library of a volume has its converters' --copy "$work/planned:$work/planned" -- "$work/converting"

# Fonts come with the library that looks for them, or with who opens it by name.
if [ -e /usr/share/fonts/truetype/dejavu ] && command -v fc-match >/dev/null; then
	same 'fonts' -- /usr/bin/fc-match sans
	printf '#include <dlfcn.h>\nvoid *look(void) { return dlopen("libfontconfig.so.1", RTLD_NOW); }\n' >"$work/planned/opens.c"
	gcc -shared -fpic -o "$work/planned/opens.so" "$work/planned/opens.c"
	printf 'import ctypes, os, sys\nlib = ctypes.CDLL(sys.argv[1])\nlib.look.restype = ctypes.c_void_p\nprint(bool(lib.look()), os.path.exists("/etc/fonts/fonts.conf"))\n' >"$work/planned/opens.py"
	same 'fonts for a module that opens their library' --copy "$work/planned:$work/planned" -- /usr/bin/python3 "$work/planned/opens.py" "$work/planned/opens.so"
else
	skip fonts 'fontconfig or the fonts DejaVu are not installed'
fi

# Links of every system, and the users that the packages' scripts make, with the numbers that files of the host have.
same 'links that programs name' -- sh -c 'readlink /var/run /var/lock; stat -c %a /run/lock'
if command -v redis-server >/dev/null; then same 'the users of a package' -- sh -c 'redis-server --version >/dev/null; grep ^redis: /etc/passwd /etc/group | cut -d: -f2,4-5 | sed "s/:redis.*//"'; else skip 'the users of a package' 'no redis'; fi
"$lightvm" run /bin/cat /etc/passwd >"$work/passwd"
check 'without one those of base-passwd' test "$(grep -cE '^(root:x:0:0|man:x:6:12|proxy:x:13:13|www-data:x:33:33|nobody:x:65534:65534):' "$work/passwd")" = 5
check '  and no others' test "$(awk -F: '$3 >= 100 && $1 != "nobody"' "$work/passwd")" = ''

# Locales that were asked for, as directories and in the archive; here copies of C.UTF-8 by other names.
if [ "$(id -u)" = 0 ]; then
	mkdir "$work/locale"
	for name in C.utf8 xx_XX.utf8 yy_YY.utf8; do cp -r /usr/lib/locale/C.utf8 "$work/locale/$name"; done
	with_locales() { unshare -m sh -c 'mount --bind "$1" /usr/lib/locale && shift && exec "$@"' - "$work/locale" "$@"; }
	with_locales localedef --quiet --add-to-archive /usr/lib/locale/yy_YY.utf8
	rm -r "$work/locale/yy_YY.utf8"
	printf '#include <locale.h>\n#include <stdio.h>\nint main(void) { return !puts(setlocale(LC_ALL, "") ? "known" : "unknown"); }\n' >"$work/locale.c"
	gcc -o "$work/which-locale" "$work/locale.c"
	for name in xx_XX.UTF-8 yy_YY.UTF-8 zz_ZZ.UTF-8; do
		want=$(LC_ALL=$name with_locales "$work/which-locale")
		check "locale $name: $want" test "$(with_locales "$lightvm" run --rm -e LC_ALL=$name "$work/which-locale")" = "$want"
	done
else
	skip locales 'needs root'
fi
finish
