/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux guest reads at its start: the configuration of PID 1, and a DHCP server's answer.
 * fuzz-sources: guest/config.c parse/mount_word.c parse/record_reader.c guest/dhcp.c base/clock.c base/deadline.c
 * fuzz-seeds: guest
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest/config.h"
#include "guest/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static void check_config(const uint8_t *data, size_t size)
{
	struct guest_config config;
	const char *why = "";
	unsigned record;
	void *copy = malloc(size + !size); /* exactly as long: what is read behind it is found */
	memcpy(copy, data, size);
	if (!config_parse(&config, copy, size, &why, &record)) {
		MUST(config.program && *config.program && config.argc && config.argv[0] && !config.argv[config.argc] && !config.env[config.envc]);
		MUST(!config.cwd || config.cwd[0] == '/');
		for (size_t i = 0; i < config.envc; i++)
			MUST(strchr(config.env[i], '=') > config.env[i]);
	} else {
		MUST(why && *why);
	}
	config_free(&config);
	free(copy);
}

static void check_dhcp(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = { 0 };
	struct dhcp_lease lease;
	uint8_t *copy = malloc(size + !size);
	memcpy(copy, data, size);
	int type = dhcp_parse(copy, size, 0, mac, &lease);
	MUST(type <= 255);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_config(data, size);
	check_dhcp(data, size);
	return 0;
}
