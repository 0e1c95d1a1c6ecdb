# SPDX-License-Identifier: Apache-2.0
# The README's commands. Meson does the work, in build/.
BUILD ?= build
ifeq ($(LIGHTVM_JOBS),)
NINJA = ninja -C $(BUILD)
else
NINJA = ninja -C $(BUILD) -j $(LIGHTVM_JOBS)
endif

all: build
build: $(BUILD)/build.ninja
	$(NINJA)
$(BUILD)/build.ninja:
	scripts/fetch-lwip
	meson setup $(BUILD)

demo:
	scripts/demo
setup:
	scripts/setup

check: build
	tests/run
check-unit: build
	tests/run unit
check-guest: build
	tests/run guest
check-e2e: build
	tests/run e2e
check-rig: build
	tests/run rig
fuzz:
	tests/run fuzz-long
bench: build
	bench/run
sanitize:
	scripts/sanitize
tidy: build
	scripts/tidy
install: build
	meson install -C $(BUILD)
uninstall:
	$(NINJA) uninstall
clean:
	rm -rf $(BUILD) build-sanitize build-fuzz

.PHONY: all build demo setup check check-unit check-guest check-e2e check-rig fuzz bench sanitize tidy install uninstall clean
