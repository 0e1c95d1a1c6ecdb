/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree around a program that no package of the distribution owns, found by what marks it: a Python environment by its pyvenv.cfg, an
 * interpreter of Python's by its own standard library, a Java by the file "release" in its home, a Go by its VERSION and its
 * library's source, a Rust by rustup's settings, a script of npm by the node_modules that it lies in.
 */
#ifndef LV_TINYX_OWN_TREE_H
#define LV_TINYX_OWN_TREE_H

#include "tinyx/plan.h"

/*
 * Adds the trees of file, a program, its interpreter or a script, by the path that the user gave; symbolic links are followed
 * for a second look. Files that cannot be read are left out.
 */
void own_tree_add(struct plan *plan, const char *file);

#endif
