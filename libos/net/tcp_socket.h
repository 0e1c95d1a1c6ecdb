/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP socket, for tcp.c, tcp_open.c (bind, listen, accept, connect), tcp_option.c (TCP_NODELAY ...) and tcp_segment.c (segmentation offload). */
#ifndef LV_NET_TCP_SOCKET_H
#define LV_NET_TCP_SOCKET_H

#include "libos/net/inet.h"

struct tcp_pcb;
enum tcp_socket_state { TCP_NEW, TCP_CONNECTING, TCP_CONNECTED, TCP_LISTENING, TCP_DEAD };

struct tcp_options { /* what an accepted connection has of its listener */
	bool nodelay;
	uint8_t tos, ttl;
	uint32_t keep_idle, keep_interval, keep_count; /* seconds, seconds, probes */
	uint32_t syn_count;    /* SYNs sent again before it is given up; 0: lwIP's number */
	uint32_t user_timeout; /* ms without an acknowledgement; 0: lwIP's patience */
	uint32_t mss_limit;    /* 0: none */
	uint32_t unsent_most;  /* writable while fewer bytes wait to be sent; 0: always */
	uint32_t defer_accept; /* seconds that a connection may take to bring data before it is offered without; 0: offered at once */
};

enum urgent_state { URGENT_NONE, URGENT_COMES, URGENT_THERE, URGENT_READ };

struct tcp_urgent { /* tcp_urgent.c */
	bool sends;
	uint32_t send_end; /* sequence number behind the last urgent byte that was sent */
	uint8_t state;     /* of the one that comes; READ: apart, and the stream is not behind it yet */
	uint8_t byte;
	uint32_t at;       /* its position among the bytes that were queued */
};

struct tcp_socket {
	struct socket s;
	enum tcp_socket_state state;
	struct tcp_pcb *pcb; /* NULL: lwIP is done with it, or has it for itself */
	struct packet_queue queue;
	size_t offset; /* bytes of the first packet that were read */
	uint32_t queued; /* bytes so far, modulo 2^32 */
	struct tcp_urgent urgent;
	uint64_t read_time; /* when what was read last came; ns since the epoch, 0: nobody asked */
	bool eof;
	bool fin; /* the peer's, in order */
	int connect_error; /* why lwIP was told to give up; 0: it did so itself */
	bool cork;
	struct tcp_options o;
	uint64_t last_progress; /* ns, monotonic, where user_timeout asks: the peer acknowledged something, or nothing waited for that */
	ip_addr_t local_ip, remote_ip; /* also when the pcb has gone */
	uint16_t local_port, remote_port;
	uint16_t wire_mss; /* what the peer and the path take */
	uint16_t segment_max; /* what lwIP may build */
	bool window_started;
	uint32_t small_end; /* sequence number behind the last small segment that was sent */
	/* acknowledging as Linux does: at once at the start, then at once what was read, unless an answer carries it */
	uint8_t quick_acks;    /* segments that are still acknowledged at once */
	bool answers;          /* the program answers what it receives: acknowledgements wait for that */
	uint64_t last_receive; /* ns, monotonic */
	struct {
		uint64_t since;    /* ns, monotonic: when what ends at end was handed over; 0: nothing is timed */
		uint32_t end;      /* sequence number */
		uint32_t mean, deviation; /* us, smoothed (RFC 6298); 0: none yet. lwIP's own count ticks of 100 ms */
	} rtt;
	bool in_progress; /* connect() was not waited for: the next one tells how it ended */
	/* of a listener */
	struct tcp_socket *accept_first, *accept_last, *accept_next; /* nobody has accepted them yet */
	struct tcp_socket *deferred; /* TCP_DEFER_ACCEPT: not offered yet, linked by accept_next; they count as waiting */
	int accept_waiting, backlog;
	bool keeps_port; /* bind() named it */
	struct tcp_socket *listen_next; /* ports.c: all that listen */
	/* of a connection that its listener does not offer yet */
	struct tcp_socket *deferred_to;
	uint64_t deferred_until; /* ns, monotonic */
};

extern const struct proto tcp_proto;
int tcp_setopt(struct socket *s, int level, int option, const void *value, uint32_t len);
int tcp_getopt(struct socket *s, int level, int option, void *value, uint32_t *len);
void tcp_socket_changed(struct tcp_socket *t); /* an option of the socket */
void tcp_rtt_start(struct tcp_socket *t); /* bytes were handed to lwIP: one round trip is timed at a time */
void tcp_rtt_acked(struct tcp_socket *t); /* an acknowledgement came */
void tcp_rtt_sample(struct tcp_socket *t, uint64_t since); /* from then on until now */
void tcp_ack_quickly(struct tcp_socket *t); /* what waits to be acknowledged now, what comes next at once */

/* tcp.c */
struct tcp_socket *tcp_socket_alloc(int family); /* without a pcb; NULL: out of memory */
void tcp_socket_attach(struct tcp_socket *t, struct tcp_pcb *pcb); /* lwIP reports to the socket from now on */
void tcp_socket_apply(struct tcp_socket *t);      /* the socket's options to its pcb */
void tcp_socket_note_names(struct tcp_socket *t); /* while the pcb knows them */
void tcp_socket_detach(struct tcp_socket *t);     /* its pcb goes its own way; what that still has to send will be sent */
void tcp_socket_drop_waiting(struct tcp_socket *t); /* resets what nobody has accepted */

void tcp_drop_byte(struct tcp_socket *t); /* the first one that is queued; its room in the window is the caller's to give back */

/* Both ways, and the connection is lwIP's own affair now. */
static inline bool tcp_has_ended(const struct tcp_socket *t)
{
	return t->state == TCP_CONNECTED && !t->pcb;
}

/* tcp_open.c */
int tcp_name_socket(struct socket *s, union address *addr, bool peer);
void tcp_offer(struct tcp_socket *t); /* a deferred connection has data, has ended or has waited long enough: it can be accepted */
int tcp_disconnect_socket(struct tcp_socket *t); /* as new: the connection is reset, the listener listens no more, a port that bind() named stays */
int tcp_stop_listening(struct tcp_socket *t); /* shutdown() of a listener: it keeps a port that bind() named, and no connection */
int tcp_bind_socket(struct socket *s, const union address *addr, uint32_t len);
int tcp_listen_socket(struct socket *s, int backlog);
int tcp_accept_socket(struct socket *s, struct socket **child, bool nonblock);
int tcp_connect_socket(struct socket *s, const union address *addr, uint32_t len, bool nonblock);

/* tcp_segment.c: a connection was made; data is about to be sent. */
void tcp_segment_start(struct tcp_pcb *pcb, struct tcp_socket *t);
void tcp_segment_adapt(struct tcp_pcb *pcb, struct tcp_socket *t);
size_t tcp_send_room(const struct tcp_socket *t); /* bytes that it takes now; it has a pcb */
bool tcp_has_room(const struct tcp_socket *t);    /* so many that poll() says so */

#endif
