/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a container image ("application/vnd.oci.image.config.v1+json" and Docker's): what it says of how to run it. It is hostile. */
#ifndef LV_TINYX_OCI_CONFIG_H
#define LV_TINYX_OCI_CONFIG_H

#include "base/error.h"
#include "base/text.h"
#include "tinyx/manifest.h"

#define OCI_JSON_MOST (4u << 20) /* bytes of one document */

struct oci_config { /* zero-initialised: empty */
	char *architecture, *os;
	char *user; /* "NAME[:GROUP]" or numbers; NULL: root */
	struct strings entrypoint, cmd, env, ports, volumes, labels; /* ports: "80", "53/udp"; labels: NAME=VALUE */
	char *cwd, *stop_signal;
	char *health; /* JSON text */
	struct strings diff_ids;
};

/* 0 or -EINVAL with a message that begins with what and names the field. Free in both cases. */
int oci_config_parse(struct oci_config *config, const char *json, size_t size, const char *what, struct error *error);
void oci_config_free(struct oci_config *config);
/* What an image's manifest has of it, but the user, whose name means a number only in its files. Added to what is there. */
void oci_config_manifest(const struct oci_config *config, struct manifest *manifest);

#endif
