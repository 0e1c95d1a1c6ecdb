/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing at all: what a start costs. */
int main(void)
{
	return 0;
}
