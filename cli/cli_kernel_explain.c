/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm kernel explain, diff: why a kernel has what it has, and what another one has instead. */
#include <stdlib.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "tinyx/specialise/explain.h"

/* ---- explain ---- */

struct explain_options {
	const char *kernel;
};

static const struct option_spec explain_options[] = {
	{ "kernel", 0, OPTION_STRING, offsetof(struct explain_options, kernel), "KERNEL", "of which kernel (default: general)", .complete = "kernel" },
	{ 0 },
};

static int explain(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct explain_options *given = options;
	struct kernel kernel = { 0 };
	struct text out = { 0 };
	int err = kernel_find(given->kernel ? given->kernel : KERNEL_DEFAULT, &kernel, error);
	if (!err)
		err = explain_kernel(&kernel, operands.argv, (size_t)operands.argc, &out, error);
	kernel_free(&kernel);
	if (!err)
		return text_print(&out);
	text_free(&out);
	return err;
}

const struct verb verb_kernel_explain = {
	.name = "explain",
	.operands = "OPTION|FILE...",
	.summary = "Tell why a kernel has an option or a source file, or has it not",
	.text = "Of an option: whether the kernel has it, what its configuration says beside it, and from the Kconfig files of its source what it is, what it depends\n"
		"on and whether that holds, and which options of this kernel select it. Of a file of the source: which options have it compiled in, and which\n"
		"line of which Makefile says so. The source has to be unpacked in the cache, as it is after a build.",
	.examples = "lightvm kernel explain VIRTIO_NET\nlightvm kernel explain --kernel base CONFIG_FUTEX\nlightvm kernel explain net/ipv4/tcp.c",
	.options = explain_options,
	.options_size = sizeof(struct explain_options),
	.min = 1,
	.max = -1,
	.run = explain,
};

/* ---- diff ---- */

static void say_size(const char *sign, const struct kernel *kernel, struct text *out)
{
	char vmlinux[24], bzimage[24];
	text_format(out, "%s %s-%s vmlinux %s, bzImage %s\n", sign, kernel->name, kernel->key, size_print(kernel->vmlinux, vmlinux, sizeof(vmlinux)),
		    size_print(kernel->bzimage, bzimage, sizeof(bzimage)));
}

static int diff(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct kernel kernel[2] = { 0 };
	struct dot_config config[2] = { 0 };
	struct text out = { 0 };
	int err = 0;
	for (int i = 0; i < 2 && !err; i++) {
		err = kernel_find(operands.argv[i], &kernel[i], error);
		if (!err)
			err = dot_config_load(&config[i], &kernel[i], error);
		if (!err)
			say_size(i ? "+++" : "---", &kernel[i], &out);
	}
	if (!err)
		dot_config_diff(&config[0], &config[1], &out);
	for (int i = 0; i < 2; i++) {
		dot_config_free(&config[i]);
		kernel_free(&kernel[i]);
	}
	if (!err)
		return text_print(&out);
	text_free(&out);
	return err;
}

const struct verb verb_kernel_diff = {
	.name = "diff",
	.operands = "KERNEL KERNEL",
	.summary = "Tell which options two kernels do not share, and how large they are",
	.text = "A line -OPTION=VALUE is of the first one, +OPTION=VALUE of the second.",
	.examples = "lightvm kernel diff base general",
	.complete = "kernel",
	.min = 2,
	.max = 2,
	.run = diff,
};
