/* SPDX-License-Identifier: Apache-2.0 */
/* What users of containers type out of habit and is called otherwise here, or has no place: a better answer than "unknown". */
#ifndef LV_CLI_HABITS_H
#define LV_CLI_HABITS_H

/* What to say of a command that there is none of, or of an option (without dashes) that a verb lacks; NULL: nothing in particular. */
const char *habit_command(const char *word);
const char *habit_option(const char *verb, const char *name);
/* Of a verb below another one, "image" for example. */
const char *habit_below(const char *parent, const char *word);
/* Of what was wrong with an option's value, as the message about it begins. */
const char *habit_value(const char *message);

#endif
