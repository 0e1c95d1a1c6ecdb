/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tls_program.h"

#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#define PEM_MOST (64 << 10)

bool identity_fingerprint(const X509 *certificate, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1 || size != TLS_FINGERPRINT / 2)
		return false;
	for (unsigned i = 0; i < size; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return true;
}

/* It does not end by itself: trust ends with "lightvm host rm". RFC 5280, 4.1.2.5: this date means that there is none. */
static bool set_dates(X509 *certificate)
{
	return X509_gmtime_adj(X509_getm_notBefore(certificate), -24 * 3600) && ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z") == 1;
}

static bool set_serial(X509 *certificate)
{
	unsigned char bytes[16];
	BIGNUM *number = RAND_bytes(bytes, sizeof(bytes)) == 1 ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
	bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return done;
}

static bool set_name(X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, subject) == 1;
}

int identity_make(const char *name, const char **why)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	bool made = key && certificate && X509_set_version(certificate, 2) == 1 && set_serial(certificate) && set_dates(certificate) &&
		    set_name(certificate, name) && X509_set_pubkey(certificate, key) == 1 && X509_sign(certificate, key, EVP_sha256());
	bool written = made && PEM_write_PrivateKey(stdout, key, NULL, NULL, 0, NULL, NULL) == 1 && PEM_write_X509(stdout, certificate) == 1 && !fflush(stdout);
	*why = made ? "the key cannot be written" : "no key can be made";
	X509_free(certificate);
	EVP_PKEY_free(key);
	return written ? 0 : -1;
}

int identity_print(const char **why)
{
	static char pem[PEM_MOST];
	char fingerprint[TLS_FINGERPRINT + 1];
	size_t size = fread(pem, 1, sizeof(pem), stdin);
	BIO *text = BIO_new_mem_buf(pem, (int)size);
	X509 *certificate = text ? PEM_read_bio_X509(text, NULL, NULL, NULL) : NULL;
	bool done = certificate && identity_fingerprint(certificate, fingerprint) && printf("%s\n", fingerprint) > 0 && !fflush(stdout);
	*why = certificate ? "the fingerprint cannot be written" : "not a certificate in PEM";
	X509_free(certificate);
	BIO_free(text);
	return done ? 0 : -1;
}

int identity_use(SSL_CTX *context, int fd, const char **why)
{
	FILE *file = fdopen(fd, "r");
	EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
	X509 *certificate = key ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
	bool used = certificate && SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1 &&
		    SSL_CTX_check_private_key(context) == 1;
	*why = "this host's own key is damaged";
	X509_free(certificate);
	EVP_PKEY_free(key);
	if (file)
		fclose(file);
	return used ? 0 : -1;
}
