/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tls_peer.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

int tls_peer_check(struct MHD_Connection *connection, struct error *error)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	unsigned status = 0;
	gnutls_datum_t words = { 0 };
	int err = info ? gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &status) : GNUTLS_E_INVALID_REQUEST;
	if (err == GNUTLS_E_NO_CERTIFICATE_FOUND)
		return error_set(error, -EACCES, "this address is for clients with a certificate");
	if (err)
		return error_set(error, -EACCES, "the client's certificate: %s", gnutls_strerror(err));
	if (!status)
		return 0;
	gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &words, 0);
	error_set(error, -EACCES, "the client's certificate: %s", words.data ? (const char *)words.data : "not trusted");
	gnutls_free(words.data);
	return -EACCES;
}
