#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs that no package of the distribution owns bring the tree they live in; a file that was left behind is named.
# timeout: 120
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1

/usr/bin/python3 -m venv --without-pip "$work/env"
site=$(echo "$work"/env/lib/python3*/site-packages)
mkdir -p "$site/greeting/tests"
echo 'from .tests import word' >"$site/greeting/__init__.py"
echo 'word = "from the environment"' >"$site/greeting/tests/__init__.py"
printf '#!%s\nimport greeting, sys\nprint(greeting.word, sys.argv[1:])\n' "$work/env/bin/python3" >"$work/env/bin/greet"
chmod +x "$work/env/bin/greet"
same 'a Python environment' -- "$work/env/bin/python3" -c 'import greeting, sys; print(greeting.word, sys.prefix)'
same 'by a relative path' -- env/bin/python3 -c 'import greeting, sys; print(greeting.word, sys.prefix)'
same 'a script of it' -- "$work/env/bin/greet" a b

# An interpreter with a standard library of its own, outside of the distribution's places.
mkdir -p "$work/opt/bin" "$work/opt/lib/python3.11"
cp /usr/bin/python3.11 "$work/opt/bin/"
cp -a /usr/lib/python3.11/. "$work/opt/lib/python3.11/"
echo 'own = True' >"$work/opt/lib/python3.11/only_here.py"
same 'an interpreter with its own library' -- "$work/opt/bin/python3.11" -c 'import only_here, os; print(only_here.own, os.__file__)'

# A runtime that finds its parts from where it lies.
mkdir -p "$work/home/bin" "$work/home/lib" "$work/home/conf"
printf 'VERSION="1"\n' >"$work/home/release"
: >"$work/home/lib/modules"
echo 'configured' >"$work/home/conf/file"
printf '#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\nint main(void) { char path[4096] = "", line[64] = "nothing"; *strrchr(path + (readlink("/proc/self/exe", path, 4000) < 0), %d) = 0; strcat(path, "/../conf/file"); FILE *f = fopen(path, "r"); if (f) fgets(line, 64, f); return puts(line) < 0; }\n' "'/'" >"$work/tool.c"
sed -i "s/, '/, (int)'/" "$work/tool.c"
gcc -w -o "$work/home/bin/tool" "$work/tool.c"
ln -s ../home/bin/tool "$work/opt/tool"
same 'a home with a release file' -- "$work/home/bin/tool"
same 'through a link' -- "$work/opt/tool"


# Go's tree, and the toolchain that rustup's settings name.
mkdir -p "$work/go/bin" "$work/go/conf" "$work/go/pkg/tool" "$work/go/src/runtime"
: >"$work/go/VERSION"
echo 'of go' >"$work/go/conf/file"
cp "$work/home/bin/tool" "$work/go/bin/go"
same 'a Go' -- "$work/go/bin/go"
toolchain=$work/rustup/toolchains/stable
mkdir -p "$work/cargo/bin" "$toolchain/bin" "$toolchain/lib"
printf 'version = "12"\ndefault_toolchain = "stable"\n' >"$work/rustup/settings.toml"
echo 'of the toolchain' >"$toolchain/lib/file"
printf '#include <fcntl.h>\n#include <unistd.h>\nint main(void) { char line[64]; long n = read(open("%s", O_RDONLY), line, 64); return write(1, line, n > 0 ? n : 0) <= 0; }\n' "$toolchain/lib/file" >"$work/proxy.c"
gcc -w -o "$work/cargo/bin/rustup" "$work/proxy.c"
ln -s rustup "$work/cargo/bin/cargo"
RUSTUP_HOME=$work/rustup same 'a toolchain of rustup' -- "$work/cargo/bin/cargo"

# A compiler, with what it starts and reads; a program that starts others by name.
printf '#include <math.h>\n#include <stdio.h>\n#include <unistd.h>\nint main(int argc, char **argv) { printf("%%f\\n", sin(argc)); fflush(stdout); return execvp(argv[1], argv + 1); }\n' >"$work/starts.c"
run --rm -m 512M -v "$work:/work" -w /work /usr/bin/gcc -O2 -o starts starts.c -lm >"$work/out" 2>&1 || cat "$work/out"
same 'what gcc made in a VM, which starts another program by name' -- "$work/starts" sh -c 'seq 3 | tac; exit 4'

# Packages of npm: what a script asks for lies beside its package.
mkdir -p "$work/project/node_modules/.bin" "$work/project/node_modules/main" "$work/project/node_modules/other"
printf '#!/usr/bin/python3\nimport os\nprint(open(os.path.dirname(os.path.realpath(__file__)) + "/../other/data").read())\n' >"$work/project/node_modules/main/cli"
chmod +x "$work/project/node_modules/main/cli"
echo 'found' >"$work/project/node_modules/other/data"
ln -s ../main/cli "$work/project/node_modules/.bin/main"
same 'a script in node_modules' -- "$work/project/node_modules/.bin/main"

# A program by the path that a volume has it at.
printf '#!/there/bin/python3\nimport greeting, sys\nprint(sys.argv, sys.prefix)\n' >"$work/env/bin/from-there"
chmod +x "$work/env/bin/from-there"
cp /bin/echo "$work/project/say"
prints 'a link of a volume to a program of the host' 'from the environment /there' run --rm --copy "$work/env:/there" /there/bin/python3 -c 'import greeting, sys; print(greeting.word, sys.prefix)'
prints 'a script whose interpreter a volume has' "['/there/bin/from-there', 'x'] /there" run --rm --copy "$work/env:/there" /there/bin/from-there x
prints 'a program of a volume' 'a b' run --rm --copy "$work/project:/opt/project/" /opt/project/say a b
says 'one that it has not' 127 '/opt/project/none: No such file or directory' run --rm --copy "$work/project:/opt/project" /opt/project/none
chmod -x "$work/project/say"
says 'one without the right to run' 126 "chmod +x $work/project/say" run --rm --copy "$work/project:/opt/project" /opt/project/say

# What is not found by rule is named, with the option that adds it.
echo 'here' >"$work/data.txt"
says 'a relative name' 1 'data.txt is on this machine, but not in the VM; add its directory with: -v .:/work -w /work' run --rm /bin/cat data.txt
says 'an absolute one' 1 "add it with: -v $work/data.txt:$work/data.txt" run --rm /bin/cat "$work/data.txt"
run --rm --copy "$work:/work" -w /work /bin/cat data.txt >"$work/out" 2>"$work/err"
check 'the advice helps' grep -qx here "$work/out"
run --rm -v "$work:/work" -w /work /bin/cat data.txt /no/such/file 2>"$work/err" >"$work/out"
check 'what a volume has is not' sh -c '! grep -q "this machine" "$1"' - "$work/err"
run --rm /bin/cat /no/such/file 2>"$work/err" >"$work/out"
check 'what is nowhere is not' sh -c '! grep -q "this machine" "$1"' - "$work/err"
finish
