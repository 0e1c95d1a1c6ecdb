/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing at all, as short as a program can be. */
int main(void)
{
	return 0;
}
