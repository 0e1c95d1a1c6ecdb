/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loop must stand: a descriptor is announced as ready, and by the time it is looked at there is nothing, since
 * somebody else was quicker. flood() does that to every descriptor that a loop of the test watches. Tests are linked with
 * --wrap=loop_update for it.
 */
#ifndef LV_TESTS_FLOOD_H
#define LV_TESTS_FLOOD_H

/* How many watches were called. One that sleeps ends the test after some seconds. */
unsigned flood(void);

#endif
