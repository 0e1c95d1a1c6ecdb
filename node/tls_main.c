/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-tls: see tls_program.h. Started by node/tls_link.c, which says what each argument is. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "node/tls_program.h"

#define CHAIN_MOST 8192 /* bytes of certificates that one who is not known yet may send */
#define WELCOME 'L'	/* the first byte of who accepts: with TLS 1.3 a client would not learn before that its certificate was refused */

struct trusted {
	char *const *fingerprint;
	int count;
	char seen[TLS_FINGERPRINT + 1]; /* of who came; empty: nobody did */
	bool known;
};

static int report_fd = -1;

__attribute__((format(printf, 1, 2))) static void report(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vdprintf(report_fd, format, args);
	va_end(args);
}

/* In place of the library's own judgement. */
static int judge(X509_STORE_CTX *store, void *context)
{
	struct trusted *trusted = context;
	const X509 *certificate = X509_STORE_CTX_get0_cert(store);
	if (certificate && identity_fingerprint(certificate, trusted->seen))
		for (int i = 0; i < trusted->count && !trusted->known; i++)
			trusted->known = !strcmp(trusted->seen, trusted->fingerprint[i]);
	X509_STORE_CTX_set_error(store, trusted->known ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
	return trusted->known;
}

static SSL_CTX *make_context(bool accepts, int own, bool kernel, struct trusted *trusted, const char **why)
{
	SSL_CTX *context = SSL_CTX_new(accepts ? TLS_server_method() : TLS_client_method());
	*why = "the TLS library does not do what is asked of it";
	if (!context)
		return NULL;
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(context, judge, trusted);
	SSL_CTX_set_max_cert_list(context, CHAIN_MOST);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | (kernel ? SSL_OP_ENABLE_KTLS : 0));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	/* AES with 128 bits is what processors, and the kernel, do fastest. */
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1 &&
	    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	    !identity_use(context, own, why))
		return context;
	SSL_CTX_free(context);
	return NULL;
}

static bool is_welcomed(SSL *ssl, bool accepts)
{
	char byte = WELCOME;
	return accepts ? SSL_write(ssl, &byte, 1) == 1 : SSL_read(ssl, &byte, 1) == 1 && byte == WELCOME;
}

/* The alert of who does not know us has a name that says little. */
static const char *failure(const struct trusted *trusted, int saved)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_REASON(code);
	if (trusted->seen[0] && !trusted->known)
		return "not a host that this one knows";
	if (reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE || reason == SSL_R_TLSV1_ALERT_ACCESS_DENIED || reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
	    reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA)
		return "the other host does not know this one";
	if (code)
		return ERR_reason_error_string(code) ? ERR_reason_error_string(code) : "TLS failed";
	return saved ? strerror(saved) : "the other side closed the connection";
}

static bool shake_hands(SSL *ssl, bool accepts, const struct trusted *trusted)
{
	ERR_clear_error();
	errno = 0;
	if ((accepts ? SSL_accept(ssl) : SSL_connect(ssl)) == 1 && is_welcomed(ssl, accepts))
		return true;
	report("error %s %s\n", trusted->seen[0] ? trusted->seen : "-", failure(trusted, errno));
	return false;
}

static void secure(SSL *ssl, int socket, int plain, bool accepts, const struct trusted *trusted)
{
	if (SSL_set_fd(ssl, socket) != 1 || !shake_hands(ssl, accepts, trusted))
		return;
	bool kernel_sends = BIO_get_ktls_send(SSL_get_wbio(ssl));
	report("ok %s %s %s\n", trusted->seen, kernel_sends ? "kernel" : "relay", SSL_get_cipher_name(ssl));
	close(report_fd);
	fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
	fcntl(plain, F_SETFL, fcntl(plain, F_GETFL) | O_NONBLOCK);
	relay_run(ssl, socket, plain);
}

static int run(bool accepts, int argc, char **argv)
{
	int socket = atoi(argv[2]), plain = atoi(argv[3]), own = atoi(argv[5]);
	struct trusted trusted = { .fingerprint = argv + 7, .count = argc - 7 };
	const char *why;
	report_fd = atoi(argv[4]);
	SSL_CTX *context = make_context(accepts, own, !strcmp(argv[6], "kernel"), &trusted, &why);
	SSL *ssl = context ? SSL_new(context) : NULL;
	if (ssl)
		secure(ssl, socket, plain, accepts, &trusted);
	else
		report("error - %s\n", why);
	SSL_free(ssl);
	SSL_CTX_free(context);
	return ssl ? 0 : 1;
}

/* Keys are in this process: nobody reads it, and it leaves nothing behind. */
static void close_up(void)
{
	const struct rlimit none = { 0 };
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	const char *why = "usage: lightvm-tls identity NAME | fingerprint | connect|accept SOCKET PLAIN REPORT OWN kernel|relay FINGERPRINT...";
	int status = -1;
	close_up();
	/* What the machine's openssl.cnf says is for other programs. */
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	if (argc == 3 && !strcmp(argv[1], "identity"))
		status = identity_make(argv[2], &why);
	else if (argc == 2 && !strcmp(argv[1], "fingerprint"))
		status = identity_print(&why);
	else if (argc >= 7 && (!strcmp(argv[1], "accept") || !strcmp(argv[1], "connect")))
		return run(!strcmp(argv[1], "accept"), argc, argv);
	if (status)
		fprintf(stderr, "lightvm-tls: error: %s\n", why);
	return status ? 1 : 0;
}
