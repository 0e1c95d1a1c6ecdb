/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that are not there, answered as by libos' trap handler: for tests of what takes the program's addresses. */
#ifndef TESTS_UNIT_USER_FAULTS_H
#define TESTS_UNIT_USER_FAULTS_H

/* For the rest of this test: cmocka brings a handler of its own back with each. */
void user_faults_catch(void);

#endif
